"""`python -m benchmarks PART …`: each part prints its figures and ratios, measured in this run.

A part is a module here with a main(); the published way stands in benchmarks/published. Some have
more to measure by commands of their own, on a GPU or for longer: `python -m benchmarks.train`,
`benchmarks.decode`, `benchmarks.paired`.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Annotated

import typer

from benchmarks.machine import header
from features.common.command import run_app
from features.common.console import new_app
from features.common.errors import ConfigError

PARTS = ("extract", "train", "score", "decode", "day", "planning", "memory")
APART = ("gpu",)  # only where it is named

app = new_app("Ratios between our way and the published way, measured in one run.", several=False)


@app.command()
def bench(
    parts: Annotated[
        list[str] | None,
        typer.Argument(help=f"Some of {', '.join(PARTS)}; all these when none. Or gpu."),
    ] = None,
) -> None:
    """Run the benchmarks named; with none named, all of them.

    Example: python -m benchmarks extract score
    """
    chosen = parts or PARTS
    known = (*PARTS, *APART)
    unknown = [part for part in chosen if part not in known]
    if unknown:
        raise ConfigError(f"no benchmark {unknown[0]!r}; there are {', '.join(known)}")
    for part in chosen:
        print(header(part), flush=True)
        main: Callable[[], object] = import_module(f"benchmarks.{part}").main
        main()


if __name__ == "__main__":
    run_app(app, "benchmarks")

"""`python -m evaluate serve`."""

from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from evaluate.captions.cli_options import Device, Precision, RunFolder, Task
from evaluate.page.own_folder import interruptible, own_folder
from evaluate.page.port import check_port
from features.common.console import log
from features.common.errors import ConfigError
from features.common.options import Weights

accepted = partial(typer.Option, rich_help_panel="What is accepted")


def serve_command(
    run: RunFolder,
    weights: Weights = Path("weights"),
    examples: Annotated[
        Path | None,
        typer.Option(
            help="Folder of sounds to offer as examples (the first six).",
            show_default="three synthetic sounds",
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port on loopback, 127.0.0.1.")
    ] = 7860,
    device: Device = None,
    precision: Precision = "float32",
    task: Task = "",
    max_mb: Annotated[float, accepted(help="Largest file, megabytes of 2 ** 20 bytes.")] = 500.0,
    max_seconds: Annotated[float, accepted(help="Longest recording, seconds.")] = 86_400.0,
) -> None:
    """Open a local web page: drop or record a sound, get its caption and what was heard.

    Only this machine reaches the page. Uploads stay in a temporary folder that is deleted at the
    end (Ctrl-C). Programs get the same as JSON: docs/page.md has the three curl commands.

    Example: python -m evaluate serve demo/run --weights extract/demo_weights
    """
    if find_spec("gradio") is None:
        raise ConfigError("the page needs gradio, which is not installed; run: make setup-page")
    check_port(port)
    log(f"loading {run} and its networks …")
    with interruptible(), own_folder():
        from evaluate.captions import caption
        from evaluate.page.limits import Limits
        from evaluate.page.serve import serve

        limits = Limits(max_mb=max_mb, max_seconds=max_seconds)
        listener = caption.load_listener(run, weights, device, precision, "float32", task)
        serve(listener, limits=limits, port=port, examples=examples)

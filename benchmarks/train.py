"""Stage two: loader, updates and learning, ours beside the published way in one run.

    python -m benchmarks train               loader, then updates on the CPU
    python -m benchmarks.train cpu           the updates alone
    python -m benchmarks.train learning      a small model on simulated AudioCaps

Captions, tokenizer and class map are real, from the folder that TAGBART_REAL_DATA names; features
are simulated (benchmarks/simulate.py), weights random.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.machine import header
from benchmarks.simulate import simulate_audiocaps
from benchmarks.train_learning import SHAPES, measure_learning
from benchmarks.train_loader import BATCH, measure_loader
from benchmarks.train_updates import ROUNDS, measure_cpu
from features.common.command import run_app
from features.common.console import new_app
from features.common.errors import ConfigError

TARGET_SHARE = 0.01

app = new_app("The trainer beside the published way.")


def main() -> None:
    """Print what the loader and an update take."""
    with _folder() as folder:
        features = simulate_audiocaps(folder / "features", "train")
        captions_per_s = measure_loader(features, folder)
    with _folder() as folder:
        updates_per_s = measure_cpu(folder)
    share = BATCH / captions_per_s * updates_per_s
    print(
        f"  loading {BATCH} captions takes {share:.2%} of it (target: {TARGET_SHARE:.0%} at most)"
    )


@app.command("cpu")
def cpu_command(
    rounds: Annotated[int, typer.Option(help="Turns of each way.", min=1)] = ROUNDS,
) -> None:
    """Updates per second with bart-base's shape."""
    print(header("train, CPU"), flush=True)
    with _folder() as folder:
        measure_cpu(folder, rounds)


@app.command("learning")
def learning_command(
    out: Annotated[
        Path | None, typer.Option(help="Keep features and run here; else they are removed.")
    ] = None,
    shape: Annotated[str, typer.Option(help=f"One of {', '.join(SHAPES)}.")] = "small",
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    epochs: Annotated[int, typer.Option(help="Passes over the captions.", min=1)] = 1,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Changes of the recipe, as of train run.")
    ] = None,
) -> None:
    """Train on simulated AudioCaps, and score captions of the real test split."""
    if shape not in SHAPES:
        raise ConfigError(f"--shape is {shape!r}, expected one of {', '.join(SHAPES)}")
    print(header("train, learning"), flush=True)
    with _folder() if out is None else nullcontext(out) as folder:
        measure_learning(folder, shape, device, [f"optim.epochs={epochs}", *(set_ or [])])


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tagbart-bench-") as name:
        yield Path(name)


if __name__ == "__main__":
    run_app(app, "benchmarks.train")

"""`python -m evaluate demo`."""

from pathlib import Path
from typing import Annotated

import typer


def demo_command(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Gets dump, features, run and evaluation.")
    ],
    clips: Annotated[int, typer.Option(help="Synthetic clips of 10 s.")] = 2000,
    seed: Annotated[
        int, typer.Option(help="Of the synthetic clips; the same seed gives the same bytes.")
    ] = 0,
) -> None:
    """The whole journey on synthetic clips: extract, train, caption, score, compare.

    Stages that are finished are not run again. `make demo` runs this.

    Example: python -m evaluate demo demo
    """
    from evaluate.demo import demo

    demo(folder, clips=clips, seed=seed)

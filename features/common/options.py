"""Options that commands of several floors share, each declared once."""

from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
Weights = Annotated[
    Path,
    typer.Option(
        help="Folder with the networks' weights; python -m extract fetch fills it.",
        envvar="TAGBART_WEIGHTS",
        rich_help_panel="Computing",
    ),
]

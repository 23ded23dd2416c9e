"""`python -m evaluate dataset`."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from features.common.console import json_text, log, say
from features.common.options import AsJson


def dataset_command(
    features: Annotated[Path, typer.Argument(metavar="FEATURES", help="Features folder.")],
    split: Annotated[
        list[str] | None, typer.Option(help="Split, may be repeated.", show_default="all")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many of the commonest tags and words.")] = 20,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for a page: listen by tag, find bad labels, see what splits share."
        ),
    ] = None,
    audio: Annotated[
        Path | None, typer.Option(help="Dump that was extracted: what the page plays.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a dataset at a glance: durations, missing clips, tag frequencies, caption lengths.

    With --out also as a page for a browser: OUT/index.html, offline.

    Example: python -m evaluate dataset features-audiocaps --out dataset --audio audiocaps
    """
    from evaluate.report.dataset import as_text, lost_clips, overview
    from features.reader import Features
    from features.spec import Index

    opened = [Features(features, name) for name in split or Index.read(features).splits]
    found = [overview(item, top=top) for item in opened]
    lost = lost_clips(features)
    if out is not None:
        from evaluate.report.dataset_page import build_page

        build_page(opened, [overview(item, top=sys.maxsize) for item in opened], out, audio)
        log(f"open it in a browser: {out / 'index.html'}")
    if as_json:
        record = {"splits": [asdict(item) for item in found], "lost": lost}
        print(json_text(record))
    else:
        say(as_text(found, lost))

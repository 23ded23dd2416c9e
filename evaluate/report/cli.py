"""`python -m evaluate report`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from evaluate.captions.cli_options import Device
from features.common.console import log, say

shown = partial(typer.Option, rich_help_panel="What clip pages show")


def report_command(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="DIR …", help="Evaluation folders; several are compared."),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write; an earlier report is replaced.")],
    features: Annotated[
        Path | None, shown(help="Features folder of these clips: tag timelines.")
    ] = None,
    run: Annotated[
        list[Path] | None,
        shown(
            help="Run folder, once per DIR: token probabilities and attention.",
            show_default="those on record",
        ),
    ] = None,
    audio: Annotated[
        Path | None,
        shown(help="Dump that was extracted: spectrograms, and players that link to its files."),
    ] = None,
    copy_audio: Annotated[
        bool,
        shown(
            "--copy-audio",
            help="Copy the sounds into the report as small ogg files, so that it plays elsewhere.",
        ),
    ] = False,
    split: Annotated[
        str | None, shown(help="Split of the features.", show_default="on record")
    ] = None,
    device: Device = None,
) -> None:
    """Turn evaluations into a folder to look at: OUT/index.html opens in any browser, offline.

    Scores beside the paper's, a table of all clips, and a page per clip. What cannot be shown for
    want of features, run or audio is named in the report and here.

    Several DIR are compared clip by clip: python -m evaluate report runs/a/test runs/b/test --out r

    Example: python -m evaluate report demo/evaluation --out demo/report \\
    --features demo/features --audio demo/dump
    """
    from evaluate.report.build import build_report
    from evaluate.report.material import Sources

    sources = Sources(
        features=features,
        split=split,
        runs=tuple(run or ()),
        audio=audio,
        device=device,
        copy_audio=copy_audio,
    )
    build_report(folders, out, sources)
    log("open it in a browser:")
    say(str(out / "index.html"))

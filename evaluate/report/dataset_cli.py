"""`python -m evaluate dataset`."""

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
        Path | None, typer.Option(help="PNG to write: durations and caption lengths as pictures.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a dataset at a glance: durations, missing clips, tag frequencies, caption lengths.

    Example: python -m evaluate dataset features-audiocaps --split test
    """
    from evaluate.report.dataset import as_text, lost_clips, overview
    from features.reader import Features
    from features.spec import Index

    opened = [Features(features, name) for name in split or Index.read(features).splits]
    found = [overview(item, top=top) for item in opened]
    lost = lost_clips(features)
    if out is not None:
        _draw(opened, out)
        log(f"wrote {out}")
    if as_json:
        record = {"splits": [item.to_json() for item in found], "lost": lost}
        print(json_text(record))
    else:
        say(as_text(found, lost))


def _draw(opened: list, out: Path) -> None:
    from evaluate.report.dataset import caption_words, durations_s
    from evaluate.report.pictures import draw_histograms
    from features.common.publish import published

    columns = {
        "seconds of a clip": {item.split: durations_s(item) for item in opened},
        "words of a caption": {item.split: caption_words(item).astype(float) for item in opened},
    }
    with published(out) as draft:
        draw_histograms(columns, draft)

"""`python -m evaluate caption`."""

import csv
import io
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evaluate.captions.cli_options import (
    Beams,
    Choose,
    Device,
    LengthPenalty,
    MaxLength,
    MinLength,
    Precision,
    RunFolder,
    Seed,
    TagDraws,
    decoding_options,
)
from features.common.console import harmless, json_text, log, progress
from features.common.errors import SOME_CLIPS_FAILED, ConfigError
from features.common.options import Weights

if TYPE_CHECKING:
    from evaluate.captions.caption import Said

printed = partial(typer.Option, rich_help_panel="What is printed")
CSV_COLUMNS = ("file", "start_s", "end_s", "caption", "probability", "tags")


def caption_command(
    run: RunFolder,
    audio: Annotated[
        list[Path], typer.Argument(metavar="AUDIO …", help="Sound files, or folders of them.")
    ],
    weights: Weights = Path("weights"),
    device: Device = None,
    precision: Precision = "float32",
    as_json: Annotated[bool, printed("--json", help="A JSON list, an object per window.")] = False,
    as_csv: Annotated[bool, printed("--csv", help="CSV, a row per window.")] = False,
    n_best: Annotated[
        int, printed(help="Captions with probabilities per window (text and JSON).")
    ] = 1,
    beams: Beams = None,
    length_penalty: LengthPenalty = None,
    max_length: MaxLength = None,
    min_length: MinLength = None,
    tag_draws: TagDraws = 0,
    choose: Choose = "consensus",
    seed: Seed = 0,
) -> None:
    """Caption any audio files, or all in a folder, and say which tags were heard.

    Recordings longer than 10 s are captioned in windows of 10 s. Exit code 1: done, but some files
    could not be used.

    Example: python -m evaluate caption runs/demo rain.wav recordings --weights weights
    """
    search = {
        "beams": beams,
        "length_penalty": length_penalty,
        "max_length": max_length,
        "min_length": min_length,
    }
    options = decoding_options(
        search, n_best=n_best, precision=precision, tag_draws=tag_draws, choose=choose, seed=seed
    )
    if as_json and as_csv:
        raise ConfigError("--json and --csv are two forms of one output; leave one out")
    from evaluate.captions.caption import find_audio, load_listener

    files = find_audio(audio)
    listener = load_listener(run, weights, device, precision)
    lost: list[Path] = []

    def failed(file: Path, reason: str) -> None:
        lost.append(file)
        log(f"{file}: {reason}")

    # What goes to a terminal is seen to come; what goes to a file needs a bar.
    shown = files if sys.stdout.isatty() else progress(files, what="caption", unit="files")
    said = listener.describe_files(shown, options, failed=failed)
    write = as_json_list if as_json else as_csv_lines if as_csv else as_text
    for line in write(said):
        print(line if as_json else harmless(line), flush=True)
    if lost:
        log(f"{len(lost):,} of {len(files):,} files could not be used")
        raise typer.Exit(SOME_CLIPS_FAILED)


def as_text(said: "Iterable[Said]") -> Iterator[str]:
    """A paragraph per file: its windows' captions and the tags heard."""
    for file, windows in groupby(said, lambda item: item.file):
        yield file
        for item in windows:
            when = f"{clock(item.start_s)}–{clock(item.end_s)}"
            for rank, candidate in enumerate(item.caption.n_best):
                probability = f"  ({candidate.probability:.1%})" if item.caption.n_best[1:] else ""
                yield f"  {'' if rank else when:13}{candidate.text}{probability}"
            if item.caption.tags:
                yield f"  {'':13}heard: {counted(item.caption.tags)}"


def as_json_list(said: "Iterable[Said]") -> Iterator[str]:
    """One JSON list, an object per window."""
    yield json_text([_record(item) for item in said])


def as_csv_lines(said: "Iterable[Said]") -> Iterator[str]:
    """CSV, a row per window, tags joined by "; "."""
    yield ",".join(CSV_COLUMNS)
    for item in said:
        record = _record(item)
        text = io.StringIO()
        csv.DictWriter(text, CSV_COLUMNS, extrasaction="ignore", lineterminator="").writerow(
            record | {"tags": "; ".join(record["tags"])}
        )
        yield text.getvalue()


def counted(tags: Iterable[str]) -> str:
    """Tags in their order, repeats in a row counted: "Dog ×3 · Bee, wasp, etc."."""
    runs = [(tag, len(list(same))) for tag, same in groupby(tags)]
    return " · ".join(tag if count == 1 else f"{tag} ×{count}" for tag, count in runs)


def clock(seconds: float) -> str:
    """Minutes and seconds, tenths if there are any: 0:10, 1:02.5."""
    tenths = round(seconds * 10)
    minutes, tenths = divmod(tenths, 600)
    whole, tenth = divmod(tenths, 10)
    return f"{minutes}:{whole:02}" + (f".{tenth}" if tenth else "")


def _record(item: "Said") -> dict[str, Any]:
    best = item.caption.n_best[0]
    record = {
        "file": item.file,
        "start_s": round(item.start_s, 3),
        "end_s": round(item.end_s, 3),
        "caption": best.text,
        "probability": best.probability,
        "tags": list(item.caption.tags),
    }
    if len(item.caption.n_best) > 1:
        record["n_best"] = [candidate.as_json() for candidate in item.caption.n_best]
    return record

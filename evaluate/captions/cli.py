"""`python -m evaluate caption`."""

import sys
from collections.abc import Iterable, Iterator, Sequence
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
    Task,
    computing,
    decoding_options,
)
from evaluate.captions.hours.forms import csv_lines, record
from features.common.console import harmless, json_text, log
from features.common.errors import SOME_CLIPS_FAILED, ConfigError
from features.common.memory import keep_freed_memory
from features.common.options import Weights

if TYPE_CHECKING:
    from evaluate.captions.listener import Said
    from evaluate.captions.options import Cutting

printed = partial(typer.Option, rich_help_panel="What is printed")
written = partial(typer.Option, rich_help_panel="Files for each recording, with --beside or --out")
cut = partial(typer.Option, rich_help_panel="Windows")


def caption_command(
    run: RunFolder,
    audio: Annotated[
        list[Path], typer.Argument(metavar="AUDIO …", help="Sound files, or folders of them.")
    ],
    weights: Weights = Path("weights"),
    device: Device = None,
    precision: Precision = "float32",
    networks: Annotated[
        str,
        computing(
            metavar="float32|tf32|bf16",
            help="Arithmetic of the networks that hear; tf32 on a GPU only.",
        ),
    ] = "float32",
    as_json: Annotated[bool, printed("--json", help="A JSON list, an object per window.")] = False,
    as_csv: Annotated[
        bool, printed("--csv", help="CSV, a row per window; with --beside or --out a file.")
    ] = False,
    n_best: Annotated[
        int, printed(help="Captions with probabilities per window (text and JSON).")
    ] = 1,
    srt: Annotated[bool, written("--srt", help="Subtitles, SubRip.")] = False,
    vtt: Annotated[bool, written("--vtt", help="Subtitles, WebVTT.")] = False,
    labels: Annotated[bool, written("--labels", help="A label track for Audacity.")] = False,
    jsonl: Annotated[bool, written("--jsonl", help="A JSON object per line.")] = False,
    beside: Annotated[bool, written("--beside", help="Write them beside each recording.")] = False,
    out: Annotated[
        Path | None,
        written(help="Write them here, in folders as the recordings'.", show_default=False),
    ] = None,
    hop: Annotated[
        float | None,
        cut(
            help="Seconds from a window's start to the next, from 0.1 on; less than 10 overlaps.",
            show_default="10",
        ),
    ] = None,
    silence: Annotated[
        float | None,
        cut(
            help="What stays below so many dB of full scale is marked as silence; -inf: nothing.",
            show_default="-60",
        ),
    ] = None,
    beams: Beams = None,
    length_penalty: LengthPenalty = None,
    max_length: MaxLength = None,
    min_length: MinLength = None,
    task: Task = "",
    tag_draws: TagDraws = 0,
    choose: Choose = "consensus",
    seed: Seed = 0,
) -> None:
    """Caption any audio files, or all in a folder, and say which tags were heard.

    Recordings longer than 10 s, of any length, are captioned in windows of 10 s. With --srt, --vtt,
    --labels, --jsonl or --csv and --beside or --out each recording gets files, in which neighbours
    that say the same are one; recordings that have theirs are passed over. Exit code 1: done, but
    some files could not be used.

    Example: python -m evaluate caption runs/demo rain.wav recordings --weights weights

    Example: python -m evaluate caption runs/demo recordings --srt --csv --beside
    """
    search = {
        "beams": beams,
        "length_penalty": length_penalty,
        "max_length": max_length,
        "min_length": min_length,
    }
    options = decoding_options(
        search,
        n_best=n_best,
        precision=precision,
        task=task,
        tag_draws=tag_draws,
        choose=choose,
        seed=seed,
    )
    cutting = _cutting(hop, silence)
    asked = {"srt": srt, "vtt": vtt, "labels": labels, "jsonl": jsonl, "csv": as_csv}
    forms = [name for name, wanted in asked.items() if wanted]
    _check_forms(forms, as_json=as_json, beside=beside, out=out)
    from evaluate.captions.caption import find_audio, load_listener
    from evaluate.captions.hours.meter import Meter
    from evaluate.captions.hours.places import plan
    from evaluate.captions.hours.writing import write_captions
    from evaluate.captions.options import refuse_by_ear

    refuse_by_ear(options)
    into_files = beside or out is not None
    jobs = plan(audio, forms, out) if into_files else []
    todo = [job for job in jobs if job.missing]
    if len(todo) < len(jobs):
        log(f"{len(jobs) - len(todo):,} of {len(jobs):,} recordings have their files already")
    files = [job.file for job in todo] if into_files else find_audio(audio)
    if not files:
        return
    lost: list[Path] = []

    def failed(file: Path, reason: str) -> None:
        lost.append(file)
        log(f"{file}: {reason}")

    keep_freed_memory()
    listener = load_listener(run, weights, device, precision, networks, task)
    # Captions on a terminal are seen to come; what goes to a file needs a bar.
    with Meter(files, shown=into_files or not sys.stdout.isatty()) as meter:
        told: dict[str, Any] = {"failed": failed, "watch": meter.watch}
        if into_files:
            write_captions(todo, listener, options, cutting, **told)
        else:
            said = listener.describe_files(files, options, cutting=cutting, **told)
            write = as_json_list if as_json else csv_lines if as_csv else as_text
            for line in write(said):
                print(line if as_json else harmless(line), flush=True)
    if into_files:
        log(f"{len(files) - len(lost):,} recordings, {meter.summary()}")
    if lost:
        log(f"{len(lost):,} of {len(files):,} files could not be used")
        raise typer.Exit(SOME_CLIPS_FAILED)


def _cutting(hop: float | None, silence: float | None) -> "Cutting":
    from evaluate.captions.options import Cutting

    asked = {"hop_s": hop, "silence_db": silence}
    return Cutting(**{name: value for name, value in asked.items() if value is not None})


def _check_forms(forms: Sequence[str], *, as_json: bool, beside: bool, out: Path | None) -> None:
    """Refuse combinations of output that mean nothing."""
    into_files = beside or out is not None
    if as_json and "csv" in forms and not into_files:
        raise ConfigError("--json and --csv are two forms of one output; leave one out")
    if beside and out is not None:
        raise ConfigError("--beside and --out are two places for one output; leave one out")
    if as_json and into_files:
        raise ConfigError("--json is printed; for a file of each recording say --jsonl")
    if into_files and not forms:
        raise ConfigError(
            "nothing to write; say which files: --srt, --vtt, --labels, --jsonl, --csv"
        )
    if not into_files and set(forms) - {"csv"}:
        name = next(name for name in forms if name != "csv")
        raise ConfigError(f"--{name} writes files; say where: --beside, or --out FOLDER")


def as_text(said: "Iterable[Said]") -> Iterator[str]:
    """A paragraph per file: its windows' captions and the tags heard."""
    for file, windows in groupby(said, lambda item: item.file):
        yield file
        for item in windows:
            when = f"{clock(item.start_s)}–{clock(item.end_s)}"
            if item.caption is None:
                yield f"  {when:13}{item.text}"
                continue
            for rank, candidate in enumerate(item.caption.n_best):
                probability = f"  ({candidate.probability:.1%})" if item.caption.n_best[1:] else ""
                yield f"  {'' if rank else when:13}{candidate.text}{probability}"
            if item.caption.tags:
                yield f"  {'':13}heard: {counted(item.caption.tags)}"


def as_json_list(said: "Iterable[Said]") -> Iterator[str]:
    """One JSON list, an object per window."""
    yield json_text([record(item) for item in said])


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

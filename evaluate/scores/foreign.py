"""Captions as other systems write them, with references from a file of their own.

candidates  .json   COCO results: [{"image_id": …, "caption": …}, …]
            .csv    DCASE: file_name,caption_predicted (.tsv too)
            .txt    one text a line, in the order of the references' clips
            .jsonl  ours: {"clip": …, "candidate": …}; references in it give way
references  COCO annotations ({"annotations": [{"image_id": …, "caption": …}, …]}), or any captions
            file that extraction reads
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluate.scores.human import read_captions
from evaluate.scores.predictions import PredictionsError, PredictionSets
from extract.dump.tables.csv_rows import csv_columns, csv_rows
from extract.dump.tables.json_rows import jsonl_rows
from extract.dump.tables.texts import file_column, has_audio_ending
from features.common.checksum import sha256_of
from features.common.console import log
from features.common.damaged import some
from features.common.reading import parse_json, read_text

FORMS = {
    ".json": "COCO results",
    ".csv": "DCASE captions",
    ".tsv": "DCASE captions",
    ".txt": "one text a line",
    ".jsonl": "predictions",
    ".ndjson": "predictions",
}
CAPTION_COLUMNS = ("caption_predicted", "candidate", "prediction", "caption")

Pair = tuple[str, str, str]  # where it stands, clip, caption


def read_foreign_sets(paths: Sequence[Path], references: Path) -> PredictionSets:
    """Read candidates of any known form against references of any known form; says what it took.

    Args:
        paths: files of candidates, each for every clip of the references.
        references: their file.

    Returns:
        With the checksums of the files of candidates.

    Raises:
        TagbartError: if a file cannot be read, or a clip is unknown, missing or there twice.
    """
    sha256 = tuple(map(_checksum, paths))
    known, form = _references(references)
    counts = sorted({len(texts) for texts in known.values()})
    log(
        f"{references}: {form}, {len(known):,} clips with "
        f"{' to '.join(map(str, dict.fromkeys((counts[0], counts[-1]))))} references"
    )
    return PredictionSets(
        clips=tuple(known),
        references=tuple(known.values()),
        candidates=tuple(_candidates(path, known, references) for path in paths),
        sha256=sha256,
    )


def _references(path: Path) -> tuple[dict[str, tuple[str, ...]], str]:
    raw = _json(path) if path.suffix.lower() == ".json" else None
    if isinstance(raw, dict) and "annotations" in raw:
        found: dict[str, list[str]] = {}
        for _, clip, text in _coco(path, raw["annotations"], "annotations"):
            found.setdefault(clip, []).append(text)
        kept, form = {clip: tuple(texts) for clip, texts in found.items()}, "COCO annotations"
    else:
        kept, form = read_captions(path), "captions"
    bare = [clip for clip, texts in kept.items() if not texts]
    if bare or not kept:
        raise PredictionsError(
            f"{path}: clips without a caption, which every clip needs as its reference "
            f"{_counted(list(map(repr, bare)))}"
            if bare
            else f"{path}: holds no captions"
        )
    return kept, form


def _candidates(
    path: Path, known: Mapping[str, tuple[str, ...]], references: Path
) -> tuple[str, ...]:
    suffix = path.suffix.lower()
    if suffix not in FORMS:
        raise PredictionsError(
            f"{path}: ends with {suffix!r}; expected {', '.join(FORMS)} (see --help)"
        )
    if suffix == ".txt":
        lines = _text(path).removesuffix("\n").split("\n")
        if len(lines) != len(known):
            raise PredictionsError(
                f"{path}: has {len(lines):,} lines, {references} has {len(known):,} clips; "
                "expected a caption a line, in the order of the clips"
            )
        log(f"{path}: {FORMS[suffix]}, {len(lines):,} captions, in the order of {references}")
        return tuple(lines)
    ids = _by_name(known)
    found: dict[str, str] = {}
    double: list[str] = []
    unknown: list[str] = []
    for where, name, text in _pairs(path, suffix):
        clip = ids.get(name) or ids.get(_no_ending(name)) if name not in known else name
        if clip is None:
            unknown.append(f"{name!r} ({where})")
        elif clip in found:
            double.append(f"{name!r} ({where})")
        else:
            found[clip] = text
    missing = [repr(clip) for clip in known if clip not in found]
    problems = [
        f"clips that {what} {_counted(names)}"
        for names, what in (
            (unknown, f"{references} has not"),
            (double, "stand there twice"),
            (missing, "are missing"),
        )
        if names
    ]
    if problems:
        raise PredictionsError(f"{path}: {'; '.join(problems)}")
    log(f"{path}: {FORMS[suffix]}, {len(found):,} captions")
    return tuple(found[clip] for clip in known)


def _pairs(path: Path, suffix: str) -> Iterator[Pair]:
    if suffix == ".json":
        yield from _coco(path, _json(path), "results")
        return
    if suffix in (".jsonl", ".ndjson"):
        rows: Iterable[tuple[int, Mapping[str, Any]]] = jsonl_rows(path)
        clip_key, caption_key = "clip", "candidate"
    else:
        columns, rows = csv_columns(path), csv_rows(path)
        clip_key = file_column(columns)
        caption_key = next((name for name in CAPTION_COLUMNS if name in columns), "")
        if not clip_key or not caption_key:
            raise PredictionsError(
                f"{path}: found the columns {columns}, expected file_name and caption_predicted"
            )
    for line, row in rows:
        where = f"line {line}"
        yield where, *_clip_and_text(row, clip_key, caption_key, f"{path}, {where}")


def _coco(path: Path, items: object, what: str) -> Iterator[Pair]:
    if not isinstance(items, list):
        raise PredictionsError(
            f'{path}: expected COCO {what}, a list of {{"image_id": …, "caption": …}}'
        )
    for number, item in enumerate(items, start=1):
        where = f"record {number}"
        if not isinstance(item, dict):
            raise PredictionsError(f"{path}, {where}: expected an object, found {item!r:.60}")
        yield where, *_clip_and_text(item, "image_id", "caption", f"{path}, {where}")


def _clip_and_text(
    row: Mapping[str, Any], clip_key: str, caption_key: str, where: str
) -> tuple[str, str]:
    for key in (clip_key, caption_key):
        if key not in row:
            raise PredictionsError(f"{where}: has no {key!r}; its keys are {sorted(row)[:8]}")
    clip, text = row[clip_key], row[caption_key]
    if isinstance(clip, bool) or not isinstance(clip, int | str) or clip == "":
        raise PredictionsError(f"{where}: {clip_key!r} is {clip!r}, expected a clip's name")
    if not isinstance(text, str):
        raise PredictionsError(f"{where}: {caption_key!r} is {text!r}, expected a text")
    for value in (str(clip), text):
        if value.encode("utf-8", "ignore").decode() != value:
            raise PredictionsError(
                f"{where}: {value[:60]!r} holds half a character; write it whole"
            )
    return str(clip), text


def _by_name(known: Iterable[str]) -> dict[str, str]:
    """Clips by their name without an audio file's ending, where that is one clip's alone."""
    clips = list(known)
    counts = Counter(map(_no_ending, clips))
    return {_no_ending(clip): clip for clip in clips if counts[_no_ending(clip)] == 1}


def _no_ending(name: str) -> str:
    return os.path.splitext(name)[0] if has_audio_ending(name) else name  # noqa: PTH122 - no path


def _json(path: Path) -> Any:
    try:
        return parse_json(_text(path), halves=True)  # which are named by their record
    except ValueError as error:
        raise PredictionsError(f"{path}: not valid JSON ({error})") from error


def _checksum(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise PredictionsError(f"{path}: cannot be read ({error.strerror})") from error


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except OSError as error:
        raise PredictionsError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise PredictionsError(f"{path}: is not UTF-8 text ({error.reason})") from error


def _counted(names: Sequence[str]) -> str:
    return f"({len(names):,}): {some(names)}"

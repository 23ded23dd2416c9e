"""How well people agree: each caption of a clip scored against the clip's other captions.

The paper's "Human" row. Captions files as published: AudioCaps (youtube_id, start_time, caption; a
row per caption) and Clotho (file_name, caption_1, caption_2, …; a row per clip).
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from evaluate.predictions import PredictionSets
from features.errors import DumpError

AUDIOCAPS_COLUMNS = ("youtube_id", "start_time", "caption")


def read_captions(path: Path) -> dict[str, list[str]]:
    """Captions by clip id, in the file's order.

    Raises:
        DumpError: if the file is absent, lacks the columns, or a row is short.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            columns = rows.fieldnames or []
            numbered = sorted(
                (name for name in columns if _caption_number(name)), key=_caption_number
            )
            if set(AUDIOCAPS_COLUMNS) <= set(columns):
                texts, id_columns = ["caption"], ["youtube_id", "start_time"]
            elif "file_name" in columns and numbered:
                texts, id_columns = numbered, ["file_name"]
            else:
                raise DumpError(
                    f"{path}: its columns are {list(columns)[:8]}, expected AudioCaps' "
                    "youtube_id, start_time, caption or Clotho's file_name, caption_1, …"
                )
            captions: dict[str, list[str]] = {}
            for row in rows:
                values = [row[name] for name in (*id_columns, *texts)]
                if any(value is None for value in values):
                    raise DumpError(f"{path}, line {rows.line_num}: a column is missing")
                clip = "_".join(values[: len(id_columns)])
                captions.setdefault(clip, []).extend(values[len(id_columns) :])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DumpError(f"{path}: cannot be read as a captions CSV ({error})") from error
    return captions


def leave_one_out(captions: Mapping[str, Sequence[str]], source: Path) -> list[PredictionSets]:
    """As many sets as captions per clip: in set k caption k is the candidate, the rest references.

    Args:
        captions: per clip at least two, the same number for every clip.
        source: the file that they come from, for error messages.

    Raises:
        DumpError: if clips have different numbers of captions, or fewer than two.
    """
    if not captions:
        raise DumpError(f"{source}: holds no captions")
    first, texts = next(iter(captions.items()))
    count = len(texts)
    if count < 2:
        raise DumpError(
            f"{source}: clip {first!r} has one caption; at least two are needed, as the test and "
            "validation files have"
        )
    for clip, texts in captions.items():
        if len(texts) != count:
            raise DumpError(
                f"{source}: clip {clip!r} has {len(texts)} captions, {first!r} has {count}; "
                "expected the same number for every clip"
            )
    return [
        PredictionSets(
            clips=tuple(captions),
            references=tuple((*texts[:k], *texts[k + 1 :]) for texts in captions.values()),
            candidates=(tuple(texts[k] for texts in captions.values()),),
        )
        for k in range(count)
    ]


def _caption_number(column: str) -> int:
    """n of "caption_n", 0 for any other column."""
    prefix, _, number = column.rpartition("_")
    return int(number) if prefix == "caption" and number.isdigit() else 0

"""Predictions files: JSONL, one line per clip, {"clip", "candidate", "references"}.

Everything is found by clip id, never by the order or number of lines. Other keys are ignored.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.common.errors import TagbartError
from features.common.publish import published
from features.common.reading import parse_json, read_bytes


class PredictionsError(TagbartError):
    """A predictions file cannot be scored as it is; names file, line and clip."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A candidate caption and what people wrote about the same clip; `line` is where it stands.

    `n_best` is its n-best list, best first: texts, or objects with a "text" and what else is known.
    """

    clip: str
    candidate: str
    references: tuple[str, ...]
    line: int = 0
    n_best: tuple[str | dict[str, Any], ...] = ()


@dataclass(frozen=True, kw_only=True)
class PredictionSets:
    """Several predictions for the same clips: `candidates[k][i]` is file k's caption of clip i.

    `n_best[k][i]` holds the texts of file k's n-best list of clip i, none where there is no list;
    `sha256[k]` is file k's checksum, where they come from files.
    """

    clips: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]
    candidates: tuple[tuple[str, ...], ...]
    n_best: tuple[tuple[tuple[str, ...], ...], ...] = ()
    sha256: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        lengths = {len(self.clips), len(self.references), *map(len, self.candidates)}
        lengths |= set(map(len, self.n_best))
        if len(lengths) != 1:
            raise ValueError(f"clips, references and candidates differ in number: {lengths}")

    def longest(self) -> str:
        """A sentence that names the longest text of all, by words: its clip, and what it is."""
        words, clip, what = max(
            (len(text.split()), clip, what)
            for index, clip in enumerate(self.clips)
            for what, texts in (
                ("caption", [candidates[index] for candidates in self.candidates]),
                ("reference", self.references[index]),
            )
            for text in texts
        )
        return f"the longest text is a {what} of clip {clip!r}, {words:,} words"


def write_predictions(path: Path, predictions: Iterable[Prediction]) -> None:
    """Publish a predictions file."""
    with published(path) as draft, draft.open("w", encoding="utf-8", newline="\n") as file:
        for item in predictions:
            record = {
                "clip": item.clip,
                "candidate": item.candidate,
                "references": list(item.references),
                **({"n_best": list(item.n_best)} if item.n_best else {}),
            }
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def read_predictions(path: Path) -> dict[str, Prediction]:
    """Read one predictions file, by clip id in the file's order.

    Raises:
        PredictionsError: if it is absent, empty, not JSONL, lacks a key, names a clip twice, or
            holds a clip without references.
    """
    return _read(path)[0]


def _read(path: Path) -> tuple[dict[str, Prediction], str]:
    """A predictions file, and the checksum of what was read."""
    found: dict[str, Prediction] = {}
    try:
        data = read_bytes(path)
        # Lines end with "\n" only: JSON may hold other line separators as they are.
        for number, line in enumerate(data.decode("utf-8-sig").split("\n"), start=1):
            if not line.strip():
                continue
            item = _prediction(path, number, line)
            if item.clip in found:
                first = found[item.clip].line
                raise PredictionsError(
                    f"{path}, line {number}: clip {item.clip!r} stands in line {first} "
                    "already; keep one line per clip"
                )
            found[item.clip] = item
    except OSError as error:
        raise PredictionsError(
            f"{path}: cannot be read ({error.strerror}); captions of a run are written by: "
            "python -m evaluate run RUN FEATURES --out OUT"
        ) from error
    except UnicodeDecodeError as error:
        raise PredictionsError(f"{path}: is not UTF-8 text ({error.reason})") from error
    if not found:
        raise PredictionsError(f"{path}: holds no predictions; expected a JSON object per line")
    return found, hashlib.sha256(data).hexdigest()


def read_sets(paths: Sequence[Path]) -> PredictionSets:
    """Read predictions files that caption the same clips, in the first file's order.

    Raises:
        PredictionsError: if one cannot be read, or their clips or references differ.
    """
    files, sha256 = zip(*map(_read, paths), strict=True)
    first, *others = files
    for path, other in zip(paths[1:], others, strict=True):
        _check_same_clips(paths[0], first, path, other)
    return PredictionSets(
        clips=tuple(first),
        references=tuple(item.references for item in first.values()),
        candidates=tuple(
            tuple(predictions[clip].candidate for clip in first) for predictions in files
        ),
        n_best=tuple(
            tuple(tuple(map(_text_of, predictions[clip].n_best)) for clip in first)
            for predictions in files
        ),
        sha256=sha256,
    )


def _prediction(path: Path, number: int, line: str) -> Prediction:
    where = f"{path}, line {number}"
    try:
        record = parse_json(line)
    except ValueError as error:
        raise PredictionsError(f"{where}: not valid JSON ({error})") from error
    if not isinstance(record, dict):
        raise PredictionsError(f"{where}: expected a JSON object, found {line.strip()[:60]!r}")
    clip = _text(where, record, "clip")
    if not clip:
        raise PredictionsError(f'{where}: "clip" is empty')
    where = f"{where}, clip {clip!r}"
    candidate = _text(where, record, "candidate")
    references = record.get("references")
    if not isinstance(references, list) or not references:
        raise PredictionsError(
            f'{where}: has no references; "references" must be a list of at least one caption'
        )
    if not all(isinstance(text, str) for text in references):
        raise PredictionsError(f"{where}: a reference is no text")
    return Prediction(
        clip=clip,
        candidate=candidate,
        references=tuple(references),
        line=number,
        n_best=_n_best(where, record.get("n_best") or []),
    )


def _n_best(where: str, found: Any) -> tuple[str | dict[str, Any], ...]:
    if not isinstance(found, list) or not all(isinstance(_text_of(item), str) for item in found):
        raise PredictionsError(
            f'{where}: "n_best" is no list of captions (texts, or objects with a "text")'
        )
    return tuple(found)


def _text_of(item: Any) -> Any:
    return item.get("text") if isinstance(item, dict) else item


def _text(where: str, record: dict[str, Any], key: str) -> str:
    if key not in record:
        raise PredictionsError(f"{where}: has no {key!r}; its keys are {sorted(record)[:8]}")
    value = record[key]
    if not isinstance(value, str):
        raise PredictionsError(f"{where}: {key!r} is {value!r}, expected a text")
    return value


def _check_same_clips(
    first_path: Path, first: dict[str, Prediction], path: Path, other: dict[str, Prediction]
) -> None:
    unknown = [item for clip, item in other.items() if clip not in first]
    if unknown:
        raise PredictionsError(
            f"{path}, line {unknown[0].line}: clip {unknown[0].clip!r} is not in {first_path} "
            f"({len(unknown)} such clips); files scored together must caption the same clips"
        )
    lacking = [item for clip, item in first.items() if clip not in other]
    if lacking:
        raise PredictionsError(
            f"{path}: lacks {len(lacking)} clips of {first_path}, the first is "
            f"{lacking[0].clip!r} (line {lacking[0].line} there); files scored together must "
            "caption the same clips"
        )
    for clip, item in other.items():
        if sorted(item.references) != sorted(first[clip].references):
            raise PredictionsError(
                f"{path}, line {item.line}, clip {clip!r}: its references are not those of "
                f"{first_path}, line {first[clip].line}; files scored together share references"
            )

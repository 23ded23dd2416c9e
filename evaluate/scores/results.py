"""Scores and the files they live in: an evaluation folder holds scores.json and scores.csv.

scores.json, format tagbart-scores version 1:
    predictions    the file that was scored
    clips          how many clips
    corpus         metric: value; fractions, CIDEr-D up to 10
    intervals      metric: [low, high], 95 % bootstrap over clips
    not_available  metric: why, and the command that helps
    without        metric: {"clips": n, "value": v, "interval": [low, high]} of a metric of which n
                   clips have no value: v is that of the others, and never stands under corpus
    evaluation     recipe, seed, split, run, decoding of the run; null for a bare predictions file
scores.csv: a row per clip; a metric that is absent has no column.
"""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from features.common.errors import TagbartError
from features.common.publish import published, write_json

FORMAT = "tagbart-scores"
SUMMARY = "tagbart-scores-of-several"
VERSION = 1
JSON_NAME = "scores.json"
CSV_NAME = "scores.csv"
PREDICTIONS_NAME = "predictions.jsonl"

# Column in files: heading in tables, in the order of both.
METRICS = {
    "bleu_1": "B-1",
    "bleu_2": "B-2",
    "bleu_3": "B-3",
    "bleu_4": "B-4",
    "meteor": "METEOR",
    "rouge_l": "ROUGE-L",
    "cider_d": "CIDEr-D",
    "spice": "SPICE",
    "spider": "SPIDEr",
    "fense": "FENSE",
    "spider_fl": "SPIDEr-FL",
}


@dataclass(frozen=True, kw_only=True)
class Without:
    """A metric's value over the clips that have one, where `clips` others have none.

    It is no value of the whole: what is left out is the hardest.
    """

    clips: int
    value: float
    interval: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One predictions file's scores; `per_clip` maps a metric to float64 [clips]."""

    clips: tuple[str, ...]
    corpus: dict[str, float]
    per_clip: dict[str, np.ndarray]
    intervals: dict[str, tuple[float, float]]
    not_available: dict[str, str] = field(default_factory=dict)
    without: dict[str, Without] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where scored captions came from: what `evaluate table` needs to place a result.

    Attributes:
        recipe: name of the recipe that the run was trained with.
        seed: of the training run.
        split: which clips were captioned.
        run: the run folder, as it was given.
        decoding: generation settings, as plain values.
    """

    recipe: str
    seed: int
    split: str
    run: str
    decoding: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Result:
    """The contents of a scores.json."""

    predictions: str
    clips: int
    corpus: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    not_available: dict[str, str]
    evaluation: Origin | None
    without: dict[str, Without] = field(default_factory=dict)


def as_result(scores: Scores, predictions: str, evaluation: Origin | None = None) -> Result:
    """What scores.json says of one file's scores."""
    return Result(
        predictions=predictions,
        clips=len(scores.clips),
        corpus=scores.corpus,
        intervals=scores.intervals,
        not_available=scores.not_available,
        without=scores.without,
        evaluation=evaluation,
    )


def to_json(result: Result) -> dict[str, Any]:
    """A result as scores.json holds it."""
    return {"format": FORMAT, "version": VERSION, **asdict(result)}


def summary_to_json(results: Mapping[str, Result]) -> dict[str, Any]:
    """Several files' results by name, with mean and standard deviation of what all of them have."""
    mean, std = mean_and_std([result.corpus for result in results.values()])
    files = {name: to_json(result) for name, result in results.items()}
    return {"format": SUMMARY, "version": VERSION, "mean": mean, "std": std, "files": files}


def write_results(
    out: Path, scores: Scores, *, predictions: str, evaluation: Origin | None = None
) -> None:
    """Publish scores.csv, then scores.json.

    Args:
        out: evaluation folder, made when absent.
        scores: of one predictions file.
        predictions: that file's name or path, for the record.
        evaluation: where its captions came from, when known.
    """
    with published(out / CSV_NAME) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        names = [name for name in METRICS if name in scores.per_clip]
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["clip", *names])
        columns = [scores.per_clip[name] for name in names]
        for clip, *values in zip(scores.clips, *columns, strict=True):
            writer.writerow([clip, *("" if math.isnan(v) else repr(float(v)) for v in values)])
    write_json(out / JSON_NAME, to_json(as_result(scores, predictions, evaluation)))


def read_results(folder: Path) -> Result:
    """Read an evaluation folder's scores.json.

    Raises:
        TagbartError: if it is absent, of another format or version, or lacks a record.
    """
    path, raw = folder / JSON_NAME, _read_json(folder)
    if raw.get("format") == SUMMARY:
        named = " ".join(str(folder / name) for name in raw.get("files", ()))
        raise TagbartError(f"{path}: holds scores of several files; name them one by one: {named}")
    if raw.get("format") != FORMAT or raw.get("version") != VERSION:
        raise TagbartError(f"{path}: is not of format {FORMAT!r}, version {VERSION}; score again")
    try:
        evaluation = raw["evaluation"]
        return Result(
            predictions=raw["predictions"],
            clips=raw["clips"],
            corpus=raw["corpus"],
            intervals={name: (low, high) for name, (low, high) in raw["intervals"].items()},
            not_available=raw["not_available"],
            evaluation=None if evaluation is None else Origin(**evaluation),
            without={name: _without(raw) for name, raw in raw.get("without", {}).items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TagbartError(
            f"{path}: a record is missing or wrong ({error}); score again"
        ) from error


def _without(raw: dict[str, Any]) -> Without:
    low, high = raw["interval"]
    return Without(clips=raw["clips"], value=raw["value"], interval=(low, high))


def read_clip_ids(folder: Path) -> tuple[str, ...]:
    """The clips of an evaluation folder, from its scores.csv; none where that is not there."""
    try:
        with (folder / CSV_NAME).open(encoding="utf-8", newline="") as file:
            return tuple(row["clip"] for row in csv.DictReader(file))
    except (OSError, KeyError, UnicodeDecodeError):
        return ()


def recorded_origin(folder: Path) -> Origin | None:
    """What a folder's scores.json says of where its captions came from; None where it says nothing.

    Raises:
        TagbartError: if the file is there, but cannot be read.
    """
    path = folder / JSON_NAME
    if not path.exists() or _read_json(folder).get("format") != FORMAT:
        return None
    return read_results(folder).evaluation


def mean_and_std(
    corpora: Sequence[Mapping[str, float]],
) -> tuple[dict[str, float], dict[str, float]]:
    """Mean and sample standard deviation (n - 1) of the metrics that all of several have.

    Args:
        corpora: one or more mappings from metric to value.

    Returns:
        The means, and the standard deviations (empty for a single one).
    """
    names = [name for name in METRICS if all(name in corpus for corpus in corpora)]
    values = {name: np.array([corpus[name] for corpus in corpora]) for name in names}
    mean = {name: float(column.mean()) for name, column in values.items()}
    if len(corpora) < 2:
        return mean, {}
    return mean, {name: float(column.std(ddof=1)) for name, column in values.items()}


def _read_json(folder: Path) -> dict[str, Any]:
    path = folder / JSON_NAME
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TagbartError(
            f"{folder}: holds no {JSON_NAME}; make it with `python -m evaluate run RUN FEATURES "
            f"--out {folder}` or `python -m evaluate score PREDICTIONS.jsonl --out {folder}`"
        ) from error
    except ValueError as error:
        raise TagbartError(f"{path}: not valid JSON ({error}); score again") from error
    return raw if isinstance(raw, dict) else {}

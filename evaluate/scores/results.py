"""Scores and the files they live in: an evaluation folder holds scores.json and scores.csv.

scores.json, format tagbart-scores version 1:
    predictions    the file that was scored
    clips          how many clips
    corpus         metric: value; fractions, CIDEr-D up to 10
    intervals      metric: [low, high], 95 % bootstrap over clips
    not_available  metric: why, and the command that helps
    wording        vocabulary, diversity and length of captions and references
                   (evaluate/metrics/wording.py)
    wording_intervals  measure: [low, high], 95 % jackknife over clips
    without        metric: {"clips": n, "value": v, "interval": [low, high]} of a metric of which n
                   clips have no value: v is that of the others, and never stands under corpus
    evaluation     recipe, seed, split, run, decoding of the run; null for a bare predictions file
    sha256         of the predictions that were scored, and of scores.csv: who reads them together
                   compares, so that nobody's captions stand under another's scores
scores.csv: a row per clip; a metric that is absent has no column.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from evaluate.metrics.wording import OF_REFERENCES, WORDING, intervals
from features.common.checksum import sha256_of
from features.common.console import log
from features.common.errors import TagbartError
from features.common.publish import published, write_json
from features.common.reading import check_ordinary, read_json

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
    "spider_max": "SPIDEr-max",
    "fense": "FENSE",
    "sbert_sim": "SBERT-sim",
    "fer": "FER",
    "spider_fl": "SPIDEr-FL",
    "clap_score": "CLAPScore",
}
LOWER_IS_BETTER = ("fer",)  # the share of captions that FENSE's fluency detector objects to


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
    """One predictions file's scores; `per_clip` maps a metric to float64 [clips], `wording_without`
    a measure of wording to its values with each clip left out."""

    clips: tuple[str, ...]
    corpus: dict[str, float]
    per_clip: dict[str, np.ndarray]
    intervals: dict[str, tuple[float, float]]
    not_available: dict[str, str] = field(default_factory=dict)
    without: dict[str, Without] = field(default_factory=dict)
    predictions_sha256: str | None = None
    wording: dict[str, float] = field(default_factory=dict)
    wording_without: dict[str, np.ndarray] = field(default_factory=dict)


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
    """The contents of a scores.json. `sha256`: of the predictions, and of scores.csv if written."""

    predictions: str
    clips: int
    corpus: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    not_available: dict[str, str]
    evaluation: Origin | None
    without: dict[str, Without] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict, compare=False)
    wording: dict[str, float] = field(default_factory=dict)
    wording_intervals: dict[str, tuple[float, float]] = field(default_factory=dict)


def as_result(scores: Scores, predictions: str, evaluation: Origin | None = None) -> Result:
    """What scores.json says of one file's scores."""
    return Result(
        predictions=predictions,
        clips=len(scores.clips),
        corpus=scores.corpus,
        intervals=scores.intervals,
        not_available=scores.not_available,
        without=scores.without,
        wording=scores.wording,
        wording_intervals=intervals(scores.wording, scores.wording_without),
        evaluation=evaluation,
        sha256={"predictions": scores.predictions_sha256} if scores.predictions_sha256 else {},
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
    result = as_result(scores, predictions, evaluation)
    sha256 = result.sha256 | {CSV_NAME: sha256_of(out / CSV_NAME)}
    write_json(out / JSON_NAME, to_json(replace(result, sha256=sha256)))


def read_results(folder: Path) -> Result:
    """Read an evaluation folder's scores.json, and see that it belongs to the files beside it.

    A folder made before checksums were kept is read with a warning.

    Raises:
        TagbartError: if it is absent, of another format or version, lacks a record, or was made
            from other predictions than the folder's, or with another scores.csv.
    """
    result = _read_result(folder)
    if "predictions" not in result.sha256:
        log(
            f"warning: {folder / JSON_NAME} was made before checksums were kept, so whether it "
            "belongs to the captions beside it is not known; score again to be sure"
        )
    table = folder / CSV_NAME
    told = result.sha256.get(CSV_NAME)
    if told is not None and table.is_file() and sha256_of(table) != told:
        raise TagbartError(f"{table}: is not the one that {JSON_NAME} tells of; score again")
    if Path(result.predictions).name == PREDICTIONS_NAME:
        check_predictions(folder, result, folder / PREDICTIONS_NAME)
    return result


def check_predictions(folder: Path, result: Result, path: Path) -> None:
    """Refuse scores of other captions than a predictions file holds; a file that is not there, and
    scores that know no checksum, pass.

    Raises:
        TagbartError: if they differ.
    """
    scored = result.sha256.get("predictions")
    if scored is not None and path.is_file() and sha256_of(path) != scored:
        raise TagbartError(
            f"{folder / JSON_NAME}: its scores are not those of the captions in {path}, which "
            f"changed since; score them: python -m evaluate score {path} --out {folder}"
        )


def is_scored(folder: Path) -> bool:
    """Whether a folder holds scores of the captions that it holds."""
    try:
        read_results(folder)
    except TagbartError:
        return False
    return True


def read_clip_ids(folder: Path) -> tuple[str, ...]:
    """The clips of an evaluation folder, from its scores.csv; none where that is not there."""
    try:
        check_ordinary(folder / CSV_NAME)
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
    return _read_result(folder).evaluation


def _read_result(folder: Path) -> Result:
    path, raw = folder / JSON_NAME, _read_json(folder)
    if raw.get("format") == SUMMARY:
        files = raw.get("files")
        named = " ".join(str(folder / name) for name in files) if isinstance(files, dict) else ""
        raise TagbartError(f"{path}: holds scores of several files; name them one by one: {named}")
    version = raw.get("version")
    if raw.get("format") != FORMAT or type(version) is not int or version != VERSION:
        raise TagbartError(f"{path}: is not of format {FORMAT!r}, version {VERSION}; score again")
    try:
        # What is not known here may be a later program's.
        found = _typed(raw["corpus"], dict)
        corpus = {name: found[name] for name in METRICS if name in found}
        return Result(
            predictions=_typed(raw["predictions"], str),
            clips=_count(raw["clips"]),
            corpus={name: _number(value) for name, value in corpus.items()},
            intervals={name: _bounds(raw["intervals"][name]) for name in corpus},
            not_available={
                name: _typed(why, str)
                for name, why in raw["not_available"].items()
                if name in METRICS
            },
            evaluation=None if raw["evaluation"] is None else _origin(raw["evaluation"]),
            without={
                name: _without(record)
                for name, record in raw.get("without", {}).items()
                if name in METRICS
            },
            wording={
                name: _number(value)
                for name, value in raw.get("wording", {}).items()
                if name in (*WORDING, *OF_REFERENCES)
            },
            wording_intervals={
                name: _bounds(pair)
                for name, pair in raw.get("wording_intervals", {}).items()
                if name in WORDING
            },
            sha256={name: _typed(digest, str) for name, digest in raw.get("sha256", {}).items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise TagbartError(
            f"{path}: a record is missing or wrong ({error}); score again"
        ) from error


def _without(record: dict[str, Any]) -> Without:
    return Without(
        clips=_count(record["clips"]),
        value=_number(record["value"]),
        interval=_bounds(record["interval"]),
    )


def _origin(record: dict[str, Any]) -> Origin:
    for key, kind in (("recipe", str), ("seed", int), ("split", str), ("run", str)):
        _typed(record[key], kind)
    _typed(record.get("decoding", {}), dict)
    return Origin(**record)


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise TypeError(f"{value!r} is no number")
    return float(value)


def _count(value: Any) -> int:
    if not 0 <= _typed(value, int) < 1 << 63:
        raise TypeError(f"{value} is no number of clips")
    return value


def _bounds(pair: Any) -> tuple[float, float]:
    low, high = _typed(pair, list)
    return _number(low), _number(high)


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
        raw = read_json(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        if inside := sorted(path.parent for path in folder.glob(f"*/{JSON_NAME}")):
            raise TagbartError(
                f"{folder}: is no evaluation itself, but holds {', '.join(map(str, inside))}; name "
                "one or more of those"
            ) from error
        there = "is no folder" if folder.exists() else "no such folder"
        found = f"holds no {JSON_NAME}" if folder.is_dir() else there
        raise TagbartError(
            f"{folder}: {found}; name an evaluation folder, as `python -m evaluate run RUN "
            "FEATURES --out OUT` or `python -m evaluate score PREDICTIONS.jsonl --out OUT` makes it"
        ) from error
    except OSError as error:
        raise TagbartError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise TagbartError(f"{path}: not valid JSON ({error}); score again") from error
    return raw if isinstance(raw, dict) else {}

"""What a listen-check found: OUT/listen-check.json, and the same as a table."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evaluate.metrics.wording import WORDING, jackknife
from evaluate.scores.computing.bootstrap import draw_weights, paired
from evaluate.scores.layout import aligned, percent, span, terminal_width
from evaluate.scores.results import METRICS, Scores
from features.common.errors import TagbartError
from features.common.publish import write_json
from features.common.reading import read_json

FORMAT, VERSION = "tagbart-listen-check", 1
JSON_NAME, FOLDER = "listen-check.json", "listen-check"
# Name of a folder: how tables call it.
CONDITIONS = {
    "shuffled": "audio of another clip",
    "silent": "digital silence",
    "missing": "nothing heard",
    "tags": "tags alone",
}
OWN = "as it is"


def write_check(
    out: Path, own: Scores, others: Mapping[str, Scores], why_not: Mapping[str, str]
) -> dict[str, Any]:
    """Publish OUT/listen-check.json.

    Args:
        out: the run's evaluation folder.
        own: scores of its captions.
        others: scores by condition, of the same clips.
        why_not: why conditions are not there.

    Returns:
        What the file holds.
    """
    weights = draw_weights(len(own.clips))
    record = {
        "format": FORMAT,
        "version": VERSION,
        "clips": len(own.clips),
        "sha256": {"predictions": own.predictions_sha256},
        "own": {"corpus": own.corpus, "intervals": own.intervals, "wording": own.wording},
        "conditions": {
            name: {
                "audio": CONDITIONS[name],
                "corpus": scores.corpus,
                "intervals": scores.intervals,
                "differences": _differences(own, scores, weights),
                "wording": scores.wording,
                "wording_differences": _wording_differences(own, scores),
            }
            for name, scores in others.items()
        },
        "not_done": dict(why_not),
    }
    write_json(out / JSON_NAME, record)
    return record


def read_rows(out: Path, predictions_sha256: str | None, metric: str) -> list[dict[str, Any]]:
    """One metric under every condition, for the report; [] where there is no check of the captions.

    Args:
        out: evaluation folder.
        predictions_sha256: of the captions that are scored there.
        metric: a name of METRICS.

    Returns:
        Per row `audio`, `value` and `interval`, and but for the first, the run as it is, `mean` and
        `bounds` of the clips' differences from it.

    Raises:
        TagbartError: if the file is there, but damaged.
    """
    path = out / JSON_NAME
    if not path.is_file() or predictions_sha256 is None:
        return []
    try:
        record = read_json(path)
        if record["sha256"]["predictions"] != predictions_sha256:
            return []
        rows = [{"audio": OWN, **_of(record["own"], metric)}]
        for item in record["conditions"].values():
            difference = item["differences"][metric]
            mean, (low, high) = float(difference["mean"]), map(float, difference["interval"])
            row = {"audio": str(item["audio"]), "mean": mean, "bounds": (low, high)}
            rows.append(row | _of(item, metric))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise TagbartError(
            f"{path}: cannot be read ({error}); evaluate with --listen-check again"
        ) from error
    return rows


def _of(scores: Mapping[str, Any], metric: str) -> dict[str, Any]:
    low, high = map(float, scores["intervals"][metric])
    return {"value": float(scores["corpus"][metric]), "interval": (low, high)}


def _differences(own: Scores, other: Scores, weights: np.ndarray) -> dict[str, Any]:
    """Per metric the mean of the clips' differences, condition minus the run as it is."""
    found = {}
    for name in METRICS:
        if name in own.corpus and name in other.corpus:
            mean, low, high = paired(other.per_clip[name] - own.per_clip[name], weights)
            found[name] = {"mean": mean, "interval": [low, high]}
    return found


def _wording_differences(own: Scores, other: Scores) -> dict[str, Any]:
    """Per measure of wording the difference, condition minus the run as it is."""
    found = {}
    for name in own.wording_without.keys() & other.wording_without.keys():
        value = other.wording[name] - own.wording[name]
        without = other.wording_without[name] - own.wording_without[name]
        found[name] = {"value": value, "interval": list(jackknife(value, without))}
    return {name: found[name] for name in WORDING if name in found}


def as_text(record: Mapping[str, Any]) -> str:
    """What the file holds as a table, × 100."""
    conditions = record["conditions"]
    columns = [name for name in METRICS if name in record["own"]["corpus"]]
    columns = [name for name in columns if all(name in c["corpus"] for c in conditions.values())]
    rows = [["", *(METRICS[name] for name in columns)], *_rows(OWN, record["own"], columns)]
    for condition in conditions.values():
        rows += _rows(condition["audio"], condition, columns)
        differences = [condition["differences"][name] for name in columns]
        rows.append(["  clips' difference", *(percent(item["mean"]) for item in differences)])
        rows.append(["    95 %", *(span(item["interval"]) for item in differences)])
    lines = [f"{CONDITIONS[name]}: not done ({why})" for name, why in record["not_done"].items()]
    title = f"\nDoes it listen? {record['clips']:,} clips, scores × 100"
    return "\n".join([title, aligned(rows, terminal_width()), *lines])


def _rows(label: str, scores: Mapping[str, Any], columns: Sequence[str]) -> list[list[str]]:
    values = [percent(scores["corpus"][name]) for name in columns]
    return [
        [label, *values],
        ["  95 %", *(span(scores["intervals"][name]) for name in columns)],
    ]

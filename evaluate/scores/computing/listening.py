"""What a listen-check found: OUT/listen-check.json, and the same as a table."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evaluate.metrics.wording import WORDING, jackknife
from evaluate.scores.bootstrap import draw_weights, paired
from evaluate.scores.layout import aligned, percent, terminal_width
from evaluate.scores.results import METRICS, Scores
from features.common.publish import write_json

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
        rows.append(["    95 %", *(_span(item["interval"]) for item in differences)])
    lines = [f"{CONDITIONS[name]}: not done ({why})" for name, why in record["not_done"].items()]
    title = f"\nDoes it listen? {record['clips']:,} clips, scores × 100"
    return "\n".join([title, aligned(rows, terminal_width()), *lines])


def _rows(label: str, scores: Mapping[str, Any], columns: Sequence[str]) -> list[list[str]]:
    values = [percent(scores["corpus"][name]) for name in columns]
    return [
        [label, *values],
        ["  95 %", *(_span(scores["intervals"][name]) for name in columns)],
    ]


def _span(bounds: Sequence[float]) -> str:
    low, high = bounds
    return f"{percent(low)} to {percent(high)}" if low < 0 else f"{percent(low)}–{percent(high)}"

"""What stands on the report's pages: plain values that the templates lay out."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evaluate.report.dataset import words
from evaluate.report.folders import Study, System
from evaluate.scores.bootstrap import draw_weights, interval, weighted_means
from evaluate.scores.layout import percent
from evaluate.scores.paper import HUMAN, TABLE1, TABLE1_METRICS
from evaluate.scores.results import METRICS

TEMPLATES = Path(__file__).parent / "template"
SHOWN = 6  # best, worst and random clips each
DIFFERING = 12


def environment() -> Any:
    """Jinja with what the templates use; every value is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    env = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters["percent"] = percent
    env.filters["share"] = share
    env.filters["signed"] = signed
    return env


def signed(value: float) -> str:
    """A difference × 100: +4.1, −4.1 with a true minus, 0.0; a dash for NaN."""
    if value != value:
        return "–"
    text = f"{100 * value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def share(value: float) -> str:
    """A probability as people read it: 83 %, 1.2 %, < 0.1 %."""
    if value >= 0.0995:
        return f"{100 * value:.0f} %"
    return f"{100 * value:.1f} %" if value >= 0.001 else "< 0.1 %"


def score_rows(study: Study) -> list[dict[str, Any]]:
    """Rows of the table of scores: ours with intervals, baselines, the paper's."""
    rows = []
    for system in (*study.systems, *study.baselines):
        ours = system in study.systems
        if system.result is None:
            cells: list[tuple[str, str]] = [("", "")] * len(study.metrics)
        else:
            corpus, bounds = system.result.corpus, system.result.intervals
            cells = [
                (percent(corpus[name]), "–".join(map(percent, bounds[name])))
                if name in corpus
                else ("–", "")
                for name in study.metrics
            ]
        count = system.result.clips if system.result else len(system.predictions)
        rows.append(
            {
                "name": system.label,
                "note": f"{count:,} clips" + ("" if system.result else ", not scored"),
                "kind": "ours" if ours else "baseline",
                "cells": cells,
            }
        )
    recipes = {
        s.result.evaluation.recipe for s in study.systems if s.result and s.result.evaluation
    }
    for row in TABLE1.rows:
        values = dict(zip(TABLE1_METRICS, row.values, strict=True))
        spread = dict(zip(TABLE1_METRICS, row.std or (), strict=False))
        rows.append(
            {
                "name": row.name,
                "note": "this recipe" if row.recipe in recipes else "",
                "kind": "same" if row.recipe in recipes else "human" if row is HUMAN else "paper",
                "cells": [
                    (_paper(values.get(name)), f"± {spread[name]:.1f}" if name in spread else "")
                    for name in study.metrics
                ],
            }
        )
    return rows


def differences(study: Study) -> list[dict[str, Any]]:
    """Per metric, each further system's clip scores minus the first's, with a paired interval."""
    first, *others = study.systems
    weights = draw_weights(len(study.clips))
    rows = []
    for system in others:
        for name in study.metrics:
            values = column(system, study, name) - column(first, study, name)
            if np.isfinite(values).any():
                low, high = interval(weighted_means(values, weights))
                rows.append(
                    {
                        "system": system.label,
                        "metric": METRICS[name],
                        "mean": float(np.nanmean(values)),
                        "low": low,
                        "high": high,
                        "better": int((values > 0).sum()),
                        "worse": int((values < 0).sum()),
                    }
                )
    return rows


def column(system: System, study: Study, metric: str) -> np.ndarray:
    """float64 [clips]: one system's scores of the report's clips."""
    return np.array([system.score(clip, metric) for clip in study.clips])


def chosen_clips(study: Study) -> dict[str, list[str]]:
    """Titles and clips to show first: best, worst and random by the first system's score."""
    values = column(study.systems[0], study, study.metric)
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.argsort(-values[known], kind="stable")]
    picked = random.Random(0).sample(range(len(study.clips)), min(SHOWN, len(study.clips)))
    name = METRICS[study.metric]
    return {
        f"Best by {name}": [study.clips[i] for i in order[:SHOWN]],
        f"Worst by {name}": [study.clips[i] for i in order[::-1][:SHOWN]],
        "Picked at random": [study.clips[i] for i in sorted(picked)],
    }


def most_different(study: Study) -> list[str]:
    """Clips whose scores differ most between systems, the largest difference first."""
    if len(study.systems) < 2:
        return []
    gaps = np.nan_to_num(np.abs([study.difference(clip) for clip in study.clips]))
    return [study.clips[i] for i in np.argsort(-gaps, kind="stable")[:DIFFERING] if gaps[i] > 0]


def speech(study: Study) -> list[dict[str, Any]]:
    """How each system talks, beside people: length, variety, words used."""
    rows = [
        _talk(system.label, [system.caption(clip) for clip in study.clips])
        for system in (*study.systems, *study.baselines)
    ]
    people = [text for clip in study.clips for text in study.references(clip)]
    return [*rows, _talk("references", people)]


def by_tag(
    study: Study, tags: Mapping[str, Sequence[str]], *, most: int = 25
) -> list[dict[str, Any]]:
    """Mean score of the clips in which a tag is the likeliest of some row, the commonest first.

    Args:
        study: with scores.
        tags: clip id: likeliest tags of its rows.
        most: rows to return.
    """
    clips_of: dict[str, list[str]] = {}
    for clip in study.clips:
        for tag in dict.fromkeys(tags.get(clip, ())):
            clips_of.setdefault(tag, []).append(clip)
    common = sorted(clips_of.items(), key=lambda item: -len(item[1]))[:most]
    return [
        {
            "tag": tag,
            "clips": len(clips),
            "means": [
                _mean([s.score(clip, study.metric) for clip in clips]) for s in study.systems
            ],
        }
        for tag, clips in common
    ]


def histogram_columns(study: Study) -> dict[str, dict[str, np.ndarray]]:
    """What the charts show: every metric's and the captions' lengths' distribution over clips."""
    columns = {
        METRICS[name]: {s.label: 100 * column(s, study, name) for s in study.systems}
        for name in study.metrics
    }
    columns["words in a caption"] = {
        s.label: np.array([len(words(s.caption(clip))) for clip in study.clips], np.float64)
        for s in study.systems
    }
    return {title: series for title, series in columns.items() if _any_finite(series)}


def _any_finite(series: dict[str, np.ndarray]) -> bool:
    return any(np.isfinite(values).any() for values in series.values())


def _talk(label: str, texts: Sequence[str]) -> dict[str, Any]:
    counts = Counter(texts)
    commonest, often = counts.most_common(1)[0]
    spoken = [words(text) for text in texts]
    return {
        "label": label,
        "captions": len(texts),
        "different": len(counts),
        "words": sum(map(len, spoken)) / max(1, len(texts)),
        "vocabulary": len({word for text in spoken for word in text}),
        "commonest": commonest,
        "often": often,
    }


def _mean(values: Sequence[float]) -> float:
    present = [value for value in values if value == value]
    return sum(present) / len(present) if present else float("nan")


def _paper(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"

"""What stands on the report's pages: plain values that the templates lay out."""

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evaluate.report.compare import column
from evaluate.report.folders import Study
from evaluate.scores.layout import percent, span
from evaluate.scores.paper import HUMAN, TABLE1, TABLE1_METRICS
from evaluate.scores.results import METRICS
from evaluate.scores.which_clips import all_of_audiocaps
from evaluate.view.words import words

TEMPLATES = Path(__file__).parent / "template"
SHOWN = 6  # best, worst and random clips each


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
    """A probability as people read it: 83 %, 1.2 %, < 0.1 %, 0 %."""
    if value == 0:
        return "0 %"
    if value >= 0.0995:
        return f"{100 * value:.0f} %"
    return f"{100 * value:.1f} %" if value >= 0.001 else "< 0.1 %"


def of_audiocaps(study: Study) -> bool:
    """Whether every system's clips are AudioCaps' test split, or a part of it."""
    return all(all_of_audiocaps(system.predictions) for system in study.systems)


def score_rows(study: Study) -> list[dict[str, Any]]:
    """Rows of the table of scores: ours with intervals, baselines."""
    rows = []
    for system in (*study.systems, *study.baselines):
        ours = system in study.systems
        if system.result is None:
            cells: list[tuple[str, str]] = [("", "")] * len(study.metrics)
        else:
            corpus, bounds = system.result.corpus, system.result.intervals
            cells = [
                (percent(corpus[name]), span(bounds[name])) if name in corpus else ("–", "")
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
    return rows


def paper_rows(study: Study) -> list[dict[str, Any]]:
    """The paper's rows for the same table."""
    rows = []
    recipes = {system.made.recipe for system in study.systems if system.made}
    for row in TABLE1.rows:
        values = {
            name: "–" if value is None else f"{value:.1f}"
            for name, value in zip(TABLE1_METRICS, row.values, strict=True)
        }
        spread = dict(zip(TABLE1_METRICS, row.std or (), strict=False))
        rows.append(
            {
                "name": row.name,
                "note": "this recipe" if row.recipe in recipes else "",
                "kind": "same" if row.recipe in recipes else "human" if row is HUMAN else "paper",
                "cells": [
                    (values.get(name, "–"), f"± {spread[name]:.1f}" if name in spread else "")
                    for name in study.metrics
                ],
            }
        )
    return rows


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


def speech(study: Study) -> list[dict[str, Any]]:
    """How each system talks, beside people: length, variety, words used."""
    rows = [
        _talk(system.label, [system.caption(clip) for clip in study.clips])
        for system in (*study.systems, *study.baselines)
    ]
    people = [text for clip in study.clips for text in study.references(clip)]
    return [*rows, _talk("references", people)]


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

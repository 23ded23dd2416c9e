"""What a report compares: systems clip by clip, clips by tag, scores against what explains them."""

from collections.abc import Callable, Mapping, Sequence
from math import nan
from typing import Any

import numpy as np

from evaluate.report.charts import Dot, forest, histogram, scatter
from evaluate.report.folders import Study, System
from evaluate.report.material import Material
from evaluate.scores.computing.bootstrap import draw_weights, interval, paired, weighted_means
from evaluate.scores.results import LOWER_IS_BETTER, METRICS
from evaluate.view.words import words

DIFFERING = 12


def differences(study: Study) -> list[dict[str, Any]]:
    """Per metric, each further system's clip scores minus the first's, with a paired interval."""
    first, *others = study.systems
    weights = draw_weights(len(study.clips))
    rows = []
    for system in others:
        for name in study.metrics:
            values = column(system, study, name) - column(first, study, name)
            if np.isfinite(values).any():
                gains = -values if name in LOWER_IS_BETTER else values
                mean, low, high = paired(values, weights)
                rows.append(
                    {
                        "system": system.label,
                        "metric": METRICS[name],
                        "mean": mean,
                        "low": low,
                        "high": high,
                        "better": int((gains > 0).sum()),
                        "worse": int((gains < 0).sum()),
                    }
                )
    return rows


def column(system: System, study: Study, metric: str) -> np.ndarray:
    """float64 [clips]: one system's scores of the report's clips."""
    return np.array([system.score(clip, metric) for clip in study.clips])


def most_different(study: Study) -> list[str]:
    """Clips whose scores differ most between systems, the largest difference first."""
    if len(study.systems) < 2:
        return []
    gaps = np.nan_to_num(np.abs([study.difference(clip) for clip in study.clips]))
    return [study.clips[i] for i in np.argsort(-gaps, kind="stable")[:DIFFERING] if gaps[i] > 0]


def by_tag(
    study: Study, tags: Mapping[str, Sequence[str]], *, most: int = 25
) -> list[dict[str, Any]]:
    """Mean score of the clips in which a tag is the likeliest of some row, the commonest first.

    Args:
        study: with scores.
        tags: clip id: likeliest tags of its rows.
        most: rows to return.

    Returns:
        Per tag its clips, per system (mean, low, high), and for two systems or more each further
        one's difference from the first in the same form; bounds are NaN for fewer than two clips.
    """
    clips_of: dict[str, list[int]] = {}
    for number, clip in enumerate(study.clips):
        for tag in dict.fromkeys(tags.get(clip, ())):
            clips_of.setdefault(tag, []).append(number)
    common = sorted(clips_of.items(), key=lambda item: -len(item[1]))[:most]
    columns = [column(system, study, study.metric) for system in study.systems]
    rows = []
    for tag, clips in common:
        values = [each[clips] for each in columns]
        rows.append(
            {
                "tag": tag,
                "clips": len(clips),
                "means": [_mean(each) for each in values],
                "differences": [_mean(each - values[0]) for each in values[1:]],
            }
        )
    return rows


def _mean(values: np.ndarray) -> tuple[float, float, float]:
    """Mean with its 95 % interval over the clips that have a value."""
    present = values[np.isfinite(values)]
    if not len(present):
        return nan, nan, nan
    if len(present) < 2:
        return float(present[0]), nan, nan
    low, high = interval(weighted_means(present, draw_weights(len(present))))
    return float(present.mean()), low, high


def charts(
    study: Study, material: Material, tags: Mapping[str, Sequence[str]], link: Callable[[str], str]
) -> dict[str, str]:
    """SVG by title: what explains the first system's scores, and how systems differ.

    Args:
        study: with scores.
        material: for the captions' probabilities.
        tags: clip id: likeliest tags of its rows.
        link: address of a clip's page.
    """
    first = study.systems[0]
    name = METRICS[study.metric]
    values = 100 * column(first, study, study.metric)
    scores = dict(zip(study.clips, values, strict=True))

    def against(values: Mapping[str, float], what: str) -> str:
        dots = [
            Dot(x=values[clip], y=scores[clip], title=f"{clip}: {first.caption(clip)}",
                href=link(clip))
            for clip in study.clips if clip in values
        ]  # fmt: skip
        return scatter(dots, x=what, y=name)

    seen = material.insights[0] if material.insights else {}
    events = {clip: float(len(set(found))) for clip, found in tags.items() if found}
    lengths = {clip: float(len(words(first.caption(clip)))) for clip in study.clips}
    sure = {clip: own for clip in study.clips if (own := _sure(first, seen, clip)) is not None}
    found = {
        f"{name}, a bar leads to its clips": histogram(values, x=name, metric=study.metric),
        "Was the caption sure of itself?": against(sure, "caption's mean probability per word, %"),
        "Are long captions better?": against(lengths, "words in the caption"),
        "Do many events make it hard?": against(events, "different likeliest tags in the clip"),
    }
    for other in study.systems[1:]:
        dots = [
            Dot(x=scores[clip], y=100 * other.score(clip, study.metric),
                title=f"{clip}: {first.caption(clip)} → {other.caption(clip)}", href=link(clip))
            for clip in study.clips
        ]  # fmt: skip
        title = f"{name}: {other.label} against {first.label}"
        found[title] = scatter(dots, x=first.label, y=other.label, diagonal=True)
    return {title: svg for title, svg in found.items() if svg}


def forest_of(rows: Sequence[Mapping[str, Any]], several: bool) -> str:
    """The paired differences as a forest plot; `several` names the system in each row."""
    spans = [
        (
            f"{row['metric']}, {row['system']}" if several else row["metric"],
            100 * row["mean"],
            100 * row["low"],
            100 * row["high"],
        )
        for row in rows
    ]
    return forest(spans, x="mean of the clips' differences, × 100")


def _sure(system: System, seen: Mapping[str, Any], clip: str) -> float | None:
    """Geometric mean of a caption's token probabilities, in per cent."""
    if clip in seen:
        probabilities = np.array(seen[clip].probabilities)
    elif n_best := system.n_best.get(clip):
        probabilities = np.array(n_best[0].get("token_probabilities") or [nan])
    else:
        return None
    return float(100 * np.exp(np.log(np.maximum(probabilities, 1e-12)).mean()))

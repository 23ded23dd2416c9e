"""How a report's systems word their captions: vocabulary, diversity, length."""

from itertools import chain
from typing import Any

import numpy as np

from evaluate.metrics.child import ScoreError
from evaluate.metrics.wording import WORDING, jackknife, without_each, wording
from evaluate.report.folders import Study
from evaluate.scores.computing.tokenized import Tokens


def worded(study: Study) -> tuple[list[dict[str, Any]], str]:
    """Per measure the systems' values as scored, and further ones' differences from the first.

    Returns:
        Rows with `measure`, `values` and `differences`, each (text, its 95 % interval, whether that
        leaves 0 out); [] where a system's wording was not scored. And why there are no differences.
    """
    results = [system.result for system in study.systems]
    known = [result for result in results if result and result.wording_intervals]
    if len(known) < len(results):
        return [], ""
    differences, why_not = _differences(study) if len(results) > 1 else ([], "")
    rows = []
    for name, measure in WORDING.items():
        values = [
            (_text(name, r.wording[name]), _span(name, r.wording_intervals[name]), False)
            for r in known
        ]
        gaps = [
            (_text(name, gap, "+"), _span(name, bounds, "+"), bounds[0] > 0 or bounds[1] < 0)
            for gap, bounds in (of_system[name] for of_system in differences)
        ]
        rows.append({"measure": measure, "values": values, "differences": gaps})
    return rows, why_not


def _differences(study: Study) -> tuple[list[dict[str, tuple[float, tuple[float, float]]]], str]:
    """Of each further system, measure: its value minus the first's on the shared clips, with the
    paired jackknife's interval; and why there are none."""
    references = [study.references(clip) for clip in study.clips]
    said = [[system.caption(clip) for clip in study.clips] for system in study.systems]
    if len(study.clips) < 2:
        return [], "one clip alone has no interval"
    tokens = Tokens()
    try:
        tokens.learn(chain.from_iterable([*references, *said]))
    except ScoreError as error:
        return [], str(error)
    people = [tokens.of(texts) for texts in references]
    each = [tokens.of(texts) for texts in said]
    values = [wording(texts, people) for texts in each]
    without = [without_each(texts, people) for texts in each]
    found = []
    for value, left in zip(values[1:], without[1:], strict=True):
        gaps = {name: value[name] - values[0][name] for name in WORDING}
        lost: dict[str, np.ndarray] = {name: left[name] - without[0][name] for name in WORDING}
        found.append({name: (gap, jackknife(gap, lost[name])) for name, gap in gaps.items()})
    return found, ""


def _text(name: str, value: float, sign: str = "") -> str:
    """Words as they are counted, shares × 100."""
    if "_div" in name:
        value *= 100
    text = f"{value:{sign}z,.0f}" if name.startswith(("vocab", "new")) else f"{value:{sign}z.1f}"
    return text.replace("-", "−") if text.strip("+-0.") else text.lstrip("+-")


def _span(name: str, bounds: tuple[float, float], sign: str = "") -> str:
    joint = " to " if sign else "–"
    return joint.join(_text(name, bound, sign) for bound in bounds)

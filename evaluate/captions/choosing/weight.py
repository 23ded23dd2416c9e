"""Which weight of likelihood against CLAP's cosine captions a split best.

`evaluate run … --choose clap` keeps two numbers beside every candidate; ranking them anew under
another weight takes no model.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluate.metrics.clap import combined
from evaluate.scores.predictions import PredictionsError, PredictionSets, read_sets
from evaluate.scores.results import PREDICTIONS_NAME, Scores
from evaluate.scores.score import Wanted, new_scorer
from features.common.reading import parse_json

WEIGHTS = tuple(step / 10 for step in range(11))


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A caption that could have been chosen; the numbers as in evaluate/captions/candidate.py."""

    text: str
    likelihood: float
    cosine: float


def score_weights(folder: Path, wanted: Wanted) -> dict[float, Scores]:
    """Scores of what each of WEIGHTS chooses.

    Args:
        folder: an evaluation of `run --choose clap`.
        wanted: the metrics.

    Raises:
        PredictionsError: if it holds no candidates with their numbers.
        ScoreError: if a scorer fails.
    """
    path = folder / PREDICTIONS_NAME
    sets = read_sets([path])
    pools = read_candidates(path)
    lists = [pools[clip] for clip in sets.clips]
    chosen = PredictionSets(
        clips=sets.clips,
        references=sets.references,
        candidates=tuple(tuple(best(pool, weight) for pool in lists) for weight in WEIGHTS),
    )
    with new_scorer(wanted) as scorer:
        return dict(zip(WEIGHTS, scorer.score(chosen), strict=True))


def best(pool: Sequence[Candidate], weight: float) -> str:
    """The text that a weight ranks first."""
    return max(pool, key=lambda item: combined(item.likelihood, item.cosine, weight)).text


def read_candidates(path: Path) -> dict[str, list[Candidate]]:
    """Every clip's candidates.

    Args:
        path: a predictions file that `read_sets` takes.

    Raises:
        PredictionsError: if a clip has none, or they lack a number.
    """
    found = {}
    for line in path.read_text(encoding="utf-8-sig").split("\n"):
        if line.strip():
            record = parse_json(line)
            pool = [_candidate(item) for item in record.get("n_best") or []]
            kept = [item for item in pool if item is not None]
            if not kept or len(kept) < len(pool):
                raise PredictionsError(
                    f"{path}, clip {record['clip']!r}: has no candidates with likelihood and "
                    "cosine; make them with: python -m evaluate run RUN FEATURES --split val "
                    f"--choose clap --out {path.parent}"
                )
            found[record["clip"]] = kept
    return found


def _candidate(item: Any) -> Candidate | None:
    """A record of an n-best list; None where it lacks a number."""
    if not isinstance(item, dict):
        return None
    values: list[Any] = [item.get(name) for name in ("likelihood", "cosine")]
    if not all(type(value) in (int, float) and math.isfinite(value) for value in values):
        return None
    return Candidate(text=item["text"], likelihood=values[0], cosine=values[1])

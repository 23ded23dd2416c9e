"""Which weight of likelihood against CLAP's cosine captions a split best.

`evaluate run … --choose clap` keeps two numbers beside every candidate; ranking them anew under
another weight takes no model.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluate.metrics.clap import combined
from evaluate.scores.predictions import (
    Prediction,
    PredictionsError,
    PredictionSets,
    read_predictions,
)
from evaluate.scores.results import PREDICTIONS_NAME, Scores
from evaluate.scores.score import Wanted, new_scorer

WEIGHTS = tuple(step / 10 for step in range(11))

Candidate = dict[str, Any]  # as Candidate.as_json of evaluate/captions/candidate.py makes it


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
    predictions = read_predictions(path)
    pools = candidates_of(predictions, path)
    chosen = PredictionSets(
        clips=tuple(predictions),
        references=tuple(item.references for item in predictions.values()),
        candidates=tuple(tuple(best(pool, weight) for pool in pools) for weight in WEIGHTS),
    )
    with new_scorer(wanted) as scorer:
        return dict(zip(WEIGHTS, scorer.score(chosen), strict=True))


def best(pool: Sequence[Candidate], weight: float) -> str:
    """The text that a weight ranks first."""
    return max(pool, key=lambda item: combined(item["likelihood"], item["cosine"], weight))["text"]


def candidates_of(predictions: Mapping[str, Prediction], path: Path) -> list[list[Candidate]]:
    """Every clip's candidates.

    Args:
        predictions: of an evaluation.
        path: the file that holds them, for error messages.

    Raises:
        PredictionsError: if a clip has none, or they lack a number.
    """
    pools = []
    for clip, item in predictions.items():
        pools.append([one for one in item.n_best if isinstance(one, dict) and _has_numbers(one)])
        if not item.n_best or len(pools[-1]) < len(item.n_best):
            raise PredictionsError(
                f"{path}, clip {clip!r}: has no candidates with likelihood and cosine; make them "
                "with: python -m evaluate run RUN FEATURES --split val --choose clap --out "
                f"{path.parent}"
            )
    return pools


def _has_numbers(item: Candidate) -> bool:
    values: list[Any] = [item.get(name) for name in ("likelihood", "cosine")]
    return all(type(value) in (int, float) and math.isfinite(value) for value in values)

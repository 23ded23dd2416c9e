"""95 % intervals over clips: draw the clips anew with replacement, score each draw."""

import numpy as np

DRAWS = 1000
LEVEL = 0.95


def draw_weights(clips: int, *, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """How often each clip counts in each draw of `clips` clips with replacement.

    Args:
        clips: their number.
        draws: rows of the result.
        seed: the same seed gives the same draws, so intervals repeat and files share draws.

    Returns:
        float64 [draws, clips], each row adds up to `clips`.
    """
    generator = np.random.default_rng(seed)
    return generator.multinomial(clips, np.full(clips, 1 / clips), size=draws).astype(np.float64)


def weighted_means(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean of per-clip values in each draw, clips without a value (NaN) left out.

    Args:
        values: float64 [clips].
        weights: float64 [draws, clips].

    Returns:
        float64 [draws]; NaN where a draw holds no value.
    """
    present = np.isfinite(values)
    sums = weights @ np.where(present, values, 0.0)
    counts = weights @ present
    return np.divide(sums, counts, out=np.full(len(weights), np.nan), where=counts > 0)


def paired(differences: np.ndarray, weights: np.ndarray) -> tuple[float, float, float]:
    """Mean of clips' differences between two systems, and its interval.

    Args:
        differences: float64 [clips], NaN for a clip of which one system has no value.
        weights: float64 [draws, clips].
    """
    low, high = interval(weighted_means(differences, weights))
    return float(np.nanmean(differences)), low, high


def interval(draws: np.ndarray) -> tuple[float, float]:
    """The bounds between which the middle 95 % of the draws lie."""
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.nanpercentile(draws, [tail, 100 - tail])
    return float(low), float(high)

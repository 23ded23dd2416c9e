"""The tags of a clip over time: scores, and how often the sampler would draw each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from features.spec import TAG_LOGITS, StreamSpec
from train.recipes.config import InputsConfig

LANES = 10
USUAL = InputsConfig().tags
# What is drawn less often than this in a row of features is summed up as "others".
LEAST_CHANCE = 0.01
MOST_DRAWN = 8


def tag_streams(streams: Mapping[str, StreamSpec]) -> list[StreamSpec]:
    """Those of tags. Where one is shown, it is the first: the one that recipes read unless they
    say otherwise."""
    found = [spec for spec in streams.values() if spec.kind == TAG_LOGITS]
    return sorted(found, key=lambda spec: spec.name != USUAL)


@dataclass(frozen=True, kw_only=True)
class Lane:
    """One tag over time: score, chance of being drawn, and whether it is the likeliest."""

    name: str
    scores: tuple[float, ...]
    chances: tuple[float, ...]
    likeliest: tuple[bool, ...]


@dataclass(frozen=True, kw_only=True)
class Second:
    """What training could have drawn in one row: (name, score, chance), and what is left over."""

    start_s: float
    drawn: tuple[tuple[str, float, float], ...]
    others: int
    others_chance: float


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """A clip's tags. `seconds` and the lanes have one entry per row, `hop_s` apart."""

    hop_s: float
    lanes: tuple[Lane, ...]
    seconds: tuple[Second, ...]


def timeline(logits: np.ndarray, names: Sequence[str], hop_s: float) -> Timeline:
    """Sum up a clip's tags.

    Args:
        logits: float [T, C].
        names: C display names.
        hop_s: seconds from a row to the next.
    """
    # In float64 no score of the logits that occur (down to -100) vanishes.
    scores = 1 / (1 + np.exp(-logits.astype(np.float64)))
    chance = scores / scores.sum(axis=1, keepdims=True)  # of each tag in a draw
    likeliest = scores.argmax(axis=1)
    # Every likeliest tag has a lane; further ones by their best moment.
    wanted = dict.fromkeys(likeliest.tolist())
    for tag in np.argsort(-chance.max(axis=0), kind="stable").tolist():
        if len(wanted) >= min(LANES, len(names)):
            break
        wanted.setdefault(tag)
    order = sorted(wanted, key=lambda tag: -scores[:, tag].sum())
    return Timeline(
        hop_s=hop_s,
        lanes=tuple(
            Lane(
                name=names[tag],
                scores=tuple(scores[:, tag].tolist()),
                chances=tuple(chance[:, tag].tolist()),
                likeliest=tuple((likeliest == tag).tolist()),
            )
            for tag in order
        ),
        seconds=tuple(
            _second(row * hop_s, scores[row], chance[row], names) for row in range(len(scores))
        ),
    )


def _second(start_s: float, scores: np.ndarray, chance: np.ndarray, names: Sequence[str]) -> Second:
    order = np.argsort(-chance, kind="stable")[:MOST_DRAWN]
    kept = [tag for tag in order.tolist() if chance[tag] >= LEAST_CHANCE]
    return Second(
        start_s=start_s,
        drawn=tuple((names[tag], float(scores[tag]), float(chance[tag])) for tag in kept),
        others=len(names) - len(kept),
        others_chance=max(0.0, 1 - float(chance[kept].sum())),
    )

"""Which tag stands for a row: drawn in training, the likeliest in validation and test.

A draw is a pure function of (seed, epoch, clip, caption, row): its uniform number comes from a
counter-based generator (splitmix64), not from a generator's state. So workers, batch size, order
and resuming change nothing.
"""

import hashlib
from collections.abc import Iterable

import numpy as np
import torch

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_CHUNK_ROWS = 512  # 512 x 521 float32 fit into a core's cache
_GROUPS = 16


def clip_keys(ids: Iterable[str]) -> np.ndarray:
    """uint64 [n]: a number for each clip id, the same on every machine."""
    digests = (
        hashlib.blake2b(clip.encode("utf-8", "surrogateescape"), digest_size=8).digest()
        for clip in ids
    )
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


def sample_keys(keys: np.ndarray, captions: np.ndarray) -> np.ndarray:
    """uint64 [n]: the key of a clip's caption number c, so that five captions get five draws.

    Caption 0 keeps its clip's key.
    """
    return keys + captions.astype(np.uint64) * np.uint64(0xD1B54A32D192ED03)


def copy_keys(keys: np.ndarray, copies: np.ndarray) -> np.ndarray:
    """uint64 [n]: the keys of samples that an epoch has several times, so that each time gets draws
    of its own; the first keeps its key."""
    return keys + copies.astype(np.uint64) * np.uint64(0x8CB92BA72F3D8DD7)


def uniforms(seed: int, epoch: int, keys: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Numbers between 0 and 1, both excluded.

    Args:
        seed: of the run.
        epoch: counted from 0.
        keys: uint64 [n], one for each sample.
        rows: int [n], how many numbers each sample needs.

    Returns:
        float64 [sum of rows].
    """
    when = _mix(np.array([seed], np.uint64) * _GOLDEN + np.uint64(epoch))
    state = np.repeat(_mix(keys ^ _mix(when)), rows)
    first = np.cumsum(rows) - rows
    row = (np.arange(len(state)) - np.repeat(first, rows)).astype(np.uint64)
    bits = _mix(state + (row + np.uint64(1)) * _GOLDEN)
    return ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def draw_tags(logits: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """One tag per row with probability sigmoid(logit) / sum of sigmoids, by the inverse CDF.

    The classes stand in a grid of groups by lanes: a running sum over the lanes' totals finds the
    lane, one over the groups finds the class in it. Each row is worked out by itself, so that its
    neighbours change no bit.

    Args:
        logits: float [R, C].
        uniform: float64 [R], between 0 and 1.

    Returns:
        int64 [R].
    """
    tags = np.empty(len(logits), np.int64)
    lanes = -(-logits.shape[1] // _GROUPS)
    scores = np.empty((min(_CHUNK_ROWS, len(logits)), _GROUPS * lanes), np.float32)
    for start in range(0, len(logits), _CHUNK_ROWS):
        chunk = slice(start, start + _CHUNK_ROWS)
        tags[chunk] = _draw(logits[chunk], uniform[chunk], scores)
    return tags


def likeliest_tags(logits: np.ndarray) -> np.ndarray:
    """int64 [R]: the tag with the highest logit in each row of [R, C]."""
    return logits.argmax(axis=1)


def _draw(logits: np.ndarray, uniform: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """draw_tags for a chunk, with room for its scores."""
    rows = np.arange(len(logits))
    scores = scores[: len(rows)]
    _sigmoid(logits, scores)
    grid = scores.reshape(len(rows), _GROUPS, -1)
    total = grid[:, 0] + grid[:, 1]
    for group in range(2, _GROUPS):
        total += grid[:, group]
    np.add.accumulate(total, axis=1, out=total)
    # At least the smallest positive number, so that a class of probability 0 is never taken.
    target = np.maximum((uniform * total[:, -1]).astype(np.float32), np.finfo(np.float32).tiny)
    lane = (total >= target[:, None]).argmax(axis=1)
    target -= np.where(lane > 0, total[rows, lane - 1], 0)
    within = np.add.accumulate(grid[rows, :, lane], axis=1)
    group = (within >= np.minimum(target, within[:, -1])[:, None]).argmax(axis=1)
    tags = group * grid.shape[2] + lane
    vanished = total[:, -1] < 1e-30
    if vanished.any():
        # Scores too small for float32. So far down they are in proportion to exp(logit), which a
        # shift leaves as it is: bring the highest to -20.
        low = logits[vanished].astype(np.float32)
        low -= low.max(axis=1, keepdims=True) + 20
        tags[vanished] = _draw(low, uniform[vanished], np.empty_like(scores))
    return tags


def _sigmoid(logits: np.ndarray, out: np.ndarray) -> None:
    """Sigmoids [R, C] into out float32 [R, at least C], zeros after them."""
    classes = logits.shape[1]
    # torch widens half precision ten times faster than numpy.
    torch.from_numpy(out)[:, :classes].copy_(torch.from_numpy(np.ascontiguousarray(logits)))
    out[:, classes:] = -np.inf
    with np.errstate(over="ignore"):  # exp(100) is infinite in float32, its score 0
        np.negative(out, out=out)
        np.exp(out, out=out)
        out += 1
        np.reciprocal(out, out=out)


def _mix(state: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014): uint64 in, uint64 out."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def update_seed(seed: int, update: int, rank: int) -> int:
    """The seed of torch's generator (dropout) in one update of one process."""
    with np.errstate(over="ignore"):
        state = _mix(np.array([seed], np.uint64) * _GOLDEN + np.uint64(update))
        state = _mix(state ^ _mix(np.array([rank + 1], np.uint64)))
    return int(state[0] >> np.uint64(1))

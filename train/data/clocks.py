"""Streams of different clocks side by side: slower ones repeated, faster ones pooled.

The clock is that of the tags, or of the first audio stream where there are no tags. A stream of
about the same clock is taken row by row. A row of a slower one stands for as many rows of the clock
as its hop has, rounded, and the last one for what follows, too. Of one about twice as fast or
faster, the rows whose middle falls into a row of the clock are averaged.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from train.data.batches import Rows


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How a stream with a row each `hop_s` goes with a clock of `clock_s`, both in seconds."""

    hop_s: float
    clock_s: float

    @property
    def repeats(self) -> int:
        """Rows of the clock that a row stands for: 10 for PANNs' 10 s over 0.96 s; at least 1."""
        return max(1, round(self.hop_s / self.clock_s))

    @property
    def pools(self) -> bool:
        """Whether several rows make one of the clock's."""
        return round(self.clock_s / self.hop_s) > 1

    def brought(self, rows: Rows) -> Rows:
        """The rows, averaged (float32) where several make one of the clock's."""
        if not self.pools:
            return rows
        row = np.arange(len(rows.values)) - np.repeat(rows.start, rows.counts)
        slot = ((row + 0.5) * (self.hop_s / self.clock_s)).astype(np.int64)
        # No slot is left out, since a row is shorter than one; a clip's first row opens one.
        first = np.flatnonzero((row == 0) | np.diff(slot, prepend=-1).astype(bool))
        sums = np.add.reduceat(rows.values.astype(np.float32), first)
        sizes = np.diff(first, append=len(slot)).astype(np.float32)
        ends = np.cumsum(rows.counts) - 1
        return Rows(values=sums / sizes[:, None], counts=slot[ends] + 1)


def side_by_side(parts: Sequence[Rows], repeats: Sequence[int], counts: np.ndarray) -> Rows:
    """The columns of several streams in one table.

    Args:
        parts: each stream's rows of n clips, at least one a clip.
        repeats: how many rows of the table one of each stays for.
        counts: int [n], rows of each clip in the table; a stream's last one stands for the rest.

    Returns:
        Values [sum of counts, sum of widths], in the widest of the streams' types.
    """
    row = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    columns = []
    for rows, stays in zip(parts, repeats, strict=True):
        own = np.minimum(row // stays, np.repeat(rows.counts - 1, counts))
        columns.append(rows.values[np.repeat(rows.start, counts) + own])
    return Rows(values=np.concatenate(columns, axis=1), counts=counts)

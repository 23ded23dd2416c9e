"""Streams of several clocks side by side."""

import numpy as np
import pytest

from train.data.batches import Rows
from train.data.clocks import Pace, side_by_side


@pytest.mark.parametrize(
    ("hop_s", "slots"),
    [
        (0.32, [0, 0, 0, 1, 1, 1, 2]),
        (0.48, [0, 0, 1, 1, 2, 2, 3]),
        # Middles at 0.2, 0.6 | 1.0, 1.4, 1.8 | 2.2, 2.6 s.
        (0.4, [0, 0, 1, 1, 1, 2, 2]),
    ],
)
def test_rows_are_averaged_whose_middle_falls_into_one_of_the_clocks(hop_s, slots):
    values = np.array([[1, 8], [2, 4], [4, 2], [8, 1], [16, 3], [32, 5], [64, 7]], np.float16)
    short, pace = values[:2] * 2, Pace(hop_s=hop_s, clock_s=0.96)
    rows = Rows(values=np.concatenate([values, short]), counts=np.array([7, 2]))
    brought = pace.brought(rows)
    assert pace.pools and pace.repeats == 1
    assert brought.counts.tolist() == [slots[-1] + 1, 1]
    exact = values.astype(np.float64)
    expected = [exact[np.array(slots) == slot].mean(axis=0) for slot in range(slots[-1] + 1)]
    np.testing.assert_allclose(
        brought.values, [*expected, short.astype(np.float64).mean(axis=0)], rtol=1e-6
    )


@pytest.mark.parametrize(
    ("hop_s", "repeats"), [(0.96, 1), (0.9, 1), (1.2, 1), (2.0, 2), (10.0, 10)]
)
def test_rows_of_the_same_clock_or_a_slower_one_stay_as_they_are(hop_s, repeats):
    rows = Rows(values=np.ones((3, 2), np.float16), counts=np.array([1, 2]))
    pace = Pace(hop_s=hop_s, clock_s=0.96)
    assert pace.brought(rows) is rows and pace.repeats == repeats
    # Nothing but their ratio counts.
    assert Pace(hop_s=hop_s / 4, clock_s=0.24).repeats == repeats


def test_a_slow_streams_rows_are_repeated_and_its_last_one_stands_for_the_rest():
    fast = Rows(values=np.arange(8, dtype=np.float16)[:, None], counts=np.array([5, 3]))
    slow = Rows(values=np.array([[10.0], [20.0], [30.0]], np.float32), counts=np.array([2, 1]))
    both = side_by_side([fast, slow], [1, 2], np.array([5, 3]))
    assert both.counts.tolist() == [5, 3] and both.values.dtype == np.float32
    assert both.values.tolist() == [
        [0, 10], [1, 10], [2, 20], [3, 20], [4, 20], [5, 30], [6, 30], [7, 30]
    ]  # fmt: skip

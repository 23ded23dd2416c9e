"""Differences between ways of decoding, by hand."""

import numpy as np
import pytest

from benchmarks.consensus import COLUMNS, paired_interval, table
from evaluate.scores.results import Scores


def scores(*values: float) -> Scores:
    """A file whose every metric has these values of the clips."""
    per_clip = {name: np.array(values) for name in COLUMNS}
    return Scores(clips=tuple("abcd"), corpus={}, per_clip=per_clip, intervals={})


def test_a_gain_that_all_clips_share_has_no_uncertainty():
    mean, low, high = paired_interval(np.array([[0.1, 0.1, 0.1], [0.3, 0.3, 0.3]]))
    assert (mean, low, high) == pytest.approx((0.2, 0.2, 0.2))


def test_runs_are_averaged_before_clips_are_drawn():
    # Clip by clip the two runs cancel out: whichever clips are drawn, nothing differs.
    assert paired_interval(np.array([[1.0, -2.0, 3.0], [-1.0, 2.0, -3.0]])) == (0, 0, 0)


def test_the_table_gives_means_differences_and_changed_captions():
    found = {
        "first": [scores(0.1, 0.2, 0.3, 0.4), scores(0.1, 0.2, 0.3, 0.4)],
        "other": [scores(0.2, 0.3, 0.4, 0.5), scores(0.1, 0.2, 0.3, 0.4)],
    }
    texts = {"first": [tuple("wxyz"), tuple("wxyz")], "other": [tuple("WXyz"), tuple("wxyz")]}
    heading, first, other, difference, each = table(found, texts).splitlines()
    assert heading.split()[:3] == ["CIDEr-D", "METEOR", "ROUGE-L"]
    assert first.split() == ["first", "25.0", "25.0", "25.0"]
    assert other.split() == ["other", "30.0", "30.0", "30.0", "25", "%"]
    assert difference.count("+5.00 (+5.00 to +5.00)") == 3
    assert each.split()[3:5] == ["+10.0", "+0.0"]

"""The time axis and the charts: places on them are arithmetic."""

import re

import numpy as np
import pytest

from evaluate.report.charts import Dot, bar_edges, histogram, scatter
from evaluate.view.axis import View
from evaluate.view.timeline import Timeline


def test_ticks_stand_at_true_seconds_whatever_the_cells_are():
    view = View(seconds=10.0)
    assert view.ticks[:3] == [(0, "0"), (10, "1"), (20, "2")] and view.ticks[-1] == (100, "10")
    # A window that begins at 20 s; a sound of 2.5 s, whose rows of 0.96 s reach to 2.88 s.
    assert View(seconds=4.0, start_s=20.0).ticks[1] == (25, "21")
    rows = Timeline(hop_s=0.96, lanes=(), seconds=(None,) * 3)
    view = View(seconds=2.5, timeline=rows)
    assert view.extent_s == pytest.approx(2.88)
    assert view.ticks == [(pytest.approx(100 * t / 2.88), str(t)) for t in (0, 1, 2)]


def test_a_minute_has_as_many_ticks_as_can_be_read():
    labels = [text for _, text in View(seconds=60.0).ticks]
    assert labels == [str(6 * number) for number in range(11)]


def test_frequencies_stand_where_the_mel_bands_are():
    ticks = {text: top for top, text in View(seconds=1.0).hz_ticks}
    # HTK: mel = 1127 ln(1 + hz / 700): 125 Hz is 185.15, 7500 Hz 2773.26, 1 kHz 999.99.
    assert ticks["1 kHz"] == pytest.approx(100 * (2773.26 - 999.99) / (2773.26 - 185.15), abs=0.01)


def test_bars_have_round_edges_that_hold_every_value():
    assert bar_edges(0.0, 1.0, most=5) == [0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2]
    assert bar_edges(3.0, 3.0)[0] <= 3.0 < bar_edges(3.0, 3.0)[-1]


def test_a_dot_is_a_link_at_its_place_and_names_cannot_break_out():
    dots = [Dot(x=x, y=10 * x, title='"<b>', href=f"{x}.html") for x in (0.0, 10.0, float("nan"))]
    svg = scatter(dots, x="words", y="score")
    assert len(re.findall("<circle", svg)) == 2
    # The plot's corners: x from 52 to 330, y from 182 up to 12.
    assert 'cx="52.0" cy="182.0"' in svg and 'cx="330.0" cy="12.0"' in svg
    assert "<b>" not in svg and 'href="10.0.html"' in svg
    assert scatter([], x="a", y="b") == ""


def test_a_bar_leads_to_the_clips_that_it_counts():
    # A twentieth of 10 is a round width: 0 to 0.5, and so on to a bar that begins at 10.
    svg = histogram(np.array([0.0, 0.2, np.nan, 10.0]), x="CIDEr-D", metric="cider_d")
    assert 'href="?in=cider_d:0:0.5#clips"' in svg and "0 to 0.5: 2 clips" in svg
    assert "10 to 10.5: 1 clips" in svg
    assert "href" not in histogram(np.array([1.0]), x="seconds") and not histogram(
        np.array([]), x=""
    )

"""Long recordings on the page: what comes meanwhile, and the files at the end."""

import base64
import re

import numpy as np
import pytest
import soundfile

from evaluate.captions.hours.forms import as_srt
from evaluate.page import long
from evaluate.page.limits import Limits
from features.common.errors import ClipError
from tests.evaluate.page.listening import listener_of, write_sound

LIMITS = Limits(max_mb=20, max_seconds=200)
RATE_HZ = 8_000


@pytest.fixture(scope="module")
def listener(tiny_run):
    return listener_of(tiny_run)


@pytest.fixture
def tones(tmp_path):
    """70 s: a tone of 30 s, silence of 20 s, the same tone again."""
    tone = 0.3 * np.sin(2 * np.pi * 100 / RATE_HZ * np.arange(10 * RATE_HZ))
    parts = [tone] * 3 + [0 * tone] * 2 + [tone] * 2
    soundfile.write(tmp_path / "tones.wav", np.concatenate(parts), RATE_HZ)
    return tmp_path / "tones.wav"


def test_a_long_sound_has_stretches_and_files_that_hold_them(listener, tones, monkeypatch):
    monkeypatch.setattr(long, "_SHOW_S", 0.0)  # after every window
    states = list(long.listen(listener, tones, LIMITS))
    assert [state.ended for state in states] == [False] * 7 + [True]
    assert [round(state.share * 7) for state in states] == [1, 2, 3, 4, 5, 6, 7, 7]
    last = states[-1]
    spans = [(item.start_s, item.end_s) for item in last.said]
    assert spans == [(0, 30), (30, 50), (50, 70)]
    record = long.as_record(last)
    assert record["caption"] == long.as_text(last)
    first, silence, again = record["windows"]
    assert first["n_best"][0]["text"] == again["n_best"][0]["text"] != ""
    assert (silence["n_best"], silence["notes"]) == ([], ["This is silence."])
    page = long.as_html(last)
    links = dict(re.findall(r'<a download="(.*?)" href="data:.*?base64,(.*?)"', page))
    assert list(links) == ["tones.srt", "tones.vtt", "tones.labels.txt", "tones.csv"]
    assert base64.b64decode(links["tones.srt"]).decode() == as_srt(last.said)
    assert "<td>00:00:30</td><td>00:00:50</td><td>[silence]</td>" in page
    first = long.as_html(states[0])
    assert "download" not in first and re.search(r"Listening: 14\s?% of it so far", first)


def test_a_minute_is_drawn_and_more_is_long(tmp_path):
    assert not long.is_long(write_sound(tmp_path / "a.wav", seconds=60))
    assert long.is_long(write_sound(tmp_path / "b.wav", seconds=60.5))


def test_what_is_too_long_or_no_sound_is_refused_and_damage_is_said(listener, tones, tmp_path):
    with pytest.raises(ClipError, match="lasts 70 s; this page takes up to 65 s"):
        list(long.listen(listener, tones, Limits(max_mb=20, max_seconds=65)))
    (tmp_path / "b.wav").write_bytes(b"RIFF" + bytes(3_000_000))
    with pytest.raises(ClipError, match="cannot be read as sound"):
        list(long.listen(listener, tmp_path / "b.wav", LIMITS))
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 150 * 44_100)
    soundfile.write(tmp_path / "c.flac", noise, 44_100)
    whole = (tmp_path / "c.flac").read_bytes()
    (tmp_path / "c.flac").write_bytes(whole[: len(whole) * 4 // 5])
    *_, last = long.listen(listener, tmp_path / "c.flac", LIMITS)
    assert last.ended and last.said and "damaged" in last.damage
    assert "could not be read to its end" in long.as_html(last)

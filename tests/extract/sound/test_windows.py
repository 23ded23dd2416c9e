"""Windows of a recording: which samples are in which, and how much memory they take."""

import os
import tracemalloc

import numpy as np
import pytest
import soundfile

from extract.sound.audio import Audio
from extract.sound.files import libsndfile
from extract.sound.windows import Stretch, cut_windows, guessed_s, promised_s, read_windows
from features.common.errors import ClipError

RATE_HZ = 4_000  # samples of a second


def write(path, seconds: float) -> np.ndarray:
    samples = np.arange(round(seconds * RATE_HZ), dtype=np.float32) / 2**20
    soundfile.write(path, samples, RATE_HZ, "FLOAT")
    return samples


@pytest.mark.parametrize("block", [1_000, 1 << 20])
@pytest.mark.parametrize(
    ("seconds", "hop_s", "spans"),
    [
        (0.5, None, [(0, 0.5)]),
        (10, None, [(0, 10)]),
        (10.9, None, [(0, 10.9)]),  # less than a second joins the window before it
        (11, None, [(0, 10), (10, 11)]),
        (30, None, [(0, 10), (10, 20), (20, 30)]),
        (25.5, None, [(0, 10), (10, 20), (20, 25.5)]),
        (10.5, 5, [(0, 10.5)]),
        (12, 5, [(0, 10), (5, 12)]),
        (20, 5, [(0, 10), (5, 15), (10, 20)]),
        (20.9, 5, [(0, 10), (5, 15), (10, 20.9)]),
        (13, 1, [(0, 10), (1, 11), (2, 12), (3, 13)]),
    ],
)
def test_windows_begin_every_hop_and_the_last_ends_with_the_file(
    seconds, hop_s, spans, block, tmp_path, monkeypatch
):
    monkeypatch.setattr(libsndfile, "BLOCK_SAMPLES", block)
    samples = write(tmp_path / "a.wav", seconds)
    windows = list(read_windows(tmp_path / "a.wav", hop_s=hop_s))
    assert [(window.start_s, window.end_s) for window in windows] == spans
    for window, (start_s, end_s) in zip(windows, spans, strict=True):
        expected = samples[round(start_s * RATE_HZ) : round(end_s * RATE_HZ)]
        np.testing.assert_array_equal(window.waveform, expected)


def test_an_hour_takes_no_more_memory_than_a_minute(tmp_path):
    def peak(minutes: int) -> int:
        path = tmp_path / "silence.flac"
        soundfile.write(path, np.zeros(minutes * 60 * 8_000, np.int16), 8_000)
        tracemalloc.start()
        windows = sum(1 for _ in read_windows(path))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert windows == 6 * minutes
        return found

    peak(1)
    assert peak(60) < 1.1 * peak(10)


def test_what_is_damaged_comes_after_the_windows_before_it(tmp_path, monkeypatch):
    monkeypatch.setattr(libsndfile, "BLOCK_SAMPLES", 4_096)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 60 * RATE_HZ)
    soundfile.write(tmp_path / "a.flac", noise, RATE_HZ)
    whole = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(whole[: len(whole) * 3 // 4])
    windows = read_windows(tmp_path / "a.flac")
    assert [next(windows).start_s for _ in range(4)] == [0, 10, 20, 30]
    with pytest.raises(ClipError, match="truncated or damaged"):
        list(windows)


@pytest.mark.parametrize("hop_s", [0, -1, 10.5])
def test_a_hop_that_makes_no_windows_is_refused(hop_s, tmp_path):
    write(tmp_path / "a.wav", 1)
    with pytest.raises(ValueError, match="no windows"):
        list(read_windows(tmp_path / "a.wav", hop_s=hop_s))


@pytest.mark.parametrize(("seconds", "hop_s"), [(10.9, None), (25.5, None), (13, 1)])
def test_sound_in_memory_is_cut_where_its_file_is(seconds, hop_s, tmp_path):
    samples = write(tmp_path / "a.wav", seconds)
    audio = Audio(waveform=samples, sample_rate_hz=RATE_HZ)
    of_file = read_windows(tmp_path / "a.wav", hop_s=hop_s)
    for one, other in zip(cut_windows(audio, hop_s=hop_s), of_file, strict=True):
        assert (one.start, one.sample_rate_hz) == (other.start, other.sample_rate_hz)
        np.testing.assert_array_equal(one.waveform, other.waveform)


def test_what_a_file_lasts_is_read_from_its_header_or_guessed_by_its_size(tmp_path):
    write(tmp_path / "a.wav", 12.5)
    assert promised_s(tmp_path / "a.wav") == guessed_s(tmp_path / "a.wav") == 12.5
    (tmp_path / "b.m4a").write_bytes(bytes(160_000))  # 10 s at 128 kbit/s
    assert promised_s(tmp_path / "b.m4a") == 0
    assert guessed_s(tmp_path / "b.m4a") == 10
    assert guessed_s(tmp_path / "gone.wav") == 0


def test_a_pipe_and_a_name_that_is_no_utf_8_have_a_length_all_the_same(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    assert promised_s(tmp_path / "pipe.wav") == guessed_s(tmp_path / "pipe.wav") == 0
    soundfile.write(tmp_path / "a.wav", np.zeros(8000), 8000)
    odd = (tmp_path / "a.wav").rename(tmp_path / os.fsdecode(b"\xff.wav"))
    assert promised_s(odd) == guessed_s(odd) == 1


def test_the_peak_of_a_window_is_its_sample_furthest_from_zero():
    waveform = np.array([0.25, -0.5, 0.375], np.float32)
    assert Stretch(waveform=waveform, sample_rate_hz=RATE_HZ, start=0).peak == 0.5

"""What decoding hands on: every clip whole, in its order, in memory that a GPU copies from."""

import os
import signal
from multiprocessing import active_children

import numpy as np
import pytest
import resampy
import soundfile
import torch

from extract.sound import decode
from extract.sound.audio import Audio
from extract.sound.decode import (
    CLIPS_PER_MESSAGE,
    Settings,
    _together,
    decoded,
    resample_all,
    ring_for,
)
from extract.sound.ring import Heard
from features.common.errors import ConfigError, TagbartError
from tests.extract.command import RATE_HZ

# Float32 sums of a few hundred products of numbers within 1 round differently in another order.
ROUNDING = 2e-6


@pytest.mark.parametrize("workers", [0, 2])
def test_clips_come_in_their_order_with_reasons_where_the_bad_ones_stood(tmp_path, workers):
    lengths = {}
    for number in range(3 * CLIPS_PER_MESSAGE + 1):
        name = f"{number}.wav"
        lengths[name] = 0 if number % 3 == 1 or number < CLIPS_PER_MESSAGE else 100 + number
        if lengths[name]:
            samples = np.full(lengths[name], number / 100, np.float32)
            soundfile.write(tmp_path / name, samples, RATE_HZ, "FLOAT")
        else:
            (tmp_path / name).touch()
    settings = Settings(workers=workers)
    with ring_for(settings) as ring:
        heard = list(decoded(tmp_path, lengths, settings, ring))
        for number, (name, clip) in enumerate(zip(lengths, heard, strict=True)):
            if lengths[name]:
                expected = np.full(lengths[name], number / 100, np.float32)
                np.testing.assert_array_equal(ring.waveforms([clip], "cpu")[0], expected)
                assert clip.sample_rate_hz == RATE_HZ and clip.failure == ""
            else:
                assert clip.frames == 0 and clip.failure == "empty file"


def test_a_long_recording_is_moved_piece_by_piece(monkeypatch):
    monkeypatch.setattr(decode, "_MOVED_SAMPLES", 100)
    lengths = (99, 100, 101, 350)
    clips = [np.arange(length, dtype=np.float32) for length in lengths]
    expected = np.concatenate(clips)
    audios = [Audio(waveform=clip, sample_rate_hz=RATE_HZ) for clip in clips]
    message = _together(
        [(Heard(frames=len(clip)), audio) for clip, audio in zip(clips, audios, strict=True)]
    )
    np.testing.assert_array_equal(message.sound, expected)
    assert message.lengths == list(lengths)


def test_a_stopped_worker_is_ended_and_said(tmp_path, monkeypatch):
    monkeypatch.setattr(decode, "MESSAGE_LIMIT_S", 2.0)
    for number in range(40 * CLIPS_PER_MESSAGE):
        (tmp_path / f"{number}.wav").touch()
    before = set(active_children())
    settings = Settings(workers=1)
    names = [path.name for path in tmp_path.iterdir()]
    heard = decoded(tmp_path, names, settings, ring_for(settings))
    assert next(heard).failure == "empty file"
    workers = set(active_children()) - before
    for worker in workers:
        os.kill(worker.pid, signal.SIGSTOP)
    with pytest.raises(TagbartError, match=r"decoding gave nothing for .* run the same command"):
        list(heard)
    for worker in workers:
        worker.join()
        assert worker.exitcode == -signal.SIGKILL


def test_clips_resampled_together_are_each_resampys_own():
    rates_hz = [44_100, 22_050, 44_100, 44_100, 16_000, 44_100]
    lengths = [44_100, 22_050, 44_099, 50_001, 5_000, 300]
    rng = np.random.default_rng(0)
    clips = [rng.uniform(-1, 1, length).astype(np.float32) for length in lengths]
    waveforms = [torch.from_numpy(clip) for clip in clips]
    together = resample_all(waveforms, rates_hz, 16_000, "resampy 0.4.3 kaiser_best")
    for clip, rate_hz, ours in zip(clips, rates_hz, together, strict=True):
        expected = clip
        if rate_hz != 16_000:
            expected = resampy.resample(clip, rate_hz, 16_000, filter="kaiser_best")
        np.testing.assert_allclose(ours, expected, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("device", ["", "gpu", "cpu:0", "cuda:", "cuda:x", "cudax"])
def test_a_device_that_is_none_is_refused(device):
    with pytest.raises(ConfigError, match="expected cpu, cuda or cuda:N"):
        Settings(device=device)

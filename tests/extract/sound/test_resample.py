"""resampy is the reference: its own result is what every test here compares with."""

import numpy as np
import pytest
import resampy
import torch

from extract.sound import resample as module
from extract.sound.resample import RESAMPLER, resample

RATES_HZ = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 96000, 192000)
# Float32 sums of a few hundred products of numbers within 1 round differently in another order.
ROUNDING = 2e-6


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, samples).astype(np.float32)


def reference(waveform: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    return resampy.resample(waveform, from_hz, to_hz, filter="kaiser_best")


@pytest.mark.parametrize("to_hz", [16000, 32000])
@pytest.mark.parametrize("from_hz", RATES_HZ)
def test_the_result_is_resampys_own_edges_included(from_hz: int, to_hz: int):
    if from_hz == to_hz:
        pytest.skip("nothing to resample")
    for samples in (from_hz // 50, from_hz + 17):
        waveform = noise(samples)
        ours = resample(torch.from_numpy(waveform), from_hz, to_hz).numpy()
        np.testing.assert_allclose(ours, reference(waveform, from_hz, to_hz), atol=ROUNDING, rtol=0)


def test_equal_rates_change_nothing():
    waveform = torch.from_numpy(noise(100))
    assert torch.equal(resample(waveform, 16000, 16000), waveform)


def test_a_row_of_a_batch_is_resampled_as_if_alone():
    rows = torch.from_numpy(np.stack([noise(3000, seed) for seed in range(3)]))
    together = resample(rows, 44100, 16000)
    for row, alone in zip(together, rows, strict=True):
        np.testing.assert_allclose(row, resample(alone, 44100, 16000), atol=ROUNDING)


def test_a_pair_of_rates_with_a_huge_table_is_left_to_resampy():
    waveform = noise(4000)
    ours = resample(torch.from_numpy(waveform), 44101, 16000).numpy()
    np.testing.assert_array_equal(ours, reference(waveform, 44101, 16000))


def test_a_long_recording_gives_the_same_in_blocks(monkeypatch: pytest.MonkeyPatch):
    waveform = torch.from_numpy(noise(44100))
    whole = resample(waveform, 44100, 16000)
    monkeypatch.setattr(module, "_MAX_FRAMES", 5000)
    np.testing.assert_allclose(resample(waveform, 44100, 16000), whole, atol=ROUNDING)


@pytest.mark.parametrize("from_hz", [192000, 192001])
def test_one_sample_stays_one_sample(from_hz: int):
    assert resample(torch.ones(1), from_hz, 16000).shape == (1,)


def test_an_empty_waveform_is_refused():
    with pytest.raises(ValueError, match="empty"):
        resample(torch.zeros(0), 44100, 16000)


def test_the_recorded_version_is_the_installed_one():
    assert f"resampy {resampy.__version__} kaiser_best" == RESAMPLER

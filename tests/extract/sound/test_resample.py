"""resampy is the reference: its own result is what every test here compares with."""

import numpy as np
import pytest
import resampy
import torch

from extract.sound import resample as module
from extract.sound.resample import FILTERS, RESAMPLER, kaiser_best_2021, resample

RATES_HZ = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 96000, 192000)
# Float32 sums of a few hundred products of numbers within 1 round differently in another order.
ROUNDING = 2e-6


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, samples).astype(np.float32)


OF_2021 = {
    "filter": "sinc_window",
    "num_zeros": 64,
    "precision": 9,
    "rolloff": 0.9475937167399596,
    "window": lambda length: np.kaiser(length, 14.769656459379492),
}
REFERENCES = {
    "resampy 0.2.2 kaiser_best": OF_2021,
    "resampy 0.4.3 kaiser_best": {"filter": "kaiser_best"},
}


def reference(
    waveform: np.ndarray, from_hz: int, to_hz: int, resampler: str = RESAMPLER
) -> np.ndarray:
    return resampy.resample(waveform, from_hz, to_hz, **REFERENCES[resampler])


@pytest.mark.parametrize("resampler", FILTERS)
@pytest.mark.parametrize("to_hz", [16000, 32000])
@pytest.mark.parametrize("from_hz", RATES_HZ)
def test_the_result_is_resampys_own_edges_included(from_hz: int, to_hz: int, resampler: str):
    if from_hz == to_hz:
        pytest.skip("nothing to resample")
    for samples in (from_hz // 50, from_hz + 17):
        waveform = noise(samples)
        ours = resample(torch.from_numpy(waveform), from_hz, to_hz, resampler).numpy()
        expected = reference(waveform, from_hz, to_hz, resampler)
        np.testing.assert_allclose(ours, expected, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize(
    ("resampler", "decibels"),
    [("resampy 0.2.2 kaiser_best", -3.4), ("resampy 0.4.3 kaiser_best", -14.4)],
)
def test_the_two_filters_roll_off_at_different_frequencies(resampler: str, decibels: float):
    # A tone at 7.5 kHz, from 22.05 to 16 kHz; the levels are resampy 0.2.2's and 0.4.3's own.
    tone = np.sin(2 * np.pi * 7_500 * np.arange(22_050) / 22_050).astype(np.float32)
    heard = resample(torch.from_numpy(tone), 22_050, 16_000, resampler)[4_000:12_000]
    assert 10 * np.log10(2 * float(heard.square().mean())) == pytest.approx(decibels, abs=0.1)


def test_the_table_of_2021_is_symmetric_sinc_under_a_kaiser_window():
    half, steps, rolloff = kaiser_best_2021()
    assert (len(half), steps) == (64 * 512 + 1, 512)
    assert half[0] == pytest.approx(rolloff) and abs(half[-1]) < 1e-6


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


def test_the_recorded_versions_are_the_papers_and_the_installed_one():
    assert RESAMPLER == "resampy 0.2.2 kaiser_best"
    assert f"resampy {resampy.__version__} kaiser_best" in FILTERS


def test_an_unknown_filter_is_refused_by_name():
    with pytest.raises(ValueError, match=r"'soxr'; there are resampy 0\.2\.2 kaiser_best"):
        resample(torch.ones(9), 44100, 16000, "soxr")

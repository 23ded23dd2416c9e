"""The front end that YAMNet and VGGish share."""

import math

import numpy as np
import pytest
import torch

from extract.networks import vggish, yamnet
from extract.networks.log_mel import PATCH_SAMPLES, LogMel, cut, mel_matrix


def hz_of_mel(mel: float) -> float:
    return 700 * (math.exp(mel / 1127) - 1)


def test_a_patch_of_96_frames_is_0_975_s():
    assert PATCH_SAMPLES == 15_600


@pytest.mark.parametrize(
    ("samples", "rows"), [(1, 1), (10, 1), (11, 2), (14, 2), (15, 3), (18, 3), (19, 4)]
)
def test_a_kept_tail_gets_a_window_of_its_own(samples: int, rows: int):
    windows = cut(torch.ones(samples), 10, 4, keep_tail=True)
    assert windows.shape == (rows, 10)
    assert float(windows[-1].sum()) == min(10, samples - (rows - 1) * 4)


@pytest.mark.parametrize(("samples", "rows"), [(1, 1), (10, 1), (19, 1), (20, 2), (29, 2)])
def test_a_cut_tail_gets_none_but_a_short_clip_is_padded(samples: int, rows: int):
    assert cut(torch.ones(samples), 10, 10, keep_tail=False).shape == (rows, 10)


@pytest.mark.parametrize(
    ("seconds", "yamnet_rows", "vggish_rows"),
    # Native YAMNet rows: 20 in 10 s, 19 in 9.5 s, 10 in 5 s; every second one is kept.
    [(10, 10, 10), (9.5, 10, 9), (5, 5, 5), (0.975, 1, 1), (0.1, 1, 1)],
)
def test_rows_of_a_clip_are_those_of_the_paper(seconds, yamnet_rows, vggish_rows):
    waveform = torch.zeros(int(seconds * 16_000))
    assert len(yamnet.patches(waveform)) == yamnet_rows
    assert len(vggish.examples(waveform)) == vggish_rows


def test_mel_triangles_peak_at_1_between_125_and_7500_hz_and_leave_dc_out():
    matrix = mel_matrix().numpy()
    assert matrix.shape == (257, 64)
    assert (matrix[0] == 0).all() and (matrix >= 0).all() and matrix.max() <= 1
    bins_hz = np.arange(257) * 16_000 / 512
    heard = bins_hz[matrix.sum(axis=1) > 0]
    assert heard.min() > 125 and heard.max() < 7500
    # Band 40's centre is the 41st of 64 equal steps in mel between the two ends.
    ends = [1127 * math.log(1 + hz / 700) for hz in (125, 7500)]
    centre_hz = hz_of_mel(ends[0] + 41 * (ends[1] - ends[0]) / 65)
    assert abs(bins_hz[matrix[:, 40].argmax()] - centre_hz) <= 16_000 / 512


def test_silence_is_the_logarithm_of_the_offset():
    log_mel = LogMel(0.001)(torch.zeros(1, PATCH_SAMPLES))
    assert log_mel.shape == (1, 96, 64)
    torch.testing.assert_close(log_mel, torch.full_like(log_mel, math.log(0.001)))


@pytest.mark.real_data
def test_log_mel_is_that_of_the_tensorflow_reference(real_data):
    golden = np.load(real_data / "golden" / "yamnet_golden.npz")
    for clip in ("dog_975ms", "baby_5000ms", "R9_ZSCveAHg_7s"):
        expected = golden[f"{clip}_log_mel"]
        waveform = torch.from_numpy(golden[f"{clip}_waveform"])
        padded = torch.nn.functional.pad(waveform, (0, 100_000))
        ours = LogMel(yamnet.LOG_OFFSET)(padded[None])[0, : len(expected)]
        np.testing.assert_allclose(ours, expected, atol=5e-4)
    golden = np.load(real_data / "golden" / "vggish_golden.npz")
    examples = vggish.examples(torch.from_numpy(golden["r9_waveform"]))
    ours = LogMel(vggish.LOG_OFFSET)(examples)
    np.testing.assert_allclose(ours, golden["r9_examples"], atol=5e-4)

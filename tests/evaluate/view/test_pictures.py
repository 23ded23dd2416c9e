"""What a clip's spectrogram shows."""

import numpy as np

from evaluate.view.pictures import SHADES, spectrogram
from extract.sound.audio import Audio


def test_silence_is_dark_and_the_loudest_moment_bright():
    rate = 16_000
    silence = Audio(waveform=np.zeros(rate, np.float32), sample_rate_hz=rate)
    assert not spectrogram(silence).any()
    click = np.zeros(rate, np.float32)
    click[rate // 2] = 1.0
    shades = spectrogram(Audio(waveform=click, sample_rate_hz=rate))
    assert shades.max() == SHADES - 1 and shades[:, 0].max() < SHADES // 4

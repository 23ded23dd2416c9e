"""Sounds small enough to travel with a report, or inside a page: mono Ogg Vorbis."""

import io

import numpy as np
import soundfile
import torch

from extract.sound.audio import Audio
from extract.sound.decode import resample_all

# What carries a clip as the networks hear it: PANNs' rate is the highest of theirs.
MOST_HZ = 32_000
# libsndfile's Vorbis encoder has trouble with long writes at once; blocks cost nothing.
_BLOCK = 1 << 14


def as_ogg(audio: Audio) -> bytes:
    """A sound as a file of Ogg Vorbis, about 50 kB for 10 s.

    In memory, since libsndfile does not say why a disk refuses.

    Args:
        audio: any rate; above 32 kHz it is resampled.
    """
    file = io.BytesIO()
    waveform, rate_hz = audio.waveform, audio.sample_rate_hz
    if rate_hz > MOST_HZ:
        [heard] = resample_all([torch.from_numpy(waveform)], [rate_hz], MOST_HZ)
        waveform, rate_hz = heard.numpy(), MOST_HZ
    with soundfile.SoundFile(
        file, "w", samplerate=rate_hz, channels=1, format="OGG", subtype="VORBIS"
    ) as out:
        for start in range(0, len(waveform), _BLOCK):
            out.write(np.clip(waveform[start : start + _BLOCK], -1, 1))
    return file.getvalue()

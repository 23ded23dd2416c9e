"""Sound in memory, from a file or from Python: mono float32 at the rate that it came with."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from extract.sound.blocks import MAX_CHANNELS, check_rate, finite, mean, read_blocks
from features.common.errors import ClipError

# What one clip may cost: 1.5 h, this many samples per channel (1 GB as float32), and so many in
# all of its channels.
MAX_DURATION_S = 5_400
MAX_FRAMES = MAX_DURATION_S * 48_000
MAX_SAMPLES = 8 * MAX_FRAMES

# Whole numbers by type, and what is full scale in them.
_FULL_SCALE = {"int16": 2**15, "int32": 2**31}


@dataclass(frozen=True, kw_only=True)
class Audio:
    """Sound: `waveform` float32 [n], mono, nominally within ±1, at `sample_rate_hz`.

    What is given is converted or refused, never misread: floats of any width and 16- or 32-bit
    whole numbers (divided by full scale) become float32, channels of [n, channels] are averaged.

    Raises:
        ClipError: of another type or shape ([channels, n] too: transpose it), without samples, with
            samples that are not finite, or of a rate that is none.
    """

    waveform: np.ndarray
    sample_rate_hz: int

    def __post_init__(self) -> None:
        rate_hz = self.sample_rate_hz
        if int(rate_hz) != rate_hz:
            raise ClipError(f"sample rate {rate_hz} Hz, expected a whole number")
        check_rate(rate_hz)
        object.__setattr__(self, "sample_rate_hz", int(rate_hz))
        object.__setattr__(self, "waveform", _mono(np.asarray(self.waveform)))

    @property
    def duration_s(self) -> float:
        return len(self.waveform) / self.sample_rate_hz


def load_audio(path: Path) -> Audio:
    """Decode a whole file and average its channels (`read_blocks` says how).

    Memory is bounded by the mono waveform and a quarter more: channels are averaged block by block.

    Raises:
        ClipError: as `read_blocks` does, and if the file is too long.
    """
    blocks = read_blocks(path, accept=check_size)
    first = next(blocks)
    waveform, done = first.waveform, len(first.waveform)
    for block in blocks:
        end = done + len(block.waveform)
        if end > len(waveform):  # in place: the sound is never there twice
            waveform.resize(end + end // 4, refcheck=False)
        waveform[done:end] = block.waveform
        done = end
    if done < len(waveform):
        waveform.resize(done, refcheck=False)
    return Audio(waveform=waveform, sample_rate_hz=first.sample_rate_hz)


def check_size(frames: int, rate_hz: int, channels: int) -> None:
    """Refuse what takes too much to decode: by the header, and again as it is decoded.

    Raises:
        ClipError: if it lasts too long at this rate and with so many channels.
    """
    most = min(MAX_FRAMES, MAX_DURATION_S * rate_hz, MAX_SAMPLES // channels)
    if frames > most:
        of = f"{rate_hz:,} Hz" if channels == 1 else f"{rate_hz:,} Hz and {channels} channels"
        raise ClipError(
            f"too long: {frames / rate_hz / 3600:.2f} h at {of}, at most "
            f"{most / rate_hz / 3600:.2f} h; cut it into pieces"
        )


def _mono(samples: np.ndarray) -> np.ndarray:
    kind = samples.dtype.name
    if samples.dtype.kind != "f" and kind not in _FULL_SCALE:
        raise ClipError(f"samples of type {kind}, expected float32, float64, int16 or int32")
    if kind in _FULL_SCALE:
        samples = (samples / _FULL_SCALE[kind]).astype(np.float32)
    if samples.ndim == 2 and samples.shape[1] <= min(MAX_CHANNELS, samples.shape[0]):
        samples = mean(samples)
    if samples.ndim != 1:
        shape = list(samples.shape)
        raise ClipError(f"samples of shape {shape}, expected [samples] or [samples, channels]")
    if not len(samples):
        raise ClipError("no samples")
    return finite(samples.astype(np.float32, copy=False))

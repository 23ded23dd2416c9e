"""Recordings of any length as windows of some seconds, in constant memory."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from extract.sound.audio import Audio
from extract.sound.blocks import Block, check_file, read_blocks
from features.common.errors import ClipError

WINDOW_S = 10.0  # what AudioCaps' clips last
# A shorter rest joins the window before it: below this a network's window is mostly padding.
LEAST_S = 1.0
_BYTES_PER_S = 16_000  # of a file whose header does not say how long it lasts: 128 kbit/s
_BLOCK = 1 << 20  # samples


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A part of a recording: `waveform` float32 [n], mono, from sample `start` on."""

    waveform: np.ndarray
    sample_rate_hz: int
    start: int

    @property
    def start_s(self) -> float:
        return self.start / self.sample_rate_hz

    @property
    def end_s(self) -> float:
        return (self.start + len(self.waveform)) / self.sample_rate_hz

    @property
    def peak(self) -> float:
        """Its loudest sample, 1 is full scale."""
        # Without an array of absolute values.
        return float(max(self.waveform.max(initial=0.0), -self.waveform.min(initial=0.0)))


def read_windows(path: Path, *, hop_s: float | None = None) -> Iterator[Stretch]:
    """Decode a file and cut it into windows as it is decoded.

    Memory holds one window and two blocks of the decoder (some megabytes), however long the file
    is. Windows of WINDOW_S begin every `hop_s`; the last one ends with the file: a rest of less
    than LEAST_S that no window has heard yet joins the window before it. So with hop and length
    equal the windows are side by side and every sample is in exactly one.

    Args:
        path: as for `read_blocks`.
        hop_s: from one window's start to the next, above 0 and at most WINDOW_S; None for that.

    Yields:
        Windows in order, at least one, each as soon as it is decoded.

    Raises:
        ClipError: as `read_blocks` does. What only decoding shows (a damaged packet) comes after
            the windows before it, which are sound.
        ValueError: if the hop makes no windows.
    """
    return _cut(read_blocks(path), hop_s)


def cut_windows(audio: Audio, *, hop_s: float | None = None) -> Iterator[Stretch]:
    """Windows of sound in memory, where `read_windows` cuts a file.

    Raises:
        ValueError: if the hop makes no windows.
    """
    waveform, rate_hz = audio.waveform, audio.sample_rate_hz
    blocks = (
        Block(waveform=waveform[at : at + _BLOCK], sample_rate_hz=rate_hz)
        for at in range(0, len(waveform), _BLOCK)
    )
    return _cut(blocks, hop_s)


def promised_s(path: Path) -> float:
    """What a header says that a file lasts, nothing decoded; 0.0 where it says nothing."""
    try:
        check_file(path)  # a pipe would be waited for
        info = soundfile.info(os.fsencode(path))  # a name may be no UTF-8
    except (soundfile.LibsndfileError, RuntimeError, OSError, ClipError):
        return 0.0
    # A flac that was written to a pipe "has" 2 ** 63 - 1 samples.
    return info.duration if info.frames < 2**62 else 0.0


def guessed_s(path: Path) -> float:
    """What a file lasts by its header, or else by its size: for progress, not to rely on."""
    try:
        return promised_s(path) or path.stat().st_size / _BYTES_PER_S
    except OSError:
        return 0.0


def _cut(blocks: Iterable[Block], hop_s: float | None) -> Iterator[Stretch]:
    hop_s = WINDOW_S if hop_s is None else hop_s
    if not 0 < hop_s <= WINDOW_S:
        raise ValueError(f"no windows of {WINDOW_S} s every {hop_s} s")
    heard = np.empty(0, np.float32)  # from sample `start` on
    start = length = hop = least = rate_hz = 0
    for block in blocks:
        if not rate_hz:
            rate_hz = block.sample_rate_hz
            length, hop, least = (max(1, round(s * rate_hz)) for s in (WINDOW_S, hop_s, LEAST_S))
        heard = np.concatenate([heard, block.waveform])
        # Only then is it certain that another window follows.
        while len(heard) >= length + least:
            yield Stretch(waveform=heard[:length].copy(), sample_rate_hz=rate_hz, start=start)
            heard = heard[hop:]
            start += hop
    yield Stretch(waveform=heard.copy(), sample_rate_hz=rate_hz, start=start)

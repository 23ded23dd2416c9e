"""The one path from an audio file to samples, for all networks: block by block, channels averaged.

What decoders read without a word although it is damaged, and what they pass over, is found here: a
file is read to its true end, or refused with the true reason.
"""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soxr

from extract.sound.files import ffmpeg
from extract.sound.files.heads import is_text
from extract.sound.files.libsndfile import Stream, Undecodable
from extract.sound.files.links import streams_of
from extract.sound.files.ogg import UNMARKED
from extract.sound.files.pieces import Streams
from features.common.damaged import seen_in
from features.common.errors import ClipError

MIN_RATE_HZ, MAX_RATE_HZ = 4_000, 384_000
# An Ogg file may have 255, each of which costs as much to decode as a recording of its own.
MAX_CHANNELS = 64
LARGEST = 2.0**31

# Is told samples per channel, rate and channels, and may raise ClipError.
Accept = Callable[[int, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Block:
    """Some of a file's samples: `waveform` float32 [n], the mean of the channels, all finite."""

    waveform: np.ndarray
    sample_rate_hz: int


def read_blocks(
    path: Path, *, accept: Accept = lambda frames, rate_hz, channels: None
) -> Iterator[Block]:
    """Decode a file of any length, some seconds at a time, in constant memory.

    A chain, or joined files, are read to the end of the last, at the rate of the first. A wav whose
    header says less than the file holds is taken at the header's word; one written to a pipe, which
    has no length, is read to its end. MPEG frames are counted; of a LAME header's padding as much
    is dropped as ffmpeg drops. What libsndfile cannot decode goes through `ffmpeg` where there is
    one on the PATH.

    Args:
        path: wav, flac, ogg, opus, mp3, aiff, au, caf … of any width, rate and channel count.
        accept: is told what the header promises, where it does, and what was decoded so far.

    Yields:
        Blocks of one rate, at least one, none empty, none longer than BLOCK_SAMPLES.

    Raises:
        ClipError: with the reason for failures.csv: absent, empty, not audio, of a kind that cannot
            be decoded here, truncated, of a senseless rate, without samples, or with samples that
            are not finite. What only decoding shows comes after the blocks before it.
    """
    check_file(path)
    total = rate_hz = 0
    try:
        with path.open("rb") as file:
            for waveform, rate_hz, channels in _decoded(path, file, accept):
                total += len(waveform)
                accept(total, rate_hz, channels)
                if len(waveform):
                    yield Block(waveform=finite(waveform), sample_rate_hz=rate_hz)
    except OSError as error:
        raise ClipError(f"cannot be read: {error.strerror or error}") from error
    if total == 0:
        raise ClipError("no samples: its header promises none")


def mean(block: np.ndarray) -> np.ndarray:
    """[n, channels] → [n]. Column by column: numpy's mean over so short an axis takes 40 times."""
    total = block[:, 0].copy()
    # What is not finite is refused later, not warned of.
    with np.errstate(over="ignore", invalid="ignore"):
        for channel in range(1, block.shape[1]):
            total += block[:, channel]
        total /= total.dtype.type(block.shape[1])
    return total


def finite(samples: np.ndarray) -> np.ndarray:
    """The samples themselves.

    Raises:
        ClipError: if some are not finite, or larger than whole numbers saved as floats can be:
            the networks' squares of them would not be.
    """
    low, high = float(samples.min(initial=0.0)), float(samples.max(initial=0.0))
    if low >= -LARGEST and high <= LARGEST:  # NaN is neither
        return samples
    bad = len(samples) - np.count_nonzero(np.isfinite(samples))
    if bad:
        raise ClipError(f"{bad:,} of {len(samples):,} samples are NaN or infinite")
    raise ClipError(
        f"samples of up to {max(-low, high):.2g}, where 1 is full scale: no sound, or of another "
        "type than its header says"
    )


def check_rate(rate_hz: int) -> None:
    """Raise ClipError unless this is a rate that sound has."""
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise ClipError(
            f"sample rate {rate_hz:,} Hz, expected {MIN_RATE_HZ:,} to {MAX_RATE_HZ:,} Hz"
        )


def check_file(path: Path) -> None:
    try:
        status = path.stat()
    except OSError as error:  # a symlink loop or a link to nothing too
        raise ClipError(f"cannot be opened: {error.strerror}") from error
    if stat.S_ISDIR(status.st_mode):
        raise ClipError("is a folder, not an audio file")
    if not stat.S_ISREG(status.st_mode):
        raise ClipError("is no regular file")
    if status.st_size == 0:
        raise ClipError("empty file")
    if not os.access(path, os.R_OK):
        raise ClipError("cannot be opened: Permission denied")


def _decoded(path: Path, file: BinaryIO, accept: Accept) -> Iterator[tuple[np.ndarray, int, int]]:
    """Mono samples, their rate (the same for all) and how many channels they are the mean of."""
    streams = streams_of(file, os.fstat(file.fileno()).st_size)
    if streams.problem and not _ends_by_its_count(path, file, streams):
        raise ClipError(streams.problem)
    rate_hz = 0
    for number, link in enumerate(streams.links, start=1):
        try:
            stream = Stream(file, link)
        except Undecodable as error:
            if number > 1:
                of = len(streams.links)
                raise ClipError(f"not readable: stream {number} of {of} in it: {error}") from error
            reason = f"libsndfile does not know its codec or its form ({error})"
            yield from _by_ffmpeg(path, file, f"not readable as audio: {reason}", accept)
            return
        with stream:
            rate_hz = rate_hz or stream.samplerate
            _check_header(stream.promised or 0, stream.samplerate, stream.channels, accept)
            mono = map(mean, stream.blocks_to_end())
            for waveform in _resampled(mono, stream.samplerate, rate_hz):
                yield waveform, rate_hz, stream.channels
    if not streams.links:
        reason = "libsndfile cannot decode this kind (m4a, aac, webm, wma …)"
        yield from _by_ffmpeg(path, file, reason, accept)


def _by_ffmpeg(
    path: Path, file: BinaryIO, reason: str, accept: Accept
) -> Iterator[tuple[np.ndarray, int, int]]:
    file.seek(0)
    if is_text(file.read(64)):
        raise ClipError(f"is text, not audio: it {seen_in(path, binary=True)}")
    if not ffmpeg.available():
        raise ClipError(f"{reason} and {ffmpeg.LACKING}; {ffmpeg.ADVICE}")
    with ffmpeg.opened(path) as pipe:
        _check_header(0, pipe.rate_hz, pipe.channels, accept)
        for block in pipe.blocks:
            yield mean(block), pipe.rate_hz, pipe.channels


def _check_header(frames: int, rate_hz: int, channels: int, accept: Accept) -> None:
    check_rate(rate_hz)
    if channels > MAX_CHANNELS:
        raise ClipError(f"{channels} channels, expected {MAX_CHANNELS} at most")
    accept(frames, rate_hz, channels)


def _resampled(mono: Iterator[np.ndarray], rate_hz: int, to_hz: int) -> Iterator[np.ndarray]:
    """A later stream of a chain at the rate of the first."""
    if rate_hz == to_hz:
        yield from mono
        return
    resampler = soxr.ResampleStream(rate_hz, to_hz, 1)
    for waveform in mono:
        yield resampler.resample_chunk(waveform)
    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def _ends_by_its_count(path: Path, file: BinaryIO, streams: Streams) -> bool:
    """Whether an Ogg stream is whole although its last page lacks the flag of the end.

    Its last page then counts fewer samples than its packets give, which only the true end does.
    ffmpeg, where there is one, gives all that is in the packets.
    """
    if streams.problem != UNMARKED or len(streams.links) > 1 or not ffmpeg.available():
        return False
    try:
        with Stream(file, streams.links[0]) as stream, ffmpeg.opened(path) as pipe:
            seconds = sum(map(len, pipe.blocks)) / pipe.rate_hz
            return seconds > (stream.promised or 0) / stream.samplerate
    except (Undecodable, ClipError):
        return False

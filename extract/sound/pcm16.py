"""Ordinary 16-bit wav files, read as they are; `load_audio` reads the same, and all others."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from extract.sound.blocks import check_file, check_rate
from extract.sound.files.libsndfile import Stream, Undecodable
from extract.sound.files.links import streams_of

MOST_CHANNELS = 2  # the mean of which float32 holds exactly


class Pcm16(NamedTuple):
    """What was read: `channels` of `frames` samples, one frame after the other."""

    frames: int
    channels: int
    sample_rate_hz: int


def read_pcm16(path: Path, into: np.ndarray) -> Pcm16 | None:
    """Read a file's samples straight into memory that is there.

    Args:
        path: of any file.
        into: int16 [n].

    Returns:
        None for what is no 16-bit wav of one or two channels, whole and one, that fits: for
        `load_audio`, which says what is wrong where something is.

    Raises:
        ClipError: as `load_audio` does, for some of what it refuses.
    """
    check_file(path)
    try:
        with path.open("rb") as file:
            head = file.read(12)
            if head[:4] != b"RIFF" or head[8:] != b"WAVE":
                return None
            streams = streams_of(file, os.fstat(file.fileno()).st_size)
            if streams.problem or len(streams.links) != 1:
                return None
            with Stream(file, streams.links[0]) as stream:
                channels = stream.channels
                if stream.subtype != "PCM_16" or channels > MOST_CHANNELS:
                    return None
                check_rate(stream.samplerate)
                room = into[: len(into) // channels * channels].reshape(-1, channels)
                frames = len(stream.read(out=room))
                if not frames or frames != stream.promised:
                    return None
                return Pcm16(frames, channels, stream.samplerate)
    except (OSError, Undecodable, soundfile.LibsndfileError):
        return None

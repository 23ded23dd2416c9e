"""What libsndfile cannot decode, through the `ffmpeg` on the PATH: samples through a pipe.

The file is somebody else's: ffmpeg gets no other file or address (containers that can name others,
such as playlists, are not opened), no input, one thread, and a time limit.
"""

import os
import selectors
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO

import numpy as np

from features.common.errors import ClipError

LACKING = "there is no ffmpeg on the PATH"
ADVICE = "convert it, for instance with: ffmpeg -i IN OUT.flac"

# Containers by ffmpeg's names, none of which can name other files or addresses.
_CONTAINERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,gsm,iff,loas,matroska,"
    "mov,mp3,mpc,mpc8,mpeg,mpegts,nistsphere,ogg,oma,qcp,rm,shn,tak,truehd,tta,voc,w64,wav,wv"
)
# What ffmpeg says in words of its options.
_PLAIN_WORDS = {
    "not on whitelist": "no sound, says ffmpeg, but an archive, a playlist or the like: unpack it",
    "matches no streams": "no sound in it, says ffmpeg: pictures alone, or nothing",
}
# For any next samples, and of the processor's time in all.
WAIT_S = 60.0
_PROCESSOR_S = 3_600
_READ_BYTES = 1 << 18
_SAID_BYTES = 4_096
_HEAD_BYTES = 24  # of Sun's au


@dataclass(frozen=True, kw_only=True)
class Pipe:
    """What ffmpeg decodes: blocks of float32 [n, channels] at one rate."""

    rate_hz: int
    channels: int
    blocks: Iterator[np.ndarray]


def available() -> bool:
    """Whether there is an ffmpeg on the PATH."""
    return shutil.which("ffmpeg") is not None


@contextmanager
def opened(path: Path) -> Iterator[Pipe]:
    """Let ffmpeg decode the first sound in a file.

    Raises:
        ClipError: if it cannot, finds the file damaged, or takes too long; also while the blocks
            are read. The words are ffmpeg's.
    """
    with tempfile.TemporaryFile() as said:
        # As bytes, and behind `file:`: a name need not be UTF-8, and may begin with a dash.
        command: list[str | bytes] = [
            "ffmpeg",
            *_OPTIONS,
            "-i",
            b"file:" + os.fsencode(path.absolute()),
            *_OUTPUT,
        ]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said
        )
        assert process.stdout is not None
        try:
            source = _read(process.stdout)
            head = b""
            while len(head) < _HEAD_BYTES or len(head) < int.from_bytes(head[4:8], "big"):
                some = next(source, b"")
                if not some:
                    _check_end(process, said)
                    raise ClipError("no sound in it, says ffmpeg")
                head += some
                if not head.startswith(b".snd"[: len(head)]):
                    raise ClipError("ffmpeg on the PATH gives something else than sound")
            _, offset, _, _, rate_hz, channels = struct.unpack(">4sIIIII", head[:_HEAD_BYTES])
            blocks = _blocks(process, said, source, head[offset:], channels)
            yield Pipe(rate_hz=rate_hz, channels=channels, blocks=blocks)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


_OPTIONS = (
    *("-nostdin", "-hide_banner", "-v", "error", "-xerror", "-threads", "1"),
    *("-timelimit", str(_PROCESSOR_S), "-err_detect", "explode"),
    *("-protocol_whitelist", "file", "-format_whitelist", _CONTAINERS),
)
# Sun's au: a header of fixed form with rate and channels, then big-endian float32.
_OUTPUT = (
    *("-map", "0:a:0", "-threads", "1", "-af", "asetpts=N/SR/TB"),
    *("-c:a", "pcm_f32be", "-f", "au", "-protocol_whitelist", "pipe", "pipe:1"),
)


def _read(pipe: IO[bytes]) -> Iterator[bytes]:
    """What comes through a pipe, until it ends."""
    with selectors.DefaultSelector() as waiting:
        waiting.register(pipe, selectors.EVENT_READ)
        while True:
            if not waiting.select(timeout=WAIT_S):
                raise ClipError(f"ffmpeg decoded nothing for {WAIT_S:g} s and was ended")
            some = os.read(pipe.fileno(), _READ_BYTES)
            if not some:
                return
            yield some


def _blocks(
    process: subprocess.Popen, said: IO[bytes], source: Iterator[bytes], rest: bytes, channels: int
) -> Iterator[np.ndarray]:
    width = 4 * channels
    for some in chain([b""], source):
        rest += some
        whole = len(rest) - len(rest) % width
        if whole:
            yield np.frombuffer(rest[:whole], ">f4").astype(np.float32).reshape(-1, channels)
            rest = rest[whole:]
    _check_end(process, said)


def _check_end(process: subprocess.Popen, said: IO[bytes]) -> None:
    code = process.wait(timeout=WAIT_S)
    said.seek(0)
    lines = said.read(_SAID_BYTES).decode("utf-8", "replace").splitlines()
    if code or lines:
        first = lines[0] if lines else f"it ended with code {code}"
        for words, meaning in _PLAIN_WORDS.items():
            if words in first:
                raise ClipError(meaning)
        raise ClipError(f"ffmpeg cannot decode it whole: {first.rpartition('] ')[2].strip()}")

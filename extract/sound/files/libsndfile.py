"""Streams of sound through libsndfile, each to its true end."""

import os
import re
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import soundfile

from extract.sound.files.pieces import Link, Pieces
from features.common.errors import ClipError

BLOCK_SAMPLES = 1 << 20  # of all channels together

# libsndfile repairs a header that promises more bytes than there are and says so only in its log:
# `data` of wav and caf, `SSND` of aiff, `Data Size` of au, `riff` of w64, `Riff size` of rf64.
_REPAIRED = re.compile(
    r"^ *(?:data|SSND|Data Size|riff|Riff size) *: (\d+) \(should be (\d+)\)", re.MULTILINE
)
# Programs that write to a pipe cannot know the length; they leave this or more, up to 2**32 - 1.
_UNKNOWN_BYTES = 0x7FFFF000
_UNKNOWN_FRAMES = 1 << 62  # libsndfile's 2**63 - 1
_LOOKED_FOR_FRAMES = 1_024
# libmpg123 may give nothing for a packet that leans on one that is not there.
_MPEG_SLACK_FRAMES = 2 * 1152


class Undecodable(Exception):
    """libsndfile does not know what is inside; its words for that."""


class Stream(soundfile.SoundFile):
    """A stream that is read once, from its beginning to its end."""

    def __init__(self, file: BinaryIO, link: Link) -> None:
        """Open a stream of a file that lies open.

        Raises:
            Undecodable: if libsndfile cannot.
            ClipError: if its header promises more than is there.
        """
        self.link = link
        try:
            if link.pieces == [(0, os.fstat(file.fileno()).st_size)] and not link.endless:
                os.lseek(file.fileno(), 0, os.SEEK_SET)
                super().__init__(os.dup(file.fileno()))  # without our callbacks: a third faster
            else:
                super().__init__(Pieces(file, link.pieces, endless=link.endless))
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise Undecodable(_words(error)) from error
        repaired = _REPAIRED.search(self.extra_info)
        if repaired:
            promised, present = map(int, repaired.groups())
            if present < promised < _UNKNOWN_BYTES:
                raise ClipError(f"truncated: {present:,} bytes of the {promised:,} in its header")

    def seekable(self) -> bool:
        return False  # or soundfile would stop at libsndfile's count, and seek after every block

    @property
    def promised(self) -> int | None:
        """Samples per channel by its header, padding included; None where that says nothing."""
        if self.link.frames is not None or self.link.endless:
            return self.link.frames
        return self.frames if self.frames < _UNKNOWN_FRAMES else None

    def blocks_to_end(self) -> Iterator[np.ndarray]:
        """float32 [n, channels], without its encoder's padding.

        Raises:
            ClipError: if it ends before it should, or is damaged.
        """
        total, size = 0, max(1, BLOCK_SAMPLES // self.channels)
        while True:
            # A block ends where the stream should, so that what is behind harms no sound. Looking
            # for more takes little: libsndfile fills what it does not read with zeros.
            left = size if self.promised is None else self.promised - total
            wanted = min(size, left) if left > 0 else min(size, _LOOKED_FOR_FRAMES)
            try:
                block = self.read(wanted, "float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                if self.promised is not None and total >= self.promised:
                    return
                raise ClipError(f"truncated or damaged: {_words(error)}") from error
            if not len(block):
                break
            yield _without(block, total, self.link.drop)
            total += len(block)
        slack = _MPEG_SLACK_FRAMES if self.link.endless else 0
        if self.promised is not None and total < self.promised - slack:
            raise ClipError(f"truncated: {total:,} samples of the {self.promised:,} in its header")


def _without(block: np.ndarray, at: int, drop: tuple[tuple[int, int], ...]) -> np.ndarray:
    for start, stop in reversed(drop):
        first, last = max(0, start - at), min(len(block), stop - at)
        if first < last:  # at either end without a copy
            kept = [part for part in (block[:first], block[last:]) if len(part)]
            block = np.concatenate(kept) if len(kept) > 1 else kept[0] if kept else block[:0]
    return block


def _words(error: Exception) -> str:
    words = str(error).rsplit(": ", maxsplit=1)[-1].rstrip(". ")
    # libsndfile's word for an mp3 without a single packet
    return "no sound in it" if "does not exist" in words else words

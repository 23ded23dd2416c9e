"""Pieces of a file, read as if they were a file of their own, which libsndfile decodes."""

import io
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# A stretch of the file, from its first byte to the one behind its last; or bytes put in its place.
Piece = tuple[int, int] | bytes

_ENDLESS_BYTES = 1 << 40
_ID3V1_BYTES = 128


@dataclass(frozen=True, kw_only=True)
class Link:
    """One stream of sound in a file; chained and joined files hold several.

    Attributes:
        pieces: where it lies.
        endless: claims to go on far behind its end, so that no guess from its length is too small.
        frames: samples per channel that it must give before `drop`, None for what libsndfile says.
        drop: stretches of samples that are its encoder's padding, in order.
    """

    pieces: Sequence[Piece]
    endless: bool = False
    frames: int | None = None
    drop: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Streams:
    """What a file holds.

    Attributes:
        links: for libsndfile, none if it cannot decode such a file.
        problem: why the file is not whole, or nothing.
    """

    links: tuple[Link, ...]
    problem: str = ""


class Pieces(io.RawIOBase):
    """A read-only file made of pieces of another one."""

    def __init__(self, file: BinaryIO, pieces: Sequence[Piece], *, endless: bool = False) -> None:
        """
        Args:
            file: the other one, whose position moves.
            pieces: what to read, in order.
            endless: whether to claim a length that no count of samples stays below.
        """
        self._file = file
        self._pieces = pieces
        self._ends = list(accumulate(_length(piece) for piece in pieces))
        self._claimed = _ENDLESS_BYTES if endless else self._ends[-1]
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._claimed}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Fill the buffer as far as the pieces reach."""
        view = memoryview(buffer).cast("B")
        if self._at >= self._claimed - _ID3V1_BYTES and self._claimed > self._ends[-1]:
            # libmpg123 looks for a tag at the end that we claim: there is none.
            view[:] = bytes(len(view))
            self._at += len(view)
            return len(view)
        done = 0
        index = bisect_right(self._ends, self._at)
        while done < len(view) and index < len(self._pieces):
            piece = self._pieces[index]
            inside = self._at - (self._ends[index] - _length(piece))
            count = min(len(view) - done, _length(piece) - inside)
            if isinstance(piece, bytes):
                view[done : done + count] = piece[inside : inside + count]
                got = count
            else:
                self._file.seek(piece[0] + inside)
                got = self._file.readinto(view[done : done + count])  # type: ignore[attr-defined]
            if not got:
                break
            done += got
            self._at += got
            index = bisect_right(self._ends, self._at)
        return done


def _length(piece: Piece) -> int:
    return len(piece) if isinstance(piece, bytes) else piece[1] - piece[0]

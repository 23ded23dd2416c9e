"""FLAC files that say too little of their length, or nothing, or of which several are joined.

libsndfile stops at the count in the header and refuses a header without one, which is what a
program that writes to a pipe leaves. Its count is taken out, so that each is read to its end.
"""

from typing import BinaryIO

from extract.sound.files.pieces import Link, Piece

# The marker, and the head of the block that follows it: type 0, 34 bytes (RFC 9639, section 8).
_BEGINNING = b"fLaC\x00\x00\x00\x22"
_UNCOUNTED = b"fLaC\x80\x00\x00\x22"  # the same where no block follows
_BYTES_TO_COUNT = 8 + 13
_HEAD_BYTES = 8 + 34
_SEARCHED_BYTES = 1 << 20


def links(file: BinaryIO, start: int, stop: int) -> list[Link]:
    """The FLAC streams between two places of a file, each with the count that its header gives."""
    starts = _beginnings(file, start, stop) or [start]
    found = []
    for first, end in zip(starts, [*starts[1:], stop], strict=True):
        file.seek(first)
        head = bytearray(file.read(_HEAD_BYTES))
        if len(head) < _HEAD_BYTES:  # libsndfile has the words for it
            found.append(Link(pieces=[(first, end)]))
            continue
        count = head[_BYTES_TO_COUNT : _BYTES_TO_COUNT + 5]  # 36 bits, the first four not its own
        frames = int.from_bytes(count, "big") & (1 << 36) - 1
        head[_BYTES_TO_COUNT : _BYTES_TO_COUNT + 5] = bytes([count[0] & 0xF0, 0, 0, 0, 0])
        pieces: list[Piece] = [bytes(head), (first + _HEAD_BYTES, end)]
        found.append(Link(pieces=pieces, frames=frames or None))
    return found


def _beginnings(file: BinaryIO, start: int, stop: int) -> list[int]:
    found, at, kept = [], start, b""
    while at < stop:
        file.seek(at)
        some = file.read(min(_SEARCHED_BYTES, stop - at))
        if not some:
            break
        text = kept + some
        for mark in (_BEGINNING, _UNCOUNTED):
            place = text.find(mark)
            while place >= 0:
                found.append(at - len(kept) + place)
                place = text.find(mark, place + 1)
        kept = text[-(len(_BEGINNING) - 1) :]
        at += len(some)
    return sorted(found)

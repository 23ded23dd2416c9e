"""Ogg files as chains of streams (RFC 3533): where each begins, and whether the last one ends.

libsndfile stops after the first stream of a chain; each is given to it as a file of its own.
"""

from collections.abc import Iterator
from typing import BinaryIO

from extract.sound.files.pieces import Link, Streams

BROKEN = "damaged: Ogg pages in it belong to a stream whose beginning is gone"
CUT = "truncated: its last Ogg page is cut"
UNMARKED = (
    "truncated: its last Ogg page is not the end of the stream (if it was written without that "
    "mark, mend it, for instance with: ffmpeg -i IN OUT.flac)"
)

_HEAD_BYTES = 27
_BEGINS, _ENDS = 2, 4  # flags of a page
_SEARCHED_BYTES = 1 << 16


def chain(file: BinaryIO, start: int, stop: int) -> Streams:
    """Look at the pages between two places of a file; the problem is BROKEN, CUT, UNMARKED or none.

    Streams that run side by side (sound and pictures) are one link. Bytes between pages, and behind
    the last, are passed over.
    """
    links: list[Link] = []
    first, end, flags = start, start, 0
    going_on: set[bytes] = set()  # numbers of streams that have begun and not ended
    for at, flags_here, number, size in _pages(file, start, stop):
        if flags_here & _BEGINS and not flags & _BEGINS and at > first:
            links.append(Link(pieces=[(first, end)]))
            first = at
            going_on.clear()
        if flags_here & _BEGINS:
            going_on.add(number)
        elif number not in going_on and at + size <= stop:
            return Streams(links=(), problem=BROKEN)
        if flags_here & _ENDS:
            going_on.discard(number)
        if at + size > stop:
            links.append(Link(pieces=[(first, stop)]))
            return Streams(links=tuple(links), problem=CUT)
        end, flags = at + size, flags_here
    links.append(Link(pieces=[(first, end)]))
    return Streams(links=tuple(links), problem="" if flags & _ENDS else UNMARKED)


def _pages(file: BinaryIO, start: int, stop: int) -> Iterator[tuple[int, int, bytes, int]]:
    """Place, flags, stream and size of every page; the last may reach beyond `stop`."""
    at = start
    while at < stop:
        file.seek(at)
        head = file.read(min(_HEAD_BYTES + 255, stop - at))
        if not head.startswith(b"OggS"):
            at = _next(file, at + 1, stop)
            continue
        segments = head[_HEAD_BYTES - 1] if len(head) >= _HEAD_BYTES else 0
        lengths = head[_HEAD_BYTES : _HEAD_BYTES + segments]
        whole = len(head) >= _HEAD_BYTES and len(lengths) == segments
        size = _HEAD_BYTES + segments + sum(lengths) if whole else stop - at + 1
        yield at, head[5] if len(head) > 5 else 0, head[14:18], size
        at += size


def _next(file: BinaryIO, at: int, stop: int) -> int:
    """Where the next page begins, or `stop`."""
    while at < stop:
        file.seek(at)
        some = file.read(min(_SEARCHED_BYTES, stop - at))
        found = some.find(b"OggS")
        if found >= 0:
            return at + found
        at += max(1, len(some) - 3)
    return stop

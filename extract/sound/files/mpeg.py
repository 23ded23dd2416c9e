"""MPEG audio (mp1, mp2, mp3) frame by frame, whatever stands before, between and behind the frames.

An mp3 has no length: libsndfile takes it from a header that may be wrong, or guesses it from the
first frame. Here the frames are counted, tags and junk left out, and what is cut is told.
"""

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import BinaryIO, NamedTuple

from extract.sound.files.heads import id3v2_bytes
from extract.sound.files.pieces import Link, Streams

# kbit/s by (version 1 or not, layer) and index (ISO/IEC 11172-3, 2.4.2.3; 13818-3, 2.4.2.3).
_KBITS = {
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_KBITS[False, 3] = _KBITS[False, 2]
_RATES_HZ = (44_100, 48_000, 32_000)
# What the decoder adds in front of the encoder's own delay.
_DECODER_DELAY = 529
# Frames one after the other that are no accident, and how far to look for the first.
_CERTAIN = 3
_SEARCHED_BYTES = 1 << 20
# Three bytes that may begin a frame: sync, version and layer, bit rate and sample rate.
_HEAD = re.compile(
    rb"\xff[%s][%s]"
    % (
        b"".join(b"\\x%02x" % n for n in range(0xE0, 0x100) if n >> 3 & 3 != 1 and n >> 1 & 3),
        b"".join(b"\\x%02x" % n for n in range(0x10, 0xF0) if n >> 2 & 3 != 3),
    )
)
_WINDOW_BYTES = 1 << 18
_MAX_HEAD = 192  # enough of a frame for what its info header may hold
# A header without a count of bytes may count the padding of its encoder: two packets at most.
_SLACK_FRAMES = 2

# Gives up to so many bytes from a place on, fewer at the end.
_BytesAt = Callable[[int, int], bytes]


class _Head(NamedTuple):
    """A frame's header: what may not change within a stream, and the frame's size in bytes."""

    stream: tuple[int, int, int, bool]  # version bits, layer, rate, mono
    size: int


@dataclass
class _Stream:
    """Frames of one kind, one after the other, and what the header in front of them said."""

    kind: tuple[int, int, int, bool]
    pieces: list[list[int]] = field(default_factory=list)
    frames: int = 0
    info: "_Info | None" = None


@dataclass(frozen=True, kw_only=True)
class _Info:
    """A Xing, Info or VBRI header: frames and bytes that follow it, and padding in samples."""

    frames: int = 0
    bytes: int = 0
    delay: int | None = None
    padding: int = 0


def mpeg(file: BinaryIO, start: int, stop: int) -> Streams | None:
    """Look at the frames between two places of a file, several streams where kinds change; None if
    there are no frames.

    The samples that are dropped are those that ffmpeg drops: a LAME header's delay and padding.
    """
    bytes_at = _Window(file, stop).at
    while size := _tag_bytes(bytes_at(start, 32)):
        start += size
    first = _search(bytes_at, start, min(stop, start + _SEARCHED_BYTES), stop)
    if first is None:
        return None
    streams: list[_Stream] = []
    cut = 0
    for at, head in _frames(bytes_at, first, stop):
        if at + head.size > stop:
            cut = at + head.size - stop
            break
        if not streams or streams[-1].kind != head.stream:
            streams.append(_Stream(kind=head.stream))
        stream = streams[-1]
        info = _info(bytes_at(at, _MAX_HEAD), head)
        if info is not None:  # those of joined files too hold no sound
            if not stream.frames and stream.info is None:
                stream.info = info
            continue
        stream.frames += 1
        if stream.pieces and stream.pieces[-1][1] == at:
            stream.pieces[-1][1] = at + head.size
        else:
            stream.pieces.append([at, at + head.size])
    sounding = [stream for stream in streams if stream.frames]
    return Streams(links=_links(sounding), problem=_problem(sounding, cut))


def _problem(streams: list[_Stream], cut: int) -> str:
    if not streams:
        return "no sound in it"
    info = streams[0].info or _Info()
    found = sum(stream.frames for stream in streams)
    present = sum(end - start for stream in streams for start, end in stream.pieces)
    # The count of bytes is the better witness: it is written last, if at all.
    lacking = info.bytes > present if info.bytes else info.frames > found + _SLACK_FRAMES
    if info.frames > found and lacking:
        return f"truncated: {found:,} packets of the {info.frames:,} in its header"
    if cut and not 0 < info.frames <= found:
        return f"truncated: the last of its {found + 1:,} packets lacks {cut:,} bytes"
    return ""


def _links(streams: list[_Stream]) -> tuple[Link, ...]:
    found = []
    for number, stream in enumerate(streams):
        total = stream.frames * _samples(stream.kind)
        drop = []
        info = None if number else stream.info  # ffmpeg too keeps the padding of joined files
        if info is not None and info.delay is not None:
            drop.append((0, min(total, info.delay + _DECODER_DELAY)))
            end = total - max(0, info.padding - _DECODER_DELAY)
            alone = len(streams) == 1 and info.frames == stream.frames
            if alone and drop[0][1] < end < total:
                drop.append((end, total))
        pieces = [(start, end) for start, end in stream.pieces]
        found.append(Link(pieces=pieces, endless=True, frames=total, drop=tuple(drop)))
    return tuple(found)


def _samples(kind: tuple[int, int, int, bool]) -> int:
    version, layer, _, _ = kind
    if layer == 1:
        return 384
    return 576 if layer == 3 and version != 3 else 1152


class _Window:
    """Bytes of a file at any place, read in large pieces."""

    def __init__(self, file: BinaryIO, stop: int) -> None:
        self._file, self._stop = file, stop
        self._start, self._text = 0, b""

    def at(self, place: int, count: int) -> bytes:
        """Up to `count` bytes from `place` on, fewer at the end."""
        inside = place - self._start
        if inside < 0 or inside + count > len(self._text):
            self._file.seek(place)
            self._start, inside = place, 0
            self._text = self._file.read(max(0, min(_WINDOW_BYTES, self._stop - place)))
        return self._text[inside : inside + count]


def _frames(bytes_at: _BytesAt, at: int, stop: int) -> Iterator[tuple[int, _Head]]:
    """Place and header of every frame; the last may reach beyond `stop`."""
    kind = None
    while True:
        head = _head(bytes_at(at, 4))
        # Junk may look like one frame of another kind.
        if head is not None and (head.stream == kind or _certain(bytes_at, at, stop)):
            yield at, head
            kind = head.stream
            at += head.size
            continue
        at += _tag_bytes(bytes_at(at, 32)) or 1
        again = _search(bytes_at, at, stop, stop)
        if again is None:
            return
        at = again


def _search(bytes_at: _BytesAt, at: int, until: int, stop: int) -> int | None:
    """Where some frames of one kind stand one after the other."""
    while at < until:
        some = bytes_at(at, min(_WINDOW_BYTES, until - at))
        for found in _HEAD.finditer(some):
            if _certain(bytes_at, at + found.start(), stop):
                return at + found.start()
        at += max(1, len(some) - 2)  # a header may lie across two windows
    return None


def _certain(bytes_at: _BytesAt, at: int, stop: int) -> bool:
    kind = None
    for number in range(_CERTAIN):
        head = _head(bytes_at(at, 4))
        if head is None or kind not in (None, head.stream):
            return False
        kind = head.stream
        at += head.size
        if at >= stop or _tag_bytes(bytes_at(at, 32)):
            return at == stop or number > 0
    return True


def _head(four: bytes) -> _Head | None:
    if len(four) < 4 or four[0] != 0xFF or four[1] < 0xE0:
        return None
    return _parsed(four[1], four[2], four[3] >> 6 == 3)


@lru_cache(maxsize=1 << 12)
def _parsed(second: int, third: int, mono: bool) -> _Head | None:
    version, layer = second >> 3 & 3, 4 - (second >> 1 & 3)
    index, rate, padding = third >> 4, third >> 2 & 3, third >> 1 & 1
    if version == 1 or layer == 4 or rate == 3 or not 0 < index < 15:  # 0: free format
        return None
    rate_hz = _RATES_HZ[rate] >> {3: 0, 2: 1, 0: 2}[version]
    bits = 1_000 * _KBITS[version == 3, layer][index - 1]
    if layer == 1:
        size = 4 * (12 * bits // rate_hz + padding)
    else:
        size = (72 if layer == 3 and version != 3 else 144) * bits // rate_hz + padding
    return _Head((version, layer, rate_hz, mono), size)


def _info(frame: bytes, head: _Head) -> _Info | None:
    """What a frame says of the others, None if it holds sound (the LAME tag's specification)."""
    version, layer, _, mono = head.stream
    if layer != 3:
        return None
    if frame[36:40] == b"VBRI" and len(frame) >= 54:
        size, frames = struct.unpack(">II", frame[46:54])
        return _Info(frames=frames, bytes=max(0, size - head.size))
    at = 4 + ((17 if mono else 32) if version == 3 else (9 if mono else 17))
    if frame[at : at + 4] not in (b"Xing", b"Info") or len(frame) < at + 8:
        return None
    (flags,) = struct.unpack(">I", frame[at + 4 : at + 8])
    at += 8
    counts = []
    for flag in (1, 2):
        counts.append(int.from_bytes(frame[at : at + 4], "big") if flags & flag else 0)
        at += 4 if flags & flag else 0
    counts[1] = max(0, counts[1] - head.size)  # with the header's own frame
    at += (100 if flags & 4 else 0) + (4 if flags & 8 else 0)
    told = frame[at : at + 24]
    if len(told) < 24 or not told[:4].isalnum():  # LAME, Lavc, Lavf, GOGO …
        return _Info(frames=counts[0], bytes=counts[1])
    pads = int.from_bytes(told[21:24], "big")
    return _Info(frames=counts[0], bytes=counts[1], delay=pads >> 12, padding=pads & 0xFFF)


def _tag_bytes(text: bytes) -> int:
    """Length of the tag that begins here, 0 if none does: ID3v1, ID3v2, APE."""
    if text.startswith(b"TAG"):
        return 128
    if text.startswith(b"APETAGEX") and len(text) == 32:
        size, _, flags = struct.unpack("<III", text[12:24])  # of items and footer
        return 32 + size if flags >> 29 & 1 else 32
    return id3v2_bytes(text[:10])

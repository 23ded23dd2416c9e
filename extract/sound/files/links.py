"""From a file to the streams of sound in it, by its contents and never by its name."""

import struct
from typing import BinaryIO

from extract.sound.files import flac, ogg
from extract.sound.files.heads import audio_start, kind_of
from extract.sound.files.mpeg import mpeg
from extract.sound.files.pieces import Link, Piece, Streams

_HEAD_BYTES = 64
_ID3V1_BYTES = 128
_MOST_CHUNKS = 10_000
_UNKNOWN_BYTES = 0x7FFFF000  # what programs leave that write to a pipe, or more
_MPEG_IN_WAV = (0x50, 0x55)  # WAVE_FORMAT_MPEG and _MPEGLAYER3


def streams_of(file: BinaryIO, size: int) -> Streams:
    """Look at a file of `size` bytes."""
    start = audio_start(file)
    file.seek(start)
    kind = kind_of(file.read(_HEAD_BYTES))
    if kind == "ogg":
        return ogg.chain(file, start, size)
    if kind == "flac":
        file.seek(max(start, size - _ID3V1_BYTES))
        end = size - _ID3V1_BYTES if file.read(3) == b"TAG" else size
        return Streams(links=tuple(flac.links(file, start, end)))
    if kind == "foreign":
        return Streams(links=())
    if kind == "riff":
        return _riff(file, start, size)
    if kind == "plain":
        return Streams(links=(Link(pieces=_mended(file, start, size)),))
    return mpeg(file, start, size) or Streams(links=(Link(pieces=[(start, size)]),))


def _mended(file: BinaryIO, start: int, size: int) -> list[Piece]:
    """A file without what libsndfile stumbles over: it knows RF64, but not under its newer name
    (ITU-R BS.2088), and no caf that says of its sound "to the end of the file" (its size is -1).
    """
    file.seek(start)
    head = file.read(8)
    if head.startswith(b"BW64"):
        return [b"RF64", (start + 4, size)]
    at = start + 8
    for _ in range(_MOST_CHUNKS if head.startswith(b"caff") else 0):
        file.seek(at)
        chunk = file.read(12)
        if len(chunk) < 12:
            break
        name, length = struct.unpack(">4sq", chunk)
        if name == b"data" and length == -1:
            return [(start, at + 4), struct.pack(">q", size - at - 12), (at + 12, size)]
        if length < 0:
            break
        at += 12 + length
    return [(start, size)]


def _riff(file: BinaryIO, start: int, size: int) -> Streams:
    """Wav files, of which several may be joined; MPEG frames within one; an avi, for ffmpeg."""
    links: list[Link] = []
    while True:
        file.seek(start)
        head = file.read(12)
        end = start + 8 + int.from_bytes(head[4:8], "little")
        file.seek(min(end, size))
        behind = file.read(12)
        joined = behind[:4] == head[:4] and behind[8:] == head[8:]
        stop = end if joined else size
        if head[8:] == b"AVI " and end > size:
            problem = f"truncated: {size:,} bytes of the {end:,} in its header"
            return Streams(links=(), problem=problem)
        codec, data, length = _wav_data(file, start + 12, stop)
        if codec in _MPEG_IN_WAV:
            if stop - data < length < _UNKNOWN_BYTES:
                problem = f"truncated: {stop - data:,} bytes of the {length:,} in its header"
                return Streams(links=(), problem=problem)
            found = mpeg(file, data, min(stop, data + length) if length else stop)
            if found is None or found.problem:
                return Streams(links=(), problem=found.problem if found else "no sound in it")
            links += found.links
        elif length == 0 and 0 < data < stop and not _is_chunk(file, data, stop):
            # Written to a pipe: libsndfile would believe that there is no sound.
            whole = struct.pack("<I", min(stop - data, 2**32 - 1))
            links.append(Link(pieces=[(start, data - 4), whole, (data, stop)]))
        else:
            links.append(Link(pieces=[(start, stop)]))
        if not joined:
            return Streams(links=tuple(links))
        start = stop


def _wav_data(file: BinaryIO, at: int, stop: int) -> tuple[int, int, int]:
    """The codec's number, where the sound begins, and its bytes by the header; zeros if unknown."""
    codec = 0
    for _ in range(_MOST_CHUNKS):
        file.seek(at)
        chunk = file.read(8)
        if at >= stop or len(chunk) < 8:
            break
        name, length = struct.unpack("<4sI", chunk)
        if name == b"fmt ":
            codec = int.from_bytes(file.read(2), "little")
        elif name == b"data":
            return codec, at + 8, length
        at += 8 + length + length % 2
    return codec, 0, 0


def _is_chunk(file: BinaryIO, at: int, stop: int) -> bool:
    """Whether what stands here is a chunk of its own, not sound."""
    file.seek(at)
    head = file.read(8)
    return (
        head[:4].isascii()
        and head[:4].decode().isprintable()
        and (at + 8 + int.from_bytes(head[4:], "little") <= stop)
    )

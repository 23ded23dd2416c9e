"""What is inside a file, by its first bytes."""

import codecs
from typing import BinaryIO

# First bytes of files that hold sound in packets of their own, so that MPEG frames within them are
# not the whole file: mp4, matroska, asf, flv, mpeg, realmedia.
_FOREIGN_HEADS = (b"\x1aE\xdf\xa3", b"0&\xb2u", b"FLV\x01", b"\0\0\x01\xba", b".RMF")
# First bytes of what libsndfile reads straight from the file.
_PLAIN_HEADS = (
    b"RIFX", b"RF64", b"BW64", b"riff\x2e\x91\xcf\x11", b"FORM", b".snd", b"dns.", b"caff",
    b"NIST_1A", b"Creative Voice File",
)  # fmt: skip


def audio_start(file: BinaryIO) -> int:
    """Where a file begins behind the ID3v2 tags that programs put in front of any kind."""
    start = 0
    while True:
        file.seek(start)
        size = id3v2_bytes(file.read(10))
        if not size:
            return start
        start += size


def id3v2_bytes(head: bytes) -> int:
    """Length of the ID3v2 tag that begins with these 10 bytes, 0 if none does (id3.org, §3.1)."""
    if len(head) < 10 or head[:3] != b"ID3" or max(head[6:10]) > 127:
        return 0
    size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    return size + (20 if head[5] & 16 else 10)  # with or without a footer


def kind_of(head: bytes) -> str:
    """What the first bytes say: `ogg`, `flac`, `riff`, `plain`, `foreign`, or nothing."""
    if head.startswith(b"OggS"):
        return "ogg"
    if head.startswith(b"fLaC"):
        return "flac"
    if head.startswith(b"RIFF"):
        return "riff"
    if head[4:8] == b"ftyp" or head.startswith(_FOREIGN_HEADS):
        return "foreign"
    if head.startswith(_PLAIN_HEADS):
        return "plain"
    return ""


def is_text(head: bytes) -> bool:
    """Whether these bytes can be read as text."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)  # may end within a sign
    except UnicodeDecodeError:
        return False
    signs = text.lstrip("\ufeff")
    return bool(signs) and all(sign.isprintable() or sign in "\t\r\n" for sign in signs)

"""From a clip's path to its sound: a file of its own, or a part of a tar or parquet file."""

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TypeVar

from extract.sound.audio import Audio, load_audio
from extract.sound.parquet import ParquetSounds
from extract.sound.parts import PART
from features.common.errors import ClipError, TagbartError

MAX_BYTES = 0x7FFFF000  # of one sound: what one read gives at most
_ONE_READER = Lock()  # threads share an open parquet file
Sound = TypeVar("Sound")


def load_clip(dump: Path, path: str) -> Audio:
    """Decode a clip of a dump; see `clip_by`."""
    return clip_by(load_audio, dump, path)


def clip_by(load: Callable[[Path], Sound], dump: Path, path: str) -> Sound:
    """What `load` makes of a clip's file.

    Args:
        load: is told a file, which for a part of a container is one in memory.
        dump: folder that the path is relative to.
        path: as a plan or a shard has it.

    Raises:
        ClipError: if it cannot be used.
    """
    part = PART.fullmatch(path)
    if part is None:
        return load(Path(os.path.join(dump, path)))  # noqa: PTH118 - no look at the path
    container = Path(os.path.join(dump, part["container"]))  # noqa: PTH118
    start = int(part["start"])
    if part["size"] is None:
        with _ONE_READER:
            content = _parquet(container)[start]
    else:
        content = _read(container, start, int(part["size"]))
    # Shown to the decoders as a file in memory, so that there is one way to decode.
    descriptor = os.memfd_create("clip", os.MFD_CLOEXEC)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(content)
        # By this process's number, so that a program that it starts finds it, too.
        return load(Path(f"/proc/{os.getpid()}/fd/{descriptor}"))
    finally:
        os.close(descriptor)


def same_sound(dump: Path, one: str, other: str) -> bool:
    """Whether two parts of containers hold the same bytes, or one of them cannot be read."""
    try:
        return clip_by(Path.read_bytes, dump, one) == clip_by(Path.read_bytes, dump, other)
    except ClipError:  # which is told where its clip is decoded
        return True
    finally:
        _parquet.cache_clear()  # processes that are forked later open the file themselves


def _read(path: Path, offset: int, size: int) -> bytes:
    if size > MAX_BYTES:
        raise ClipError(f"too large: {size:,} bytes, at most {MAX_BYTES:,}")
    try:
        with path.open("rb", buffering=0) as file:
            content = os.pread(file.fileno(), size, offset)
    except OSError as error:
        raise ClipError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) < size:
        raise ClipError(f"truncated: {len(content):,} of {size:,} bytes are in {path}")
    return content


@lru_cache(maxsize=1)
def _parquet(path: Path) -> ParquetSounds:
    try:
        return ParquetSounds(path)
    except ClipError:
        raise
    except TagbartError as error:
        raise ClipError(str(error)) from error

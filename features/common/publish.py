"""A final name means a finished file: write a hidden draft beside it, flush, rename."""

import json
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from features.common.errors import ConfigError

_NAME_KEPT = 40  # characters, of up to 4 bytes


@contextmanager
def published(path: Path) -> Iterator[Path]:
    """Yield a draft path in the same folder; it gets its real name only if the block succeeds.

    The draft is flushed to the disk before the rename and the folder after it, so that a power
    loss leaves either the old file or the new one, never a part.

    Raises:
        OSError: naming `path`, if the system refuses to write the draft.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The host stands in the name since machines that share storage may share process ids.
    # Of a long name the beginning is enough: a draft's own may be no longer than 255 bytes either.
    draft = path.with_name(f".{path.name[:_NAME_KEPT]}.{platform.node()}.{os.getpid()}.part")
    try:
        yield draft
        _flush(draft)
        draft.replace(path)
        _flush(path.parent)
    except Exception as error:
        if refused := _refused(error, draft):
            raise OSError(refused, os.strerror(refused), str(path)) from error
        raise
    finally:
        draft.unlink(missing_ok=True)


def _refused(error: Exception, draft: Path) -> int | None:
    """The system's number for why a draft could not be written; None if it is another error."""
    if isinstance(error, OSError):
        # A full disk is met in a write, which names no file.
        own = error.filename is None or Path(os.fsdecode(error.filename)) == draft
        return error.errno if own else None
    told = re.search(r"\(os error (\d+)\)", str(error))  # safetensors' way to say it
    return int(told.group(1)) if told else None


def check_writable(folder: Path) -> None:
    """Refuse before the work what could not be written to after it.

    Args:
        folder: to write into, which may be still to make.

    Raises:
        ConfigError: if it, or what is there on the way to it, is no folder, or may not be written.
    """
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise ConfigError(f"{there}: is no folder, so nothing can be written into it")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(
            f"{there}: this folder cannot be written to; mend its permissions, or name another "
            "one by --out"
        )


def write_json(path: Path, value: Any) -> None:
    """Publish `value` as indented JSON."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    with published(path) as draft:
        # What is not UTF-8 in a file name becomes JSON's own escape, and reads back as it was.
        draft.write_text(text, encoding="utf-8", errors="backslashreplace")


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Read small files that others wrote: ordinary files only, and JSON however it is nested.

What is opened may come from anybody. A pipe would be waited for, a device read without end, and
deeply nested JSON ends Python's own reader with an error that is no ValueError.
"""

import errno
import json
import stat
from pathlib import Path, PurePosixPath
from typing import Any

MOST_BYTES = 1 << 30  # of a file that is read whole


def check_ordinary(path: Path) -> int:
    """Refuse pipes, devices and folders; the file's size in bytes.

    Raises:
        OSError: if it is no ordinary file, or cannot be looked at.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "no ordinary file", str(path))
    return found.st_size


def read_bytes(path: Path) -> bytes:
    """A file's bytes.

    Raises:
        OSError: if it is no ordinary file, is larger than a GiB, or cannot be read.
    """
    if check_ordinary(path) > MOST_BYTES:
        raise OSError(errno.EFBIG, "larger than any such file is", str(path))
    return path.read_bytes()


def read_text(path: Path) -> str:
    """A file's text.

    Raises:
        OSError: as read_bytes.
        UnicodeDecodeError: if it is not UTF-8; a mark before its first byte is left out.
    """
    return read_bytes(path).decode("utf-8-sig")


def read_json(path: Path) -> Any:
    """The value that a JSON file holds.

    Raises:
        OSError: if it is no ordinary file or cannot be read.
        ValueError: if it is not JSON in UTF-8, nested too deeply to be ours, or holds half a
            character.
    """
    return parse_json(read_text(path))


def parse_json(text: str, *, halves: bool = False) -> Any:
    """The value of a JSON text.

    Args:
        text: as it was read.
        halves: whether half a character may stand there, which nothing could print or write again.

    Raises:
        ValueError: if it is not JSON, nested too deeply to be ours, or holds half a character.
    """
    try:
        value = json.loads(text)
        if not halves and "\\ud" in text.lower():  # whole UTF-8 holds no halves, an escape may
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        return value
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise ValueError(f"{half!r} is half a character; write it whole") from None


def stays_inside(path: str) -> bool:
    """Whether a path that others wrote, with "/", leads to nowhere but into its folder."""
    parts = PurePosixPath(path).parts
    return "\0" not in path and not path.startswith("/") and ".." not in parts

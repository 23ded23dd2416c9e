"""What a file is that should have been weights or JSON, in our own words."""

import json
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from features.common import reading
from features.common.errors import TagbartError

_LFS = b"version https://git-lfs"
_LOOK_BYTES = 512
_HEADER_BYTES = 100 << 20  # no header of safetensors is longer


def seen_in(path: Path, *, binary: bool) -> str:
    """What is wrong with a file that could not be read, and how to get the right one.

    Args:
        path: the file.
        binary: whether it should hold something else than text.
    """
    what = what_is(path, binary=binary)
    if "Git LFS" in what:
        return f"{what}; run `git lfs pull` where it was cloned, or download the file by itself"
    return what if what.startswith("cannot") else f"{what}; get it again from where it came from"


def what_is(path: Path, *, binary: bool) -> str:
    """What is wrong with a file that could not be read; arguments as for `seen_in`."""
    try:
        with path.open("rb") as file:
            head = file.read(_LOOK_BYTES)
        size = path.stat().st_size
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if not head:
        return "is empty"
    if head.startswith(_LFS):
        return f"is a Git LFS pointer of {size:,} bytes, not the file itself"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<body")):
        return f"is a web page of {size:,} bytes, not the file itself"
    if binary and (text := _as_text(head)):
        return f"is a text that begins {text!r}, not the file itself"
    whole = _safetensors_bytes(head, path)
    if whole is not None and size < whole:
        return f"is cut: {size:,} of {whole:,} bytes are there"
    return "is cut, damaged, or of another kind than its name says"


def read_json(path: Path, failure: type[TagbartError]) -> dict[str, Any]:
    """A JSON file that holds an object.

    Args:
        path: the file.
        failure: what to raise.

    Raises:
        TagbartError: of that class, if it cannot be read, is no JSON, or holds no object.
    """
    try:
        value = reading.read_json(path)
    except OSError as error:
        raise failure(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise failure(
            f"{path}: is no JSON that can be read; it {seen_in(path, binary=False)}"
        ) from error
    if not isinstance(value, dict):
        raise failure(f"{path}: holds a JSON {type(value).__name__}, expected an object")
    return value


def some(names: Iterable[str], most: int = 4) -> str:
    """The first names of many, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _as_text(head: bytes) -> str:
    """The beginning of a text in one line; "" if it is none."""
    try:
        text = head[:60].decode("ascii").strip()
    except UnicodeDecodeError:
        return ""
    line = " ".join(text.split())
    return line if line.isprintable() else ""


def _safetensors_bytes(head: bytes, path: Path) -> int | None:
    """How long a file of safetensors is by its own header, None if it has none that is whole."""
    if len(head) < 9 or head[8:9] != b"{":
        return None
    (length,) = struct.unpack("<Q", head[:8])
    if length > _HEADER_BYTES:
        return None
    try:
        with path.open("rb") as file:
            header = json.loads(file.read(8 + length)[8:])
        ends = [entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"]
        return 8 + length + max(ends, default=0)
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError):
        return None

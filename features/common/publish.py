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
FEATURES, RUN, EVALUATION = "features", "a run", "an evaluation"
# What is in a folder of each kind from its beginning or its end on.
_MARKS = {
    FEATURES: ("features.json", "*/00000.h5"),
    "a split of features": ("00000.h5",),
    RUN: ("recipe.toml",),
    EVALUATION: ("scores.json",),
    "a report": ("report.json",),
}


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
        with told_of(path, draft):
            yield draft
            _flush(draft)
            draft.replace(path)
            _flush(path.parent)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def told_of(path: Path, draft: Path) -> Iterator[None]:
    """Let what the system refuses of a draft, a file or a folder, be told of its final name.

    Raises:
        OSError: naming `path`, instead of one that names nothing, or what is in the draft.
    """
    try:
        yield
    except Exception as error:
        if refused := _refused(error, draft):
            raise OSError(refused, os.strerror(refused), str(path)) from error
        raise


def _refused(error: Exception, draft: Path) -> int | None:
    """The system's number for why a draft could not be written; None if it is another error."""
    if isinstance(error, OSError):
        # A full disk is met in a write, which names no file.
        own = error.filename is None or Path(os.fsdecode(error.filename)).is_relative_to(draft)
        return error.errno if own else None
    return number_told(error)


def number_told(error: Exception) -> int | None:
    """The system's number in the words of libraries written in Rust, whose errors are no OSError.

    tokenizers' and safetensors' errors end so: "No space left on device (os error 28)".
    """
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else None


def check_writable(folder: Path, kind: str = "") -> None:
    """Refuse before the work what could not be written to after it, or would mix two kinds.

    Args:
        folder: to write into, which may be still to make.
        kind: what it shall hold: FEATURES, RUN or EVALUATION; "" for what may lie anywhere.

    Raises:
        ConfigError: if it, or what is there on the way to it, is no folder, or may not be written,
            or it holds what was made of another kind, and none of this kind yet.
    """
    for mark, held in _others(folder, kind) if kind else ():
        raise ConfigError(
            f"{folder}: holds {held} ({mark}), with which {kind} would be mixed; name another --out"
        )
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


def _others(folder: Path, kind: str) -> list[tuple[str, str]]:
    """Marks and kinds of what is in a folder; none if there is something of this kind."""
    kinds = ((mark, held) for held, marks in _MARKS.items() for mark in marks)
    found = [(mark, held) for mark, held in kinds if any(folder.glob(mark))]
    return [] if kind in dict(found).values() else found


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

"""A folder that a browser opens, put in its place when it is whole.

Whoever looks, or kills us, finds the old one or the new one.
"""

import ctypes
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

from features.common.errors import TagbartError
from features.common.locks import locked
from features.common.publish import told_of
from features.common.reading import read_json

MARK_NAME = "report.json"
_EXCHANGE = 2  # RENAME_EXCHANGE of Linux's renameat2
_HERE = -100  # AT_FDCWD: paths are those of this process


@contextmanager
def published_folder(out: Path, kind: str) -> Iterator[Path]:
    """Yield a draft folder that takes the place of `out` only if the block succeeds.

    Drafts that killed commands left of it are deleted; a link is followed.

    Args:
        out: the folder; an earlier one of the same kind is replaced.
        kind: the format that its report.json names.

    Raises:
        TagbartError: if `out` holds something else than an earlier report, or the folder this
            command runs in.
        OSError: naming `out`, if the system refuses to write the draft.
    """
    try:
        out = out.resolve(strict=False)
    except (OSError, RuntimeError) as error:  # a link to itself
        raise TagbartError(f"{out}: leads nowhere; name another --out") from error
    here = Path.cwd()
    if out == here or out in here.parents:
        raise TagbartError(
            f"{out}: is the folder you are in, or holds it, and cannot be replaced; name another "
            "--out, such as report"
        )
    if out.exists() and not _replaceable(out, kind):
        raise TagbartError(f"{out}: is there already and no report; name another --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    _clear_drafts(out)
    draft = out.with_name(f".{out.name}.{os.getpid()}.part")
    draft.mkdir()
    held = os.open(draft, os.O_RDONLY)
    try:
        locked(held, draft)  # says to others that its command is alive
        with told_of(out, draft):
            yield draft
            _take_the_place(draft, out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)  # after success: what was there before
        os.close(held)


def _take_the_place(draft: Path, out: Path) -> None:
    """Give a draft its final name; what has that name gets the draft's."""
    if not out.exists():
        draft.rename(out)
    elif not _exchange(draft, out):
        aside = draft.with_suffix(".old.part")
        out.rename(aside)
        draft.rename(out)
        shutil.rmtree(aside, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names in one step; False where the system or the file system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    return rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0


def _clear_drafts(out: Path) -> None:
    for left in out.parent.glob(f".{escape(out.name)}.*.part"):
        # Where there was no swap in one step, the old folder may stand aside and nothing here.
        if left.name.endswith(".old.part") and not out.exists():
            left.rename(out)
            continue
        with suppress(OSError):
            held = os.open(left, os.O_RDONLY)
            try:
                if locked(held, left):
                    shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(held)


def _replaceable(out: Path, kind: str) -> bool:
    if not out.is_dir():
        return False
    try:
        return read_json(out / MARK_NAME).get("format") == kind
    except (OSError, ValueError, AttributeError):
        return not any(out.iterdir())

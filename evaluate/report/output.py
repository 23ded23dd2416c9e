"""A folder that a browser opens, put in its place when it is whole."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from features.common.errors import TagbartError

MARK_NAME = "report.json"


@contextmanager
def published_folder(out: Path, kind: str) -> Iterator[Path]:
    """Yield a draft folder that takes the place of `out` only if the block succeeds.

    Args:
        out: the folder; an earlier one of the same kind is replaced.
        kind: the format that its report.json names.

    Raises:
        TagbartError: if `out` holds something else than an earlier report.
    """
    if out.exists() and not _replaceable(out, kind):
        raise TagbartError(f"{out}: is there already and no report; name another --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_name(f".{out.name}.{os.getpid()}.part")
    draft.mkdir()
    try:
        yield draft
        if out.exists():
            shutil.rmtree(out)
        draft.rename(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _replaceable(out: Path, kind: str) -> bool:
    if not out.is_dir():
        return False
    try:
        mark = json.loads((out / MARK_NAME).read_text(encoding="utf-8"))
        return mark.get("format") == kind
    except (OSError, ValueError, AttributeError):
        return not any(out.iterdir())

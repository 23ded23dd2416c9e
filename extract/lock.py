"""One extraction at a time on one output folder."""

import errno
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from features.common.console import log
from features.common.errors import TagbartError


@contextmanager
def only_run(out: Path, part: tuple[int, int]) -> Iterator[None]:
    """Hold the output folder: a second run on it, or on the same part of it, is refused.

    These are record locks: the kernel frees them when the process ends, however it ends, decoding
    processes do not inherit them, and network file systems that know locks keep them between
    machines.

    Raises:
        TagbartError: if another run holds the folder or the part.
    """
    number, of = part
    # A run of everything excludes parts, and parts exclude a run of everything.
    wanted = [(".lock", fcntl.LOCK_EX if of == 1 else fcntl.LOCK_SH)]
    if of > 1:
        wanted.append((f".lock.{number}-of-{of}", fcntl.LOCK_EX))
    held = []
    try:
        for name, kind in wanted:
            file = (out / name).open("a+")
            held.append(file)
            _take(file, kind, out)
        if of == 1:
            for draft in out.glob(".*.part"):  # of the index, by a run that was killed
                draft.unlink(missing_ok=True)
        yield
    finally:
        for file in held:
            file.close()


def _take(file, kind: int, out: Path) -> None:
    try:
        fcntl.lockf(file, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            raise TagbartError(
                f"{out}: another extraction is writing there; wait for it, or use another --out"
            ) from None
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL):
            raise
        log(f"{out}: its file system has no locks; take care that no other run writes there")

"""Files that keep a second process out, also where a file system has no locks."""

import errno
import fcntl
from pathlib import Path
from typing import IO

from features.common.console import log

_HELD = (errno.EACCES, errno.EAGAIN)
# What NFS, Lustre and others answer where locks are switched off.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)


def locked(file: IO | int, where: Path, *, shared: bool = False, records: bool = False) -> bool:
    """Take a lock for as long as a file is open; the kernel frees it however the process ends.

    Args:
        file: open, writable unless shared; or the descriptor of an opened folder.
        where: what to name if its file system has no locks, which is said and passed.
        shared: others may hold it so, too.
        records: a record lock, which child processes do not inherit and network file systems keep
            between machines; a process that closes any other handle of the file loses it.

    Returns:
        False if another process holds it.

    Raises:
        OSError: if it cannot be asked for.
    """
    take = fcntl.lockf if records else fcntl.flock
    try:
        take(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            return False
        if error.errno not in _NO_LOCKS:
            raise
        log(f"{where}: its file system has no locks; take care that no other run writes there")
    return True

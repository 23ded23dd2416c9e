"""Keep freed memory in the process: networks free and ask again for the same large tensors."""

import ctypes
import sys

# From glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_M_ARENA_MAX = -8


def keep_freed_memory() -> bool:
    """Tell glibc to hold on to freed blocks of any size, for the whole process.

    By default it maps blocks above 32 MiB afresh from the kernel and gives them back when freed,
    so that every layer's output costs page faults. Memory then stays at the run's high-water mark.

    Returns:
        False where there is no glibc (macOS, musl), so nothing was changed.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    # No block is mapped on its own, and the heap's free end is not given back.
    options = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_ARENA_MAX, 1))
    done = [mallopt(option, value) for option, value in options]
    return all(done)

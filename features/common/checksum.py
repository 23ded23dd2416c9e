"""The checksum that shards, weights, predictions and archives are known by: SHA-256."""

import hashlib
from pathlib import Path

from features.common.reading import check_ordinary


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes.

    Raises:
        OSError: if it is no ordinary file or cannot be read.
    """
    check_ordinary(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_bytes(content: bytes) -> str:
    """Hexadecimal SHA-256 of bytes in memory, such as a shard's before it is written."""
    return hashlib.sha256(content).hexdigest()

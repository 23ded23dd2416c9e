"""The checksum that shards, weights, predictions and archives are known by: SHA-256."""

import hashlib
from pathlib import Path


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_bytes(content: bytes) -> str:
    """Hexadecimal SHA-256 of bytes in memory, such as a shard's before it is written."""
    return hashlib.sha256(content).hexdigest()

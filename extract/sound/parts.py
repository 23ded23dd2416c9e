"""Paths of sounds within containers, put together and known again; opens none.

Such a path is `CONTAINER//PLACE//NAME`: for a tar PLACE is `offset+size` in bytes, for parquet the
row. Paths of files hold no double slash.
"""

import re

PART = re.compile(r"(?P<container>.+?)//(?P<start>\d+)(\+(?P<size>\d+))?//(?P<name>.*)", re.DOTALL)


def part_of_tar(tar: str, offset: int, size: int, name: str) -> str:
    """The path of a member of a tar, whose data stand at `offset`."""
    return f"{tar}//{offset}+{size}//{name}"


def part_of_parquet(parquet: str, row: int, name: str) -> str:
    """The path of the sound in a row, counted from 0."""
    return f"{parquet}//{row}//{name}"


def is_contained(path: str) -> bool:
    """Whether a clip's path leads into a container, so that it has no file of its own."""
    return PART.fullmatch(path) is not None

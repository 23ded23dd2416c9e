"""Whether scored clips are those of AudioCaps' test split: told by their ids, never by their count.

audiocaps_test.txt holds, for each of the 975 ids `<youtube_id>_<start>` of AudioCaps v1's published
test.csv, the first ten hex digits of its SHA-256, sorted: enough to know an id, not to list them.
"""

from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

DIGITS = 10
FILE = Path(__file__).with_name("audiocaps_test.txt")


@lru_cache(maxsize=1)
def known_hashes() -> frozenset[str]:
    """The hashes of the 975 ids."""
    return frozenset(FILE.read_text(encoding="ascii").split())


def all_of_audiocaps(clips: Iterable[str]) -> bool:
    """Whether there are clips, and every one is of AudioCaps' test split."""
    hashes = {sha256(clip.encode()).hexdigest()[:DIGITS] for clip in clips}
    return bool(hashes) and hashes <= known_hashes()

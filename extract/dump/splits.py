"""Which split a name means: train, val or test, under the names that people give to them."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from features.common.errors import ConfigError

SPLITS = ("train", "val", "test")
DEFAULT_SHARE = 0.05

_PLAIN = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
# What these mean depends on what stands beside them: the first that is free.
_EITHER = {
    "development": ("train", "val"),
    "dev": ("val", "train"),
    "evaluation": ("test", "val"),
    "eval": ("test", "val"),
}
# One word, cut short: whatever the captions mean by one, a folder called by the other means too.
_SHORT = {"dev": "development", "eval": "evaluation"}
# Words in the names of captions files and folders that say nothing of a split.
_OTHER_WORDS = frozenset(
    "audiocaps clotho macs audio annotation annotations caption captions manifest metadata meta "
    "dataset data csv final full "
    "of partial part set shard split default clips wav wavs wave waves flac mp3 files "
    "sounds".split()
)
_NUMBER = re.compile(r"v?\d+(k|hz|khz)?")


def split_word(name: str) -> str | None:
    """The word for a split in the name of a file (without ending) or folder.

    Returns:
        The word in lower case, "" if the name says nothing of a split (`captions_v2`), or None if
        it holds words that are not known, so that nothing can be said of it (`train_old`).
    """
    words = [
        word
        for word in re.split(r"[^a-z0-9]+", name.lower())
        if word and word not in _OTHER_WORDS and not _NUMBER.fullmatch(word)
    ]
    if not words:
        return ""
    return words[0] if len(words) == 1 and (words[0] in _PLAIN or words[0] in _EITHER) else None


def meanings(words: Iterable[str]) -> dict[str, str]:
    """The split that each word means where these stand side by side.

    `eval` and `evaluation` are `test`, or `val` where a test split stands beside; `development` is
    `train`, or `val` beside a train split; `dev` is `val`, but with `eval` alone beside it the
    `development` that Clotho's users cut short.

    Returns:
        By word; one that is not known, or for which no split is left, is not in it.
    """
    there = dict.fromkeys(words)
    meant = {word: _PLAIN[word.lower()] for word in there if word.lower() in _PLAIN}
    lower = {word.lower() for word in there}
    for known, choices in _EITHER.items():
        if known == "dev" and lower in ({"dev", "eval"}, {"dev", "evaluation"}):
            choices = _EITHER["development"]
        for word in there:
            free = [split for split in choices if split not in meant.values()]
            if word.lower() == known and free:
                meant[word] = free[0]
    return meant


def folder_splits(parts: Iterable[str], meant: Mapping[str, str]) -> set[str]:
    """The splits that folders on the way to a file are named after.

    Args:
        parts: the folders' names.
        meant: what the captions' own words for splits mean.
    """
    words = [word for part in parts if (word := split_word(part))]
    theirs = {word.lower(): split for word, split in meant.items()}
    for short, long in _SHORT.items():
        for word, other in ((short, long), (long, short)):
            if other in theirs:
                theirs.setdefault(word, theirs[other])
    known = {**meanings(words), **theirs}
    return {known[word] for word in words if word in known}


@dataclass(frozen=True, kw_only=True)
class SplitRule:
    """How clips without a split are divided: by the hash of their names, so that a clip stays
    where it is whatever comes to the dump or leaves it.

    Attributes:
        val, test: shares of the clips; None takes `DEFAULT_SHARE`.
    """

    val: float | None = None
    test: float | None = None

    def __post_init__(self) -> None:
        for name, share in (("val", self.val), ("test", self.test)):
            if share is not None and not 0 <= share < 1:
                raise ConfigError(f"--{name} is {share}, expected a share from 0 to below 1")
        if sum(self.shares) >= 1:
            raise ConfigError(f"--val and --test take {sum(self.shares)}; nothing is left to train")

    @property
    def asked(self) -> bool:
        """Whether the shares were asked for, and are not ours."""
        return self.val is not None or self.test is not None

    @property
    def shares(self) -> tuple[float, float]:
        """Of val and of test."""
        val = DEFAULT_SHARE if self.val is None else self.val
        return val, DEFAULT_SHARE if self.test is None else self.test

    def split_of(self, name: str) -> str:
        """The split of a clip, a pure function of its name and the shares."""
        digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
        place = int.from_bytes(digest[:8], "big") / 2**64
        val, test = self.shares
        return "test" if place < test else "val" if place < test + val else "train"

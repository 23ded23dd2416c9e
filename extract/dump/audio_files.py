"""An index of the audio files below a folder, to be looked up by name."""

import os
from array import array
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from extract.dump.clips import Texts
from extract.sound.audio import AUDIO_SUFFIXES, DECODED_SUFFIXES
from features.common.console import log
from features.common.errors import DumpError

Place = tuple[str, str]  # folder with its slash, ending


class AudioFiles:
    """The audio files below a folder, to be looked up by name without ending.

    Names stand in one buffer, found through their hashes: two million files take 120 MB, in a dict
    of strings 250 MB.
    """

    def __init__(self, root: Path) -> None:
        """Walk `root` once, following links to folders but never twice into one.

        What stands in a folder that cannot be read counts as missing, and stderr says so.

        Raises:
            DumpError: if `root` is no folder or cannot be read.
        """
        check_folder(root)
        self._names, places = Texts(), dict[Place, int]()
        self._place_of, hashes = array("i"), array("q")
        for folder, filename in _walk(os.fspath(root)):
            name, suffix = os.path.splitext(filename)  # noqa: PTH122 - millions: plain strings
            place = folder, suffix
            self._names.append(name)
            self._place_of.append(places.setdefault(place, len(places)))
            hashes.append(hash(name))
        self._place = list(places)
        self._index(np.array(hashes, np.int64))

    def _index(self, hashes: np.ndarray) -> None:
        """Sort the names by hash; bucket b holds positions starts[b] to starts[b + 1] of them."""
        bits = max(1, len(hashes).bit_length())
        self._shift, self._half = 64 - bits, 1 << (bits - 1)
        order = np.argsort(hashes, kind="stable")
        buckets = (hashes >> self._shift) + self._half
        counts = np.bincount(buckets, minlength=2 * self._half)
        # Python's arrays: a single item out of them comes faster than out of numpy's.
        self._order = array("i", order.astype(np.int32).tobytes())
        self._hashes = array("q", hashes[order].tobytes())
        self._starts = array("i", np.concatenate([[0], np.cumsum(counts)]).astype("i").tobytes())

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        """All paths relative to the root, in no particular order."""
        return map(self._path, range(len(self)))

    def find(self, name: str, split: str, suffix: str = "") -> str | None:
        """The file of that name, relative to the root.

        Of several, one with the ending `suffix` is preferred, then one under a folder named after
        the split, then one that can be decoded, then the first by path.

        Args:
            name: without ending.
            split: that the clip belongs to.
            suffix: the ending that the captions file gives, if it does.
        """
        paths = self._paths(name)
        if len(paths) < 2:
            return paths[0] if paths else None

        def rank(path: str) -> tuple[bool, bool, bool, str]:
            pure = PurePosixPath(path)
            decoded = pure.suffix.lower() in DECODED_SUFFIXES
            return pure.suffix != suffix, split not in pure.parts[:-1], not decoded, path

        return min(paths, key=rank)

    def _paths(self, name: str) -> list[str]:
        key = hash(name)
        bucket = (key >> self._shift) + self._half
        return [
            self._path(self._order[at])
            for at in range(self._starts[bucket], self._starts[bucket + 1])
            if self._hashes[at] == key and self._names[self._order[at]] == name
        ]

    def _path(self, index: int) -> str:
        folder, suffix = self._place[self._place_of[index]]
        return f"{folder}{self._names[index]}{suffix}"


def _walk(root: str) -> Iterator[tuple[str, str]]:
    """Folder below `root`, empty or with a slash at its end, and name of every audio file."""
    waiting = [""]
    seen: set[tuple[int, int]] = set()
    while waiting:
        inside = waiting.pop()
        folder = f"{root}/{inside}"
        try:
            status = os.stat(folder)  # noqa: PTH116
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    # A folder or a broken link named .wav must be reported, not missed.
                    if os.path.splitext(entry.name)[1].lower() in AUDIO_SUFFIXES:  # noqa: PTH122
                        yield inside, entry.name
                    elif _is_folder(entry):
                        waiting.append(f"{inside}{entry.name}/")
        except OSError as error:
            if not inside:
                raise DumpError(f"{root}: cannot be read ({error.strerror})") from error
            log(f"{folder}: cannot be read ({error.strerror}); its clips count as missing")


def check_folder(root: Path) -> None:
    """Raise DumpError unless `root` is a folder."""
    if not root.is_dir():
        found = "a file" if root.is_file() else "nothing"
        raise DumpError(f"{root}: expected a folder of audio, found {found}")


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False

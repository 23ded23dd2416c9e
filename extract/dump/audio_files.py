"""An index of the audio files below a folder, to be looked up by name."""

import os
import re
import unicodedata
from array import array
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from extract.dump.clips import Texts
from extract.sound.kinds import AUDIO_SUFFIXES
from features.common.console import log
from features.common.errors import DumpError

Place = tuple[str, str]  # folder with its slash, ending

# What may hold captions, or captions and sound; some of it must be saved otherwise or unpacked.
PACKED_SUFFIXES = frozenset(".zip .7z .rar .tgz .gz .bz2 .xz .zst".split())
TABLE_SUFFIXES = PACKED_SUFFIXES | frozenset(
    ".csv .tsv .txt .scp .xlsx .xls .ods .json .jsonl .ndjson .yaml .yml .arrow .parquet "
    ".tar".split()
)
_CHANGED = re.compile(r'[:/\\?*"<>| \u29f8]')
_NUMBERED = re.compile(r"(.*[_-])(\d+(?:\.\d+)?)", re.ASCII | re.DOTALL)


class _Hashed:
    """Positions by hash: bucket b holds positions starts[b] to starts[b + 1] of the order."""

    def __init__(self, hashes: np.ndarray) -> None:
        bits = max(1, len(hashes).bit_length())
        self._shift, self._half = 64 - bits, 1 << (bits - 1)
        order = np.argsort(hashes, kind="stable")
        buckets = (hashes >> self._shift) + self._half
        counts = np.bincount(buckets, minlength=2 * self._half)
        # Python's arrays: a single item out of them comes faster than out of numpy's.
        self._order = array("i", order.astype(np.int32).tobytes())
        self._hashes = array("q", hashes[order].tobytes())
        self._starts = array("i", np.concatenate([[0], np.cumsum(counts)]).astype("i").tobytes())

    def at(self, key: int) -> Iterator[int]:
        """The positions of a hash."""
        bucket = (key >> self._shift) + self._half
        for at in range(self._starts[bucket], self._starts[bucket + 1]):
            if self._hashes[at] == key:
                yield self._order[at]


class AudioFiles:
    """The audio files below a folder, to be looked up by name without ending.

    Names stand in one buffer, found through their hashes: two million files take 120 MB, in a dict
    of strings 250 MB.

    Attributes:
        tables: paths of what may hold captions there, relative to the root, sorted.
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
        self.tables: list[str] = []
        for folder, filename in _walk(os.fspath(root)):
            name, suffix = os.path.splitext(filename)  # noqa: PTH122 - millions: plain strings
            if suffix.lower() not in AUDIO_SUFFIXES:
                self.tables.append(folder + filename)
                continue
            place = folder, suffix
            self._names.append(name)
            self._place_of.append(places.setdefault(place, len(places)))
            hashes.append(hash(name))
        self.tables.sort()
        self._place = list(places)
        self._by_name = _Hashed(np.array(hashes, np.int64))

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        """All paths relative to the root, in no particular order."""
        return map(self._path, range(len(self)))

    def paths(self, name: str) -> list[str]:
        """The files of that name (without ending), relative to the root."""
        return [self._path(at) for at in self._by_name.at(hash(name)) if self._names[at] == name]

    def near(self, name: str) -> list[str]:
        """The files whose names differ from this one in what tools change only (`plain_name`)."""
        key = plain_name(name)
        return [
            self._path(at)
            for at in self._by_plain_name.at(hash(key))
            if plain_name(self._names[at]) == key
        ]

    def ending_in_a_number(self, start: str) -> list[tuple[str, float]]:
        """The files whose names are `start` and a number, and that number."""
        found = []
        for at in self._by_start.at(hash(start)):
            match = _NUMBERED.fullmatch(self._names[at])
            if match and match[1] == start:
                found.append((self._path(at), float(match[2])))
        return found

    # Most dumps never ask for these two, so they are made when they are first asked for.
    @cached_property
    def _by_plain_name(self) -> _Hashed:
        return _Hashed(np.fromiter((hash(plain_name(name)) for name in self._names), np.int64))

    @cached_property
    def _by_start(self) -> _Hashed:
        starts = (_NUMBERED.fullmatch(name) for name in self._names)
        return _Hashed(np.fromiter((hash(m[1]) if m else 0 for m in starts), np.int64))

    def _path(self, index: int) -> str:
        folder, suffix = self._place[self._place_of[index]]
        return f"{folder}{self._names[index]}{suffix}"


def plain_name(name: str) -> str:
    """A name without what tools change in it: outer and double spaces, Unicode's forms (macOS
    writes NFD, yt-dlp full-width signs), capitals, and spaces and the signs that some file systems
    forbid, as "_"."""
    return _CHANGED.sub("_", " ".join(unicodedata.normalize("NFKC", name).casefold().split()))


def table_files(root: Path) -> list[str]:
    """Paths of what may hold captions below a folder, relative to it, sorted."""
    check_folder(root)
    return sorted(
        folder + name
        for folder, name in _walk(os.fspath(root))
        if os.path.splitext(name)[1].lower() not in AUDIO_SUFFIXES  # noqa: PTH122
    )


def _walk(root: str) -> Iterator[tuple[str, str]]:
    """Folder below `root`, empty or with a slash at its end, and name of every audio file and of
    every file that may hold captions."""
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
                    suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122
                    # A folder or a broken link named .wav must be reported, not missed.
                    if suffix in AUDIO_SUFFIXES:
                        yield inside, entry.name
                    elif _is_folder(entry):
                        waiting.append(f"{inside}{entry.name}/")
                    elif suffix in TABLE_SUFFIXES:  # a link to nothing, too
                        yield inside, entry.name
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

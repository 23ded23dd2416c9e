"""Several features folders as one set of clips: how often each is read, what is left out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from features.common.errors import ConfigError, FormatError
from features.common.reading import read_text
from features.reader import Clip, Features, Shard
from features.spec import StreamSpec

# What two folders must agree on to be read by one model.
_SAME = ("kind", "network", "weights_sha256", "width", "hop_s", "classes", "dtype")


@dataclass(frozen=True, kw_only=True)
class Source:
    """A features folder, and how many times an epoch reads each of its captions on average."""

    folder: Path
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and 0 < self.weight <= 1000):
            raise ConfigError(
                f"{self.folder}={self.weight:g}: the weight says how many times an epoch reads "
                "each caption; expected above 0, 1000 at most"
            )

    def __str__(self) -> str:
        return str(self.folder) if self.weight == 1 else f"{self.folder}={self.weight:g}"


def parse_source(text: str) -> Source:
    """FOLDER or FOLDER=WEIGHT; a folder whose own name ends so is meant where it exists.

    Raises:
        ConfigError: if the weight is none.
    """
    folder, equals, weight = text.rpartition("=")
    if not equals or Path(text).exists():
        return Source(folder=Path(text))
    try:
        return Source(folder=Path(folder), weight=float(weight))
    except ValueError:
        raise ConfigError(f"{text}: expected FOLDER or FOLDER=WEIGHT, e.g. {folder}=2") from None


def read_ids(path: Path) -> frozenset[str]:
    """Clip ids, one a line.

    Raises:
        ConfigError: if the file cannot be read.
    """
    try:
        lines = read_text(path).splitlines()
    except OSError as error:
        raise ConfigError(f"--without {path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"--without {path}: is no text in UTF-8; one clip id a line") from error
    return frozenset(line.strip() for line in lines) - {""}


class Joined:
    """One split of several folders, their clips one after the other.

    Attributes:
        parts: each folder's.
        shards: all of theirs.
    """

    def __init__(self, parts: Sequence[Features]) -> None:
        self.parts = tuple(parts)
        self.shards: list[Shard] = [shard for part in parts for shard in part.shards]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __getitem__(self, clip: int) -> Clip:
        part, number = self._place(clip)
        return part[number]

    def name(self, clip: int) -> str:
        """The id of clip number `clip`, with its folder where there are several."""
        part, number = self._place(clip)
        shard, row = part.locate(number)
        known = part.shards[shard].ids[row]
        return known if len(self.parts) == 1 else f"{part.root}: {known}"

    def _place(self, clip: int) -> tuple[Features, int]:
        for part in self.parts:
            if clip < len(part):
                return part, clip
            clip -= len(part)
        raise IndexError(f"{clip} clips beyond the last")


def check_alike(parts: Sequence[Features], streams: Sequence[str]) -> None:
    """Refuse folders whose streams were not made alike.

    Raises:
        FormatError: naming folder, stream and what differs.
    """
    first = parts[0]
    for part in parts[1:]:
        for name in streams:
            one, other = first.streams[name], part.streams[name]
            for key in _SAME:
                if getattr(one, key) != getattr(other, key):
                    raise FormatError(
                        f"{part.root}: stream {name!r} has {key} {_short(other, key)}, "
                        f"{first.root} has {_short(one, key)}; folders that are trained on "
                        "together must be extracted alike"
                    )


def _short(spec: StreamSpec, key: str) -> str:
    return str(getattr(spec, key))[:60]

"""Listed and planned clips in columns: millions of them in a quarter of the memory of objects."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, overload

import numpy as np


class PlannedClip(NamedTuple):  # a frozen dataclass takes three times as long to make
    """A clip to extract. `path` is relative to the dump; None means no audio, `reason` says why."""

    id: str
    path: str | None
    captions: tuple[str, ...] = ()
    reason: str = ""


class Texts:
    """Short texts, one after the other in one buffer."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._bytes = bytearray()
        self._ends = array("q", [0])
        for text in texts:
            self.append(text)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> str:
        part = self._bytes[self._ends[index] : self._ends[index + 1]]
        # File names need not be UTF-8: Python hands their other bytes on as surrogates.
        return part.decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))

    def append(self, text: str) -> None:
        self._bytes += text.encode("utf-8", "surrogateescape")
        self._ends.append(len(self._bytes))


@dataclass(frozen=True, kw_only=True)
class Listed:
    """What a captions file lists: clips by first appearance, each with some of its rows.

    Attributes:
        ids: of the clips.
        captions: of the rows, in the file's order.
            An empty one is no caption; its row may still hold a name.
        names: of the rows, what else their files may be called; empty where there is nothing.
        paths: of the clips, where the captions file itself knows where their sound lies.
        rows: int64, row numbers sorted by clip.
        offset: int64 [clips + 1], clip i owns rows[offset[i]:offset[i + 1]].
    """

    ids: Texts
    captions: Texts
    names: Texts
    paths: Texts
    rows: np.ndarray
    offset: np.ndarray

    def captions_of(self, index: int) -> tuple[str, ...]:
        return tuple(text for row in self._rows_of(index) if (text := self.captions[row]))

    def names_of(self, index: int) -> tuple[str, ...]:
        return tuple(self.names[row] for row in self._rows_of(index))

    def planned(
        self, paths: Texts | None = None, reasons: dict[int, str] | None = None
    ) -> "Planned":
        """All clips with their files: `paths`, or those that the captions file itself gave."""
        return Planned(
            listed=self,
            paths=self.paths if paths is None else paths,
            reasons=reasons or {},
            span=range(len(self.ids)),
        )

    def select(self, clips: Sequence[int]) -> "Listed":
        """Some of the clips, in the order given; the texts of the rows are shared."""
        owned = [self.rows[self.offset[clip] : self.offset[clip + 1]] for clip in clips]
        counts = [len(rows) for rows in owned]
        return Listed(
            ids=Texts(self.ids[clip] for clip in clips),
            captions=self.captions,
            names=self.names,
            paths=Texts(self.paths[clip] for clip in clips),
            rows=np.concatenate([np.zeros(0, np.int64), *owned]),
            offset=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        )

    def _rows_of(self, index: int) -> list[int]:
        start, stop = self.offset[index : index + 2].tolist()
        return self.rows[start:stop].tolist()


class Gatherer:
    """Gathers the rows of a captions file by clip, wherever they stand in it."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._captions, self._names, self._paths = Texts(), Texts(), Texts()
        self._clips = array("q")  # one number per row

    def __contains__(self, clip: str) -> bool:
        return clip in self._numbers

    def path_of(self, clip: str) -> str:
        """Where the sound of a clip lies that was added, as the first of its rows says."""
        return self._paths[self._numbers[clip]]

    def add(self, clip: str, captions: Sequence[str], name: str = "", path: str = "") -> None:
        """Add captions of a clip; without any, the clip and its name are listed all the same."""
        number = self._numbers.setdefault(clip, len(self._numbers))
        if number == len(self._paths):
            self._paths.append(path)
        for caption in captions or ([""] if name else []):
            self._clips.append(number)
            self._captions.append(caption)
            self._names.append(name)

    def listed(self) -> Listed:
        clips = np.array(self._clips, np.int64)
        counts = np.bincount(clips, minlength=len(self._numbers))
        return Listed(
            ids=Texts(self._numbers),
            captions=self._captions,
            names=self._names,
            paths=self._paths,
            rows=np.argsort(clips, kind="stable"),
            offset=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        )


@dataclass(frozen=True, kw_only=True)
class Planned(Sequence[PlannedClip]):
    """Clips of a split with the files found for them, made into objects only when looked at.

    Attributes:
        listed: ids and captions.
        paths: the clips' files, empty where there is none.
        reasons: why a clip has no audio, by position, where more can be said than that.
        span: the positions that this view holds.
    """

    listed: Listed
    paths: Texts
    reasons: dict[int, str] = field(default_factory=dict)
    span: range

    def __len__(self) -> int:
        return len(self.span)

    @overload
    def __getitem__(self, index: int) -> PlannedClip: ...
    @overload
    def __getitem__(self, index: slice) -> "Planned": ...
    def __getitem__(self, index: int | slice) -> "PlannedClip | Planned":
        if isinstance(index, slice):
            return Planned(
                listed=self.listed, paths=self.paths, reasons=self.reasons, span=self.span[index]
            )
        position = self.span[index]
        reason = self.reasons.get(position, "")
        return PlannedClip(
            self.listed.ids[position],
            None if reason else self.paths[position] or None,
            self.listed.captions_of(position),
            reason,
        )

    def __reduce__(self) -> tuple:
        # What is sent to another process is the clips of this view, not the columns behind it.
        return list, (list(self),)

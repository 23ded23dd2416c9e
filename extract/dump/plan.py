"""A dump folder becomes a plan: which clips there are, with which captions, in which file.

File names are never taken apart. For every clip that the captions list, the names that dumps are
known to use are looked up among the files that are there, so an id can hold any sign, and no id can
point outside the dump.
"""

import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from extract.dump.audio_files import AudioFiles, check_folder
from extract.dump.captions import find_captions, read_audiocaps, read_clotho
from extract.dump.clips import Listed, Planned, PlannedClip, Texts
from features.common.errors import ConfigError, DumpError

KINDS = ("audiocaps", "clotho", "folder")
FOLDER_SPLIT = "all"
CLIP_S = 10

# A clip's file, or None and why there is none if more can be said than that.
Found = tuple[str | None, str]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All clips of a dump by split, missing ones included, in the order of the captions files."""

    kind: str
    splits: Mapping[str, Sequence[PlannedClip]]


def read_dump(
    dump: Path,
    *,
    captions: Path | None = None,
    kind: str | None = None,
    splits: Sequence[str] | None = None,
) -> Plan:
    """Plan the extraction of a dump.

    Args:
        dump: folder with the audio, in any known layout.
        captions: folder with the captions files, when they are not in the dump.
        kind: `audiocaps`, `clotho` or `folder` (audio without captions); recognised when None.
        splits: which to plan, all by default.

    Raises:
        DumpError: if the dump or its captions cannot be used.
        ConfigError: if `kind` is unknown.
    """
    if kind is not None and kind not in KINDS:
        raise ConfigError(f"--kind is {kind!r}, expected one of {', '.join(KINDS)}")
    check_folder(dump)
    found = None if kind == "folder" else find_captions(dump, captions)
    if found is None:
        if kind not in (None, "folder"):
            raise DumpError(f"{dump}: found no {kind} captions; name their folder with --captions")
        _check_splits(dump, splits, [FOLDER_SPLIT])
        return Plan(kind="folder", splits={FOLDER_SPLIT: _plan_folder(dump)})
    recognised, tables = found
    if kind is not None and kind != recognised:
        raise DumpError(f"{dump}: holds {recognised} captions, asked for --kind {kind}")
    _check_splits(dump, splits, list(tables))
    # All tables are read, not only those asked for: a bare id is certain only among all of them.
    read = read_clotho if recognised == "clotho" else read_audiocaps
    listed = {split: read(path) for split, path in tables.items()}
    files = AudioFiles(dump)
    if recognised == "clotho":
        planned = _plan(listed, _ClothoNames(files).find)
    else:
        planned = _plan(listed, _AudioCapsNames(files, list(listed.values())).find)
    return Plan(
        kind=recognised,
        splits={split: planned[split] for split in tables if not splits or split in splits},
    )


def timed_names(youtube_id: str, start: str) -> Iterator[str]:
    """File names without ending that AudioCaps dumps give to a clip, those with a start time.

    Args:
        youtube_id: as the captions have it.
        start: seconds, as the captions have it.
    """
    yield f"{youtube_id}_{start}"
    yield f"Y{youtube_id}_{start}"
    if start.isdecimal():
        first, last = int(start), int(start) + CLIP_S
        yield f"Y{youtube_id}_{first}.000_{last}.000"
        yield f"{youtube_id}_{first}.000_{last}.000"
        yield f"{youtube_id}_{first:06d}"
        yield f"Y{youtube_id}_{first:06d}"
        yield f"{youtube_id}_{first}.0-{last}.0"
        yield f"{youtube_id}_{first}_{last}"


class _AudioCapsNames:
    """Looks AudioCaps clips up: names with a start time, then audiocap_ids, then bare ids."""

    def __init__(self, files: AudioFiles, listed: Sequence[Listed]) -> None:
        self._files = files
        self._listed = listed

    def find(self, listed: Listed, index: int, split: str) -> Found:
        video, _, start = listed.ids[index].rpartition("_")  # our own: the start holds no "_"
        for name in timed_names(video, start):
            if path := self._files.find(name, split):
                return path, ""
        for name in listed.names_of(index):
            if name and (path := self._files.find(name, split)):
                return path, ""
        for name in (f"Y{video}", video):
            if path := self._files.find(name, split):
                if _count(self._videos, video) == 1:
                    return path, ""
                return None, f"missing: {path} has no start time and the captions list several"
        if video.startswith("_"):
            return self._dashed(video, start, split), ""
        return None, ""

    @cached_property
    def _clips(self) -> np.ndarray:
        """Hashes of all clip ids, in order: 8 MB a million, a set of strings takes 150 MB."""
        return np.unique(_hashes(clip for table in self._listed for clip in table.ids))

    @cached_property
    def _videos(self) -> np.ndarray:
        """Hashes of the video ids of all clips, in order; a clip in two splits counts once."""
        videos = _hashes(clip.rpartition("_")[0] for table in self._listed for clip in table.ids)
        clips = _hashes(clip for table in self._listed for clip in table.ids)
        return np.sort(videos[np.unique(clips, return_index=True)[1]])

    def _dashed(self, video: str, start: str, split: str) -> str | None:
        """Some published ids have lost their leading dash to an underscore."""
        dashed = f"-{video[1:]}"
        if not _count(self._clips, f"{dashed}_{start}"):
            for name in timed_names(dashed, start):
                if path := self._files.find(name, split):
                    return path
        if not _count(self._videos, dashed) and _count(self._videos, video) == 1:
            return self._files.find(f"Y{dashed}", split) or self._files.find(dashed, split)
        return None


class _ClothoNames:
    """Looks Clotho clips up: their ids are file names."""

    def __init__(self, files: AudioFiles) -> None:
        self._files = files

    def find(self, listed: Listed, index: int, split: str) -> Found:
        name, suffix = os.path.splitext(listed.ids[index])  # noqa: PTH122
        return self._files.find(name, split, suffix), ""


def _plan(
    listed: dict[str, Listed],
    look_up: Callable[[Listed, int, str], Found],
) -> dict[str, Planned]:
    """Look every clip up; a file goes to the first clip that it fits, and to no other."""
    planned: dict[str, Planned] = {}
    clips, files = array("q"), array("q")
    for split, table in listed.items():
        paths, reasons = Texts(), {}
        for index in range(len(table.ids)):
            path, reason = look_up(table, index, split)
            paths.append(path or "")
            if reason:
                reasons[index] = reason
            clips.append(hash(table.ids[index]))
            files.append(hash(path) if path else 0)
        planned[split] = Planned(
            listed=table, paths=paths, reasons=reasons, span=range(len(table.ids))
        )
    twice = set(_given_twice(clips, files))
    position = 0
    for clips_of_split in planned.values():
        for index in range(len(clips_of_split)) if twice else ():
            if position + index in twice:
                path = clips_of_split.paths[index]
                clips_of_split.reasons[index] = f"missing: {path} fits an earlier clip too"
        position += len(clips_of_split)
    return planned


def _plan_folder(dump: Path) -> list[PlannedClip]:
    clips = [PlannedClip(path, path) for path in sorted(AudioFiles(dump))]
    if not clips:
        raise DumpError(
            f"{dump}: found neither captions (train.csv, val.csv, test.csv or "
            "clotho_captions_<split>.csv) nor audio files; name the folder that holds the clips, "
            "or make a synthetic dump with: python -m extract demo DUMP"
        )
    return clips


def _given_twice(clips: array, files: array) -> list[int]:
    """Whose file went to another clip before; the same clip in two splits is no other.

    Args:
        clips: hashes of ids [n].
        files: hashes of paths [n], 0 where there is none.
    """
    ordered = np.sort(np.array(files, np.int64))
    doubled = set(ordered[1:][(ordered[1:] == ordered[:-1]) & (ordered[1:] != 0)].tolist())
    owner: dict[int, int] = {}
    return [
        at
        for at, file in enumerate(files if doubled else ())
        if file in doubled and owner.setdefault(file, clips[at]) != clips[at]
    ]


def _check_splits(dump: Path, splits: Sequence[str] | None, there: Sequence[str]) -> None:
    unknown = [split for split in splits or () if split not in there]
    if unknown:
        raise DumpError(f"{dump}: has no split {unknown[0]!r}; it has {', '.join(there)}")


def _hashes(texts: Iterable[str]) -> np.ndarray:
    """int64 [n]."""
    return np.fromiter(map(hash, texts), np.int64)


def _count(ordered: np.ndarray, text: str) -> int:
    """How often the hash of `text` stands in an ordered array."""
    key = hash(text)
    return int(np.searchsorted(ordered, key, "right") - np.searchsorted(ordered, key, "left"))

"""Which file is a clip's: the names that dumps give to clips, looked up among those there.

File names are never taken apart to find a clip, and no text of a captions file is joined to a path,
so an id can hold any sign, and none can point outside the dump.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import product
from pathlib import PurePosixPath

import numpy as np

from extract.dump.audio_files import AudioFiles
from extract.dump.clips import Listed
from extract.dump.splits import folder_splits
from extract.dump.tables.texts import has_audio_ending
from extract.sound.kinds import DECODED_SUFFIXES

CLIP_S = 10

# A clip's file, or None and why there is none if more can be said than that.
Found = tuple[str | None, str]


class Chooser:
    """Which of several files of one name is a clip's."""

    def __init__(self, meant: Mapping[str, str]) -> None:
        """`meant` are the captions' own words for splits, and what they mean."""
        self._meant = meant
        self._splits_of: dict[str, set[str]] = {}  # by folder
        self.ties: list[tuple[str, str]] = []  # one was taken, and another might be meant

    def best(
        self, paths: Sequence[str], split: str, suffix: str = "", near: str = ""
    ) -> str | None:
        """One with the ending `suffix` is preferred, then one in the folder `near`, then one under
        a folder named after the split, then one that can be decoded, then the first by path."""
        if len(paths) < 2:
            return paths[0] if paths else None

        def rank(path: str) -> tuple[bool, bool, bool, bool, str]:
            folder, ending = os.path.dirname(path), os.path.splitext(path)[1]  # noqa: PTH120, PTH122
            return (
                ending != suffix,
                bool(near) and f"{folder}/" != near,
                split not in self._splits(folder),
                ending.lower() not in DECODED_SUFFIXES,
                path,
            )

        first, second, *_ = sorted(paths, key=rank)
        apart = os.path.dirname(first) != os.path.dirname(second)  # noqa: PTH120
        if apart and rank(first)[:-1] == rank(second)[:-1]:
            self.ties.append((first, second))
        return first

    def allowed(self, paths: Iterable[str], split: str) -> list[str]:
        """Those that lie below no folder that is named after another split of the captions.

        One name in two splits may be two recordings.
        """
        kept = []
        for path in paths:
            splits = self._splits(os.path.dirname(path))  # noqa: PTH120
            if split in splits or not splits & set(self._meant.values()):
                kept.append(path)
        return kept

    def _splits(self, folder: str) -> set[str]:
        if folder not in self._splits_of:
            self._splits_of[folder] = folder_splits(folder.split("/"), self._meant)
        return self._splits_of[folder]


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
        yield f"Y{youtube_id}_{first}_{last}"
        yield f"Y{youtube_id}_{first}.0-{last}.0"
    first_ms = round(float(start) * 1000)
    for prefix in ("", "Y"):
        yield f"{prefix}{youtube_id}_{first_ms}_{first_ms + 1000 * CLIP_S}"
        yield f"{prefix}{youtube_id}_{first_ms}"


class AudioCapsNames:
    """Looks AudioCaps clips up: names with a start time, then the names that the captions give
    (audiocap_ids or file names), then bare ids."""

    def __init__(self, files: AudioFiles, listed: Sequence[Listed], chooser: Chooser) -> None:
        self._files, self._listed, self._chooser = files, listed, chooser

    def find(self, listed: Listed, index: int, split: str, folder: str) -> Found:
        """A clip's file by the names that are known."""
        video, _, start = listed.ids[index].rpartition("_")  # our own: the start holds no "_"
        # What has id and start in its name is that recording, in whatever folder it lies.
        for name in timed_names(video, start):
            if path := self._chooser.best(self._files.paths(name), split):
                return path, ""
        for name in listed.names_of(index):
            stem = PurePosixPath(name).stem if has_audio_ending(name) else name
            paths = self._chooser.allowed(self._files.paths(stem), split) if stem else []
            if path := self._chooser.best(paths, split, near=folder):
                return path, ""
        for name in (f"Y{video}", video):
            if path := self._chooser.best(self._files.paths(name), split):
                if count(self._videos, video) == 1:
                    return path, ""
                return None, f"missing: {path} has no start time and the captions list several"
        if video.startswith("_"):
            return self._dashed(video, start, split), ""
        return None, ""

    def near(self, listed: Listed, index: int, split: str) -> list[str]:
        """Files that were cut short, or written in another way: id, start and an end that is no
        later than a clip's."""
        video, _, start = listed.ids[index].rpartition("_")
        first = float(start)
        starts = [(start, 1), (f"{start}.0", 1), (f"{start}.000", 1)]
        starts += [(f"{int(first):06d}", 1), (f"{round(first * 1000)}", 1000)]
        found = []
        for prefix, (begin, unit), signs in product(("", "Y"), starts, ("__", "_-", "--")):
            name = f"{prefix}{video}{signs[0]}{begin}{signs[1]}"
            for path, end in self._files.ending_in_a_number(name):
                if first < end / unit <= first + CLIP_S:
                    found.append(path)
        return found

    @cached_property
    def _clips(self) -> np.ndarray:
        """Hashes of all clip ids, in order: 8 MB a million, a set of strings takes 150 MB."""
        return np.unique(hashes(clip for table in self._listed for clip in table.ids))

    @cached_property
    def _videos(self) -> np.ndarray:
        """Hashes of the video ids of all clips, in order; a clip in two splits counts once."""
        videos = hashes(clip.rpartition("_")[0] for table in self._listed for clip in table.ids)
        clips = hashes(clip for table in self._listed for clip in table.ids)
        return np.sort(videos[np.unique(clips, return_index=True)[1]])

    def _dashed(self, video: str, start: str, split: str) -> str | None:
        """Some published ids have lost their leading dash to an underscore."""
        dashed = f"-{video[1:]}"
        if not count(self._clips, f"{dashed}_{start}"):
            for name in timed_names(dashed, start):
                if path := self._chooser.best(self._files.paths(name), split):
                    return path
        if not count(self._videos, dashed) and count(self._videos, video) == 1:
            paths = self._files.paths(f"Y{dashed}") or self._files.paths(dashed)
            return self._chooser.best(paths, split)
        return None


class FileNames:
    """Looks up clips whose ids are the names of their files, with or without folders."""

    def __init__(self, files: AudioFiles, chooser: Chooser) -> None:
        self._files, self._chooser = files, chooser

    def find(self, listed: Listed, index: int, split: str, folder: str) -> Found:
        """A clip's file: of that name, and below those folders where the name has some.

        Of WavCaps' sets, which share ids, it is the one whose folder is called after the set.
        """
        label = next(iter(listed.names_of(index)), "")
        name = listed.ids[index].removeprefix(f"{label}/") if label else listed.ids[index]
        folders, stem, suffix = _taken_apart(name)
        if ".." in folders:
            return None, ""
        paths = self._files.paths(stem)
        if label and len(paths) > 1:
            own = [path for path in paths if label.lower() in path.rpartition("/")[0].lower()]
            own = own or paths
            if len({_no_ending(path) for path in own}) != 1:
                return None, f"missing: {paths[0]} and others are called so, not one in {label}"
            paths = own
        if folders:
            ends = "/".join([*folders, stem])
            exact = [path for path in paths if _no_ending(path) in (ends, folder + ends)]
            deeper = [path for path in paths if _no_ending(path).endswith(f"/{ends}")]
            return self._chooser.best(exact or deeper, split, suffix, folder), ""
        kept = self._chooser.allowed(paths, split)
        if paths and not kept:
            return None, f"missing: {paths[0]} is another split's, where the name may mean another"
        return self._chooser.best(kept, split, suffix, folder), ""

    def near(self, listed: Listed, index: int, split: str) -> list[str]:
        """Files whose names differ in what tools change only, or lie in fewer folders."""
        folders, stem, _ = _taken_apart(listed.ids[index])
        if not folders:
            return self._chooser.allowed(self._files.near(stem), split)
        joined = self._files.near("/".join([*folders, stem]))  # a tool made "_" of the slash
        paths = (path for path in self._files.near(stem) if _fewer_folders(path, folders))
        return [*joined, *paths] if ".." not in folders else []


def _taken_apart(name: str) -> tuple[list[str], str, str]:
    """Folders, name and ending of what a captions file calls a file; never joined to a path."""
    if "/" not in name:
        name = name.replace("\\", "/")
    *folders, last = name.split("/")
    last = last.rstrip() if has_audio_ending(last.rstrip()) else last
    stem, suffix = os.path.splitext(last) if has_audio_ending(last) else (last, "")  # noqa: PTH122
    return [part for part in folders if part not in ("", ".")], stem, suffix


def _no_ending(path: str) -> str:
    return os.path.splitext(path)[0]  # noqa: PTH122


def _fewer_folders(path: str, named: Sequence[str]) -> bool:
    """Whether a file lies in the last of the folders named, or in none."""
    there = path.split("/")[:-1]
    return not there or there == list(named)[-len(there) :]


def hashes(texts: Iterable[str]) -> np.ndarray:
    """int64 [n]."""
    return np.fromiter(map(hash, texts), np.int64)


def count(ordered: np.ndarray, text: str) -> int:
    """How often the hash of `text` stands in an ordered array."""
    key = hash(text)
    return int(np.searchsorted(ordered, key, "right") - np.searchsorted(ordered, key, "left"))

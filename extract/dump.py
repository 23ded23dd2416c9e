"""A dump folder becomes a plan: which clips there are, with which captions, in which file.

File names are never taken apart. For every clip that the captions list, the names that dumps are
known to use are looked up among the files that are there, so an id can hold any sign, and no id can
point outside the dump.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from extract.audio import AUDIO_SUFFIXES
from extract.captions import Listed, find_captions, read_audiocaps, read_clotho
from features.errors import ConfigError, DumpError

KINDS = ("audiocaps", "clotho", "folder")
FOLDER_SPLIT = "all"
CLIP_S = 10


@dataclass(frozen=True, slots=True)
class PlannedClip:
    """A clip to extract. `path` is relative to the dump; None means no audio, `reason` says why."""

    id: str
    path: str | None
    captions: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All clips of a dump by split, missing ones included, in the order of the captions files."""

    kind: str
    splits: dict[str, list[PlannedClip]]


class AudioFiles:
    """The audio files below a folder, to be looked up by name without ending.

    One entry per name: the places where it stands, as (folder, ending) pairs that are shared
    between names, so that two million files take some hundred MB.
    """

    def __init__(self, root: Path) -> None:
        """Walk `root` once, following links to folders but never twice into one.

        Raises:
            DumpError: if `root` is no folder or cannot be read.
        """
        if not root.is_dir():
            found = "a file" if root.is_file() else "nothing"
            raise DumpError(f"{root}: expected a folder of audio, found {found}")
        self._places: dict[str, list[tuple[str, str]] | tuple[str, str]] = {}
        self._shared: dict[tuple[str, str], tuple[str, str]] = {}
        self._walk(os.fspath(root), "", set())

    def __iter__(self) -> Iterator[str]:
        """All paths relative to the root, in no particular order."""
        for name in self._places:
            yield from self.paths(name)

    def paths(self, name: str) -> list[str]:
        """Where a name stands, relative to the root."""
        places = self._places.get(name, [])
        every = [places] if isinstance(places, tuple) else places
        return [f"{folder}{name}{suffix}" for folder, suffix in every]

    def find(self, name: str, split: str) -> str | None:
        """The file of that name; under a folder named after the split first, then by path."""
        paths = self.paths(name)
        if len(paths) < 2:
            return paths[0] if paths else None
        return min(paths, key=lambda path: (split not in PurePosixPath(path).parts[:-1], path))

    def _walk(self, folder: str, inside: str, seen: set[tuple[int, int]]) -> None:
        try:
            status = os.stat(folder)  # noqa: PTH116 - millions of entries: plain strings
            if (status.st_dev, status.st_ino) in seen:
                return
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                folders = [entry for entry in entries if not self._take(entry, inside)]
        except OSError as error:
            raise DumpError(f"{folder}: cannot be read ({error.strerror})") from error
        for entry in folders:
            self._walk(entry.path, f"{inside}{entry.name}/", seen)

    def _take(self, entry: os.DirEntry, inside: str) -> bool:
        """Note an audio file; true unless the entry is a folder to walk into."""
        name, suffix = os.path.splitext(entry.name)  # noqa: PTH122
        if entry.name.startswith("."):
            return True
        # By name alone: a folder or a broken link named .wav must be reported, not missed.
        if suffix.lower() not in AUDIO_SUFFIXES:
            return not entry.is_dir()
        place = self._shared.setdefault((inside, suffix), (inside, suffix))
        before = self._places.get(name)
        if before is None:
            self._places[name] = place
        elif isinstance(before, tuple):
            self._places[name] = [before, place]
        else:
            before.append(place)
        return True


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
        raise ConfigError(f"--kind is {kind!r}, expected one of {KINDS}")
    files = AudioFiles(dump)
    found = None if kind == "folder" else find_captions(dump, captions)
    if found is None:
        if kind not in (None, "folder"):
            raise DumpError(f"{dump}: found no {kind} captions; name their folder with --captions")
        return Plan(kind="folder", splits=_chosen(dump, {FOLDER_SPLIT: None}, splits, files))
    recognised, tables = found
    if kind is not None and kind != recognised:
        raise DumpError(f"{dump}: holds {recognised} captions, asked for --kind {kind}")
    return Plan(kind=recognised, splits=_chosen(dump, tables, splits, files, recognised))


def _chosen(
    dump: Path,
    tables: dict[str, Path] | dict[str, None],
    splits: Sequence[str] | None,
    files: AudioFiles,
    kind: str = "folder",
) -> dict[str, list[PlannedClip]]:
    unknown = [split for split in splits or () if split not in tables]
    if unknown:
        raise DumpError(f"{dump}: has no split {unknown[0]!r}; it has {list(tables)}")
    if kind == "folder":
        clips = [PlannedClip(path, path) for path in sorted(files)]
        if not clips:
            raise DumpError(
                f"{dump}: found neither captions (train.csv, val.csv, test.csv or "
                "clotho_captions_<split>.csv) nor audio files"
            )
        return {FOLDER_SPLIT: clips}
    read = read_clotho if kind == "clotho" else read_audiocaps
    # All tables are read, not only those asked for: a bare id is certain only among all of them.
    listed = {split: read(path) for split, path in tables.items() if path is not None}
    if kind == "clotho":
        planned = {
            split: [_clotho_clip(c, split, files) for c in cs] for split, cs in listed.items()
        }
    else:
        planned = _plan_audiocaps(listed, files)
    return {split: clips for split, clips in planned.items() if not splits or split in splits}


def _clotho_clip(clip: Listed, split: str, files: AudioFiles) -> PlannedClip:
    name = os.path.splitext(clip.id)[0]  # noqa: PTH122
    return PlannedClip(clip.id, files.find(name, split), tuple(clip.captions))


def _plan_audiocaps(
    listed: dict[str, list[Listed]], files: AudioFiles
) -> dict[str, list[PlannedClip]]:
    ids = {clip.id for clips in listed.values() for clip in clips}
    starts: dict[str, int] = {}
    for key in ids:
        youtube_id = key.rpartition("_")[0]  # our own key, whose start holds no underscore
        starts[youtube_id] = starts.get(youtube_id, 0) + 1
    planned = {}
    for split, clips in listed.items():
        planned[split] = [_audiocaps_clip(clip, split, files, starts, ids) for clip in clips]
        clips.clear()
    return planned


def _audiocaps_clip(
    clip: Listed, split: str, files: AudioFiles, starts: dict[str, int], ids: set[str]
) -> PlannedClip:
    captions = tuple(clip.captions)
    for name in (*timed_names(clip.youtube_id, clip.start), *clip.names):
        path = files.find(name, split)
        if path is not None:
            return PlannedClip(clip.id, path, captions)
    for name in (f"Y{clip.youtube_id}", clip.youtube_id):
        path = files.find(name, split)
        if path is not None:
            if starts[clip.youtube_id] == 1:
                return PlannedClip(clip.id, path, captions)
            reason = f"missing: {path} names no start time and the captions list several"
            return PlannedClip(clip.id, None, captions, reason)
    other = f"-{clip.youtube_id[1:]}"
    if clip.youtube_id.startswith("_") and f"{other}_{clip.start}" not in ids:
        # Some published ids have lost their leading dash to an underscore.
        for name in timed_names(other, clip.start):
            path = files.find(name, split)
            if path is not None:
                return PlannedClip(clip.id, path, captions)
    return PlannedClip(clip.id, None, captions)


def timed_names(youtube_id: str, start: str) -> list[str]:
    """File names without ending that AudioCaps dumps give to a clip, those with a start time.

    Args:
        youtube_id: as the captions have it.
        start: seconds, as the captions have it.
    """
    names = [f"{youtube_id}_{start}", f"Y{youtube_id}_{start}"]
    if start.isdecimal():
        first, last = int(start), int(start) + CLIP_S
        names += [
            f"Y{youtube_id}_{first}.000_{last}.000",
            f"{youtube_id}_{first}.000_{last}.000",
            f"{youtube_id}_{first:06d}",
            f"Y{youtube_id}_{first:06d}",
            f"{youtube_id}_{first}.0-{last}.0",
            f"{youtube_id}_{first}_{last}",
        ]
    return names

"""Which shards an extraction makes, and which of them are finished.

A finished shard is `<split>/00000.h5` and, written after it, `<split>/00000.json`: its done-mark
with clip counts, checksum, streams, failures, and a digest of the clips that were planned for it.
All that a later run needs to know is in the done-marks, so resuming is a look at what exists.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from extract.dump.clips import PlannedClip
from extract.dump.plan import Plan
from features.common.checksum import sha256_of
from features.common.errors import ConfigError, FormatError
from features.common.publish import write_json
from features.common.reading import parse_json, read_text
from features.reader import Shard
from features.spec import FORMAT, VERSION, ShardEntry, StreamSpec, shard_name

DEFAULT_SHARD_CLIPS = 2000


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A clip that was listed but is in no shard. `path` is empty when no audio was found."""

    clip: str
    path: str
    reason: str

    @property
    def missing(self) -> bool:
        return not self.path


@dataclass(frozen=True, kw_only=True)
class DoneMark:
    """What stands beside a finished shard. `entry` is None if none of its clips could be used."""

    planned: str
    shard_clips: int
    listed: int
    entry: ShardEntry | None
    streams: dict[str, dict[str, Any]]
    failures: tuple[Failure, ...]

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The done-mark at `path`, or None if there is none that we can read."""
        try:
            raw = parse_json(read_text(path), halves=True)  # of a file name that is not UTF-8
            if (raw.pop("format"), raw.pop("version")) != (FORMAT, VERSION):
                return None
            entry = raw.pop("entry")
            failures = tuple(Failure(**failure) for failure in raw.pop("failures"))
            return cls(entry=ShardEntry(**entry) if entry else None, failures=failures, **raw)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, FormatError):
            return None  # absent or not ours: the shard counts as unfinished and is made again

    def write(self, path: Path) -> None:
        write_json(path, {"format": FORMAT, "version": VERSION, **asdict(self)})


@dataclass(frozen=True)
class ShardTask:
    """One shard to make: a run of clips in the order of the captions file, missing ones included.

    The cut is by clips listed, not by clips found, so that audio which turns up later changes only
    the shards that it belongs to.
    """

    split: str
    number: int
    clips: Sequence[PlannedClip]
    shard_clips: int
    original: str = ""

    def path(self, out: Path) -> Path:
        return split_folder(out, self.split, self.original) / shard_name(self.number)

    def mark_path(self, out: Path) -> Path:
        return self.path(out).with_suffix(".json")

    def make_room(self, out: Path) -> None:
        """Make the folder for the shard, and delete what killed runs left half-written there."""
        path = self.path(out)
        path.parent.mkdir(exist_ok=True)
        for pattern in (f".{path.stem}.*.part", f"..{path.stem}.*.part"):
            for draft in path.parent.glob(pattern):
                draft.unlink(missing_ok=True)

    @property
    def present(self) -> int:
        """How many of the clips have audio."""
        return self._seen[0]

    @property
    def digest(self) -> str:
        """Hash of the planned clips: ids, audio paths, captions."""
        return self._seen[1]

    @cached_property
    def _seen(self) -> tuple[int, str]:
        # One look at each clip: they may be millions, made into objects as they are looked at.
        digest, present = hashlib.sha256(), 0
        for clip in self.clips:
            present += clip.path is not None
            digest.update(json.dumps([clip.id, clip.path, *clip.captions]).encode())
        return present, digest.hexdigest()

    def done(self, out: Path) -> DoneMark | None:
        """The done-mark, if the shard stands as it was written for these same clips."""
        mark = whole_mark(self.mark_path(out))
        return mark if mark and mark.planned == self.digest else None

    def mend(self, out: Path) -> None:
        """Renew the done-mark of a shard that got a stream just before its run was killed.

        A shard has its final name only when it is whole, and what an added stream leaves as it was
        is known from the old mark, so nothing need be computed again.
        """
        mark, path = DoneMark.read(self.mark_path(out)), self.path(out)
        if mark is None or mark.entry is None or mark.planned != self.digest or self.done(out):
            return
        shard = Shard(path)
        try:
            streams = {name: spec.attrs() for name, spec in shard.streams.items()}
            grown = mark.streams.items() <= streams.items() and len(shard) == mark.entry.clips
        except FormatError:
            return  # absent or damaged: it is made again
        if grown:
            size, digest = path.stat().st_size, sha256_of(path)
            entry = replace(mark.entry, bytes=size, sha256=digest)
            replace(mark, entry=entry, streams=streams).write(self.mark_path(out))


def whole_mark(path: Path) -> DoneMark | None:
    """The done-mark at `path`, if its shard stands beside it as it was written."""
    mark = DoneMark.read(path)
    if mark is None or mark.entry is None:
        return mark
    shard = path.with_suffix(".h5")
    return mark if shard.is_file() and shard.stat().st_size == mark.entry.bytes else None


def split_folder(out: Path, split: str, original: str) -> Path:
    """The folder of a split's shards: under the dump's name for it if it was made so before."""
    old, new = out / original, out / split
    made_before = original and old.is_dir() and not new.is_dir() and any(old.glob("[0-9]*.json"))
    return old if made_before else new


def plan_shards(plan: Plan, shard_clips: int = DEFAULT_SHARD_CLIPS) -> list[ShardTask]:
    """Cut every split into shards of `shard_clips` listed clips.

    Raises:
        ConfigError: if `shard_clips` is below 1.
    """
    if shard_clips < 1:
        raise ConfigError(f"--shard-clips is {shard_clips}, expected at least 1")
    return [
        ShardTask(
            split,
            start // shard_clips,
            clips[start : start + shard_clips],
            shard_clips,
            plan.originals.get(split, ""),
        )
        for split, clips in plan.splits.items()
        for start in range(0, len(clips), shard_clips)
    ]


def check_same_settings(out: Path, tasks: Sequence[ShardTask], specs: Sequence[StreamSpec]) -> None:
    """Refuse to mix weights or settings within one features folder.

    Raises:
        ConfigError: naming the setting, what the folder holds and what was asked for.
    """
    for task in tasks:
        mark = DoneMark.read(task.mark_path(out))
        if mark is None:
            continue
        if mark.shard_clips != task.shard_clips:
            raise ConfigError(
                f"{out} was cut into shards of {mark.shard_clips} clips, now asked for "
                f"{task.shard_clips}; use --shard-clips {mark.shard_clips} or another --out"
            )
        for spec in specs:
            for key, found in mark.streams.get(spec.name, {}).items():
                if found != spec.attrs()[key]:
                    raise ConfigError(
                        f"{task.path(out)}: stream {spec.name} was made with {key} {found!r}, now "
                        f"asked for {spec.attrs()[key]!r}; use the same settings or another --out"
                    )
            for name, attrs in mark.streams.items():
                if attrs["resampler"] != spec.resampler:
                    raise ConfigError(
                        f"{task.path(out)}: stream {name} was made with resampler "
                        f"{attrs['resampler']!r}, {spec.name} would be with {spec.resampler!r}; "
                        "one folder has one: use another --out"
                    )


def check_joins(
    out: Path, tasks: Sequence[ShardTask], own: Sequence[ShardTask], streams: Sequence[str]
) -> None:
    """Refuse to make new shards without a stream that finished ones have.

    Adding a stream is for finished outputs; otherwise the folder's shards would hold different
    streams, and the index, which lists what all of them have, would forget one.

    Args:
        out: the features folder.
        tasks: all shards.
        own: those that this run makes.
        streams: what it makes.

    Raises:
        ConfigError: naming the streams to ask for.
    """
    unfinished = sum(task.done(out) is None for task in own)
    marks = [mark for task in tasks if (mark := task.done(out)) and mark.entry]
    there = sorted({name for mark in marks for name in mark.streams})
    lacking = [name for name in there if name not in streams]
    if lacking and unfinished:
        both = ",".join([*lacking, *streams])
        raise ConfigError(
            f"{out}: {unfinished:,} shards are still to make (unfinished, or changed in the dump), "
            f"and the finished ones hold {', '.join(there)}; run with --streams {both}"
        )

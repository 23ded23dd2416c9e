"""A shard being made: what earlier runs left of it, what is gathered, and the draft of that.

A run that ends before its shard is whole leaves `.00000.h5.draft`, a shard of the clips gathered so
far, and, written after it, `.00000.json.draft`, a mark like that of a finished one. The draft ends
where a batch does: the clips behind it meet in the same batches as without an interruption, and so
the finished shard has the same bytes.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from extract.dump.clips import PlannedClip
from extract.running.encoder import Encoder
from extract.shards import DoneMark, Failure, ShardTask
from extract.sound.files import ffmpeg
from features.common.checksum import sha256_of
from features.common.console import log
from features.common.errors import FormatError, TagbartError
from features.reader import Shard
from features.spec import ShardEntry, StreamSpec
from features.writer import ShardWriter

MISSING = "missing: the dump has no audio for it"


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is left to do for one shard.

    Attributes:
        task: the shard.
        clips: those to hear.
        kept: whether it stands already and only gets further streams.
        failures: clips that earlier runs, or the plan, left out.
        draft: the mark of what the run before gathered; `listed` counts the clips it heard.
    """

    task: ShardTask
    clips: list[PlannedClip]
    kept: bool
    failures: tuple[Failure, ...]
    draft: DoneMark | None = None


def work_of(task: ShardTask, out: Path, draft: DoneMark | None) -> Work:
    """What is left to do for a shard, given its draft (from `find_draft`)."""
    mark = task.done(out)
    if mark is not None:
        failures = mark.failures
        lost = {failure.clip for failure in failures}
        clips = [clip for clip in task.clips if clip.id not in lost]
    else:
        failures = tuple(
            Failure(clip=clip.id, path="", reason=clip.reason or MISSING)
            for clip in task.clips
            if clip.path is None
        )
        clips = [clip for clip in task.clips if clip.path is not None]
    if draft is not None:
        clips, failures = clips[draft.listed :], draft.failures
    kept = mark is not None and mark.entry is not None
    return Work(task=task, clips=clips, kept=kept, failures=failures, draft=draft)


def find_draft(task: ShardTask, out: Path, encoders: Mapping[str, Encoder]) -> DoneMark | None:
    """The mark of a shard's draft, if it can be gone on with; one that cannot is deleted.

    Args:
        task: the shard.
        out: the features folder.
        encoders: by stream name, of the streams asked for.
    """
    _, mark_path = _paths(task, out)
    if not mark_path.is_file():
        return None
    mark = DoneMark.read(mark_path)
    problem = _problem(mark, task, out, encoders)
    if not problem:
        return mark
    log(f"{task.path(out)}: the draft that an earlier run left of it {problem}; it is not used")
    forget_draft(task, out)
    return None


def draft_mark(task: ShardTask, out: Path) -> DoneMark | None:
    """The mark of a shard's draft as it stands, whether or not it can be gone on with."""
    return DoneMark.read(_paths(task, out)[1])


def forget_draft(task: ShardTask, out: Path) -> None:
    """Delete a shard's draft, if there is one."""
    for path in reversed(_paths(task, out)):  # the mark first: without it, the rest is nothing
        path.unlink(missing_ok=True)


def forget_if_finished(task: ShardTask, out: Path) -> None:
    """Delete a draft whose run was ended in the very moment in which its shard was finished."""
    _, mark_path = _paths(task, out)
    if mark_path.is_file() and (done := task.done(out)) is not None:
        mark = DoneMark.read(mark_path)
        if mark is None or mark.streams.keys() <= done.streams.keys():
            forget_draft(task, out)


class OpenShard:
    """A shard being made. Lives until it is published, so that memory holds one.

    Attributes:
        clips: those to hear.
        heard: how many clips were heard, by the run before and by this one, whose rows or failures
            are all here.
        kept: the shard that stands already, if it only gets further streams.
        old: the streams that are taken from it.
        new: the encoders of the others.
    """

    def __init__(self, work: Work, out: Path, encoders: Mapping[str, Encoder]) -> None:
        self.task = work.task
        self.clips = work.clips
        self.failures = list(work.failures)
        self.kept = Shard(work.task.path(out)) if work.kept else None
        self.old = {} if self.kept is None else self.kept.streams
        self.old_row = {clip: i for i, clip in enumerate(self.kept.ids if self.kept else ())}
        self.new = {name: item for name, item in encoders.items() if name not in self.old}
        self.writer = ShardWriter(work.task.split, _specs(self.old, encoders))
        self.heard = 0
        if work.draft is not None:
            self._load(Shard(_paths(work.task, out)[0]))
            self.heard = work.draft.listed
        self._begun = self.heard
        self.batch_is_whole(self.heard)

    def note_failure(self, clip: PlannedClip, reason: str) -> None:
        """Leave a clip out, unless an earlier run had it in."""
        if self.kept is not None:
            raise TagbartError(
                f"{clip.path}: was extracted before and cannot be read now ({reason}); bring the "
                "file back, or extract into another --out"
            )
        self.failures.append(Failure(clip=clip.id, path=clip.path or "", reason=reason))

    def batch_is_whole(self, heard: int) -> None:
        """Note that all of the first `heard` clips is here: so much goes into a draft."""
        self.heard = heard
        self._whole = (heard, len(self.writer), len(self.failures))  # at once, or not at all

    def publish(self, out: Path) -> DoneMark:
        """Give the shard its final name, and say what stands there."""
        entry = self.writer.publish(self.task.path(out)) if len(self.writer) else None
        return self._mark(len(self.task.clips), entry, self.failures)

    def leave_draft(self, out: Path) -> None:
        """Write what is gathered in whole batches for the next run; say so, or why it cannot be."""
        heard, clips, failures = self._whole
        if heard == self._begun or not clips:
            return  # nothing that the draft on the disk, if there is one, does not have
        self.writer.cut(clips)
        path, mark_path = _paths(self.task, out)
        shard = self.task.path(out)
        try:
            mark_path.unlink(missing_ok=True)
            mark = self._mark(heard, self.writer.publish(path), self.failures[:failures])
            mark.write(mark_path)
        except OSError as error:
            with suppress(OSError):
                forget_draft(self.task, out)
            log(f"{shard}: the {clips:,} clips gathered of it could not be kept ({error.strerror})")
        else:
            log(f"{shard}: {clips:,} clips gathered of it are kept for the next run")

    def _mark(self, listed: int, entry: ShardEntry | None, failures: Sequence[Failure]) -> DoneMark:
        return DoneMark(
            planned=self.task.digest,
            shard_clips=self.task.shard_clips,
            listed=listed,
            entry=entry,
            streams=_attrs(self.writer.streams),
            failures=tuple(failures),
        )

    def _load(self, draft: Shard) -> None:
        for clip in map(draft.clip, range(len(draft))):
            self.writer.add(clip.id, clip.path, clip.duration_s, clip.captions, clip.streams)
        log(f"{self.task.path(draft.path.parent.parent)}: goes on after {len(draft):,} clips")


def as_stored(text: str) -> str:
    """A name as it comes back from a shard, where what is not UTF-8 stands escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def _paths(task: ShardTask, out: Path) -> tuple[Path, Path]:
    """Where the draft of a shard and its mark are."""
    return tuple(  # type: ignore[return-value]
        path.with_name(f".{path.name}.draft") for path in (task.path(out), task.mark_path(out))
    )


def _problem(
    mark: DoneMark | None, task: ShardTask, out: Path, encoders: Mapping[str, Encoder]
) -> str:
    """Why a draft cannot be gone on with, "" if it can."""
    path, _ = _paths(task, out)
    try:
        if mark is None or mark.entry is None or sha256_of(path) != mark.entry.sha256:
            return "is damaged"
        ids = Shard(path).ids
        work = work_of(task, out, None)
        old = Shard(task.path(out)).streams if work.kept else {}
    except (OSError, FormatError) as error:
        return f"cannot be read ({error})"
    if mark.streams != _attrs({spec.name: spec for spec in _specs(old, encoders)}):
        return "is of other streams or settings"
    if any(ffmpeg.LACKING in failure.reason for failure in mark.failures) and ffmpeg.available():
        return "lacks clips that need ffmpeg, which is there now"
    lost = {failure.clip for failure in mark.failures}
    heard = [as_stored(clip.id) for clip in work.clips[: mark.listed] if clip.id not in lost]
    same_failures = mark.failures[: len(work.failures)] == work.failures
    if mark.planned != task.digest or not same_failures or ids != heard:
        return "is of other clips"
    return ""


def _specs(old: Mapping[str, StreamSpec], encoders: Mapping[str, Encoder]) -> list[StreamSpec]:
    new = [encoder.spec for name, encoder in encoders.items() if name not in old]
    return [*old.values(), *new]


def _attrs(streams: Mapping[str, StreamSpec]) -> dict[str, dict]:
    return {name: spec.attrs() for name, spec in streams.items()}

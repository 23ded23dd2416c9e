"""Make shards: decode in worker processes, encode in batches, publish.

files ─decode (workers)─▶ waveforms ─resample, encode (device)─▶ rows ─write─▶ shard
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from extract.dump.clips import PlannedClip
from extract.shards import DoneMark, Failure, ShardTask
from extract.sound.decode import Heard, Settings, decoded, resample_all
from extract.sound.endings import GO_ON
from extract.streams import Encoder
from features.common.errors import ClipError, TagbartError
from features.reader import Shard
from features.writer import ShardWriter

MISSING = "missing: the dump has no audio for it"

# A batch ends at this much sound, so that long recordings do not add up.
MAX_BATCH_S = 640.0


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What is left to do for one shard: the clips to hear, and what an earlier run left of it."""

    task: ShardTask
    clips: list[PlannedClip]
    kept: bool
    failures: tuple[Failure, ...]


class _OpenShard:
    """A shard being made. Lives until it is published, so that memory holds one."""

    def __init__(self, work: _Work, out: Path, encoders: dict[str, Encoder]) -> None:
        self.task = work.task
        self.clips = work.clips
        self.failures = list(work.failures)
        self.kept = Shard(work.task.path(out)) if work.kept else None
        self.old = {} if self.kept is None else self.kept.streams
        self.old_row = {clip: i for i, clip in enumerate(self.kept.ids if self.kept else ())}
        self.new = {name: item for name, item in encoders.items() if name not in self.old}
        specs = [*self.old.values(), *(encoder.spec for encoder in self.new.values())]
        self.writer = ShardWriter(work.task.split, specs)

    def note_failure(self, clip: PlannedClip, reason: str) -> None:
        """Leave a clip out, unless an earlier run had it in."""
        if self.kept is not None:
            raise TagbartError(
                f"{clip.path}: was extracted before and cannot be read now ({reason}); bring the "
                "file back, or extract into another --out"
            )
        self.failures.append(Failure(clip=clip.id, path=clip.path or "", reason=reason))


class _Rows:
    """One stream's rows of a batch, on their way from the device to main memory."""

    def __init__(self, rows: Sequence[torch.Tensor]) -> None:
        self.counts = [len(of_clip) for of_clip in rows]
        joined = torch.cat(list(rows)).float()
        # Asked for now: a copy asked for later would wait for the batch launched in between.
        self.joined = joined.to("cpu", non_blocking=True)
        # A wait that sleeps: the processor's time belongs to decoding.
        self.arrived = torch.cuda.Event(blocking=True) if joined.is_cuda else None
        if self.arrived is not None:
            self.arrived.record(torch.cuda.current_stream(joined.device))

    def numpy(self) -> list[np.ndarray]:
        """float32 [T, D] per clip, once they are here."""
        if self.arrived is not None:
            self.arrived.synchronize()
        return [rows.numpy() for rows in self.joined.split(self.counts)]


@dataclass(frozen=True, kw_only=True)
class _Batch:
    """Clips of one shard on their way through the device, none when `rows` is empty."""

    shard: _OpenShard
    clips: list[PlannedClip]
    durations_s: list[float]
    rows: dict[str, _Rows]
    last: bool


def make_shards(
    tasks: Sequence[ShardTask],
    *,
    dump: Path,
    out: Path,
    encoders: dict[str, Encoder],
    settings: Settings,
    heard: Callable[[int], object] = lambda clips: None,
) -> Iterator[DoneMark]:
    """Make unfinished shards one after the other, with decoding ahead across their borders.

    Args:
        tasks: the shards to make. Streams that a shard holds already are kept, not computed again.
        dump: folder that the clips' paths are relative to.
        out: the features folder.
        encoders: by stream name, on `settings.device`.
        settings: batch size and workers.
        heard: called with the number of clips done, for progress.

    Yields:
        The done-mark of each shard, once it stands under its final name.

    Raises:
        TagbartError: if the output folder goes away, or a clip of a kept shard cannot be read now.
        OSError, RuntimeError: if the disk is full or a worker process dies; `plain_endings` makes
            one clear line of them.
    """
    paths = (clip.path or "" for task in tasks for clip in _work(task, out).clips)
    sounds = decoded(dump, paths, settings)
    opened = (_OpenShard(_work(task, out), out, encoders) for task in tasks)
    folder = _inode(out)
    launched: _Batch | None = None
    for batch in _batches(opened, sounds, settings, heard):
        # The device works on this batch while the one before is brought home.
        if launched is not None:
            _store(launched)
        launched = batch
        if batch.last:
            # Nothing of the next shard is computed before this one stands, so that a kill costs
            # one shard at most. Decoding goes on meanwhile.
            _store(batch)
            launched = None
            yield _publish(batch.shard, out, folder)


def _work(task: ShardTask, out: Path) -> _Work:
    mark = task.done(out)
    if mark is not None:
        lost = {failure.clip for failure in mark.failures}
        clips = [clip for clip in task.clips if clip.id not in lost]
        return _Work(task=task, clips=clips, kept=mark.entry is not None, failures=mark.failures)
    missing = tuple(
        Failure(clip=clip.id, path="", reason=clip.reason or MISSING)
        for clip in task.clips
        if clip.path is None
    )
    clips = [clip for clip in task.clips if clip.path is not None]
    return _Work(task=task, clips=clips, kept=False, failures=missing)


def _batches(
    opened: Iterable[_OpenShard],
    sounds: Iterator[Heard],
    settings: Settings,
    heard: Callable[[int], object],
) -> Iterator[_Batch]:
    """Hear the clips of every shard in turn; each shard ends with a batch marked `last`."""
    for shard in opened:
        clips: list[PlannedClip] = []
        waiting: list[Heard] = []
        for clip in shard.clips:
            sound = next(sounds)
            heard(1)
            if sound.waveform is None:
                shard.note_failure(clip, sound.failure)
                continue
            clips.append(clip)
            waiting.append(sound)
            full = len(waiting) >= settings.batch_clips
            if full or sum(item.duration_s for item in waiting) >= MAX_BATCH_S:
                yield _launch(shard, clips, waiting, settings.device, last=False)
                clips, waiting = [], []
        yield _launch(shard, clips, waiting, settings.device, last=True)


def _launch(
    shard: _OpenShard,
    clips: list[PlannedClip],
    sounds: list[Heard],
    device: str,
    *,
    last: bool,
) -> _Batch:
    rows = {}
    if sounds:
        native = [sound.waveform.to(device, non_blocking=True) for sound in sounds]  # type: ignore[union-attr]
        rates_hz = [sound.sample_rate_hz for sound in sounds]
        by_rate = {
            to_hz: resample_all(native, rates_hz, to_hz)
            for to_hz in {encoder.spec.sample_rate_hz for encoder in shard.new.values()}
        }
        for name, encoder in shard.new.items():
            rows[name] = _Rows(encoder.encode(by_rate[encoder.spec.sample_rate_hz]))
    durations_s = [sound.duration_s for sound in sounds]
    return _Batch(shard=shard, clips=clips, durations_s=durations_s, rows=rows, last=last)


def _store(batch: _Batch) -> None:
    """Put a batch's rows into its shard's writer."""
    shard = batch.shard
    home = {name: rows.numpy() for name, rows in batch.rows.items()}
    for i, clip in enumerate(batch.clips):
        values = {name: rows[i] for name, rows in home.items()}
        if shard.kept is not None:
            row = shard.old_row[_as_stored(clip.id)]
            values |= {name: shard.kept.rows(name, row) for name in shard.old}
        try:
            shard.writer.add(clip.id, clip.path or "", batch.durations_s[i], clip.captions, values)
        except ClipError as error:
            shard.note_failure(clip, str(error))


def _as_stored(text: str) -> str:
    """A name as it comes back from a shard, where what is not UTF-8 stands escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def _publish(shard: _OpenShard, out: Path, folder: int | None) -> DoneMark:
    task, writer = shard.task, shard.writer
    _check_folder(out, folder)
    entry = writer.publish(task.path(out)) if len(writer) else None
    _check_folder(out, folder)  # or writing has just made another one of that name
    mark = DoneMark(
        planned=task.digest,
        shard_clips=task.shard_clips,
        listed=len(task.clips),
        entry=entry,
        streams={name: spec.attrs() for name, spec in writer.streams.items()},
        failures=tuple(shard.failures),
    )
    mark.write(task.mark_path(out))
    return mark


def _check_folder(out: Path, folder: int | None) -> None:
    if _inode(out) != folder:
        raise TagbartError(f"{out}: the output folder is gone; {GO_ON}")


def _inode(folder: Path) -> int | None:
    try:
        return folder.stat().st_ino
    except FileNotFoundError:
        return None

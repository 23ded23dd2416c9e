"""Make shards: decode in worker processes, encode in batches, publish.

files ─decode (workers)─▶ waveforms ─resample, encode (device)─▶ rows ─write─▶ shard
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from extract.dump.clips import PlannedClip
from extract.gathering import OpenShard, as_stored, find_draft, forget_draft, work_of
from extract.running.encoder import Encoder
from extract.shards import DoneMark, ShardTask
from extract.sound.decode import Settings, decoded, resample_all, ring_for
from extract.sound.endings import GO_ON
from extract.sound.ring import Heard, Ring
from features.common.errors import ClipError, TagbartError

# A batch ends at this much sound, so that long recordings do not add up.
MAX_BATCH_S = 640.0


class _Rows:
    """One stream's rows of a batch, on their way from the device to main memory."""

    def __init__(self, rows: Sequence[torch.Tensor], dtype: str) -> None:
        self.counts = [len(of_clip) for of_clip in rows]
        joined = torch.cat(list(rows)).to(getattr(torch, dtype))
        # Asked for now: a copy asked for later would wait for the batch launched in between.
        self.joined = joined.to("cpu", non_blocking=True)
        # A wait that sleeps: the processor's time belongs to decoding.
        self.arrived = torch.cuda.Event(blocking=True) if joined.is_cuda else None
        if self.arrived is not None:
            self.arrived.record(torch.cuda.current_stream(joined.device))

    def numpy(self) -> list[np.ndarray]:
        """[T, D] per clip in the type that is stored, once they are here."""
        if self.arrived is not None:
            self.arrived.synchronize()
        return np.split(self.joined.numpy(), np.cumsum(self.counts[:-1]))


@dataclass(kw_only=True)
class _Batch:
    """Clips of one shard on their way through the device.

    Attributes:
        shard: whose they are.
        ring: where the sound lies.
        heard: how many of its clips were heard when the batch was complete.
        failed: clips heard meanwhile that have no sound, and why.
        clips, durations_s: those that have.
        sounds: theirs, until the device has them.
        slots: to be given back once the device has read them.
        rows: by stream, none without sounds.
        last: whether the shard ends with it.
    """

    shard: OpenShard
    ring: Ring
    heard: int
    failed: list[tuple[PlannedClip, str]] = field(default_factory=list)
    clips: list[PlannedClip] = field(default_factory=list)
    durations_s: list[float] = field(default_factory=list)
    sounds: list[Heard] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    rows: dict[str, _Rows] = field(default_factory=dict)
    last: bool = False

    def add(self, clip: PlannedClip, sound: Heard) -> None:
        """Take the next clip of the shard in."""
        self.heard += 1
        self.slots.append(sound.slot)
        if sound.failure:
            self.failed.append((clip, sound.failure))
            return
        self.clips.append(clip)
        self.durations_s.append(sound.duration_s)
        self.sounds.append(sound)

    def launch(self, device: str) -> None:
        """Start to encode it."""
        if not self.sounds:
            return
        native = self.ring.waveforms(self.sounds, device)
        rates_hz = [sound.sample_rate_hz for sound in self.sounds]
        self.sounds = []
        by_rate = {
            to_hz: resample_all(native, rates_hz, to_hz)
            for to_hz in {encoder.spec.sample_rate_hz for encoder in self.shard.new.values()}
        }
        for name, encoder in self.shard.new.items():
            rows = encoder.encode(by_rate[encoder.spec.sample_rate_hz])
            self.rows[name] = _Rows(rows, encoder.spec.dtype)


def make_shards(
    tasks: Sequence[ShardTask],
    *,
    dump: Path,
    out: Path,
    encoders: dict[str, Encoder],
    settings: Settings,
    heard: Callable[[int], object] = lambda clips: None,
) -> Iterator[DoneMark]:
    """Make unfinished shards one after the other, across whose borders work goes on.

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
    # Looked for once: what is decoded and what is waited for must be the same clips.
    drafts = [find_draft(task, out, encoders) for task in tasks]
    works = (work_of(task, out, draft) for task, draft in zip(tasks, drafts, strict=True))
    paths = (clip.path or "" for work in works for clip in work.clips)
    opened = (
        OpenShard(work_of(task, out, draft), out, encoders)
        for task, draft in zip(tasks, drafts, strict=True)
    )
    with ring_for(settings) as ring:
        sounds = decoded(dump, paths, settings, ring)
        yield from _made(_batches(opened, sounds, ring, settings, heard), out)


def _made(batches: Iterator[_Batch], out: Path) -> Iterator[DoneMark]:
    """Bring batches home and publish their shards.

    A shard is written while the next is computed, since a GPU would stand still meanwhile. So a
    kill costs the one being written and the one being computed, at most.
    """
    folder = _inode(out)
    begun: list[OpenShard] = []  # and not standing yet
    launched: _Batch | None = None
    writing: Future[DoneMark] | None = None  # of the first of them
    with ThreadPoolExecutor(max_workers=1) as aside:
        try:
            for batch in chain(batches, (None,)):
                if batch is not None and batch.shard not in begun:
                    begun.append(batch.shard)
                # The device works on this batch while the one before is brought home.
                if launched is not None:
                    _store(launched)
                ended = launched.shard if launched is not None and launched.last else None
                if writing is not None and (ended or writing.done()):
                    mark, writing = writing.result(), None
                    del begun[0]
                    yield mark
                if ended is not None:
                    writing = aside.submit(_publish, ended, out, folder)
                launched = batch
            if writing is not None:
                yield writing.result()
        except BaseException:  # Ctrl-C, a lost worker, a full GPU: what is gathered is whole
            aside.shutdown()
            if writing is not None and writing.exception() is None:
                del begun[0]
            if _inode(out) == folder:
                for shard in begun:
                    shard.leave_draft(out)
            raise


def _batches(
    opened: Iterable[OpenShard],
    sounds: Iterator[Heard],
    ring: Ring,
    settings: Settings,
    heard: Callable[[int], object],
) -> Iterator[_Batch]:
    """Hear the clips of every shard in turn; each shard ends with a batch marked `last`."""
    for shard in opened:
        heard(shard.heard)
        batch = _Batch(shard=shard, ring=ring, heard=shard.heard)
        for clip in shard.clips:
            batch.add(clip, next(sounds))
            heard(1)
            full = len(batch.clips) >= settings.batch_clips
            if full or sum(batch.durations_s) >= MAX_BATCH_S:
                batch.launch(settings.device)
                yield batch
                batch = _Batch(shard=shard, ring=ring, heard=batch.heard)
        batch.launch(settings.device)
        batch.last = True
        yield batch


def _store(batch: _Batch) -> None:
    """Put a batch's rows and failures into its shard."""
    shard = batch.shard
    for clip, reason in batch.failed:
        shard.note_failure(clip, reason)
    home = {name: rows.numpy() for name, rows in batch.rows.items()}
    batch.ring.give_back(batch.slots)  # with the rows here, the device has read them
    for i, clip in enumerate(batch.clips):
        values = {name: rows[i] for name, rows in home.items()}
        if shard.kept is not None:
            row = shard.old_row[as_stored(clip.id)]
            values |= {name: shard.kept.rows(name, row) for name in shard.old}
        try:
            shard.writer.add(clip.id, clip.path or "", batch.durations_s[i], clip.captions, values)
        except ClipError as error:
            shard.note_failure(clip, str(error))
    shard.batch_is_whole(batch.heard)


def _publish(shard: OpenShard, out: Path, folder: int | None) -> DoneMark:
    _check_folder(out, folder)
    mark = shard.publish(out)
    _check_folder(out, folder)  # or writing has just made another one of that name
    mark.write(shard.task.mark_path(out))
    forget_draft(shard.task, out)
    return mark


def _check_folder(out: Path, folder: int | None) -> None:
    if _inode(out) != folder:
        raise TagbartError(f"{out}: the output folder is gone; {GO_ON}")


def _inode(folder: Path) -> int | None:
    try:
        return folder.stat().st_ino
    except FileNotFoundError:
        return None

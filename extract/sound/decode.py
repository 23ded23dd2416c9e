"""From files to waveforms: decoding in worker processes, resampling many waveforms at once."""

import os
import re
import signal
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby
from multiprocessing import active_children
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from extract.sound.audio import Audio, load_audio
from extract.sound.contained import clip_by
from extract.sound.endings import GO_ON, NO_SHARED_MEMORY
from extract.sound.pcm16 import read_pcm16
from extract.sound.resample import RESAMPLER, resample, resampled_length
from extract.sound.ring import Heard, Ring
from features.common.command import POLITE
from features.common.errors import ClipError, ConfigError, TagbartError

# Clips that a worker hands over together: telling of them costs the main process a tenth of a
# millisecond.
CLIPS_PER_MESSAGE = 4
# What each worker decodes ahead.
MESSAGES_AHEAD = 2
# For a message: a hundred times what four recordings of 1.5 h need, if the disk gives them.
MESSAGE_LIMIT_S = 900.0
_MOVED_SAMPLES = 1 << 24
_MOST = 4_096  # workers, clips together, threads


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to run: `workers` decode, `batch_clips` are encoded together by `threads` threads."""

    device: str = "cpu"
    workers: int = 1
    batch_clips: int = 8
    threads: int = 1

    def __post_init__(self) -> None:
        if not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            raise ConfigError(f"--device is {self.device!r}, expected cpu, cuda or cuda:N")
        for name, least in (("workers", 0), ("batch_clips", 1), ("threads", 1)):
            found, option = getattr(self, name), f"--{name.replace('_', '-')}"
            if found < least:
                raise ConfigError(f"{option} is {found}, expected at least {least}")
            if found > _MOST:
                raise ConfigError(f"{option} is {found}, expected at most {_MOST:,}")


class _Message(NamedTuple):
    """Clips on their way from a worker."""

    clips: list[Heard]
    lengths: list[int]  # of what follows, 0 for what lies in a slot
    sound: torch.Tensor | None  # float32, what found no room in slots, one after the other


class _Decoder(Dataset):
    """File number i of a list, decoded. Runs in the worker processes.

    The paths are one block of bytes: millions of Python strings, whose counters every process
    touches, would be copied into each worker page by page.
    """

    def __init__(self, dump: Path, paths: Iterable[str], ring: Ring) -> None:
        self.dump, self.ring = dump, ring
        self.blob = bytearray()
        ends = array("q")
        for path in paths:
            self.blob += os.fsencode(path)
            ends.append(len(self.blob))
        self.ends = np.array(ends)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, place: tuple[int, int]) -> tuple[Heard, Audio | None]:
        """A file's sound in a slot, or beside what is said of it, or why there is none."""
        index, slot = place
        start = int(self.ends[index - 1]) if index else 0
        path = os.fsdecode(bytes(self.blob[start : int(self.ends[index])]))
        try:
            return clip_by(lambda file: self._load(file, slot), self.dump, path)
        except ClipError as error:
            return Heard(failure=str(error), slot=slot), None

    def _load(self, file: Path, slot: int) -> tuple[Heard, Audio | None]:
        if slot >= 0 and (read := read_pcm16(file, self.ring.int16(slot))):
            return Heard(**read._asdict(), slot=slot), None
        audio: Audio | None = load_audio(file)
        assert audio is not None
        heard = Heard(frames=len(audio.waveform), sample_rate_hz=audio.sample_rate_hz, slot=slot)
        if slot >= 0 and len(room := self.ring.float32(slot)) >= heard.frames:
            room[: heard.frames] = audio.waveform
            audio = None
        return heard, audio


class _InSlots(Sampler):
    """Messages to be made: numbers of files, each with the slot that it may use.

    The loader asks for one when it sends it to a worker, so a slot that is free by then is free.
    """

    def __init__(self, files: int, ring: Ring) -> None:
        self.files, self.ring = files, ring

    def __len__(self) -> int:
        return -(-self.files // CLIPS_PER_MESSAGE)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for start in range(0, self.files, CLIPS_PER_MESSAGE):
            end = min(start + CLIPS_PER_MESSAGE, self.files)
            yield [(index, self.ring.take()) for index in range(start, end)]


def ring_for(settings: Settings) -> Ring:
    """A slot for each clip on its way: those decoded ahead, and two batches on the device."""
    ahead = max(1, settings.workers * MESSAGES_AHEAD) * CLIPS_PER_MESSAGE
    return Ring(ahead + 2 * settings.batch_clips)


def decoded(dump: Path, paths: Iterable[str], settings: Settings, ring: Ring) -> Iterator[Heard]:
    """Decode files in their order, ahead of the caller by some files per worker.

    Args:
        dump: folder that the paths are relative to.
        paths: of the clips.
        settings: how many workers.
        ring: slots for their sound, which the caller gives back.

    Raises:
        RuntimeError: if a worker process is ended from outside; see `plain_endings`.
        TagbartError: if one gives nothing for MESSAGE_LIMIT_S.
    """
    decoder = _Decoder(dump, paths, ring)
    loader = DataLoader(
        decoder,
        batch_sampler=_InSlots(len(decoder), ring),
        collate_fn=_together,
        num_workers=settings.workers,
        prefetch_factor=MESSAGES_AHEAD if settings.workers else None,
        # Forked, so that a worker's parent is this process: it ends soon after this one does.
        multiprocessing_context="fork" if settings.workers else None,
        worker_init_fn=_be_a_worker,
        timeout=MESSAGE_LIMIT_S if settings.workers else 0,
    )
    for message in _in_time(loader, lambda: ring.lock_pages(settings.device)):
        if message.sound is None:
            yield from message.clips
            continue
        waveforms = message.sound.split(message.lengths)
        for clip, waveform in zip(message.clips, waveforms, strict=True):
            yield replace(clip, waveform=waveform) if len(waveform) else clip


def _in_time(loader: DataLoader, forked: Callable[[], object]) -> Iterator[_Message]:
    before = set(active_children())
    messages = iter(loader)
    forked()
    # Asked for one more, the loader ends its processes.
    end = Thread(target=next, args=(messages, None))
    try:
        for left in reversed(range(len(loader))):
            message = _next(messages, before)
            if not left:  # beside what is made of the last clips: 14 took 0.3 s on two cores
                end.start()
            yield message
    finally:
        if end.ident is not None:
            end.join()


def _next(messages: Iterator[_Message], before: Set[object]) -> _Message:
    """The next one; `before` are children that decode nothing."""
    try:
        return next(messages)
    except (RuntimeError, ConnectionError, EOFError) as error:
        # Further workers' deaths are no news: torch would raise each out of a signal handler,
        # wherever this process is by then, the loader's own end included.
        with suppress(ValueError):  # in a thread there is no handler to take away
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if "timed out" not in str(error):
            raise
        # A stopped process hears no gentler signal, and would keep this one from ending.
        for worker in set(active_children()) - before:
            worker.kill()
        raise TagbartError(
            f"decoding gave nothing for {MESSAGE_LIMIT_S / 60:g} minutes: its process is "
            f"stopped, or the disk behind the dump does not answer; {GO_ON}"
        ) from error


def _together(clips: list[tuple[Heard, Audio | None]]) -> _Message:
    """Clips as one message; sound that lies in no slot goes in shared memory if a worker sends it.

    Its waveforms are used up on the way, so that hours of sound are never there twice.
    """
    heard = [clip for clip, _ in clips]
    lengths = [0 if audio is None else len(audio.waveform) for _, audio in clips]
    total = sum(lengths)
    if not total:
        return _Message(heard, lengths, None)
    if get_worker_info() is not None:
        # Done here and not by the queue, whose thread would lose the clips and leave the reader
        # waiting; and without `share_memory_`, which would copy what is not filled yet.
        try:
            storage = torch.UntypedStorage._new_shared(4 * total)
        except RuntimeError as error:
            raise RuntimeError(f"{NO_SHARED_MEMORY}: {error}") from error
        sound = torch.empty(0).set_(storage, 0, (total,), (1,))
    else:
        sound = torch.empty(total)
    for (_, audio), place in zip(clips, sound.split(lengths), strict=True):
        if audio is not None:
            _move(audio.waveform, place)
    return _Message(heard, lengths, sound)


def _move(waveform: np.ndarray, place: torch.Tensor) -> None:
    target = place.numpy()
    for start in reversed(range(0, len(waveform), _MOVED_SAMPLES)):
        target[start : start + _MOVED_SAMPLES] = waveform[start:]
        if start and waveform.flags.owndata:
            waveform.resize(start, refcheck=False)
        else:
            waveform = waveform[:start]


def _be_a_worker(number: int) -> None:
    # Ctrl-C, a terminal's end or a cluster's warning goes to the main process, which ends the
    # workers; they need no traceback of their own.
    for ignored in (signal.SIGINT, *POLITE):
        signal.signal(ignored, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.excepthook = _tell_unless_reader_left
    torch.set_num_threads(1)


def _tell_unless_reader_left(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    # Of the thread that hands sound over, when the main process ends in the midst of it.
    if not issubclass(kind, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, trace)


def resample_all(
    waveforms: Sequence[torch.Tensor],
    rates_hz: Sequence[int],
    to_hz: int,
    resampler: str = RESAMPLER,
) -> list[torch.Tensor]:
    """Resample many waveforms, those of equal rate and about equal length together.

    Args:
        waveforms: float32 [n_i] each, on one device.
        rates_hz: their sample rates.
        to_hz: the rate wanted.
        resampler: the filter, as streams name it.

    Returns:
        float32 [m_i] each, in the same order.
    """
    result: list[torch.Tensor] = list(waveforms)

    def kind(i: int) -> tuple[int, int]:
        return rates_hz[i], len(waveforms[i]) // rates_hz[i]  # whole seconds

    for (rate_hz, _), same in groupby(sorted(range(len(waveforms)), key=kind), key=kind):
        group = list(same)
        if rate_hz != to_hz:
            # Behind a clip's end there is silence for resampling, so padding changes nothing. It
            # copies one clip at a time; those of one length are put together at once.
            sounds = [waveforms[i] for i in group]
            alike = len({len(sound) for sound in sounds}) == 1
            together = torch.stack(sounds) if alike else pad_sequence(sounds, batch_first=True)
            rows = resample(together, rate_hz, to_hz, resampler).unbind()
            for i, row in zip(group, rows, strict=True):
                result[i] = row[: resampled_length(len(waveforms[i]), rate_hz, to_hz)]
    return result

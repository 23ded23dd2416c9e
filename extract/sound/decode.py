"""From files to waveforms: decoding in worker processes, resampling many waveforms at once."""

import os
import re
import signal
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from multiprocessing import active_children
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset, get_worker_info

from extract.sound.audio import Audio
from extract.sound.contained import load_clip
from extract.sound.endings import GO_ON, NO_SHARED_MEMORY
from extract.sound.resample import RESAMPLER, resample, resampled_length
from features.common.errors import ClipError, ConfigError, TagbartError

# Clips that a worker hands over together: each hand-over costs the main process most of a
# millisecond, which at 1,000 clips/s would be all of its time.
CLIPS_PER_MESSAGE = 4
# What each worker decodes ahead: 10 s of mono sound at 44.1 kHz take 1.8 MB a clip.
MESSAGES_AHEAD = 2
# For a message: a hundred times what four recordings of 1.5 h need, if the disk gives them.
MESSAGE_LIMIT_S = 900.0
_MOVED_SAMPLES = 1 << 24


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
            if getattr(self, name) < least:
                option = f"--{name.replace('_', '-')}"
                raise ConfigError(f"{option} is {getattr(self, name)}, expected at least {least}")


@dataclass(frozen=True, kw_only=True)
class Heard:
    """A clip's decoded sound, or why there is none."""

    waveform: torch.Tensor | None = None  # float32 [n], mono
    sample_rate_hz: int = 0
    failure: str = ""

    @property
    def duration_s(self) -> float:
        return len(self.waveform) / self.sample_rate_hz if self.waveform is not None else 0.0


class _Message(NamedTuple):
    """Clips on their way from a worker. A named tuple, since the loader pins what it knows."""

    sound: torch.Tensor  # float32, the waveforms one after the other
    lengths: list[int]
    rates_hz: list[int]
    failures: list[str]


class _Decoder(Dataset):
    """File number i of a list, decoded. Runs in the worker processes.

    The paths are one block of bytes: millions of Python strings, whose counters every process
    touches, would be copied into each worker page by page.
    """

    def __init__(self, dump: Path, paths: Iterable[str]) -> None:
        self.dump = dump
        self.blob = bytearray()
        ends = array("q")
        for path in paths:
            self.blob += os.fsencode(path)
            ends.append(len(self.blob))
        self.ends = np.array(ends)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> Audio | str:
        """A file's sound, or why there is none."""
        start = int(self.ends[index - 1]) if index else 0
        path = bytes(self.blob[start : int(self.ends[index])])
        try:
            return load_clip(self.dump, os.fsdecode(path))
        except ClipError as error:
            return str(error)


def decoded(dump: Path, paths: Iterable[str], settings: Settings) -> Iterator[Heard]:
    """Decode files in their order, ahead of the caller by some files per worker.

    Raises:
        RuntimeError: if a worker process is ended from outside; see `plain_endings`.
        TagbartError: if one gives nothing for MESSAGE_LIMIT_S.
    """
    loader = DataLoader(
        _Decoder(dump, paths),
        batch_size=CLIPS_PER_MESSAGE,
        collate_fn=_together,
        num_workers=settings.workers,
        prefetch_factor=MESSAGES_AHEAD if settings.workers else None,
        # A copy from memory that is not pinned would wait for all that the device has to do.
        pin_memory=settings.device != "cpu",
        # Forked, so that a worker's parent is this process: it ends soon after this one does.
        multiprocessing_context="fork" if settings.workers else None,
        worker_init_fn=_be_a_worker,
        timeout=MESSAGE_LIMIT_S if settings.workers else 0,
    )
    for message in _in_time(loader):
        waveforms = message.sound.split(message.lengths)
        for waveform, rate_hz, failure in zip(
            waveforms, message.rates_hz, message.failures, strict=True
        ):
            if failure:
                yield Heard(failure=failure)
            else:
                yield Heard(waveform=waveform, sample_rate_hz=rate_hz)


def _in_time(loader: DataLoader) -> Iterator[_Message]:
    before = set(active_children())
    messages = iter(loader)
    while True:
        try:
            message = next(messages)
        except StopIteration:
            return
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
        yield message


def _together(clips: list[Audio | str]) -> _Message:
    """Clips as one message, its sound in shared memory if a worker sends it.

    Their waveforms are used up on the way, so that hours of sound are never there twice.
    """
    lengths = [0 if isinstance(clip, str) else len(clip.waveform) for clip in clips]
    total = sum(lengths)
    if total and get_worker_info() is not None:
        # Done here and not by the queue, whose thread would lose the clips and leave the reader
        # waiting; and without `share_memory_`, which would copy what is not filled yet.
        try:
            storage = torch.UntypedStorage._new_shared(4 * total)
        except RuntimeError as error:
            raise RuntimeError(f"{NO_SHARED_MEMORY}: {error}") from error
        sound = torch.empty(0).set_(storage, 0, (total,), (1,))
    else:
        sound = torch.empty(total)
    for clip, place in zip(clips, sound.split(lengths), strict=True):
        if isinstance(clip, Audio):
            _move(clip.waveform, place)
    return _Message(
        sound=sound,
        lengths=lengths,
        rates_hz=[0 if isinstance(clip, str) else clip.sample_rate_hz for clip in clips],
        failures=[clip if isinstance(clip, str) else "" for clip in clips],
    )


def _move(waveform: np.ndarray, place: torch.Tensor) -> None:
    target = place.numpy()
    for start in reversed(range(0, len(waveform), _MOVED_SAMPLES)):
        target[start : start + _MOVED_SAMPLES] = waveform[start:]
        if start and waveform.flags.owndata:
            waveform.resize(start, refcheck=False)
        else:
            waveform = waveform[:start]


def _be_a_worker(number: int) -> None:
    # Ctrl-C goes to the main process, which ends the workers; they need no traceback of their own.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
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
            # Behind a clip's end there is silence for resampling, so padding changes nothing.
            padded = pad_sequence([waveforms[i] for i in group], batch_first=True)
            for i, row in zip(group, resample(padded, rate_hz, to_hz, resampler), strict=True):
                result[i] = row[: resampled_length(len(waveforms[i]), rate_hz, to_hz)]
    return result

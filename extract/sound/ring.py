"""Slots of shared memory, through which sound comes from the decoding processes.

The slots are made once, before the processes are forked. The main process hands them out and takes
them back; a process that was told a slot writes one clip there. On the way to a GPU, clips that lie
in a row are one copy.
"""

import mmap
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from features.common.console import log

# 10.9 s at 48 kHz, 16 bits, stereo; 11.9 s at 44.1 kHz. As much as float32 takes for mono.
SLOT_BYTES = 1 << 21
MOST_SLOTS = 512  # 1 GiB; what finds none goes its own way
_PAGE = 4096
_FULL_SCALE = 32_768.0


@dataclass(frozen=True, kw_only=True)
class Heard:
    """A clip's decoded sound, or why there is none.

    Attributes:
        frames: samples per channel.
        sample_rate_hz: its rate.
        failure: why there is no sound.
        slot: where it lies, or would have lain; -1 for one that was given none.
        channels: of 16-bit samples in the slot; 0 for float32 there, averaged already.
        waveform: float32 [frames], mono, of one that found no room in a slot.
    """

    frames: int = 0
    sample_rate_hz: int = 0
    failure: str = ""
    slot: int = -1
    channels: int = 0
    waveform: Tensor | None = None

    @property
    def duration_s(self) -> float:
        return self.frames / self.sample_rate_hz if self.frames else 0.0


class Ring(AbstractContextManager["Ring"]):
    """Slots, and the ways into them and out of them. Left as a context, it unlocks its pages.

    Args:
        slots: how many; none if there is no memory for them, which is said.

    Attributes:
        free: slots that hold nothing, in the order in which they were given back.
        locked: whether a GPU may read them by itself.
    """

    def __init__(self, slots: int) -> None:
        self._pages = _shared(min(slots, MOST_SLOTS))
        self._pages[:, ::_PAGE] = 0  # here once, not in each process at its first clip
        self._samples = torch.from_numpy(self._pages.view(np.int16))
        self.free = deque(range(len(self._pages)))
        self.locked = False
        self._device = "cpu"
        self._stream: torch.cuda.Stream | None = None

    def __exit__(self, *ended: object) -> None:
        if self.locked:
            with suppress(RuntimeError):  # of a device that failed, which is told already
                torch.cuda.synchronize(self._device)
            torch.cuda.cudart().cudaHostUnregister(self._pages.ctypes.data)
            self.locked = False

    def lock_pages(self, device: str) -> None:
        """Let a GPU copy from the slots by itself. To be called after the processes are forked."""
        if device == "cpu" or not self._pages.nbytes:
            return
        self._device = device
        with torch.cuda.device(device):
            torch.cuda.init()
            code = torch.cuda.cudart().cudaHostRegister(
                self._pages.ctypes.data, self._pages.nbytes, 0
            )
        self.locked = int(code) == 0
        if not self.locked:
            log(f"the slots for sound could not be page-locked (CUDA error {int(code)}): slower")

    def take(self) -> int:
        """A free slot, in the order in which they were given back; -1 if there is none."""
        return self.free.popleft() if self.free else -1

    def give_back(self, slots: Sequence[int]) -> None:
        """Take slots back whose sound is on the device; in the order of their clips."""
        self.free.extend(slot for slot in slots if slot >= 0)

    def int16(self, slot: int) -> np.ndarray:
        """int16 [SLOT_BYTES / 2], a slot to be written."""
        return self._pages[slot].view(np.int16)

    def float32(self, slot: int) -> np.ndarray:
        """float32 [SLOT_BYTES / 4], a slot to be written."""
        return self._pages[slot].view(np.float32)

    def waveforms(self, clips: Sequence[Heard], device: str) -> list[Tensor]:
        """Clips as mono sound on a device.

        On a CPU some are views of their slots: they are to be used before those are given back.

        Returns:
            float32 [frames] each; of 16-bit samples equal in every bit to the mean of soundfile's
            float32 channels.
        """
        found: list[Tensor] = []
        for run in _runs(clips):
            if run[0].waveform is not None:
                found.append(run[0].waveform.to(device, non_blocking=True))
                continue
            start, frames = run[0].slot, max(clip.frames for clip in run)
            samples = self._copied(self._samples[start : start + len(run)], device)
            rows = _mono(samples, run[0].channels, frames)
            found += [row[: clip.frames] for row, clip in zip(rows.unbind(), run, strict=True)]
        return found

    def _copied(self, samples: Tensor, device: str) -> Tensor:
        if not self.locked:
            return samples.to(device, non_blocking=True)
        # In a stream of its own: beside what the device computes, not behind it.
        if self._stream is None:
            self._stream = torch.cuda.Stream(device)
        with torch.cuda.stream(self._stream):
            there = samples.to(device, non_blocking=True)
        computing = torch.cuda.current_stream(device)
        computing.wait_stream(self._stream)
        there.record_stream(computing)  # its memory is in use until that has read it
        return there


def _shared(slots: int) -> np.ndarray:
    """uint8 [slots, SLOT_BYTES] that processes forked later share; no slots if it cannot be."""
    try:
        memory = mmap.mmap(-1, slots * SLOT_BYTES) if slots else bytearray()
    except OSError as error:
        log(
            f"no shared memory for {slots} clips of {SLOT_BYTES >> 20} MiB ({error.strerror}): "
            "they are handed over one by one, which is slower"
        )
        return _shared(0)
    return np.frombuffer(memory, np.uint8).reshape(slots, SLOT_BYTES)


def _runs(clips: Sequence[Heard]) -> Iterator[Sequence[Heard]]:
    """Clips of one kind that lie in slots in a row; what lies in none is alone."""
    start = 0
    for end in range(1, len(clips) + 1):
        before = clips[end - 1]
        if (
            end == len(clips)
            or before.waveform is not None
            or clips[end].waveform is not None
            or clips[end].slot != before.slot + 1
            or clips[end].channels != before.channels
        ):
            yield clips[start:end]
            start = end


def _mono(samples: Tensor, channels: int, frames: int) -> Tensor:
    """int16 [N, SLOT_BYTES / 2], as slots hold them → float32 [N, frames]."""
    if channels == 0:
        return samples.view(torch.float32)[:, :frames]
    parts = samples[:, : frames * channels].unflatten(1, (frames, channels))
    # Sums of two fit into float32's 24 bits, and the scale is a power of two: all of it is exact.
    scale = 1 / (_FULL_SCALE * channels)
    mono = parts[:, :, 0] * scale
    return mono.add_(parts[:, :, 1], alpha=scale) if channels == 2 else mono

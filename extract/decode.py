"""From files to waveforms: decoding in worker processes, resampling many waveforms at once."""

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset

from extract.audio import load_audio
from extract.resample import resample
from features.errors import ClipError, ConfigError, TagbartError


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to run: `workers` decode, `batch_clips` are encoded together by `threads` threads."""

    device: str = "cpu"
    workers: int = 1
    batch_clips: int = 8
    threads: int = 1

    def __post_init__(self) -> None:
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


class _Decoder(Dataset):
    """File number i of a list, decoded. Runs in the worker processes."""

    def __init__(self, dump: Path, paths: Sequence[str]) -> None:
        self.dump, self.paths = dump, paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Heard:
        try:
            audio = load_audio(self.dump / self.paths[index])
        except ClipError as error:
            return Heard(failure=str(error))
        waveform = torch.from_numpy(audio.waveform)
        return Heard(waveform=waveform, sample_rate_hz=audio.sample_rate_hz)


def decoded(dump: Path, paths: Sequence[str], settings: Settings) -> Iterator[Heard]:
    """Decode files in their order, ahead of the caller by four files per worker.

    Raises:
        TagbartError: if a worker process was ended from outside.
    """
    loader = DataLoader(
        _Decoder(dump, paths),
        batch_size=None,
        num_workers=settings.workers,
        prefetch_factor=4 if settings.workers else None,
        pin_memory=settings.device != "cpu",
        worker_init_fn=_ignore_interrupts,
    )
    try:
        yield from loader
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise TagbartError(
            "a decoding process was ended from outside (the kernel does so when memory runs out); "
            "finished shards are intact: run the same command again, with fewer --workers if it "
            "happens again"
        ) from error


def _ignore_interrupts(worker: int) -> None:
    # Ctrl-C goes to the main process, which ends the workers; they need no traceback of their own.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def resample_all(
    waveforms: Sequence[torch.Tensor], rates_hz: Sequence[int], to_hz: int
) -> list[torch.Tensor]:
    """Resample many waveforms, those of equal rate and length together.

    Args:
        waveforms: float32 [n_i] each, on one device.
        rates_hz: their sample rates.
        to_hz: the rate wanted.

    Returns:
        float32 [m_i] each, in the same order.
    """
    result: list[torch.Tensor] = list(waveforms)

    def kind(i: int) -> tuple[int, int]:
        return rates_hz[i], len(waveforms[i])

    for (rate_hz, _), same in groupby(sorted(range(len(waveforms)), key=kind), key=kind):
        group = list(same)
        if rate_hz != to_hz:
            stacked = torch.stack([waveforms[i] for i in group])
            for i, waveform in zip(group, resample(stacked, rate_hz, to_hz), strict=True):
                result[i] = waveform
    return result

"""One extraction as it is asked for: its options, and which devices and arithmetic it may have."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from extract.dump.splits import SplitRule
from extract.precision import NEEDS_A_GPU, PRECISIONS
from extract.shards import DEFAULT_SHARD_CLIPS
from extract.sound.decode import Settings
from extract.streams import STREAMS
from features.common.errors import ConfigError
from features.spec import DTYPES

ENGINES = ("local", "ray")


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """One run of stage one. A config that exists is valid.

    Attributes:
        dump: folder with the audio.
        out: features folder to make or to go on with.
        captions: folder with the captions files, or one of them, when it is not in the dump.
        kind: of dataset, recognised when None.
        splits: which to do, all when None.
        rule: how clips are divided where the captions name no splits.
        streams: names out of `extract.streams.STREAMS`.
        weights: folder with the networks' files.
        precision: of the networks' arithmetic; None for what the folder was begun in, or what suits
            the device.
        dtype: of the stored values.
        shard_clips: clips listed per shard.
        part: (i, n), do only every n-th shard from the i-th on; for several machines.
        engine: `local`, or `ray` for a Ray cluster.
        settings: device, workers, batch size, threads.
    """

    dump: Path
    out: Path
    weights: Path
    captions: Path | None = None
    kind: str | None = None
    splits: tuple[str, ...] | None = None
    rule: SplitRule = field(default_factory=SplitRule)
    streams: tuple[str, ...] = ("yamnet", "vggish", "panns")
    precision: str | None = None
    dtype: str = "float16"
    shard_clips: int = DEFAULT_SHARD_CLIPS
    part: tuple[int, int] = (1, 1)
    engine: str = "local"
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        unknown = [name for name in self.streams if name not in STREAMS]
        if unknown or not self.streams or len(set(self.streams)) != len(self.streams):
            raise ConfigError(
                f"--streams is {','.join(self.streams)!r}, expected some of {','.join(STREAMS)}"
            )
        if self.precision not in (*PRECISIONS, None):
            raise ConfigError(f"--precision is {self.precision!r}, expected one of {PRECISIONS}")
        if self.dtype not in DTYPES:
            raise ConfigError(f"--dtype is {self.dtype!r}, expected one of {DTYPES}")
        if self.engine not in ENGINES:
            raise ConfigError(f"--engine is {self.engine!r}, expected one of {ENGINES}")
        number, of = self.part
        if not 1 <= number <= of:
            raise ConfigError(f"--part is {number}/{of}, expected i/n with 1 <= i <= n")
        _check_device(self.settings.device, self.engine)
        if self.precision in NEEDS_A_GPU and self.settings.device == "cpu":
            raise ConfigError(
                f"--precision is {self.precision}, which only NVIDIA GPUs have; use --device "
                "cuda, or --precision float32"
            )

    def encoder_options(self) -> dict[str, Any]:
        """The arguments of `load_encoders`."""
        return {
            "names": self.streams,
            "weights": self.weights,
            "device": self.settings.device,
            "precision": self.precision,
            "dtype": self.dtype,
        }


def own_device(engine: str) -> str:
    """What the networks run on unless told: a GPU where torch finds one, else the CPU.

    A cluster's machines may have other devices than this one, so there it is the CPU.
    """
    return "cuda" if engine == "local" and torch.cuda.is_available() else "cpu"


def _check_device(device: str, engine: str) -> None:
    if device == "cpu":
        return
    if engine == "ray":  # it is the workers that need the device, not this machine
        if device != "cuda":
            raise ConfigError(f"--device is {device}; on a cluster say cuda, Ray chooses which")
        return
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        raise ConfigError(f"--device is {device}, but torch finds no CUDA device; use --device cpu")
    if (torch.device(device).index or 0) >= count:
        raise ConfigError(f"--device is {device}, but the last CUDA device is cuda:{count - 1}")

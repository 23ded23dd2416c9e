"""A listener with made-up encoders for the tiny run: fast, and every sound has rows of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch

from evaluate.caption import Listener
from features.spec import StreamSpec
from train.checkpoint import Run

RATE_HZ = 16_000


@dataclass(frozen=True, kw_only=True)
class LoudnessEncoder:
    """Rows from the loudness of each window of sound, spread over the columns by sines."""

    spec: StreamSpec

    def encode(self, waveforms: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """See extract.encoders.Encoder."""
        window = round(self.spec.window_s * self.spec.sample_rate_hz)
        columns = torch.arange(1, self.spec.width + 1)
        return [
            torch.stack(
                [torch.sin(columns * (1 + 40 * part.std(correction=0))) for part in w.split(window)]
            )
            for w in waveforms
        ]


def listener_of(run: Run) -> Listener:
    """The run with encoders that make the streams it reads."""
    return Listener(
        run=run,
        encoders={name: LoudnessEncoder(spec=spec) for name, spec in run.streams.items()},
    )


def write_sound(path: Path, *, seconds: float = 3.0, seed: int = 0) -> Path:
    """A wav of noise that swells."""
    rng = np.random.default_rng(seed)
    samples = round(seconds * RATE_HZ)
    swell = np.linspace(0.01, 0.5, samples)
    soundfile.write(path, rng.normal(0, 1, samples).clip(-1, 1) * swell, RATE_HZ)
    return path

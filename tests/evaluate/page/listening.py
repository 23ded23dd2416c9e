"""A listener with made-up encoders for the tiny run, its page, and evaluations to report on."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from evaluate.captions.caption import Listener
from evaluate.page.limits import Limits
from evaluate.page.own_folder import own_folder
from evaluate.page.port import HOST
from evaluate.page.serve import launch, page
from evaluate.scores.predictions import Prediction, write_predictions
from evaluate.scores.results import Scores, write_results
from features.reader import Features
from features.spec import StreamSpec
from train.run_folder.checkpoint import Run

RATE_HZ = 16_000


@dataclass(frozen=True, kw_only=True)
class LoudnessEncoder:
    """Rows from the loudness of each window of sound, spread over the columns by sines."""

    spec: StreamSpec

    def encode(self, waveforms: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """See extract.streams.Encoder."""
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


def write_evaluation(
    folder: Path, captions: dict[str, str], clips: Features, scores: list[float]
) -> Path:
    """An evaluation folder with made-up scores: no Java is needed for a page."""
    known = [clip for clip in captions if clips[clip].captions]
    values = np.array(scores[: len(known)])
    write_predictions(
        folder / "predictions.jsonl",
        [
            Prediction(clip=clip, candidate=captions[clip], references=clips[clip].captions)
            for clip in known
        ],
    )
    made = Scores(
        clips=tuple(known),
        corpus={"rouge_l": 0.5, "cider_d": float(values.mean())},
        per_clip={"rouge_l": np.full(len(known), 0.5), "cider_d": values},
        intervals={"rouge_l": (0.4, 0.6), "cider_d": (0.1, 0.9)},
        not_available={"spice": "no jars"},
    )
    write_results(folder, made, predictions="predictions.jsonl")
    return folder


def free_port() -> int:
    """A port of loopback that nobody has just now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


@contextmanager
def served(run: Run, limits: Limits, examples: Sequence[Path] = ()) -> Iterator[str]:
    """The page on a free port of loopback; yields its address."""
    # Not imported to find out: gradio must first see own_folder's settings.
    if find_spec("gradio") is None:
        pytest.skip("gradio is not installed (the lock's page part): make setup-page")
    port = free_port()
    with own_folder():
        blocks = page(listener_of(run), limits, examples)
        launch(blocks, limits, port)
        try:
            yield f"http://{HOST}:{port}"
        finally:
            blocks.close(verbose=False)

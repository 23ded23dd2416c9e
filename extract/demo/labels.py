"""What the demo's encoders learn from: synthetic clips as the networks hear them, and their labels.

The labels are the kinds of sound, "Silence" where there is none (a tagger must name something),
and, for the embeddings, the kinds' traits as well: a dog's size, how often it barks, whether it is
far away or lasts through the clip.
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np
import torch

from extract.demo.dsp import Desk
from extract.demo.scenes import CLIP_S, Event, Scene, bed
from extract.demo.sounds import KINDS
from extract.demo.write import draw_clip
from extract.networks import log_mel, panns
from extract.networks.yamnet import LOG_OFFSET
from extract.sound.resample import resample
from features.common.console import progress
from features.common.machine import cores

TAGS = (*KINDS, "Silence")  # as AudioSet calls it
TRAIT_NAMES = tuple(
    f"{kind}: {trait} {value}"
    for kind, spec in KINDS.items()
    for trait, values in {**spec.traits, "distance": ("far",), "role": ("background",)}.items()
    for value in dict.fromkeys(values)
    if trait != "role" or spec.ambient
)
CLASSES = (*TAGS, *TRAIT_NAMES)
_COLUMN = {name: column for column, name in enumerate(CLASSES)}
# An event is in a window if it lasts this long in it, or for half of its own length.
LEAST_OVERLAP_S = 0.25
HOP_S = log_mel.FRAME_HOP_SAMPLES / log_mel.SAMPLE_RATE_HZ
EMPTY_EVERY = 25  # a clip of so many holds no event, at any level down to digital silence
EMPTY_DBFS = (-100.0, -40.0)
CHUNK = 16  # clips that a process makes at once


@dataclass(frozen=True, kw_only=True)
class Hearing:
    """Clips as the networks hear them.

    Attributes:
        frames: float16 [clips, T, 64], log-mel frames of YAMNet's front end.
        decibels: float16 [clips, 1001, 64], log-mel frames of PANNs' front end.
        waves: int16 [clips, 320,000], 10 s at 32 kHz.
        scenes: what is in each.
    """

    frames: np.ndarray
    decibels: np.ndarray
    waves: np.ndarray
    scenes: Sequence[Scene]

    def __len__(self) -> int:
        return len(self.scenes)

    def part(self, start: int, stop: int) -> "Hearing":
        """The clips from `start` to before `stop`, as views."""
        return Hearing(
            frames=self.frames[start:stop],
            decibels=self.decibels[start:stop],
            waves=self.waves[start:stop],
            scenes=self.scenes[start:stop],
        )

    def targets(self, clip: int, starts: np.ndarray, frames: int) -> np.ndarray:
        """float32 [windows, classes]: what can be heard in windows of a clip.

        Args:
            clip: its index.
            starts: first frame of each window, 10 ms each.
            frames: length of a window.
        """
        targets = np.zeros((len(starts), len(CLASSES)), np.float32)
        starts_s, length_s = starts * HOP_S, frames * HOP_S
        for event in self.scenes[clip].events:
            ends_s = np.minimum(event.end_s, starts_s + length_s)
            overlap_s = ends_s - np.maximum(event.start_s, starts_s)
            enough_s = min(LEAST_OVERLAP_S, (event.end_s - event.start_s) / 2)
            inside = np.flatnonzero(overlap_s >= enough_s)
            targets[np.ix_(inside, np.array(_columns(event)))] = 1
        targets[:, _COLUMN["Silence"]] = ~targets.any(axis=1)
        return targets


def hear(seed: int, clips: int) -> Hearing:
    """Make clips 0 … clips − 1 of a seed and run the networks' front ends over them."""
    parts = [range(start, min(start + CHUNK, clips)) for start in range(0, clips, CHUNK)]
    workers = cores()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        made = pool.map(partial(_hear_part, seed), parts)
        heard = list(progress(made, total=len(parts), what="sounds", unit=f"x {CHUNK} clips"))
    return Hearing(
        frames=np.concatenate([part.frames for part in heard]),
        decibels=np.concatenate([part.decibels for part in heard]),
        waves=np.concatenate([part.waves for part in heard]),
        scenes=[scene for part in heard for scene in part.scenes],
    )


@torch.inference_mode()
def _hear_part(seed: int, numbers: Sequence[int]) -> Hearing:
    torch.set_num_threads(1)  # as many processes as cores
    to_log_mel = log_mel.LogMel(LOG_OFFSET)
    front = panns.WavegramLogmelCnn14(width=1, classes=1)
    low, high, scenes = [], [], []
    for number in numbers:
        scene, sides, rate_hz = draw_clip(seed, number, split=None)
        if number % EMPTY_EVERY == EMPTY_EVERY - 1:
            scene, sides = _empty(Desk(rng=np.random.default_rng([seed, number]), rate_hz=rate_hz))
        native = torch.from_numpy(sides.mean(axis=1)).float()
        low.append(_at(native, rate_hz, log_mel.SAMPLE_RATE_HZ))
        high.append(_at(native, rate_hz, panns.SAMPLE_RATE_HZ))
        scenes.append(scene)
    waves = torch.stack(high)
    decibels = front.logmel_extractor(front.spectrogram_extractor(waves))
    return Hearing(
        frames=to_log_mel(torch.stack(low)).half().numpy(),
        decibels=decibels[:, 0].half().numpy(),
        waves=(waves.clamp(-1, 1) * (2**15 - 1)).round().short().numpy(),
        scenes=scenes,
    )


def _empty(desk: Desk) -> tuple[Scene, np.ndarray]:
    """A clip without events, as `draw_clip` gives clips: its scene and its sound, [n, 1]."""
    level_db = desk.rng.uniform(*EMPTY_DBFS)
    return Scene(layout="empty", events=()), bed(desk, CLIP_S, level_db)[:, None]


def _at(native: torch.Tensor, rate_hz: int, to_hz: int) -> torch.Tensor:
    """A clip at another rate, zero-padded or cut to its full length."""
    sound = resample(native, rate_hz, to_hz)
    return torch.nn.functional.pad(sound, (0, round(CLIP_S) * to_hz - len(sound)))


def _columns(event: Event) -> list[int]:
    traits = {**event.traits, "role": "background" if event.background else "foreground"}
    names = [event.kind, *(f"{event.kind}: {trait} {value}" for trait, value in traits.items())]
    return [_COLUMN[name] for name in names if name in _COLUMN]

"""The demo's three small encoders before they are trained: networks, and courses to take.

They are the real network classes at reduced width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from extract.demo.labels import CLASSES, TAGS, Hearing
from extract.networks import panns
from extract.networks.log_mel import PATCH_FRAMES
from extract.networks.vggish import LOG_OFFSET as VGGISH_OFFSET
from extract.networks.vggish import VGGish
from extract.networks.yamnet import LOG_OFFSET as YAMNET_OFFSET
from extract.networks.yamnet import YAMNet

YAMNET = {"width": 8, "classes": len(TAGS)}
VGGISH = {"width": 8, "hidden": 64, "embedding": 128}
PANNS = {"width": 5, "classes": len(CLASSES)}
CLIP_FRAMES = 998  # whole 25 ms frames in 10 s


@dataclass(frozen=True, kw_only=True)
class Course:
    """A stretch of training: windows of so many 10 ms frames, so many from each clip a time."""

    frames: int
    windows_per_clip: int
    epochs: int
    learning_rate: float


PATCHES = Course(frames=PATCH_FRAMES, windows_per_clip=10, epochs=5, learning_rate=4e-3)
# A second holds one or two sounds, which is quicker learnt from than a whole clip of three.
PANNS_COURSES = (
    Course(frames=100, windows_per_clip=4, epochs=5, learning_rate=8e-3),
    Course(frames=CLIP_FRAMES, windows_per_clip=1, epochs=1, learning_rate=2e-3),
)


@dataclass(frozen=True, kw_only=True)
class Pupil:
    """A network in training.

    Attributes:
        name: of its stream.
        network: what is saved.
        trained: `network`, and what is thrown away afterwards.
        head: the last layer, which gives the logits.
        config: what `network` was built with.
        scaled: the layer whose output, but for a ReLU, is the embedding; None for a tagger.
        logits: (clips heard, their indices, first frames [clips, windows], frames) →
            [clips x windows, classes].
        classes: how many of CLASSES it learns, from the first on.
    """

    name: str
    network: nn.Module
    config: dict[str, int]
    trained: nn.Module
    head: nn.Linear
    scaled: nn.Linear | None
    logits: Callable[[Hearing, Sequence[int], np.ndarray, int], Tensor]
    classes: int


def enrol(stream: str, known: Hearing, seed: int) -> tuple[Pupil, Sequence[Course]]:
    """A fresh network for a stream, and its courses in their order."""
    torch.manual_seed(seed)
    pupil = {"yamnet": _yamnet, "vggish": _vggish, "panns": _panns}[stream]()
    courses = {
        "yamnet": (PATCHES,),
        "vggish": (replace(PATCHES, learning_rate=1e-3),),
        "panns": PANNS_COURSES,
    }[stream]
    # Biases at the classes' own odds: nothing need be learnt about how rare they are.
    grid = np.arange(0, CLIP_FRAMES - courses[0].frames + 1, courses[0].frames)
    some = range(min(len(known), 400))
    rows = np.concatenate([known.targets(clip, grid, courses[0].frames) for clip in some])
    share = rows.mean(axis=0)[: pupil.classes].clip(1e-3, 0.5)
    pupil.head.bias.data = torch.from_numpy(np.log(share / (1 - share)))
    return pupil, courses


def _yamnet() -> Pupil:
    """A tagger of patches: kinds of sound, or silence."""
    network = YAMNet(**YAMNET)

    def logits(sounds: Hearing, which: Sequence[int], starts: np.ndarray, frames: int) -> Tensor:
        return network.logits(network.embed(_cut(sounds.frames, which, starts, frames)))

    return Pupil(
        name="yamnet",
        network=network,
        config=YAMNET,
        trained=network,
        head=network.logits,
        scaled=None,
        logits=logits,
        classes=len(TAGS),
    )


def _vggish() -> Pupil:
    """An embedding of patches, trained through a throw-away layer to kinds and traits."""
    network = VGGish(**VGGISH)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):  # without batch norms the start matters
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    head = nn.Linear(VGGISH["embedding"], len(CLASSES))
    last = network.embeddings[-1]
    assert isinstance(last, nn.Linear)

    def logits(sounds: Hearing, which: Sequence[int], starts: np.ndarray, frames: int) -> Tensor:
        log_mel = _cut(sounds.frames, which, starts, frames)
        own = torch.log(torch.exp(log_mel) + (VGGISH_OFFSET - YAMNET_OFFSET))
        return head(network.embed(own))

    return Pupil(
        name="vggish",
        network=network,
        config=VGGISH,
        trained=nn.ModuleList([network, head]),
        head=head,
        scaled=last,
        logits=logits,
        classes=len(CLASSES),
    )


def _panns() -> Pupil:
    """A tagger of kinds and traits through its own classifier."""
    network = panns.WavegramLogmelCnn14(**PANNS)

    def logits(sounds: Hearing, which: Sequence[int], starts: np.ndarray, frames: int) -> Tensor:
        decibels = _cut(sounds.decibels, which, starts, frames + 1)[:, None]
        log_mel = network.bn0(decibels.transpose(1, 3)).transpose(1, 3)
        hop = panns.HOP_SAMPLES
        waves = _cut(sounds.waves, which, starts * hop, frames * hop) / 2**15
        return network.fc_audioset(network.embed(waves, log_mel))

    return Pupil(
        name="panns",
        network=network,
        config=PANNS,
        trained=network,
        head=network.fc_audioset,
        scaled=network.fc1,
        logits=logits,
        classes=len(CLASSES),
    )


def _cut(sounds: np.ndarray, which: Sequence[int], starts: np.ndarray, length: int) -> Tensor:
    """Windows of some clips as float32, [clips x windows, length, …]."""
    cuts = [
        sounds[clip, start : start + length]
        for clip, row in zip(which, starts, strict=True)
        for start in row
    ]
    return torch.from_numpy(np.stack(cuts)).float()

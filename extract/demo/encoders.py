"""Train the demo's three small encoders on freshly made synthetic sounds.

They are the real network classes at reduced width, so that the demo runs the code that a user's
official weights run, and they know the demo's kinds of sound and nothing else. The clips come from
another seed than the demo's own, in any combination of kinds.
"""

import time
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import average_precision_score
from torch import Tensor, nn

from extract.demo.labels import CLASSES, TAGS, Hearing, hear
from extract.demo.pupils import CLIP_FRAMES, Course, Pupil, enrol
from extract.demo.sounds import KINDS
from extract.networks import panns
from extract.weights.state_dicts import save_network
from features.common.console import log, progress

TITLES = {"yamnet": ("YAMNet", 32), "vggish": ("VGGish", 64), "panns": ("PANNs", 64)}
HELD_OUT_CLIPS = 200
BATCH_CLIPS = 8
KINDS_WEIGHT = 4.0
EMBEDDING_RMS = 0.1


def train_demo_encoders(out: Path, *, seed: int, clips: int = 2400) -> None:
    """Train YAMNet, VGGish and PANNs for the demo and write OUT/{yamnet,vggish,panns}.safetensors.

    Takes about ten minutes on two cores and 4 GB of memory.

    Args:
        out: the weights folder to write.
        seed: of the sounds and of the initial weights; not the seed of a demo dump.
        clips: of 10 s to train on; HELD_OUT_CLIPS more are made to measure on.
    """
    sounds = hear(seed, clips + HELD_OUT_CLIPS)
    known, held_out = sounds.part(0, clips), sounds.part(clips, len(sounds))
    for stream in ("yamnet", "vggish", "panns"):
        began = time.monotonic()
        pupil, courses = enrol(stream, known, seed)
        rng = np.random.default_rng([seed, pupil.classes])
        for course in courses:
            fit(pupil, known, course, rng)
        if pupil.scaled is not None:
            quieten(pupil, held_out, courses[-1].frames)
        precision = measure(pupil, held_out, courses[-1].frames)
        save(pupil, out, precision)
        log(f"{stream}: mAP {precision:.3f}, {time.monotonic() - began:.0f} s")


def fit(pupil: Pupil, known: Hearing, course: Course, rng: np.random.Generator) -> None:
    """Take a network through a course: AdamW under a one-cycle schedule; eval mode afterwards."""
    steps = course.epochs * -(-len(known) // BATCH_CLIPS)
    # Several times faster on CPUs for networks this narrow.
    network = pupil.trained.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(network.parameters(), lr=course.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, course.learning_rate, total_steps=steps, pct_start=0.2
    )
    network.train()
    if isinstance(network, panns.WavegramLogmelCnn14):
        # Only its batch norms: dropouts meant for two million clips teach so small a one nothing.
        network.training = False
    with progress(total=steps, what=f"demo {pupil.name}", unit="steps") as bar:
        for _ in range(course.epochs):
            for which in _parts(rng.permutation(len(known)), BATCH_CLIPS):
                last = CLIP_FRAMES - course.frames
                starts = rng.integers(0, last + 1, (len(which), course.windows_per_clip))
                optimiser.zero_grad()
                logits = pupil.logits(known, which, starts, course.frames)
                targets = _targets(pupil, known, which, starts, course.frames)
                loss = loss_of(logits, targets)
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimiser.step()
                schedule.step()
                bar.set_postfix(loss=f"{loss.item():.4f}", refresh=False)
                bar.update()
    network.eval()


@torch.inference_mode()
def quieten(pupil: Pupil, sounds: Hearing, frames: int) -> None:
    """Scale an embedding to an RMS of EMBEDDING_RMS, and the layer behind it by the inverse.

    The logits stay what they were, a ReLU in between included. At this size embeddings are beside
    the token embeddings of the demo's small BART instead of drowning them (`make demo`: test
    CIDEr-D 159 where embeddings of RMS 1 gave 103).
    """
    assert pupil.scaled is not None
    inputs: list[Tensor] = []
    hook = pupil.head.register_forward_pre_hook(lambda _layer, given: inputs.append(given[0]))
    some = range(min(len(sounds), 50))
    pupil.logits(sounds, some, np.zeros((len(some), 1), int), frames)
    hook.remove()
    factor = EMBEDDING_RMS / float(inputs[0].square().mean().sqrt())
    pupil.scaled.weight.mul_(factor)
    pupil.scaled.bias.mul_(factor)
    pupil.head.weight.div_(factor)


def loss_of(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy in which the kinds weigh more than their many traits."""
    losses = nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    kinds, traits = losses[:, : len(TAGS)], losses[:, len(TAGS) :]
    return KINDS_WEIGHT * kinds.mean() + (traits.mean() if traits.numel() else 0)


@torch.inference_mode()
def measure(pupil: Pupil, held_out: Hearing, frames: int) -> float:
    """Mean average precision over clips never heard, cut into windows side by side."""
    grid = np.arange(0, CLIP_FRAMES - frames + 1, frames)
    truth, scores = [], []
    for which in _parts(np.arange(len(held_out)), 16):
        starts = np.tile(grid, (len(which), 1))
        scores.append(pupil.logits(held_out, which, starts, frames).numpy())
        truth.append(_targets(pupil, held_out, which, starts, frames).numpy())
    return mean_average_precision(np.concatenate(truth), np.concatenate(scores))


def save(pupil: Pupil, out: Path, precision: float) -> None:
    """Write OUT/<stream>.safetensors, matrices in half precision, named as what it is."""
    network = deepcopy(pupil.network)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            parameter.data = parameter.data.half()
    title, released_width = TITLES[pupil.name]
    named = () if pupil.name == "vggish" else CLASSES[: pupil.classes]
    save_network(
        out / f"{pupil.name}.safetensors",
        network,
        network=f"{title} demo (width {pupil.config['width']} of {released_width}, knows "
        f"{len(KINDS)} synthetic sounds only, mAP {precision:.3f} on clips it never heard)",
        config=pupil.config,
        classes=named,
    )


def mean_average_precision(targets: np.ndarray, scores: np.ndarray) -> float:
    """Average precision per class, averaged over the classes that occur."""
    occur = targets.any(axis=0)
    return float(average_precision_score(targets[:, occur], scores[:, occur], average="macro"))


def _targets(
    pupil: Pupil, sounds: Hearing, which: Sequence[int], starts: np.ndarray, frames: int
) -> Tensor:
    rows = [sounds.targets(clip, row, frames) for clip, row in zip(which, starts, strict=True)]
    return torch.from_numpy(np.concatenate(rows)[:, : pupil.classes])


def _parts(order: np.ndarray, size: int) -> Iterator[Sequence[int]]:
    return (order[i : i + size].tolist() for i in range(0, len(order), size))

"""`python -m extract check-stream`: does a stream keep what extraction and training rely on?"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from extract.running.encoder import Encoder
from extract.streams import load_encoders
from features.common.errors import TagbartError
from features.spec import StreamSpec

SECONDS = (0.1, 1.0, 4.0, 9.5, 10.0, 25.0)
LONG_S = 180.0
# What float32 may round otherwise when other clips share the batch.
TOLERANCE = 1e-4
ROUNDS, CLIPS_TIMED = 3, 4


@dataclass(frozen=True, kw_only=True)
class Check:
    """One promise: its name, whether it is kept, and what was seen."""

    name: str
    kept: bool
    seen: str


def check_stream(name: str, weights: Path, *, device: str) -> list[Check]:
    """Try a stream on noise, silence, short and long sounds.

    Args:
        name: out of STREAMS.
        weights: folder with its files.
        device: `cpu` or `cuda`.

    Raises:
        ConfigError, WeightsError: as `load_encoders`.
    """
    encoder = load_encoders([name], weights, device=device)[name]
    return list(_checks(encoder, device))


def failed(checks: Sequence[Check]) -> TagbartError | None:
    """What to end with: None where every promise is kept."""
    broken = [check.name for check in checks if not check.kept]
    if not broken:
        return None
    return TagbartError(
        f"{len(broken)} of {len(checks)} promises are not kept ({'; '.join(broken)}); "
        "docs/adding-a-stream.md says what each is for"
    )


def _checks(encoder: Encoder, device: str) -> Iterator[Check]:
    spec = encoder.spec
    generator = torch.Generator().manual_seed(0)

    def noise(seconds: float) -> Tensor:
        samples = max(1, round(seconds * spec.sample_rate_hz))
        return (0.1 * torch.randn(samples, generator=generator)).to(device)

    sounds = [noise(seconds) for seconds in SECONDS]
    alone = [encoder.encode([sound])[0] for sound in sounds]
    yield _all("rows are [T, D] of finite float32", alone, lambda rows: _well_formed(rows, spec))
    yield _clock(alone, spec)
    yield _independence(encoder, sounds, alone)
    silence = encoder.encode([torch.zeros(spec.sample_rate_hz, device=device)])
    yield _all("silence has finite rows", silence, lambda rows: _well_formed(rows, spec))
    one = encoder.encode([torch.ones(1, device=device)])
    yield _all("one sample has a row", one, lambda rows: _well_formed(rows, spec))
    long = encoder.encode([noise(LONG_S)])
    expected = LONG_S / spec.hop_s
    yield Check(
        name="a long clip has rows to its end",
        kept=_well_formed(long[0], spec)
        and abs(len(long[0]) - expected) <= max(2, 0.02 * expected),
        seen=f"{len(long[0])} rows in {LONG_S:.0f} s, {expected:.1f} by its hop",
    )
    yield _speed(encoder, noise)


def _well_formed(rows: Tensor, spec: StreamSpec) -> bool:
    shape = rows.ndim == 2 and len(rows) >= 1 and rows.shape[1] == spec.width
    return shape and rows.dtype == torch.float32 and bool(torch.isfinite(rows).all())


def _all(name: str, rows: Sequence[Tensor], kept: Callable[[Tensor], bool]) -> Check:
    shapes = ", ".join("x".join(map(str, part.shape)) for part in rows)
    return Check(name=name, kept=all(map(kept, rows)), seen=shapes)


def _clock(rows: Sequence[Tensor], spec: StreamSpec) -> Check:
    counts = [len(part) for part in rows]
    expected = [max(1.0, seconds / spec.hop_s) for seconds in SECONDS]
    fits = (
        abs(n - x) <= math.ceil(spec.window_s / spec.hop_s)
        for n, x in zip(counts, expected, strict=True)
    )
    pairs = ", ".join(f"{s:g} s {n}" for s, n in zip(SECONDS, counts, strict=True))
    return Check(
        name=f"there is a row each {spec.hop_s:g} s", kept=all(fits), seen=f"rows: {pairs}"
    )


def _independence(encoder: Encoder, sounds: Sequence[Tensor], alone: Sequence[Tensor]) -> Check:
    order = [*range(len(sounds))][::-1]
    together = encoder.encode([sounds[i] for i in order])
    worst = 0.0
    for i, rows in zip(order, together, strict=True):
        if rows.shape != alone[i].shape:
            worst = math.inf
        else:
            scale = float(alone[i].abs().amax()) or 1.0
            worst = max(worst, float((rows - alone[i]).abs().amax()) / scale)
    return Check(
        name="a clip's rows do not depend on the clips beside it",
        kept=worst <= TOLERANCE,
        seen=f"differ by {worst:.1e} of the largest value, at most {TOLERANCE:.0e}",
    )


def _speed(encoder: Encoder, noise: Callable[[float], Tensor]) -> Check:
    clips = [noise(10.0) for _ in range(CLIPS_TIMED)]
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        encoder.encode(clips)[-1].sum().item()  # waits for the device
        times.append((time.perf_counter() - start) / CLIPS_TIMED)
    return Check(name="speed", kept=True, seen=f"{median(times):.3f} s for 10 s of sound")

"""resampy's result at a fraction of its time.

Resampling between two fixed rates is linear, and periodic: with to/from = up/down in lowest terms,
output q·up + p hears the input around q·down through a kernel that depends on p alone. The kernels
are resampy's own answers to unit impulses, and applying them is one matrix product.
"""

from functools import lru_cache
from math import ceil, gcd

import numpy as np
import resampy
import torch

RESAMPLER = "resampy 0.4.3 kaiser_best"

_FILTER = "kaiser_best"
_ZERO_CROSSINGS = 50  # of that filter, to each side: its reach in samples of the lower rate
_MAX_TABLE = 2**22  # kernel entries; a pair of odd rates that needs more is left to resampy
_MAX_PERIOD = 2**11  # input samples per period, likewise
_LEAST_STEP = 256  # input samples a product advances by, so that frames do not overlap too much
_MAX_FRAMES = 2**24  # numbers in one block of frames: long recordings go block by block


def resample(waveform: torch.Tensor, from_hz: int, to_hz: int) -> torch.Tensor:
    """Resample as `resampy.resample(x, from_hz, to_hz, filter="kaiser_best")` of 0.4.3 does.

    Equal up to float32 rounding, edges included: measured within 7e-7 on real clips that peak at 1
    and within 1.2e-6 on white noise within ±1, between all usual rates.

    Args:
        waveform: float32 [n] or [B, n] on any device, n at least 1.
        from_hz: its rate.
        to_hz: the wanted rate.

    Returns:
        float32 [m] or [B, m] on the same device, m = resampled_length(n, from_hz, to_hz).

    Raises:
        ValueError: if a rate is below 1 or the waveform is empty.
    """
    if from_hz < 1 or to_hz < 1:
        raise ValueError(f"cannot resample from {from_hz} to {to_hz} Hz")
    if waveform.shape[-1] < 1:
        raise ValueError("cannot resample an empty waveform")
    if from_hz == to_hz:
        return waveform
    factor = gcd(from_hz, to_hz)
    up, down = to_hz // factor, from_hz // factor
    if down > _MAX_PERIOD or up * (down + 2 * _reach(up, down)) > _MAX_TABLE:
        return _by_resampy(waveform, from_hz, to_hz)
    length = resampled_length(waveform.shape[-1], from_hz, to_hz)
    rows = _by_kernels(waveform.reshape(-1, waveform.shape[-1]), up, down, length)
    return rows.reshape(*waveform.shape[:-1], length)


def resampled_length(samples: int, from_hz: int, to_hz: int) -> int:
    """Samples that resampy makes of so many, but at least 1 (where resampy refuses)."""
    return max(1, int(samples * float(to_hz) / float(from_hz)))


def _by_kernels(rows: torch.Tensor, up: int, down: int, length: int) -> torch.Tensor:
    """[B, n] → [B, length]; sound outside the clip is zero, as in resampy."""
    repeats = ceil(_LEAST_STEP / down)
    up, down, reach = up * repeats, down * repeats, _reach(up, down)
    kernels = _kernels(up // repeats, down // repeats, repeats, rows.device)  # [span, up]
    span = kernels.shape[0]
    steps = ceil(length / up)
    # The frame of step q starts `reach` samples before q·down.
    missing = (steps - 1) * down + span - reach - rows.shape[1]
    padded = torch.nn.functional.pad(rows, (reach, max(0, missing)))
    frames = padded.unfold(1, span, down)[:, :steps]
    block = max(1, _MAX_FRAMES // (span * rows.shape[0]))
    parts = [part.reshape(-1, span) @ kernels for part in frames.split(block, dim=1)]
    parts = [part.view(rows.shape[0], -1) for part in parts]
    whole = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
    return whole[:, :length].contiguous()


def _by_resampy(waveform: torch.Tensor, from_hz: int, to_hz: int) -> torch.Tensor:
    heard = waveform.detach().cpu().numpy()
    least = ceil(from_hz / to_hz)  # what resampy needs for one sample of output
    if heard.shape[-1] < least:
        heard = np.pad(heard, [(0, 0)] * (heard.ndim - 1) + [(0, least - heard.shape[-1])])
    result = resampy.resample(heard, from_hz, to_hz, filter=_FILTER, axis=-1)
    return torch.from_numpy(result).to(waveform.device)


def _reach(up: int, down: int) -> int:
    """Input samples to each side that an output can hear."""
    return ceil(_ZERO_CROSSINGS * max(1.0, down / up)) + 1


@lru_cache(maxsize=64)  # ten usual rates to two; 1.4 MB each as a rule, 16 MB at most
def _kernels(up: int, down: int, repeats: int, device: torch.device) -> torch.Tensor:
    """float32 [reach + repeats · down + reach, repeats · up]: column p makes output phase p."""
    one = _probed(up, down)
    many = np.zeros((one.shape[0] + (repeats - 1) * down, repeats * up))
    for i in range(repeats):
        many[i * down : i * down + one.shape[0], i * up : (i + 1) * up] = one
    return torch.from_numpy(many.astype(np.float32)).to(device)


def _probed(up: int, down: int) -> np.ndarray:
    """float64 [reach + down + reach, up], from resampy's answers to `down` unit impulses."""
    reach = _reach(up, down)
    before = ceil((reach + down) / down)  # whole periods, so that no impulse feels an edge
    impulses = np.zeros((down, (2 * before + 1) * down))
    impulses[np.arange(down), before * down + np.arange(down)] = 1.0
    answers = resampy.resample(impulses, down, up, filter=_FILTER, axis=-1)
    kernels = np.zeros((reach + down + reach, up))
    for step in range(2 * before + 1):
        # Impulse j lies at before·down + j; seen from the frame of this step, at that row:
        rows = reach + (before - step) * down + np.arange(down)
        inside = (rows >= 0) & (rows < len(kernels))
        kernels[rows[inside]] = answers[inside, step * up : (step + 1) * up]
    return kernels

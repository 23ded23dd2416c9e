"""From 16 kHz sound to log-mel patches, the front end that YAMNet and VGGish share.

Both cut 0.96 s patches of 96 frames; they differ in the offset inside the logarithm, in the hop
between patches and in what becomes of the tail. Numbers: the TensorFlow reference's params.py and
vggish_params.py.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor, nn

SAMPLE_RATE_HZ = 16_000
FRAME_SAMPLES = 400  # 25 ms
FRAME_HOP_SAMPLES = 160  # 10 ms
FFT_SIZE = 512
MEL_BANDS = 64
MEL_MIN_HZ = 125.0
MEL_MAX_HZ = 7_500.0
PATCH_FRAMES = 96
PATCH_HOP_SAMPLES = PATCH_FRAMES * FRAME_HOP_SAMPLES  # 0.96 s
PATCH_SAMPLES = PATCH_HOP_SAMPLES - FRAME_HOP_SAMPLES + FRAME_SAMPLES  # 0.975 s: 96 whole frames


def cut(waveform: Tensor, window: int, hop: int, *, keep_tail: bool) -> Tensor:
    """Windows of a waveform, one every `hop` samples from its start.

    Args:
        waveform: [n], n at least 1.
        window: samples per window.
        hop: samples from a window's start to the next one's.
        keep_tail: whether samples behind the last whole window get a zero-padded one of their own.

    Returns:
        [T, window] with T at least 1: a waveform shorter than a window is zero-padded to one.
    """
    beyond = max(0, len(waveform) - window)
    count = 1 + (math.ceil(beyond / hop) if keep_tail else beyond // hop)
    missing = (count - 1) * hop + window - len(waveform)
    if missing > 0:
        waveform = nn.functional.pad(waveform, (0, missing))
    return waveform.unfold(0, window, hop)[:count]


def pieces(waveform: Tensor, longest: int, least: int) -> list[Tensor]:
    """A waveform for a network that hears clips whole, of any length, not in windows of one length.

    Args:
        waveform: [n], n at least 1.
        longest: samples; what goes on beyond is a piece of its own, so that memory stays bounded.
        least: samples that the network needs; a shorter piece is zero-padded to them.

    Returns:
        [1, n_i] each, one after the other.
    """
    parts = waveform.split(longest)
    return [nn.functional.pad(part, (0, max(0, least - len(part))))[None] for part in parts]


def pooled_rows(rows: Tensor, factor: int, *, kind: str) -> Tensor:
    """Rows brought to a slower clock; the last one is of what is left.

    Args:
        rows: [N, T, D].
        factor: rows that become one.
        kind: `mean` or `max`.

    Returns:
        [N, ceil(T / factor), D].
    """
    pool = nn.MaxPool1d if kind == "max" else nn.AvgPool1d
    # With ceil_mode an average is over the rows that are there.
    return pool(factor, ceil_mode=True)(rows.transpose(1, 2)).transpose(1, 2)


class LogMel(nn.Module):
    """log(mel magnitudes + offset) of 25 ms frames. Holds no learned values, nothing to save.

    Frames are not centred, the Hann window is periodic, spectra are magnitudes and not powers.
    """

    window: Tensor
    mel: Tensor

    def __init__(self, offset: float) -> None:
        super().__init__()
        self.offset = offset
        window = torch.hann_window(FRAME_SAMPLES, periodic=True, dtype=torch.float64)
        self.register_buffer("window", window.float(), persistent=False)
        self.register_buffer("mel", mel_matrix().float(), persistent=False)

    def forward(self, patches: Tensor) -> Tensor:
        """float32 [N, samples] → [N, frames, 64]; 15,600 samples make 96 frames."""
        frames = patches.unfold(-1, FRAME_SAMPLES, FRAME_HOP_SAMPLES) * self.window
        magnitudes = torch.fft.rfft(frames, n=FFT_SIZE).abs()
        return torch.log(magnitudes @ self.mel + self.offset)


@lru_cache(maxsize=1)
def mel_matrix() -> Tensor:
    """float64 [257, 64]: HTK triangles, linear on the mel scale; the DC bin feeds none of them."""
    bins = torch.linspace(0, SAMPLE_RATE_HZ / 2, FFT_SIZE // 2 + 1, dtype=torch.float64)
    low, high = _mel(torch.tensor([MEL_MIN_HZ, MEL_MAX_HZ], dtype=torch.float64)).tolist()
    edges = torch.linspace(low, high, MEL_BANDS + 2, dtype=torch.float64)
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    at = _mel(bins)[:, None]
    rising, falling = (at - lower) / (centre - lower), (upper - at) / (upper - centre)
    triangles = torch.minimum(rising, falling).clamp(min=0)
    triangles[0] = 0
    return triangles


def _mel(hz: Tensor) -> Tensor:
    return 1127.0 * torch.log1p(hz / 700.0)

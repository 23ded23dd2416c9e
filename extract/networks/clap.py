"""CLAP's audio tower: 512 numbers per 10 s of sound, in the space that its text tower shares.

Wu et al. 2023, "Large-scale Contrastive Language-Audio Pretraining with Feature Fusion and
Keyword-to-Caption Augmentation" (arXiv 2211.06687). The network is transformers' ClapModel; the
front end is that of its ClapFeatureExtractor for checkpoints without fusion, many windows at once.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from extract.networks.pretrained import load_folder
from features.common.errors import WeightsError

if TYPE_CHECKING:  # transformers takes seconds, and few extractions use it
    from transformers import ClapFeatureExtractor, ClapModel

SAMPLE_RATE_HZ = 48_000
WINDOW_SAMPLES = 480_000  # 10 s
LEAST_POWER = 1e-10


def windows(waveform: Tensor) -> Tensor:
    """[n] at 48 kHz → [ceil(n / 480,000), 480,000], one each 10 s.

    A window that is not full repeats its sound as often as it fits, then falls silent: what
    ClapFeatureExtractor does with a short clip ("repeatpad"). Longer clips it crops at random; here
    every window is fixed.
    """
    return torch.stack([_filled(part) for part in waveform.split(WINDOW_SAMPLES)])


def _filled(part: Tensor) -> Tensor:
    repeated = part.repeat(WINDOW_SAMPLES // len(part))
    return nn.functional.pad(repeated, (0, WINDOW_SAMPLES - len(repeated)))


class ClapAudio(nn.Module):
    """Windows of sound → unit vectors.

    Args:
        model: of which the audio tower and its projection are taken.
        front: how it hears: FFT size, hop, mel bands.
    """

    window: Tensor
    mel: Tensor

    def __init__(self, model: "ClapModel", front: "ClapFeatureExtractor") -> None:
        super().__init__()
        self.audio_model = model.audio_model
        self.audio_projection = model.audio_projection
        self.fft_size, self.hop = front.fft_window_size, front.hop_length
        hann = torch.hann_window(self.fft_size, dtype=torch.float64)
        self.register_buffer("window", hann.float(), persistent=False)
        mel = torch.from_numpy(np.asarray(front.mel_filters_slaney))
        self.register_buffer("mel", mel.float(), persistent=False)

    @classmethod
    def read(cls, folder: Path) -> "ClapAudio":
        """From a folder as transformers saves it.

        Raises:
            WeightsError: if it holds no CLAP, one with fusion, or not all of its weights.
        """
        from transformers import ClapFeatureExtractor, ClapModel

        model = load_folder(ClapModel, folder)
        front = ClapFeatureExtractor.from_pretrained(folder)
        config: Any = model.config
        if config.audio_config.enable_fusion or front.truncation == "fusion":
            raise WeightsError(
                f"{folder}: is a CLAP with feature fusion, which hears random crops; take one "
                "without, such as laion/clap-htsat-unfused or laion/larger_clap_general"
            )
        if (front.sampling_rate, front.nb_max_samples) != (SAMPLE_RATE_HZ, WINDOW_SAMPLES):
            raise WeightsError(
                f"{folder}: hears {front.nb_max_samples:,} samples at {front.sampling_rate:,} Hz, "
                f"expected {WINDOW_SAMPLES:,} at {SAMPLE_RATE_HZ:,} Hz"
            )
        return cls(model, front)

    def forward(self, windows: Tensor) -> Tensor:
        """float32 [N, 480,000] at 48 kHz → [N, 512], each of length 1."""
        heard = self.audio_model(input_features=self.log_mel(windows), is_longer=None)
        return nn.functional.normalize(self.audio_projection(heard.pooler_output), dim=-1)

    def log_mel(self, windows: Tensor) -> Tensor:
        """[N, samples] → decibels [N, 1, 1 + samples // hop, bands]."""
        padded = nn.functional.pad(windows[:, None], (self.fft_size // 2,) * 2, mode="reflect")
        frames = padded.unfold(-1, self.fft_size, self.hop) * self.window
        power = torch.view_as_real(torch.fft.rfft(frames)).square_().sum(dim=-1)
        return (10 / math.log(10)) * torch.log((power @ self.mel).clamp(min=LEAST_POWER))

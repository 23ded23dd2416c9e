"""Audio Spectrogram Transformer: 768 numbers per 10 s of sound.

Gong et al. 2021, "AST: Audio Spectrogram Transformer" (arXiv 2104.01778). The network is
transformers' ASTModel; the front end is that of its ASTFeatureExtractor (Kaldi's filter banks),
many windows at once.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from extract.networks.pretrained import load_folder
from features.common.errors import WeightsError

if TYPE_CHECKING:  # transformers takes seconds, and few extractions use it
    from transformers import ASTFeatureExtractor, ASTModel

SAMPLE_RATE_HZ = 16_000
WINDOW_SAMPLES = 160_000  # 10 s
FRAME_SAMPLES = 400
HOP_SAMPLES = 160
FFT_SIZE = 512
PREEMPHASIS = 0.97
MEL_MIN_HZ = 20
LEAST_ENERGY = 1.192092955078125e-07  # float32's epsilon, Kaldi's floor


def windows(waveform: Tensor) -> Tensor:
    """[n] at 16 kHz → [ceil(n / 160,000), 160,000], what is behind the sound marked by NaN.

    The extractor pads frames and not samples, so the front end must know where the sound ends. Less
    than a frame is zero-padded to one.
    """
    parts = []
    for part in waveform.split(WINDOW_SAMPLES):
        part = nn.functional.pad(part, (0, max(0, FRAME_SAMPLES - len(part))))
        parts.append(nn.functional.pad(part, (0, WINDOW_SAMPLES - len(part)), value=float("nan")))
    return torch.stack(parts)


class AstAudio(nn.Module):
    """Windows of sound → the mean of the two summarising tokens.

    Args:
        model: the transformer.
        front: how it hears: mel bands, frames, normalisation.
    """

    window: Tensor
    mel: Tensor

    def __init__(self, model: "ASTModel", front: "ASTFeatureExtractor") -> None:
        from transformers.audio_utils import mel_filter_bank

        super().__init__()
        self.model = model
        self.frames, self.mean, self.std = front.max_length, front.mean, front.std
        hann = torch.hann_window(FRAME_SAMPLES, periodic=False, dtype=torch.float64)
        self.register_buffer("window", hann.float(), persistent=False)
        mel = mel_filter_bank(
            num_frequency_bins=FFT_SIZE // 2 + 1,
            num_mel_filters=front.num_mel_bins,
            min_frequency=MEL_MIN_HZ,
            max_frequency=SAMPLE_RATE_HZ // 2,
            sampling_rate=SAMPLE_RATE_HZ,
            norm=None,
            mel_scale="kaldi",
            triangularize_in_mel_space=True,
        )
        self.register_buffer("mel", torch.from_numpy(np.asarray(mel)).float(), persistent=False)

    @classmethod
    def read(cls, folder: Path) -> "AstAudio":
        """From a folder as transformers saves it, with or without the classifier on top.

        Raises:
            WeightsError: if it holds no AST, or not all of its weights.
        """
        from transformers import ASTFeatureExtractor, ASTModel

        model = load_folder(ASTModel, folder, surplus=("classifier.",))
        front = ASTFeatureExtractor.from_pretrained(folder)
        found = (front.sampling_rate, front.max_length, front.do_normalize)
        if found != (SAMPLE_RATE_HZ, model.config.max_length, True):
            raise WeightsError(
                f"{folder}: its front end has rate, frames, normalisation {found}, expected "
                f"{(SAMPLE_RATE_HZ, model.config.max_length, True)}"
            )
        return cls(model, front)

    def forward(self, windows: Tensor) -> Tensor:
        """float32 [N, 160,000] at 16 kHz, NaN behind the sound → [N, 768]."""
        heard: Tensor = self.model(input_values=self.filter_banks(windows)).pooler_output
        return heard

    def filter_banks(self, windows: Tensor) -> Tensor:
        """[N, samples] → normalised [N, frames, bands]; frames that reach behind the sound are 0
        before they are normalised."""
        frames = windows.unfold(-1, FRAME_SAMPLES, HOP_SAMPLES)
        frames = frames - frames.mean(dim=-1, keepdim=True)
        before = torch.cat((frames[..., :1], frames[..., :-1]), dim=-1)
        frames = (frames - PREEMPHASIS * before) * self.window
        power = torch.view_as_real(torch.fft.rfft(frames, n=FFT_SIZE)).square_().sum(dim=-1)
        log_mel = torch.log((power @ self.mel).clamp(min=LEAST_ENERGY))
        padded = nn.functional.pad(
            log_mel.nan_to_num(0.0), (0, 0, 0, self.frames - frames.shape[1])
        )
        return (padded - self.mean) / (2 * self.std)

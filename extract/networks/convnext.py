"""ConvNeXt-Tiny as an AudioSet tagger: 768 numbers per 0.96 s, each heard in the 10 s around it.

Pellegrini et al. 2023, "Adapting a ConvNeXt model to audio classification on AudioSet" (arXiv
2306.00830), as the captioner CoNeTTE uses it. A release without AudioCaps' clips in its training
data exists: its captions of AudioCaps' test split are of sounds that no network has heard. The
STFT and the mel range are PANNs'; names below are the released checkpoint's.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from extract.networks import panns
from extract.networks.log_mel import pieces, pooled_rows

SAMPLE_RATE_HZ = panns.SAMPLE_RATE_HZ
MEL_BANDS = 224
DEPTHS = (3, 3, 9, 3)
WIDTHS = (96, 192, 384, 768)
NORM_EPSILON = 1e-6
ROWS_POOLED = 3  # frames of 0.32 s: the mean of three is a row on the tags' clock
HOP_S = 0.96
LEAST_SAMPLES = 7_360  # one frame
LONGEST_SAMPLES = 60 * 30_720  # 60 rows: no clip of the usual sets is cut


def clips(waveform: Tensor) -> list[Tensor]:
    """[n] at 32 kHz → itself, [1, n], in pieces of 57.6 s: padding would change what is heard."""
    return pieces(waveform, LONGEST_SAMPLES, LEAST_SAMPLES)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of [N, C, H, W]."""

    def forward(self, maps: Tensor) -> Tensor:
        return super().forward(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Block(nn.Module):
    """maps + gamma · f(maps): a 7 x 7 convolution per channel, then two layers at each place."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))
        self.dwconv = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.pwconv1 = nn.Linear(width, 4 * width)
        self.pwconv2 = nn.Linear(4 * width, width)

    def forward(self, maps: Tensor) -> Tensor:
        hidden = self.norm(self.dwconv(maps).permute(0, 2, 3, 1))
        hidden = self.gamma * self.pwconv2(nn.functional.gelu(self.pwconv1(hidden)))
        return maps + hidden.permute(0, 3, 1, 2)


class ConvNeXt(nn.Module):
    """Clips of one length → a row of embeddings per 0.96 s.

    Args:
        widths: channels of the four stages.
        depths: their blocks.
        classes: of the classifier on top, 527 in the released network.
    """

    # Computed from PANNs' constants, never learned: no need to save them.
    COMPUTED = ("spectrogram_extractor.", "logmel_extractor.")

    def __init__(
        self,
        *,
        widths: tuple[int, ...] = WIDTHS,
        depths: tuple[int, ...] = DEPTHS,
        classes: int = 527,
    ) -> None:
        super().__init__()
        self.spectrogram_extractor, self.logmel_extractor = panns.front_end(MEL_BANDS)
        self.bn0 = nn.BatchNorm2d(MEL_BANDS)
        stem = nn.Sequential(
            nn.Conv2d(1, widths[0], 4, stride=4, padding=(4, 0)),
            ChannelNorm(widths[0], eps=NORM_EPSILON),
        )
        narrowed = [
            nn.Sequential(
                ChannelNorm(before, eps=NORM_EPSILON), nn.Conv2d(before, after, 2, stride=2)
            )
            for before, after in pairwise(widths)
        ]
        self.downsample_layers = nn.ModuleList([stem, *narrowed])
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(width) for _ in range(depth)))
            for width, depth in zip(widths, depths, strict=True)
        )
        self.norm = nn.LayerNorm(widths[-1], eps=NORM_EPSILON)
        self.head_audioset = nn.Linear(widths[-1], classes)

    def forward(self, waveforms: Tensor) -> Tensor:
        """float32 [N, n] at 32 kHz, n at least 7,360 → [N, T, 768], a row per 0.96 s."""
        return pooled_rows(self.frames(self.log_mel(waveforms)), ROWS_POOLED, kind="mean")

    def log_mel(self, waveforms: Tensor) -> Tensor:
        """[N, n] → decibels [N, 1, 1 + n // 320, 224], normalised per band."""
        decibels = self.logmel_extractor(self.spectrogram_extractor(waveforms))
        return self.bn0(decibels.transpose(1, 3)).transpose(1, 3)

    def frames(self, log_mel: Tensor) -> Tensor:
        """[N, 1, frames, 224] → [N, T, 768], a row per 0.32 s: the last maps averaged over mel."""
        maps = log_mel
        for narrow, stage in zip(self.downsample_layers, self.stages, strict=True):
            maps = stage(narrow(maps))
        return maps.mean(dim=3).transpose(1, 2)

    def embedding(self, frames: Tensor) -> Tensor:
        """Frames [N, T, 768] → clips [N, 768]; `head_audioset` of it gives the classes' logits."""
        return self.norm(frames.amax(dim=1) + frames.mean(dim=1))

    def hasten(self) -> None:
        """Take the FFT for the spectrogram, if its convolution kernels are the usual DFT."""
        self.spectrogram_extractor = panns.hastened(self.spectrogram_extractor)

"""PANNs' Cnn14_DecisionLevelMax as a tagger: logits of 527 AudioSet tags per 0.96 s of sound.

The network is panns-inference's own. It decides on segments of 0.32 s and takes a clip's decision
to be the largest of its segments'; a row here is made by the same rule from three segments.
"""

from torch import Tensor, nn

from extract.networks import panns
from extract.networks.log_mel import pieces, pooled_rows

SAMPLE_RATE_HZ = panns.SAMPLE_RATE_HZ
CLASSES = 527
SEGMENTS_POOLED = 3
HOP_S = 0.96
LEAST_SAMPLES = 10_240  # 32 frames, one segment
LONGEST_SAMPLES = 60 * 30_720


def clips(waveform: Tensor) -> list[Tensor]:
    """[n] at 32 kHz → itself, [1, n], in pieces of 57.6 s."""
    return pieces(waveform, LONGEST_SAMPLES, LEAST_SAMPLES)


class PannsTags(nn.Module):
    """Clips of one length → a row of class logits per 0.96 s; `cnn14` is what is released."""

    def __init__(self) -> None:
        super().__init__()
        self.cnn14 = panns.panns_models().Cnn14_DecisionLevelMax(
            sample_rate=SAMPLE_RATE_HZ,
            window_size=panns.FFT_SIZE,
            hop_size=panns.HOP_SAMPLES,
            mel_bins=panns.MEL_BANDS,
            fmin=panns.MEL_MIN_HZ,
            fmax=panns.MEL_MAX_HZ,
            classes_num=CLASSES,
        )

    def forward(self, waveforms: Tensor) -> Tensor:
        """float32 [N, n] at 32 kHz, n at least 10,240 → [N, T, 527], a row per 0.96 s."""
        return pooled_rows(self.segments(waveforms), SEGMENTS_POOLED, kind="max")

    def segments(self, waveforms: Tensor) -> Tensor:
        """[N, n] → logits [N, n // 10,240, 527], which the network itself gives as scores only."""
        logits: list[Tensor] = []
        hook = self.cnn14.fc_audioset.register_forward_hook(
            lambda layer, inputs, output: logits.append(output)
        )
        try:
            self.cnn14(waveforms)
        finally:
            hook.remove()
        return logits[0]

    def hasten(self) -> None:
        """Take the FFT for the spectrogram, if its convolution kernels are the usual DFT."""
        self.cnn14.spectrogram_extractor = panns.hastened(self.cnn14.spectrogram_extractor)

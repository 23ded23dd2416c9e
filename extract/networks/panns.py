"""PANNs Wavegram-Logmel-CNN14: 2048 numbers per 10 s of sound.

Kong et al. 2020, "PANNs: Large-Scale Pretrained Audio Neural Networks for Audio Pattern
Recognition". The panns-inference package brings the blocks (its Cnn14's) and the front end, but
not this network; the names below are those of the released checkpoint.
"""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import ModuleType

import torch
from torch import Tensor, nn

from extract.networks.log_mel import cut

SAMPLE_RATE_HZ = 32_000
WINDOW_SAMPLES = 320_000  # 10 s
FFT_SIZE = 1024
HOP_SAMPLES = 320
MEL_BANDS = 64
MEL_MIN_HZ = 50
MEL_MAX_HZ = 14_000
LEAST_POWER = 1e-10
# The learned one-dimensional front end brings its channels into rows of this many "frequencies".
WAVEGRAM_BANDS = 32


def windows(waveform: Tensor) -> Tensor:
    """[n] at 32 kHz → [ceil(n / 320,000), 320,000], the last one zero-padded."""
    return cut(waveform, WINDOW_SAMPLES, WINDOW_SAMPLES, keep_tail=True)


@lru_cache(maxsize=1)
def panns_models() -> ModuleType:
    """`panns_inference.models`, imported without running the package's `__init__`.

    That one looks for a list of labels in the user's home and, where there is none, runs wget in a
    shell and leaves an empty file behind. The models use neither it nor matplotlib, which they
    import and which would write its own folders there.
    """
    plots = {name: ModuleType(name) for name in ("matplotlib", "matplotlib.pyplot")}
    with _in_place(_package() | plots):
        return importlib.import_module("panns_inference.models")


@contextmanager
def models_stand_in() -> Iterator[None]:
    """Within, whoever imports `panns_inference.models` gets ours, and runs no `__init__`."""
    with _in_place({**_package(), "panns_inference.models": panns_models()}):
        yield


def _package() -> dict[str, ModuleType]:
    """An empty package that stands in for `panns_inference`."""
    found = importlib.util.find_spec("panns_inference")
    if found is None or found.submodule_search_locations is None:
        raise ModuleNotFoundError("No module named 'panns_inference': run make setup")
    package = ModuleType("panns_inference")
    package.__path__ = list(found.submodule_search_locations)
    return {"panns_inference": package}


@contextmanager
def _in_place(modules: dict[str, ModuleType]) -> Iterator[None]:
    """Within, these stand in for modules of their names; the real ones stay importable for others.

    What else is imported within stays, unlike with unittest's `patch.dict`.
    """
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.startswith("panns_inference.")]:
            del sys.modules[name]
        for name, module in before.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module


class WaveBlock(nn.Module):
    """Two convolutions over time, the second with dilation 2, then a maximum over 4 samples."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(inputs, outputs, 3, padding=1, bias=False)
        self.conv2 = nn.Conv1d(outputs, outputs, 3, padding=2, dilation=2, bias=False)
        self.bn1 = nn.BatchNorm1d(outputs)
        self.bn2 = nn.BatchNorm1d(outputs)

    def forward(self, maps: Tensor) -> Tensor:
        maps = nn.functional.relu_(self.bn1(self.conv1(maps)))
        maps = nn.functional.relu_(self.bn2(self.conv2(maps)))
        # Of one row, in whose order in memory it is taken; max_pool1d sorts it first.
        return nn.functional.max_pool2d(maps[:, :, None], (1, 4))[:, :, 0]


class FastSpectrogram(nn.Module):
    """Powers of a centred STFT with a periodic Hann window, by FFT instead of convolution."""

    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(FFT_SIZE), persistent=False)

    def forward(self, windows: Tensor) -> Tensor:
        """[N, samples] → [N, 1, 1 + samples // 320, 513]."""
        padded = nn.functional.pad(windows[:, None], (FFT_SIZE // 2,) * 2, mode="reflect")
        frames = padded.unfold(-1, FFT_SIZE, HOP_SAMPLES) * self.window
        return torch.view_as_real(torch.fft.rfft(frames)).square_().sum(dim=-1)


def front_end(bands: int) -> tuple[nn.Module, nn.Module]:
    """PANNs' spectrogram and log-mel with some number of bands, under the names of a checkpoint."""
    blocks = panns_models()
    spectrogram = blocks.Spectrogram(n_fft=FFT_SIZE, hop_length=HOP_SAMPLES)
    log_mel = blocks.LogmelFilterBank(
        sr=SAMPLE_RATE_HZ,
        n_fft=FFT_SIZE,
        n_mels=bands,
        fmin=MEL_MIN_HZ,
        fmax=MEL_MAX_HZ,
        amin=LEAST_POWER,
        top_db=None,
    )
    return spectrogram, log_mel


def hastened(spectrogram: nn.Module) -> nn.Module:
    """The FFT in a spectrogram's place, if its convolution kernels are the usual DFT."""
    usual = panns_models().Spectrogram(n_fft=FFT_SIZE, hop_length=HOP_SAMPLES).state_dict()
    own = spectrogram.state_dict()
    same = all(torch.allclose(own[key], usual[key], atol=1e-6) for key in usual)
    return FastSpectrogram() if same else spectrogram


class WavegramLogmelCnn14(nn.Module):
    """Windows of sound → embeddings.

    Args:
        width: channels of the first block, 64 in the released network; the embedding has 32 times
            as many columns.
        classes: of the classifier on top, 527 in the released network.
    """

    # Computed from the constants above, never learned: no need to save them.
    COMPUTED = ("spectrogram_extractor.", "logmel_extractor.")
    HALF = ("pre_", "conv_block")  # what runs in bf16 where that is asked for
    NARROW = ("conv_block6.",)  # five halvings leave two of the 64 bands

    def __init__(self, *, width: int = 64, classes: int = 527) -> None:
        super().__init__()
        blocks = panns_models()
        wave = -(-2 * width // WAVEGRAM_BANDS) * WAVEGRAM_BANDS
        self.pre_conv0 = nn.Conv1d(1, width, 11, stride=5, padding=5, bias=False)
        self.pre_bn0 = nn.BatchNorm1d(width)
        self.pre_block1 = WaveBlock(width, width)
        self.pre_block2 = WaveBlock(width, 2 * width)
        self.pre_block3 = WaveBlock(2 * width, wave)
        self.pre_block4 = blocks.ConvBlock(wave // WAVEGRAM_BANDS, width)
        self.spectrogram_extractor, self.logmel_extractor = front_end(MEL_BANDS)
        self.bn0 = nn.BatchNorm2d(MEL_BANDS)
        self.conv_block1 = blocks.ConvBlock(1, width)
        self.conv_block2 = blocks.ConvBlock(2 * width, 2 * width)
        self.conv_block3 = blocks.ConvBlock(2 * width, 4 * width)
        self.conv_block4 = blocks.ConvBlock(4 * width, 8 * width)
        self.conv_block5 = blocks.ConvBlock(8 * width, 16 * width)
        self.conv_block6 = blocks.ConvBlock(16 * width, 32 * width)
        self.fc1 = nn.Linear(32 * width, 32 * width)
        self.fc_audioset = nn.Linear(32 * width, classes)

    def forward(self, windows: Tensor) -> Tensor:
        """float32 [N, samples] at 32 kHz → [N, 32 · width], the layer before the classifier.

        `fc_audioset` of it gives the logits of the classes. Windows of 10 s are what the released
        network was trained on; any length from about a second on goes through.
        """
        log_mel = self.log_mel(windows)
        return self.embed(windows, log_mel)

    def hasten(self) -> None:
        """Take the FFT for the spectrogram, if its convolution kernels are the usual DFT."""
        self.spectrogram_extractor = hastened(self.spectrogram_extractor)

    def log_mel(self, windows: Tensor) -> Tensor:
        """[N, samples] → decibels [N, 1, 1 + samples // 320, 64], normalised per band."""
        decibels = self.logmel_extractor(self.spectrogram_extractor(windows))
        return self.bn0(decibels.transpose(1, 3)).transpose(1, 3)

    def embed(self, windows: Tensor, log_mel: Tensor) -> Tensor:
        """Sound and its log-mel → [N, 32 · width]."""
        dtype = self.pre_conv0.weight.dtype
        wave = self.wavegram(windows[:, None].to(dtype))
        maps = self._pooled(self.conv_block1(log_mel.to(dtype), pool_size=(2, 2)))
        maps = torch.cat((maps, wave[:, :, : maps.shape[2]]), dim=1)
        for block in (self.conv_block2, self.conv_block3, self.conv_block4, self.conv_block5):
            maps = self._pooled(block(maps, pool_size=(2, 2)))
        maps = self._pooled(self.conv_block6(maps, pool_size=(1, 1))).mean(dim=3)
        pooled = maps.amax(dim=2) + maps.mean(dim=2)
        pooled = nn.functional.dropout(pooled, 0.5, self.training)
        hidden = nn.functional.relu_(self.fc1(pooled.to(self.fc1.weight.dtype)))
        return nn.functional.dropout(hidden, 0.5, self.training)

    def wavegram(self, waves: Tensor) -> Tensor:
        """[N, 1, samples] → [N, width, samples // 640, 32]."""
        maps = nn.functional.relu_(self.pre_bn0(self.pre_conv0(waves)))
        maps = self.pre_block3(self.pre_block2(self.pre_block1(maps)))
        count, _, steps = maps.shape
        maps = maps.reshape(count, -1, WAVEGRAM_BANDS, steps).transpose(2, 3)
        return self.pre_block4(maps, pool_size=(2, 1))

    def _pooled(self, maps: Tensor) -> Tensor:
        return nn.functional.dropout(maps, 0.2, self.training)

"""YAMNet: MobileNet v1 over log-mel patches, one row of AudioSet class logits per patch.

Values and names follow the TensorFlow reference (models/research/audioset/yamnet).
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from extract.networks.log_mel import (
    MEL_BANDS,
    PATCH_FRAMES,
    PATCH_HOP_SAMPLES,
    PATCH_SAMPLES,
    LogMel,
    cut,
)

LOG_OFFSET = 0.001
NORM_EPSILON = 1e-4
NATIVE_HOP_SAMPLES = PATCH_HOP_SAMPLES // 2  # 0.48 s
# Output channels, in units of the first layer's 32, and stride of layers 1 to 14.
LAYERS = (
    *((1, 2), (2, 1), (4, 2), (4, 1), (8, 2), (8, 1), (16, 2)),
    *((16, 1), (16, 1), (16, 1), (16, 1), (16, 1), (32, 2), (32, 1)),
)

_NORM_NAMES = {"beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def patches(waveform: Tensor) -> Tensor:
    """[n] at 16 kHz → [T, 15,600]: every second of the reference's patches, from the first on.

    The reference zero-pads the tail to whole native hops of 0.48 s; every second of its
    1 + ceil((n - 15,600) / 7,680) patches are T = 1 + ceil((n - 15,600) / 7,680) // 2.
    """
    native = cut(waveform, PATCH_SAMPLES, NATIVE_HOP_SAMPLES, keep_tail=True)
    return native[::2]  # as the paper's code does: one row each 0.96 s


class Norm(nn.BatchNorm2d):
    """Batch norm with a learned shift and no learned scale."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=NORM_EPSILON)
        del self.weight
        self.register_buffer("weight", torch.ones(channels), persistent=False)


class Convolution(nn.Module):
    """SAME-padded convolution, batch norm, ReLU. At stride 2 the padding is below and right."""

    def __init__(self, inputs: int, outputs: int, size: int, *, stride: int, groups: int) -> None:
        super().__init__()
        # Inputs of stride-2 layers have even sides all the way from 96 x 64.
        self.below_right = stride == 2
        padding = size // 2 if stride == 1 else 0
        self.conv = nn.Conv2d(
            inputs, outputs, size, stride=stride, padding=padding, groups=groups, bias=False
        )
        self.bn = Norm(outputs)

    def forward(self, maps: Tensor) -> Tensor:
        if self.below_right:
            maps = nn.functional.pad(maps, (0, 1, 0, 1))
        return nn.functional.relu_(self.bn(self.conv(maps)))


class YAMNet(nn.Module):
    """Patches of sound → logits. Always in float32: it is 4 % of the work, and tags are choices.

    Args:
        width: channels of the first layer, 32 in the released network; the others follow.
        classes: columns of the result, 521 in the released network.
    """

    def __init__(self, *, width: int = 32, classes: int = 521) -> None:
        super().__init__()
        self.log_mel = LogMel(LOG_OFFSET)
        self.layers = nn.Sequential()
        inputs = 1
        for number, (factor, stride) in enumerate(LAYERS, start=1):
            outputs = factor * width
            layer = nn.Sequential()
            if number == 1:
                layer.add_module("conv", Convolution(1, outputs, 3, stride=stride, groups=1))
            else:
                depthwise = Convolution(inputs, inputs, 3, stride=stride, groups=inputs)
                layer.add_module("depthwise_conv", depthwise)
                pointwise = Convolution(inputs, outputs, 1, stride=1, groups=1)
                layer.add_module("pointwise_conv", pointwise)
            self.layers.add_module(f"layer{number}", layer)
            inputs = outputs
        self.logits = nn.Linear(inputs, classes)

    def forward(self, patches: Tensor) -> Tensor:
        """float32 [N, 15,600] at 16 kHz → [N, classes] before the sigmoid."""
        return self.logits(self.embed(self.log_mel(patches)))

    def embed(self, log_mel: Tensor) -> Tensor:
        """[N, 96, 64] → [N, 32 · width], the average over time and frequency."""
        return self.layers(log_mel.view(-1, 1, PATCH_FRAMES, MEL_BANDS)).mean(dim=(2, 3))


def from_tensorflow(variables: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """The reference's variables under our names and in our layouts.

    Args:
        variables: by name, such as `layer2/depthwise_conv/depthwise_kernel`. The last layer is
            told by its shape: the reference gives it no name, so Keras counts (`dense_1/kernel`).

    Returns:
        A state dict for YAMNet; an unknown name keeps its place as a key that no YAMNet has.
    """
    last_layer = _last_layer(variables)
    return {
        last_layer.get(name) or _our_name(name): _our_layout(name, value)
        for name, value in variables.items()
    }


def _last_layer(variables: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Names of the only matrix, embedding by classes, and of the only bias as long as a row."""
    kernels = [name for name, value in variables.items() if value.ndim == 2]
    if len(kernels) != 1:
        return {}
    classes = variables[kernels[0]].shape[1:]
    biases = [
        name
        for name, value in variables.items()
        if value.shape == classes and name.rpartition("/")[2] not in _NORM_NAMES
    ]
    return {kernels[0]: "logits.weight"} | ({biases[0]: "logits.bias"} if len(biases) == 1 else {})


def _our_name(name: str) -> str:
    *place, last = name.split("/")
    if last in ("kernel", "depthwise_kernel"):
        return ".".join(["layers", *place, "conv", "weight"])
    return ".".join(["layers", *place, _NORM_NAMES.get(last, last)])


def _our_layout(name: str, value: np.ndarray) -> Tensor:
    tensor = torch.from_numpy(np.array(value, dtype=np.float32))
    if tensor.ndim == 4:  # height, width, in, out; a depthwise kernel's own out is 1
        order = (2, 3, 0, 1) if name.endswith("depthwise_kernel") else (3, 2, 0, 1)
        tensor = tensor.permute(*order)
    elif tensor.ndim == 2:
        tensor = tensor.T
    return tensor.contiguous()

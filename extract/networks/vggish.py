"""VGGish: a VGG over log-mel examples, 128 numbers per 0.96 s of sound.

What is kept is fc2's output before its ReLU, without PCA and 8-bit quantisation. Parameter names
are those of torchvggish's release; TensorFlow's are those of the tf-slim reference.
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

LOG_OFFSET = 0.01
# Channels of the convolutions in units of the first one's 64, with 0 for a 2 x 2 maximum.
LAYERS = (1, 0, 2, 0, 4, 4, 0, 8, 8, 0)

_TENSORFLOW_PLACES = {
    "vggish/conv1": "features.0",
    "vggish/conv2": "features.3",
    "vggish/conv3/conv3_1": "features.6",
    "vggish/conv3/conv3_2": "features.8",
    "vggish/conv4/conv4_1": "features.11",
    "vggish/conv4/conv4_2": "features.13",
    "vggish/fc1/fc1_1": "embeddings.0",
    "vggish/fc1/fc1_2": "embeddings.2",
    "vggish/fc2": "embeddings.4",
}


def examples(waveform: Tensor) -> Tensor:
    """[n] at 16 kHz → [T, 15,600], one each 0.96 s. The tail is cut as in the reference.

    A waveform under 0.975 s, of which the reference makes nothing, is zero-padded to one example.
    """
    return cut(waveform, PATCH_SAMPLES, PATCH_HOP_SAMPLES, keep_tail=False)


class VGGish(nn.Module):
    """Examples of sound → embeddings.

    Args:
        width: channels of the first convolution, 64 in the released network.
        hidden: of the two hidden dense layers, 4096 in the released network.
        embedding: columns of the result, 128 in the released network.
    """

    # What runs in bf16 where that is asked for: all but the first convolution, whose rounding shows
    # most and which costs least.
    HALF = ("features.3", "features.6", "features.8", "features.11", "features.13", "embeddings.")

    def __init__(self, *, width: int = 64, hidden: int = 4096, embedding: int = 128) -> None:
        super().__init__()
        self.log_mel = LogMel(LOG_OFFSET)
        layers: list[nn.Module] = []
        inputs = 1
        for factor in LAYERS:
            if factor:
                convolution = nn.Conv2d(inputs, factor * width, 3, padding=1)
                layers += [convolution, nn.ReLU(inplace=True)]
                inputs = factor * width
            else:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        shrink = 2 ** LAYERS.count(0)
        flat = inputs * (PATCH_FRAMES // shrink) * (MEL_BANDS // shrink)
        self.embeddings = nn.Sequential(
            nn.Linear(flat, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, embedding),
        )

    def forward(self, examples: Tensor) -> Tensor:
        """float32 [N, 15,600] at 16 kHz → [N, 128] before the last ReLU."""
        return self.embed(self.log_mel(examples))

    def embed(self, log_mel: Tensor) -> Tensor:
        """[N, 96, 64] → [N, 128]."""
        maps = self.features[:3](log_mel.view(-1, 1, PATCH_FRAMES, MEL_BANDS))
        maps = self.features[3:](maps.to(self.embeddings[0].weight.dtype))
        # fc1 expects height, width, channels, as TensorFlow lays them out.
        return self.embeddings(maps.permute(0, 2, 3, 1).flatten(1)).float()


def from_tensorflow(variables: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """The reference's variables under torchvggish's names and in torch's layouts.

    Args:
        variables: by tf-slim name, such as `vggish/conv3/conv3_1/weights`.

    Returns:
        A state dict for VGGish; an unknown name keeps its place as a key that no VGGish has.
    """
    state = {}
    for name, value in variables.items():
        place, _, last = name.rpartition("/")
        ours = {"weights": "weight", "biases": "bias"}.get(last, last)
        tensor = torch.from_numpy(np.array(value, dtype=np.float32))
        if tensor.ndim == 4:  # height, width, in, out
            tensor = tensor.permute(3, 2, 0, 1)
        elif tensor.ndim == 2:
            tensor = tensor.T
        state[f"{_TENSORFLOW_PLACES.get(place, place)}.{ours}"] = tensor.contiguous()
    return state

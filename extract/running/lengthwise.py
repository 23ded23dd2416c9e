"""Convolutions over time whose channels lie side by side in memory, sample after sample.

Given [N, C, L], oneDNN and, in TF32 and bf16, cuDNN sort each sample's channels together first,
once a layer. A convolution over a picture of one row keeps the order that it gets.
"""

import torch
from torch import Tensor, nn


class LengthwiseConv1d(nn.Module):
    """The values of a convolution over time, for inference."""

    weight: Tensor
    bias: Tensor

    def __init__(self, conv: nn.Conv1d) -> None:
        super().__init__()
        assert conv.bias is not None and not isinstance(conv.padding, str)
        self.stride, self.padding = (1, *conv.stride), (0, *conv.padding)
        self.dilation, self.groups = (1, *conv.dilation), conv.groups
        weight = conv.weight.detach()[:, :, None]
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", conv.bias.detach())

    def forward(self, maps: Tensor) -> Tensor:
        """[N, C, L] → [N, K, L'], quickest with a sample's channels side by side, as it gives them.

        The orders of one channel are the same, of which oneDNN takes the other one.
        """
        if maps.shape[1] == 1:
            sound = nn.functional.pad(maps[:, 0], (self.padding[1],) * 2)
            reach = self.dilation[1] * (self.weight.shape[3] - 1) + 1
            frames = sound.unfold(1, reach, self.stride[1])[..., :: self.dilation[1]]
            rows = nn.functional.linear(frames, self.weight[:, 0, 0], self.bias)
            return rows.transpose(1, 2)
        row = maps[:, :, None].contiguous(memory_format=torch.channels_last)
        found = nn.functional.conv2d(
            row, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )
        return found[:, :, 0]

"""3 x 3 convolutions over maps two columns wide, as one dense layer over three rows.

Of the three columns that a kernel covers there, one is always padding. Written out, each row of
2 x C inputs meets 2 x K outputs in 12 · C · K products instead of 18, in a form that a matrix
product runs at full speed. The values are the convolution's own, rounding apart.
"""

import torch
from torch import Tensor, nn

COLUMNS = 2


class NarrowConv2d(nn.Module):
    """The values of a 3 x 3 convolution with stride 1 and padding 1, for inference."""

    weight: Tensor
    bias: Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        assert (conv.kernel_size, conv.stride, conv.padding) == ((3, 3), (1, 1), (1, 1))
        assert conv.bias is not None
        outputs, inputs = conv.weight.shape[:2]
        weight = conv.weight.new_zeros(COLUMNS, outputs, 3, COLUMNS, inputs)
        for to in range(COLUMNS):
            for of in range(COLUMNS):
                kernel = conv.weight.detach()[:, :, :, of - to + 1]  # [K, C, 3 rows]
                weight[to, :, :, of] = kernel.transpose(1, 2)
        self.register_buffer("weight", weight.view(COLUMNS * outputs, 3 * COLUMNS * inputs))
        self.register_buffer("bias", conv.bias.detach().repeat(COLUMNS))

    def forward(self, maps: Tensor) -> Tensor:
        """[N, C, H, 2] → [N, K, H, 2], quickest in channels-last memory order, which it keeps."""
        count, inputs, height, columns = maps.shape
        assert columns == COLUMNS
        rows = maps.permute(0, 2, 3, 1).reshape(count, height, COLUMNS * inputs)
        rows = nn.functional.pad(rows, (0, 0, 1, 1))
        around = torch.cat([rows[:, i : i + height] for i in range(3)], dim=2)
        found = nn.functional.linear(around, self.weight, self.bias)
        return found.view(count, height, COLUMNS, -1).permute(0, 3, 1, 2)

"""A convolution over two columns as one dense layer, against the convolution itself."""

import pytest
import torch
from torch import nn

from extract.running.narrow import NarrowConv2d


@pytest.mark.parametrize("height", [1, 2, 31])
@torch.no_grad()
def test_its_values_are_the_convolutions(height: int):
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 10, 3, padding=1)
    maps = torch.randn(3, 6, height, 2)
    torch.testing.assert_close(NarrowConv2d(conv)(maps), conv(maps), rtol=1e-4, atol=1e-5)

"""A convolution over time in another order of memory, against the convolution itself."""

import pytest
import torch
from torch import nn

from extract.running.lengthwise import LengthwiseConv1d


@pytest.mark.parametrize("inputs", [1, 6])
@pytest.mark.parametrize("stride, padding, dilation", [(1, 1, 1), (1, 2, 2), (5, 5, 1)])
@torch.no_grad()
def test_its_values_are_the_convolutions(inputs: int, stride: int, padding: int, dilation: int):
    torch.manual_seed(0)
    conv = nn.Conv1d(inputs, 10, 3, stride=stride, padding=padding, dilation=dilation)
    sound = torch.randn(3, inputs, 41)
    found = LengthwiseConv1d(conv)(sound)
    torch.testing.assert_close(found, conv(sound), rtol=1e-4, atol=1e-5)
    assert found.stride(1) == 1  # the order that the next one wants

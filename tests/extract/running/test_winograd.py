"""The quick form of a convolution against the convolution itself."""

import pytest
import torch
from torch import nn

from extract.running.winograd import WinogradConv2d, pays_for


@pytest.mark.parametrize(("height", "width"), [(6, 4), (5, 3), (1, 1), (31, 2)])
@torch.no_grad()
def test_its_values_are_the_convolutions_at_even_and_odd_sizes(height: int, width: int):
    torch.manual_seed(0)
    conv = nn.Conv2d(256, 512, 3, padding=1)
    maps = torch.randn(2, 256, height, width).contiguous(memory_format=torch.channels_last)
    expected = conv(maps.double().float())
    found = WinogradConv2d(conv)(maps)
    assert found.shape == expected.shape
    assert (found - expected).norm() < 5e-6 * expected.norm()


def test_only_deep_plain_convolutions_take_it():
    assert pays_for(nn.Conv2d(256, 512, 3, padding=1))
    assert not pays_for(nn.Conv2d(64, 64, 3, padding=1))
    assert not pays_for(nn.Conv2d(256, 512, 3, padding=1, stride=2))
    assert not pays_for(nn.Conv2d(512, 512, 3, padding=1, groups=512))
    assert not pays_for(nn.Conv2d(512, 512, 1))
    assert not pays_for(nn.Conv1d(512, 512, 3, padding=1))

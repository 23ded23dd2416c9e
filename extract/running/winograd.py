"""3 x 3 convolutions with 16 multiplications where the definition takes 36.

Winograd's F(2 x 2, 3 x 3): Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural
Networks". Its sums over the channels are 16 matrix products, so it pays where the channels are many
and the maps small: the deep layers, which are half of PANNs' arithmetic. In float32 a layer rounds
a few times 1e-7 off the direct sum; PANNs' embedding has come out with a relative error of 1.8e-5
on noise-like signals, where the direct form has about 1e-6 (benchmarks/extract_rounding.py).
"""

import torch
from torch import Tensor, nn

# Fewer channels, and the transforms cost more than the products save.
LEAST_INPUTS = 256
LEAST_OUTPUTS = 512


class WinogradConv2d(nn.Module):
    """The values of a 3 x 3 convolution with stride 1 and padding 1, for inference."""

    kernels: Tensor
    bias: Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        assert pays_for(conv) and conv.bias is not None
        self.outputs = conv.out_channels
        self.register_buffer("bias", conv.bias.detach())
        self.register_buffer("kernels", _transformed(conv.weight.detach()))

    def forward(self, maps: Tensor) -> Tensor:
        """[N, C, H, W] → [N, K, H, W], quickest in channels-last memory order, which it keeps."""
        count, inputs, height, width = maps.shape
        down, right = -(-height // 2), -(-width // 2)  # tiles of 2 x 2 outputs
        tiles = _tiles(maps.permute(0, 2, 3, 1), down, right)
        products = torch.bmm(tiles.view(16, -1, inputs), self.kernels)
        whole = self._gathered(products.view(4, 4, count, down, right, self.outputs))
        return whole[:, :height, :width].permute(0, 3, 1, 2)

    def _gathered(self, products: Tensor) -> Tensor:
        """[4, 4, N, down, right, K] → [N, 2 · down, 2 · right, K]: A-transposed · M · A, bias."""
        _, _, count, down, right, outputs = products.shape
        maps = products.new_empty(count, down, 2, right, 2, outputs)
        upper = (products[0] + products[1]).add_(products[2])
        lower = (products[1] - products[2]).sub_(products[3])
        for row, part in enumerate((upper, lower)):
            torch.add((part[0] + part[1]).add_(part[2]), self.bias, out=maps[:, :, row, :, 0])
            torch.add((part[1] - part[2]).sub_(part[3]), self.bias, out=maps[:, :, row, :, 1])
        return maps.view(count, 2 * down, 2 * right, outputs)


def pays_for(conv: nn.Module) -> bool:
    """Whether it is a convolution of the right form with enough channels."""
    return (
        isinstance(conv, nn.Conv2d)
        and (conv.kernel_size, conv.stride, conv.padding) == ((3, 3), (1, 1), (1, 1))
        and (conv.dilation, conv.groups) == ((1, 1), 1)
        and conv.in_channels >= LEAST_INPUTS
        and conv.out_channels >= LEAST_OUTPUTS
    )


def _tiles(maps: Tensor, down: int, right: int) -> Tensor:
    """[N, H, W, C] → [4, 4, N, down, right, C]: B-transposed · d · B of tiles of 4 x 4, every 2."""
    count, height, width, inputs = maps.shape
    padding = (0, 0, 1, 1 + 2 * right - width, 1, 1 + 2 * down - height)
    maps = nn.functional.pad(maps, padding)
    rows = [maps[:, i : i + 2 * down - 1 : 2] for i in range(4)]
    tiles = maps.new_empty(4, 4, count, down, right, inputs)
    for i, row in enumerate(_differences(rows)):
        columns = [row[:, :, j : j + 2 * right - 1 : 2] for j in range(4)]
        _differences(columns, out=tiles[i])
    return tiles


def _differences(parts: list[Tensor], out: Tensor | None = None) -> list[Tensor]:
    """The four combinations that B-transposed makes of four rows or columns."""
    first, second, third, fourth = parts
    into = [None] * 4 if out is None else list(out)
    return [
        torch.sub(first, third, out=into[0]),
        torch.add(second, third, out=into[1]),
        torch.sub(third, second, out=into[2]),
        torch.sub(second, fourth, out=into[3]),
    ]


def _transformed(weight: Tensor) -> Tensor:
    """[K, C, 3, 3] → [16, C, K]: G · g · G-transposed."""
    kernel = weight.permute(2, 3, 1, 0).contiguous()  # [3, 3, C, K]
    rows = kernel.new_empty(4, *kernel.shape[1:])
    _halves(kernel, out=rows)
    kernels = kernel.new_empty(4, 4, *kernel.shape[2:])
    for i in range(4):
        _halves(rows[i], out=kernels[i])
    return kernels.view(16, *kernel.shape[2:])


def _halves(parts: Tensor, out: Tensor) -> None:
    """The four combinations that G makes of three rows or columns."""
    first, second, third = parts
    out[0], out[3] = first, third
    half = (first + third).mul_(0.5)
    torch.add(half, second, alpha=0.5, out=out[1])
    torch.sub(half, second, alpha=0.5, out=out[2])

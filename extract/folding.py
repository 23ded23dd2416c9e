"""A network as it is run: batch norms folded into the convolutions before them."""

from copy import deepcopy
from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def prepared(network: Network, *, device: str, precision: str) -> Network:
    """A copy for inference on a device.

    Args:
        network: with its weights.
        device: `cpu` or `cuda`.
        precision: `float32`, or `bf16` for the convolutions and the dense layers between them;
            front ends and the last dense layers stay float32.
    """
    network = folded(network).to(device)
    half = getattr(network, "HALF", ())
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if precision == "bf16" and name.startswith(tuple(half)):
            module.to(torch.bfloat16)
    return network


def folded(network: Network) -> Network:
    """A copy for inference, in eval mode and without gradients, that gives the same values.

    In every block with `conv` and `bn`, or `conv1` and `bn1` and so on (`pre_conv0` and `pre_bn0`
    too), the norm is folded into its convolution and an identity takes its place. A norm with no
    convolution of its name stays.
    """
    network = deepcopy(network).eval().requires_grad_(False)
    for block in list(network.modules()):
        children = dict(block.named_children())
        for name, conv in children.items():
            norm = children.get(name.replace("conv", "bn"))
            if isinstance(conv, nn.Conv1d | nn.Conv2d) and isinstance(norm, _NORMS):
                _fold(conv, norm)
                setattr(block, name.replace("conv", "bn"), nn.Identity())
    return network


@torch.no_grad()
def _fold(conv: nn.Conv1d | nn.Conv2d, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
    assert norm.running_mean is not None and norm.running_var is not None
    assert conv.bias is None, "a norm follows: the networks' convolutions have no bias"
    scale = norm.weight.double() * (norm.running_var.double() + norm.eps).rsqrt()
    shift = norm.bias.double() - norm.running_mean.double() * scale
    conv.weight.mul_(scale.float().view(-1, *[1] * (conv.weight.ndim - 1)))
    conv.bias = nn.Parameter(shift.float(), requires_grad=False)

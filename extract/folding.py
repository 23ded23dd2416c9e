"""A network as it is run: batch norms folded into the convolutions before them."""

from copy import deepcopy
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

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
    double = [
        None if item is None else item.double()
        for item in (conv.weight, conv.bias, norm.running_mean, norm.running_var)
    ]
    scale = None if norm.weight is None else norm.weight.double()
    shift = None if norm.bias is None else norm.bias.double()
    weight, bias = fuse_conv_bn_weights(*double, norm.eps, scale, shift)  # type: ignore[call-arg, arg-type]
    conv.weight = nn.Parameter(weight.float(), requires_grad=False)
    conv.bias = nn.Parameter(bias.float(), requires_grad=False)

"""A network as it is run: norms folded away, convolutions in their quickest form."""

from copy import deepcopy
from typing import TypeVar

import torch
from torch import nn

from extract.running.lengthwise import LengthwiseConv1d
from extract.running.narrow import NarrowConv2d
from extract.running.winograd import WinogradConv2d, pays_for

Network = TypeVar("Network", bound=nn.Module)

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def prepared(network: Network, *, device: str, precision: str) -> Network:
    """A copy for inference on a device.

    On a CPU, deep convolutions take forms with fewer multiplications (extract.running.winograd and
    extract.running.narrow); they round otherwise, by up to 2e-5 of PANNs' embedding (winograd.py).
    Those over time take another order in memory (extract.running.lengthwise), on a GPU all but the
    one that hears the sound itself, which cuDNN does without sorting.

    Args:
        network: with its weights.
        device: `cpu` or `cuda`.
        precision: `float32`, or `bf16` for the part of the network that its HALF names; front ends
            and last layers stay float32.
    """
    network = folded(network)
    half = getattr(network, "HALF", ()) if precision == "bf16" else ()
    for name, module in list(network.named_modules()):
        if name.startswith(half):
            module.to(torch.bfloat16)
        if isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            if device == "cpu" and name.startswith(getattr(network, "NARROW", ())) and half:
                network.set_submodule(name, NarrowConv2d(module))
            elif device == "cpu" and pays_for(module) and not half:
                network.set_submodule(name, WinogradConv2d(module))
        elif (
            isinstance(module, nn.Conv1d)
            and module.bias is not None
            and (device == "cpu" or module.in_channels > 1)
        ):
            network.set_submodule(name, LengthwiseConv1d(module))
    return network.to(device)


def folded(network: Network) -> Network:
    """A copy in eval mode, without gradients, whose batch norms are in the convolutions before.

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
    if hasattr(network, "hasten"):
        network.hasten()  # type: ignore[operator]
    return network


@torch.no_grad()
def _fold(conv: nn.Conv1d | nn.Conv2d, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
    assert norm.running_mean is not None and norm.running_var is not None
    assert conv.bias is None, "a norm follows: the networks' convolutions have no bias"
    scale = norm.weight.double() * (norm.running_var.double() + norm.eps).rsqrt()
    shift = norm.bias.double() - norm.running_mean.double() * scale
    conv.weight.mul_(scale.float().view(-1, *[1] * (conv.weight.ndim - 1)))
    conv.bias = nn.Parameter(shift.float(), requires_grad=False)

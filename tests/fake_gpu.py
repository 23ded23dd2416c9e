"""A GPU without a GPU: torch's fake tensors know shapes, types and devices, and compute nothing.

They refuse what a GPU would: memory of the host among the device's, an operation that it has not,
and to tell a value. `Watched` counts what goes between host and device.
"""

from collections import Counter
from contextlib import contextmanager
from unittest.mock import patch

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Watched(TorchDispatchMode):
    """Counts operations that read on one device and write on another, by name.

    A number that the host tells a kernel, as in `rows[:2] = 0.0`, is none of them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.crossings = Counter()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        parts = tree_leaves((args, kwargs, result))
        tensors = [part for part in parts if isinstance(part, torch.Tensor)]
        if operation.__name__ == "fill_.Tensor":
            return result
        if len({part.device.type for part in tensors}) > 1:
            self.crossings[operation.__name__] += 1
        return result


@contextmanager
def fake_gpu():
    """Within, devices called cuda are there, and attention is asked for as its kernels take it."""
    with FakeTensorMode(), patch.object(functional, "scaled_dot_product_attention", _attention):
        yield


def moved(module: nn.Module) -> None:
    """Give a module memory on the device, in place."""
    for part in module.modules():
        for tensors in (part._parameters, part._buffers):
            for name, old in tensors.items():
                new = (
                    None if old is None else torch.empty(old.shape, dtype=old.dtype, device="cuda")
                )
                if isinstance(old, nn.Parameter):
                    new = nn.Parameter(new, requires_grad=old.requires_grad)
                tensors[name] = new


_REAL = functional.scaled_dot_product_attention


def _attention(queries, keys, values, attn_mask, scale):
    """Refuses what would be copied in every layer first, or has no kernel."""
    together = 16 // queries.element_size()
    for part in (queries, keys, values, attn_mask):
        assert part.dtype == queries.dtype and part.stride(-1) == 1
        assert not any(step % together for step in part.stride()[:-1]), part.stride()
    return _REAL(queries, keys, values, attn_mask=attn_mask, scale=scale)

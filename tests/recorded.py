"""A stand-in for CUDA graphs on a CPU, and a count of what a step asks torch to do.

The stand-in does what a graph does: it notes every operation of a step with the memory that it
reads and writes, and later does the same operations on the same memory without any of our code
running. What our code would have to compute anew then shows.
"""

from collections import Counter

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves


def record(step):
    """Do a step; the function that repeats it from its second call on."""
    with Noted() as noted:
        step()
    return noted.repeat


class Noted(TorchDispatchMode):
    """Notes operations; `repeat` does them again in the same memory."""

    def __init__(self) -> None:
        super().__init__()
        self._operations = []
        self._done = True  # unlike a GPU, we had to do the step to note it

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        if not _only_looks(operation, args, result):
            self._operations.append((operation, args, kwargs or {}, result))
        return result

    def repeat(self) -> None:
        if self._done:
            self._done = False
            return
        with torch.no_grad(), _disable_current_modes():  # Counted hears of none of it
            for operation, args, kwargs, result in self._operations:
                again = operation(*args, **kwargs)
                for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                    if isinstance(old, torch.Tensor) and old is not new:
                        old.copy_(new)


def _only_looks(operation, args, result):
    """Whether a result is memory that was there; `flatten` and the like copy where they must."""
    return operation.is_view and (
        not isinstance(result, torch.Tensor)
        or result.untyped_storage().data_ptr() == args[0].untyped_storage().data_ptr()
    )


class Counted(TorchDispatchMode):
    """Counts what torch is asked to do in a block, by name.

    Attributes:
        operations: without views: about as many kernels as a GPU would be told of.
        waits: what makes the host wait for a GPU's values.
    """

    _READS = ("tolist", "item", "cpu", "numpy", "__bool__", "__int__", "__float__", "__index__")
    _SHAPED_BY_VALUES = ("nonzero", "masked_select", "unique", "repeat_interleave")

    def __init__(self) -> None:
        super().__init__()
        self.operations, self.waits = Counter(), Counter()
        self._own = {}

    def __enter__(self):
        for name in self._READS:
            self._own[name] = getattr(torch.Tensor, name)
            setattr(torch.Tensor, name, self._noting(name))
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        for name, method in self._own.items():
            setattr(torch.Tensor, name, method)

    def _noting(self, name):
        def read(tensor, *args, **kwargs):
            self.waits[name] += 1
            with _disable_current_modes():
                return self._own[name](tensor, *args, **kwargs)

        return read

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        name = operation.overloadpacket.__name__
        masks = [part for part in tree_leaves(args[1:]) if isinstance(part, torch.Tensor)]
        by_mask = "index" in name and any(part.dtype == torch.bool for part in masks)
        if by_mask or name.startswith(self._SHAPED_BY_VALUES):
            self.waits[name] += 1
        elif not _only_looks(operation, args, result) and name not in ("detach_", "lift_fresh"):
            self.operations[name] += 1
        return result

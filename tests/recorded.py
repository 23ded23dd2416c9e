"""A stand-in for CUDA graphs on a CPU, and a count of what torch is asked to do.

The stand-in does what a graph does: it notes every operation of a step with the memory that it
reads and writes, and later does the same operations on the same memory without any of our code
running. What our code would have to compute anew then shows.
"""

from collections import Counter

import torch
from torch.utils._python_dispatch import TorchDispatchMode
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
        if not operation.is_view:
            self._operations.append((operation, args, kwargs or {}, result))
        return result

    def repeat(self) -> None:
        if self._done:
            self._done = False
            return
        with torch.no_grad():
            for operation, args, kwargs, result in self._operations:
                again = operation(*args, **kwargs)
                for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                    if isinstance(old, torch.Tensor) and old is not new:
                        old.copy_(new)


class Counted(TorchDispatchMode):
    """Counts operations by name, views left out, and those that wait for a device apart.

    So many kernels, about, a GPU would be told of, and so often the host would wait for it.
    """

    # Values or shapes that the host must know, and copies to it.
    _WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "equal")

    def __init__(self) -> None:
        super().__init__()
        self.operations, self.waits = Counter(), Counter()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        name = operation.overloadpacket.__name__
        if name in self._WAITS:
            self.waits[name] += 1
        elif not operation.is_view and name not in ("detach_", "lift_fresh"):
            self.operations[name] += 1
        return result

"""How networks run on a GPU: in which arithmetic, and compiled for the batch that most are."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._triton import has_triton

from extract.networks.panns import models_stand_in
from features.common.console import log
from features.common.errors import ConfigError, first_line

# Clips that repay compiling: it takes 10 to 20 s more than tuning alone, and then saves 0.27 to
# 0.29 ms a clip (three streams, H200, 26 November 2026).
COMPILING_PAYS = 50_000
_TF32_FROM = (8, 0)  # compute capability, of Ampere


@contextmanager
def arithmetic(*, tf32: bool, tuned: bool = False) -> Iterator[None]:
    """Within, convolutions and matrix products of float32 round their inputs to TF32, or do not.

    float32 means float32: without `tf32` there is none in the convolutions either.

    Args:
        tf32: whether they do.
        tuned: cuDNN tries its ways for each new shape, which takes seconds and pays for the one
            that nearly all batches have.
    """
    products = torch.backends.cuda.matmul
    before, products.allow_tf32 = products.allow_tf32, tf32
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=tuned, allow_tf32=tf32):
            yield
    finally:
        products.allow_tf32 = before


def has_tf32(device: str) -> bool:
    """Whether a device computes in TF32: NVIDIA GPUs from Ampere on."""
    return device != "cpu" and torch.cuda.get_device_capability(device) >= _TF32_FROM


def check_tf32(device: str) -> None:
    """Refuse to call TF32 what such a GPU would compute in float32.

    Raises:
        ConfigError: naming the GPU.
    """
    if device != "cpu" and not has_tf32(device):
        name = torch.cuda.get_device_name(device)
        raise ConfigError(f"{name} has no TF32 arithmetic: use --precision float32")


def compiling_pays(clips: int, device: str) -> bool:
    """Whether so many clips repay that networks are compiled; says so where they cannot be."""
    if device == "cpu" or clips < COMPILING_PAYS:
        return False
    if not has_triton():
        log("the networks are not compiled, since Triton is not there: slower by a third")
    return has_triton()


class Compiled:
    """A network that is compiled for the first full batch it meets; other shapes go as before.

    Args:
        network: windows [N, …] → rows.
        full: windows in a full batch.
        backend: of torch.compile.
    """

    def __init__(self, network: nn.Module, full: int, backend: str = "inductor") -> None:
        self.network = network
        self.full = full
        self._shape: torch.Size | None = None
        # YAMNet's of one point: in float32 cuDNN sorts their maps anew before and after.
        options: dict[str, Any] = {"conv_1x1_as_mm": True} if backend == "inductor" else {}
        self._quick: Callable[[Tensor], Tensor] = torch.compile(
            network, dynamic=False, backend=backend, options=options or None
        )

    def __call__(self, windows: Tensor) -> Tensor:
        """The network's rows."""
        if self._shape is None and len(windows) == self.full:
            self._shape = windows.shape
            return self._first(windows)
        return (self._quick if windows.shape == self._shape else self.network)(windows)

    def _first(self, windows: Tensor) -> Tensor:
        try:
            # Compiling imports the modules of a network by their names.
            with models_stand_in(), warnings.catch_warnings(action="ignore"):
                return self._quick(windows)
        except Exception as error:  # of any compiler's kind; what else is wrong comes again below
            cause = getattr(error, "inner_exception", error)
            name = type(self.network).__name__
            log(f"{name} is not compiled ({first_line(cause)}): it goes on as it is, slower")
            self._quick = self.network
            return self.network(windows)

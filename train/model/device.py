"""What a model runs on."""

import re

import torch

from features.common.errors import ConfigError


def own_device(wanted: str | None) -> str:
    """The device asked for; when none is, a GPU where torch finds one, else the CPU.

    Raises:
        ConfigError: if it is none that torch has here.
    """
    if wanted is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", wanted):
        raise ConfigError(f"--device is {wanted!r}, expected cpu or cuda")
    if wanted != "cpu" and not torch.cuda.is_available():
        raise ConfigError(f"--device is {wanted}, but torch finds no CUDA device; use --device cpu")
    return wanted

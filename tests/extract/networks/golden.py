"""How networks are compared with their references' golden files."""

import csv
from pathlib import Path

import numpy as np
from torch import nn


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    """The relative L2 of the difference."""
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def shapes(network: nn.Module) -> dict[str, str]:
    """A network's state dict as the golden files list it."""
    state = network.state_dict()
    return {key: "x".join(map(str, value.shape)) or "scalar" for key, value in state.items()}


def listed(path: Path) -> list[dict[str, str]]:
    """The rows of a golden CSV."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))

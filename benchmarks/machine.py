"""What a reader must know about the machine to judge a figure."""

import os

import torch

from features.common.machine import cores


def header(part: str) -> str:
    """A part's first line. Figures from a machine that was busy at the start are too low."""
    return (
        f"\n{part} ({cores()} cores, load average at the start {os.getloadavg()[0]:.1f}, {gpu()})"
    )


def gpu() -> str:
    """The GPU's name, or that there is none."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA device"

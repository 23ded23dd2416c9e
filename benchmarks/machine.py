"""What a reader must know about the machine to judge a figure."""

import os
import statistics
import time
from collections.abc import Callable, Mapping

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


def rates_in_turns(
    ways: Mapping[str, tuple[Callable[[], object], float]],
    rounds: int,
    told: Callable[[int, str], object] = lambda number, name: None,
) -> dict[str, float]:
    """Units of work per second of each way, the median of some rounds in which they take turns.

    Args:
        ways: what does the work, and how many units that is, by name.
        rounds: turns of each.
        told: hears whose turn in which round, from 1 on, begins.
    """
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(1, rounds + 1):
        for name, (work, units) in ways.items():
            told(number, name)
            start = time.perf_counter()
            work()
            rates[name].append(units / (time.perf_counter() - start))
    return {name: statistics.median(found) for name, found in rates.items()}

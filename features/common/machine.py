"""What the machine offers."""

import os
import resource

from features.common.errors import ConfigError

# Measured on Linux with two cores: an extraction of seven clips runs in 4.1 GB and not in 3.9 GB.
LEAST_ADDRESSES = 4_500_000_000


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def let_threads_sleep() -> None:
    """Let threads that wait for each other sleep after some microseconds, unless told otherwise.

    To be called before torch is imported, whose GNU OpenMP reads this once. By itself it spins for
    milliseconds: where other programs want the cores too, threads then wait for one that is not
    running. Measured on two cores, beside GNU's own GOMP_SPINCOUNT=300000 for the same commands:
    `python -m train run` of the demo is 1.2 times as fast on a quiet machine and 2.2 times beside
    three busy programs; `python -m benchmarks.train cpu` takes 0.84 of the time in bf16.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")


def check_address_space() -> None:
    """Refuse to start under a `ulimit -v` that the libraries alone do not fit in.

    To be called before numpy, scipy and torch are imported: OpenBLAS tries for ever to get memory
    that it cannot have, within the import.

    Raises:
        ConfigError: naming the limit and what is needed.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < LEAST_ADDRESSES:
        raise ConfigError(
            f"this process may address {limit / 1e9:.1f} GB only (ulimit -v {limit // 1024}), and "
            f"its libraries take {LEAST_ADDRESSES / 1e9:g} GB; raise it: "
            f"ulimit -v {LEAST_ADDRESSES // 1024}"
        )

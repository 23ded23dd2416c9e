"""What the machine offers."""

import os


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

"""Parts of a batch computed side by side on a CPU, instead of each operation divided among threads.

Threads that share an operation wait for each other at its end, some hundred times a batch, and all
wait while one does what cannot be divided; threads with a part each wait once.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from math import ceil
from threading import Barrier
from typing import TypeVar

import torch

Part = TypeVar("Part")
Result = TypeVar("Result")


def side_by_side(work: Callable[[Part], Result], parts: Sequence[Part]) -> Iterator[Result]:
    """What `work` makes of each part, in their order.

    As many parts are worked on at once as torch has threads here (`torch.get_num_threads`), and
    the threads are divided among them. A part alone has them all, in the caller's own thread.

    Args:
        work: may be called from several threads at once; in the caller's inference mode.
        parts: of about equal size, or many.

    Raises:
        Exception: what `work` raises; parts that were not begun are left out then.
    """
    threads = torch.get_num_threads()
    at_once = min(threads, len(parts))
    if at_once < 2:
        yield from map(work, parts)
        return
    inference = torch.is_inference_mode_enabled()

    def done(part: Part) -> Result:
        with torch.inference_mode(inference):
            return work(part)

    pool = _pool(os.getpid(), at_once, threads)
    begun = [pool.submit(done, part) for part in parts]
    try:
        for future in begun:
            yield future.result()
    finally:
        for future in begun:
            future.cancel()


def part_size(count: int, most: int, least: int = 1) -> int:
    """How many of some items go into a part, so that all threads have equally much to do.

    Args:
        count: items, at least 1.
        most: in a part.
        least: if parts were smaller than this, threads share parts of `most` instead.
    """
    threads = torch.get_num_threads()
    turns = ceil(count / (most * threads))
    size = ceil(count / (turns * threads))
    return size if size >= least else most


@lru_cache(maxsize=4)
def _pool(process: int, workers: int, threads: int) -> ThreadPoolExecutor:
    """Workers that share so many threads. A forked process has none of its parent's."""
    begun = Barrier(workers)

    def begin() -> None:
        torch.get_num_threads()  # or torch would set its own number later, over the next line's
        torch.set_num_threads(threads // workers)
        begun.wait()

    pool = ThreadPoolExecutor(workers, thread_name_prefix="part", initializer=begin)
    for worker in [pool.submit(torch.get_num_threads) for _ in range(workers)]:
        worker.result()
    # The number is a thread's own, but threads that begin later take what was set last.
    torch.set_num_threads(threads)
    return pool

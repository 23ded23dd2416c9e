"""Several sources read ahead of whoever takes from them, each in a thread, given in their order.

For sound these threads are enough: decoders work outside Python's lock, and what is decoded need
not be copied from another process. (Shards' clips come from processes, extract/sound/decode.py:
thousands of short files a second are more than one interpreter can open.)
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from queue import Full, Queue
from threading import Event, Thread
from typing import TypeVar

from features.common.errors import ClipError

Item = TypeVar("Item")
Source = Callable[[], Iterable[Item]]
_LOOK_S = 0.2  # how often a thread that waits for room looks whether anybody still takes


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A source's last word: nothing, or why there is no more of it."""

    failure: str = ""


def read_ahead(
    sources: Iterable[Source[Item]], *, at_once: int, depth: int
) -> Generator[tuple[int, Item | Ended], None, None]:
    """Items of all sources in order, with the number of their source, each source's Ended last.

    Args:
        sources: called and read in a thread of its own each; a ClipError ends one, not the others.
        at_once: so many sources are being read.
        depth: so many items of each wait to be taken, so that memory is bounded.
    """
    stop = Event()
    waiting = enumerate(sources)
    lines: deque[tuple[int, Queue]] = deque()

    def begin() -> None:
        for number, source in waiting:
            line: Queue = Queue(depth)
            # A daemon, so that a decoder that hangs keeps no process from ending.
            Thread(target=_fill, args=(source, line, stop), daemon=True, name="decode").start()
            lines.append((number, line))
            return

    try:
        for _ in range(at_once):
            begin()
        while lines:
            number, line = lines[0]
            item = line.get()
            if isinstance(item, BaseException):
                raise item
            if isinstance(item, Ended):
                lines.popleft()
                begin()
            yield number, item
    finally:
        stop.set()


def _fill(source: Source, line: Queue, stop: Event) -> None:
    """Put a source's items into its line until it ends or nobody takes them any more."""

    def put(item: object) -> bool:
        while not stop.is_set():
            try:
                line.put(item, timeout=_LOOK_S)
                return True
            except Full:
                continue
        return False

    try:
        for item in source():
            if not put(item):
                return
        put(Ended())
    except ClipError as error:
        put(Ended(failure=str(error)))
    except BaseException as error:  # no fault of a file: raised where items are taken
        put(error)

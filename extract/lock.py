"""One extraction at a time on one output folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from features.common.errors import TagbartError
from features.common.locks import locked


@contextmanager
def only_run(out: Path, part: tuple[int, int]) -> Iterator[None]:
    """Hold the output folder: a second run on it, or on the same part of it, is refused.

    These are record locks: the kernel frees them when the process ends, however it ends, decoding
    processes do not inherit them, and network file systems that know locks keep them between
    machines.

    Raises:
        TagbartError: if another run holds the folder or the part.
    """
    number, of = part
    # A run of everything excludes parts, and parts exclude a run of everything.
    wanted = [(".lock", of > 1)]
    if of > 1:
        wanted.append((f".lock.{number}-of-{of}", False))
    held = []
    try:
        for name, shared in wanted:
            file = (out / name).open("a+")
            held.append(file)
            if not locked(file, out, shared=shared, records=True):
                raise TagbartError(
                    f"{out}: another extraction is writing there; wait for it, or use another --out"
                )
        if of == 1:
            for draft in out.glob(".*.part"):  # of the index, by a run that was killed
                draft.unlink(missing_ok=True)
        yield
    finally:
        for file in held:
            file.close()

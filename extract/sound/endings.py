"""How an extraction ends when the machine fails it: one clear line, finished shards intact."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from features.common.errors import TagbartError, first_line

NO_SHARED_MEMORY = "no shared memory for a decoded clip"
GO_ON = "finished shards are intact: run the same command again to go on"
_WORKER_LOST = (
    "a decoding process was ended from outside, as the kernel does when memory runs out, "
    f"or /dev/shm is full; {GO_ON}, with fewer --workers if it happens again"
)
# How torch's loader tells it, and how we do.
_WORDS_FOR_IT = ("DataLoader worker (pid", NO_SHARED_MEMORY)


@contextmanager
def plain_endings(out: Path) -> Iterator[None]:
    """Turn a full disk, a lost folder, a lost worker or a full GPU into a TagbartError.

    It must stand around the whole loop: torch raises the death of a worker out of a signal
    handler, wherever the main process happens to be.
    """
    try:
        yield
    except (ConnectionError, EOFError) as error:  # it died while it handed a clip over
        raise TagbartError(_WORKER_LOST) from error
    except OSError as error:
        if not out.is_dir():
            raise TagbartError(f"{out}: the output folder is gone; {GO_ON}") from error
        # HDF5 tells its whole state over several lines; the number says the same in two words.
        what = os.strerror(error.errno) if error.errno else first_line(error)
        raise TagbartError(
            f"{error.filename or out}: {what}; make room or mend the folder. What is not written "
            f"yet is lost, {GO_ON}"
        ) from error
    except torch.OutOfMemoryError as error:
        raise TagbartError(
            f"the GPU's memory is full; {GO_ON}, with fewer --batch-clips"
        ) from error
    except RuntimeError as error:
        if not any(words in str(error) for words in _WORDS_FOR_IT):
            raise
        raise TagbartError(_WORKER_LOST) from error

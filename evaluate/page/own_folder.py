"""The page's temporary folder: all that it writes goes there, and goes away with it.

Imports no torch: what the settings below are for makes its folders as soon as it is imported.
"""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from features.common.command import POLITE

ENDING = (signal.SIGINT, *POLITE)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let a polite kill do what Ctrl-C does: raise KeyboardInterrupt.

    Only the first one does. No further one breaks into the clearing away.
    """

    def interrupt(*_: Any) -> None:
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def own_folder() -> Iterator[Path]:
    """A temporary folder that takes all that is written, and is deleted at the end.

    Must be entered before gradio and transformers are first imported: they read the settings then.
    """
    folder = Path(tempfile.mkdtemp(prefix="tagbart-page-"))
    settings = {
        "GRADIO_TEMP_DIR": str(folder),
        "GRADIO_EXAMPLES_CACHE": str(folder / "examples"),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"),  # transformers imports it
        "MPLCONFIGDIR": str(folder / "matplotlib"),  # gradio imports it, and it keeps a cache
    }
    before = {name: os.environ.get(name) for name in settings}
    before_tempdir = tempfile.tempdir
    os.environ.update(settings)
    tempfile.tempdir = str(folder)  # what the web server spools goes there too
    try:
        yield folder
    finally:
        tempfile.tempdir = before_tempdir
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        shutil.rmtree(folder, ignore_errors=True)

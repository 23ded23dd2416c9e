"""How every command ends: with its documented exit code, and in one line where it could not run."""

import errno
import os
import signal
import sys
import tempfile
import traceback
from contextlib import suppress
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import typer

from features.common.console import log
from features.common.errors import COULD_NOT_RUN, DONE, INTERRUPTED, ConfigError, TagbartError
from features.common.publish import number_told

# A kill, a closed terminal, and what SLURM and others send some time before they kill.
POLITE = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_OURS = ("features", "extract", "train", "evaluate", "benchmarks", "tagbart")
_OTHER_FOLDER = "mend its permissions, or name another folder"
_MAKE_ROOM = "make room, then run the same command again"
# What a machine may refuse at any moment and anywhere: no fault of ours, so no traceback of ours.
_REFUSALS = {
    errno.ENOSPC: _MAKE_ROOM,
    errno.EDQUOT: _MAKE_ROOM,
    errno.EFBIG: _MAKE_ROOM,
    errno.EACCES: _OTHER_FOLDER,
    errno.EPERM: _OTHER_FOLDER,
    errno.EROFS: _OTHER_FOLDER,
    errno.ENOENT: "it may have been moved or deleted meanwhile",
    errno.ENOTDIR: "name another path",
    errno.EEXIST: "name another path",
    errno.EISDIR: "name another path",
    errno.ENAMETOOLONG: "name a shorter path",
    errno.ELOOP: "name another path",
    errno.EMFILE: "raise the limit of open files with ulimit -n",
    errno.EIO: "the disk or the network behind it fails",
    errno.ESTALE: "the disk or the network behind it fails",
}


def run_app(app: typer.Typer, name: str) -> None:
    """Run a typer application and end the process: nothing ends in a traceback, or as code 1.

    Exit codes: what the command returns; 2 with one line for our own errors, for what the machine
    refuses, and for what nobody foresaw (its traceback goes to a file that the line names); 130
    when interrupted.

    Args:
        app: from `features.common.console.new_app`.
        name: what follows `python -m`.
    """
    _take_for_ctrl_c()
    try:
        code = _run(app, name)
    except TagbartError as error:
        code = _could_not_run(str(error))
    except typer.TyperException as error:  # a wrong option, command or value
        context = getattr(error, "ctx", None)
        where = context.command_path if context else f"python -m {name}"
        found = error.format_message()
        dashed = [text for text in sys.argv[1:] if text.startswith("-") and Path(text).exists()]
        if dashed:  # as many of AudioCaps' clips are called
            found += f". A file whose name begins with - is written ./{dashed[0]}"
        code = _could_not_run(
            f"{found}{'' if found.endswith(('.', '?')) else '.'} See: {where} --help"
        )
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:  # whatever else there is: one place for all commands
        code = _could_not_run(_refusal(error) or _unforeseen(error, name))
    if code == INTERRUPTED:
        _tell("interrupted: what was finished is kept; run the same command again to go on")
    _let_go_of_stdout()
    sys.exit(code)


def _take_for_ctrl_c() -> None:
    """Let a polite kill, a closed terminal and a cluster's warning do what Ctrl-C does: what is
    gathered is kept."""
    for number in POLITE:
        if signal.getsignal(number) is signal.SIG_DFL:  # under nohup it is not
            signal.signal(number, signal.default_int_handler)


def _run(app: typer.Typer, name: str) -> int:
    """Run the command line; its exit code.

    Not by calling `app`, which takes a reader that left for "some clips failed" (code 1), and an
    EOFError anywhere for Ctrl-C.
    """
    if any(not text and before != "--task" for before, text in pairwise(sys.argv)):
        # As a path it would be the folder that one stands in.
        raise ConfigError("an argument is empty; is a variable of the shell not set?")
    command = typer.main.get_command(app)
    try:
        with command.make_context(f"python -m {name}", sys.argv[1:]) as context:
            code = command.invoke(context)
    except typer.Exit as end:
        code = end.exit_code
    sys.stdout.flush()  # a full disk is met here, and not after all is said
    return code if isinstance(code, int) else DONE


def _could_not_run(message: str) -> int:
    _tell("error: " + message.replace("\r", "\\r").replace("\n", "\\n"))
    return COULD_NOT_RUN


def _tell(message: str) -> None:
    with suppress(OSError, ValueError):  # stderr may be closed, or on the full disk itself
        log(message)


def _refusal(error: Exception) -> str | None:
    """What the machine refused or lacks, in a line; None for everything else."""
    lacking = error.name if isinstance(error, ModuleNotFoundError) else None
    if lacking and lacking.split(".")[0] not in _OURS:  # else it is a fault of ours
        return (
            f"this needs {lacking.split('.')[0]}, which is not installed here; run: make setup "
            "(of an installed package: pip install 'tagbart[captions]')"
        )
    if isinstance(error, BrokenPipeError) and error.filename is None:
        return "whoever read this command's output left before it was done"
    if "can't allocate memory" in str(error):  # torch's words for it, in a RuntimeError
        return "out of memory; ask for less at once (such as --batch-size, --beams)"
    number = error.errno if isinstance(error, OSError) else number_told(error)
    if number not in _REFUSALS:
        return None
    name = getattr(error, "filename", None)
    if _REFUSALS[number] == _MAKE_ROOM:  # a copy names its source first
        name = getattr(error, "filename2", None) or name
    where = "the output" if name is None else os.fsdecode(name)
    return f"{where}: {os.strerror(number)}; {_REFUSALS[number]}"


def _unforeseen(error: Exception, name: str) -> str:
    """A line for what nobody foresaw, its traceback put where the line says."""
    text = "".join(traceback.format_exception(error))
    words = str(error).strip().splitlines()
    what = f"{type(error).__name__}: {words[0][:300]}" if words else type(error).__name__
    if isinstance(error, MemoryError):
        what = f"out of memory ({what})"
    try:
        with tempfile.NamedTemporaryFile(
            "w",
            encoding="utf-8",
            errors="backslashreplace",
            prefix=f"tagbart-{name}-",
            suffix=".log",
            delete=False,
        ) as file:
            file.write(f"{datetime.now().isoformat()} {sys.argv}\n\n{text}")
    except OSError:
        _tell(text)
        return f"{what}; this was not foreseen: please report it with the traceback above"
    return f"{what}; this was not foreseen: please report it with its traceback, {file.name}"


def _let_go_of_stdout() -> None:
    """Keep Python from trying again at its end to write what cannot be, with a code of its own."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

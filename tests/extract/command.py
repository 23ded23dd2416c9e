"""The command `python -m extract` in tests: in this process, or in one that can be killed.

`start_warm` forks from a server process that has torch and the networks' libraries imported, so
that thirty starts take seconds instead of minutes; what then runs is `extract/__main__.py` with
its arguments, as in a fresh interpreter.
"""

import contextlib
import io
import os
import runpy
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from features.reader import Features
from tests.forking import from_server

RATE_HZ = 16_000


@dataclass(frozen=True, kw_only=True)
class Done:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def errors(self) -> list[str]:
        """Lines that say why it could not run."""
        return [line for line in self.stderr.splitlines() if line.startswith("error: ")]


def extract(*arguments: object) -> Done:
    """Run `python -m extract ARGUMENTS` in this process."""
    stdout, stderr = io.StringIO(), io.StringIO()
    before = sys.argv
    sys.argv = ["extract", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            code = _main()
    finally:
        sys.argv = before
    return Done(code=code, stdout=stdout.getvalue(), stderr=stderr.getvalue())


def only_error(done: Done) -> str:
    """The one line that says why a command could not run."""
    assert done.code == 2, done.stderr
    assert done.stdout == "" and "Traceback" not in done.stderr
    (line,) = done.errors
    return line


def options(out: Path, weights: Path, **others: object) -> list[str]:
    """Arguments for a small run: CPU, one worker, one thread; `shard_clips=3` becomes an option."""
    small = {"device": "cpu", "workers": 1, "threads": 1}
    chosen = {"out": out, "weights": weights, **small, **others}
    return [
        text
        for name, value in chosen.items()
        for text in (f"--{name.replace('_', '-')}", str(value))
    ]


def run_small(dump: Path, out: Path, weights: Path, **others: object) -> Done:
    """Run `python -m extract run` in this process; see `options`."""
    return extract("run", dump, *options(out, weights, **others))


def start_warm(log: Path, *arguments: object):
    """Start the command in a process group of its own; its stdout and stderr go to `log`.

    Returns:
        A multiprocessing process; `os.killpg(process.pid, …)` reaches its decoding processes too.
    """
    return _from_server(_grouped, str(log), list(map(str, arguments)))


def start_warm_and_die(log: Path, folder: Path, step: int, *arguments: object):
    """Start the command; it kills itself at its step number `step` below `folder`.

    Steps are the moments before a file is opened, renamed, removed or a folder made there.
    """
    return _from_server(_doomed, str(log), list(map(str, arguments)), str(folder), step)


def write_clips(folder: Path, count: int, *, seconds: float = 0.3, seed: int = 0) -> None:
    """Write c000.wav, c001.wav …: noise, each of another length."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for i in range(count):
        noise = rng.normal(0, 0.1, int(seconds * RATE_HZ) + 10 * i).astype(np.float32)
        soundfile.write(folder / f"c{i:03d}.wav", noise, RATE_HZ)


def contents(out: Path, split: str = "all") -> dict[str, dict[str, bytes]]:
    """All that a features folder says of each clip: bytes of every stream, captions, path."""
    features = Features(out, split)
    clips = [features[i] for i in range(len(features))]
    assert len({clip.id for clip in clips}) == len(clips), "a clip stands twice"
    return {
        clip.id: {
            **{name: rows.tobytes() for name, rows in clip.streams.items()},
            "captions": "\n".join(clip.captions).encode(),
            "path": clip.path.encode(),
        }
        for clip in clips
    }


def _main() -> int:
    try:
        runpy.run_module("extract", run_name="__main__", alter_sys=False)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    raise AssertionError("the command returned without an exit code")


def _from_server(target, *arguments: object):
    process = from_server().Process(target=target, args=arguments)
    process.start()
    return process


def _grouped(log: str, arguments: list[str]) -> None:
    # Before anything else, so that a kill of the group finds it.
    os.setsid()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    # A shell ignores Ctrl-C for what it starts with "&", and so would all that came of it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["extract", *arguments]
    sys.exit(_main())


def _doomed(log: str, arguments: list[str], folder: str, step: int) -> None:
    left = step

    def count(event: str, details: tuple) -> None:
        nonlocal left
        if event in ("open", "os.rename", "os.remove", "os.mkdir") and folder in str(details[0]):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    _grouped(log, arguments)

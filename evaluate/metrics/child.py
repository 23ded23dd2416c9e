"""A child process that answers in lines and can never hang us."""

import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from time import monotonic
from typing import Self, TextIO

from features.common.errors import TagbartError
from features.common.here import ROOT as ROOT
from features.common.here import module_command

_KEPT_LINES = 100
_END = None  # what the reading thread leaves behind the last line


class ScoreError(TagbartError):
    """Scores cannot be computed: a scorer's process failed, or the texts do not allow it."""


class Closing:
    """What has something to end: use as a context manager, which calls `close` when it is left."""

    def close(self) -> None:
        """End it, whatever it is doing."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class LineProcess(Closing):
    """Lines in, lines out. Reading and writing go on in threads of their own, so neither side of
    a full pipe can block the other, and a child that says nothing for `timeout_s` is ended.

    Use as a context manager; leaving it ends the child.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        name: str,
        timeout_s: float,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start the child.

        Args:
            command: program and arguments.
            name: what error messages call it.
            timeout_s: longest silence while an answer is awaited.
            cwd: folder to start in.
            environment: variables to set for it beside ours.

        Raises:
            ScoreError: if the program cannot be started.
        """
        self.name, self.timeout_s = name, timeout_s
        self._words: deque[bytes] = deque(maxlen=_KEPT_LINES)  # the end of the child's stderr
        self._lines: Queue[str | None] = Queue()
        try:
            self._child = subprocess.Popen(
                [str(part) for part in command],
                cwd=cwd,
                env=os.environ | dict(environment or {}),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            raise ScoreError(f"{name}: cannot start {command[0]} ({error})") from error
        threading.Thread(target=self._read, daemon=True).start()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def send(self, lines: Iterable[str]) -> None:
        """Hand lines to the child without waiting for it to take them."""
        data = "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")
        threading.Thread(target=self._write, args=(data,), daemon=True).start()

    def receive(
        self, *, wait: Callable[[], object] | None = None, every_s: float = float("inf")
    ) -> str:
        """The child's next line, without its line break.

        Args:
            wait: called each time that `every_s` pass without a line, to show that we live.
            every_s: seconds.

        Raises:
            ScoreError: if it ended, or said nothing for `timeout_s`; with its own last words.
        """
        try:
            line = self._next_line(wait, every_s)
        except Empty:
            self._child.kill()
            raise ScoreError(
                f"{self.name}: no answer for {self.timeout_s:g} s, ended it{self._last_words()}"
            ) from None
        if line is _END:
            self._lines.put(_END)
            code = self._child.wait()
            # Our own kill is never followed by a receive().
            killed = code == -signal.SIGKILL
            why = " (SIGKILL, which the system sends when memory runs out)" if killed else ""
            raise ScoreError(
                f"{self.name}: its process ended early, exit code {code}{why}{self._last_words()}"
            )
        return line

    def _next_line(self, wait: Callable[[], object] | None, every_s: float) -> str | None:
        end = monotonic() + self.timeout_s
        while wait is not None and monotonic() + every_s < end:
            try:
                return self._lines.get(timeout=every_s)
            except Empty:
                wait()
        return self._lines.get(timeout=max(0.0, end - monotonic()))

    def close(self) -> None:
        self._child.kill()
        self._child.wait()
        assert self._child.stdin is not None
        with suppress(OSError):  # what a killed child did not take any more
            self._child.stdin.close()

    def _read(self) -> None:
        assert self._child.stdout is not None
        with self._child.stdout as out:
            for raw in out:
                self._lines.put(raw.decode("utf-8", "replace").rstrip("\r\n"))
        self._lines.put(_END)

    def _listen(self) -> None:
        assert self._child.stderr is not None
        with self._child.stderr as errors:
            self._words.extend(errors)

    def _write(self, data: bytes) -> None:
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(data)
            self._child.stdin.flush()
        except OSError:
            # A broken pipe: the child has ended, which `receive` reports with the child's words.
            return

    def _last_words(self) -> str:
        self._listener.join(timeout=5)  # the child has ended; a child of its own may go on talking
        return last_words(b"".join(self._words.copy()))


def module(name: str) -> list[str]:
    """The command that runs a module of this package as a worker; start it in ROOT."""
    return module_command(f"evaluate.metrics.{name}")


def answers_alone() -> TextIO:
    """In a worker: the real stdout. Whatever else prints from here on, libraries and Java too,
    prints to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    return answers


def last_words(stderr: bytes) -> str:
    """What a failed child said, in one line to stand behind our own message; "" if nothing."""
    lines = [line.strip() for line in stderr.decode("utf-8", "replace").splitlines()]
    # Java's own sentence stands above the stack trace; Python underlines code with "^" and "~".
    kept = [line for line in lines if line and not line.startswith(("at ", "^", "~"))]
    return f"; its own words: {' / '.join(kept[-6:])}" if kept else ""

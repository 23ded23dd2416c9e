"""SPICE: the official 1.0 classes in a Java of their own, in a process of its own.

This side starts worker.py, hands it texts and reads progress and values: one JSON object per line
in each direction (see there).
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evaluate.metrics import jvm
from evaluate.metrics.child import ROOT, Closing, LineProcess, ScoreError, module
from evaluate.metrics.spice import jars
from features.common.console import log, progress
from features.common.machine import cores

# Longest silence: loading the models takes most of a minute on a slow disk, a batch some seconds.
TIMEOUT_S = 600.0
SILENCE_S = 10.0  # then the progress bar shows the time again
# Beyond, a caption takes minutes (see docs/scoring.md).
MOST_WORDS = 200


def is_too_long(text: str) -> bool:
    """Whether a tokenised text gets no SPICE unless that is asked for."""
    return len(text.split()) > MOST_WORDS


class Spice(Closing):
    """SPICE for any number of requests. Its process starts with the first one."""

    def __init__(
        self,
        class_path: Sequence[Path],
        *,
        cache: Path | None = None,
        versions: str = "",
        timeout_s: float = TIMEOUT_S,
        command: Sequence[str | Path] | None = None,
    ) -> None:
        """Nothing starts yet.

        Args:
            class_path: every jar that SPICE needs (evaluate.metrics.spice.jars.class_path()).
            cache: the file that keeps parses, made when absent; None keeps them in the process.
            versions: what kept parses depend on (jars.versions()).
            timeout_s: end it after so long without a sign of progress.
            command: what to start instead of the worker (for tests of what can go wrong).
        """
        self._settings: dict[str, Any] = {
            "class_path": [str(jar.absolute()) for jar in class_path],
            "threads": cores(),
            "cache": str(cache) if cache else None,
            "versions": versions,
        }
        self._command, self._timeout_s = command or module("spice.worker"), timeout_s
        self._process: LineProcess | None = None
        self.memory_mb = 0

    def close(self) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None

    def scores(
        self, references: Sequence[Sequence[str]], candidates: Sequence[Sequence[str]]
    ) -> list[np.ndarray]:
        """SPICE's F-score per clip. No text is parsed twice.

        Args:
            references: per clip, its tokenised captions.
            candidates: per predictions file, a tokenised caption per clip.

        Returns:
            Per file, float64 [clips]; NaN where SPICE gives no number.

        Raises:
            ScoreError: if Java fails, lacks memory, hangs or answers something else.
        """
        texts = (text for some in (*references, *candidates) for text in some)
        process = self._ready(max((len(text.split()) for text in texts), default=0))
        request = {"references": [list(some) for some in references]}
        request["candidates"] = [list(some) for some in candidates]
        process.send([json.dumps(request)])
        answer = self._wait_for_values(process)
        values = [np.array(row, np.float64) for row in answer]  # None becomes NaN
        shape = [len(some) for some in candidates]
        if [len(row) for row in values] != shape:
            raise ScoreError(f"SPICE: answered {[len(row) for row in values]} values, not {shape}")
        return values

    def _ready(self, words: int) -> LineProcess:
        """The process, with memory and patience for texts of so many words."""
        memory_mb = jvm.spice_memory_mb(words, self._settings["threads"])
        if self._process is not None and memory_mb > self.memory_mb:
            self.close()
        if self._process is None:
            self.memory_mb = memory_mb
            self._process = LineProcess(
                self._command,
                name="SPICE",
                timeout_s=self._timeout_s,
                cwd=ROOT,
                environment=jvm.ENVIRONMENT,
            )
            self._process.send([json.dumps(self._settings | {"memory_mb": memory_mb})])
        # The time of a parse grows with the third power of a text's words.
        self._process.timeout_s = self._timeout_s * max(1.0, words / MOST_WORDS) ** 3
        return self._process

    def _wait_for_values(self, process: LineProcess) -> list[list[float | None]]:
        bar = None
        try:
            while True:
                message = self._message(process, bar and bar.refresh)
                if "values" in message:
                    return message["values"]
                if "error" in message:
                    raise ScoreError(self._explain(f"SPICE: {message['error']}"))
                if "note" in message:
                    log(message["note"])
                    continue
                if bar is None:
                    if not message["total"]:
                        continue  # all are known: nothing to wait for
                    bar = progress(total=message["total"], what="SPICE", unit="captions")
                bar.update(message["done"] - bar.n)
        finally:
            if bar is not None:
                bar.close()

    def _message(self, process: LineProcess, wait: Any) -> dict[str, Any]:
        try:
            line = process.receive(wait=wait, every_s=SILENCE_S)
        except ScoreError as error:
            raise ScoreError(self._explain(str(error))) from error
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        known = {"values", "error", "total", "note"}
        if not isinstance(message, dict) or not message.keys() & known:
            raise ScoreError(f"SPICE: its process answered {line[:200]!r}, expected JSON")
        return message

    def _explain(self, error: str) -> str:
        if not any(sign in error for sign in ("OutOfMemoryError", "SIGKILL")):
            return error
        return (
            f"{error}; Java was allowed {self.memory_mb:,} MB: free memory, take a machine with "
            "more, or leave SPICE out with --no-spice"
        )


def new_spice(*, cache: bool) -> Spice:
    """SPICE with the jars of this machine, which must be there (jars.missing() is None).

    Args:
        cache: False keeps no parses on disk and uses none from there.
    """
    from evaluate.metrics.spice.parses import FILE_NAME

    return Spice(
        jars.class_path(),
        cache=jars.cache_folder() / FILE_NAME if cache else None,
        versions=jars.versions(),
    )

"""SPICE: the official 1.0 classes in a Java of their own, in a process of its own.

This side starts spice_worker.py, hands it texts and reads progress and values: one JSON object per
line in each direction (see there). SPICE's command line is not used: it needs a
JavaScript engine that Java has no longer, and writes temporary files and a cache.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evaluate.metrics import jvm
from evaluate.metrics.child import ROOT, Closing, LineProcess, ScoreError, module
from features.common.console import progress
from features.common.machine import cores

# Longest silence: loading the models takes most of a minute, a batch of captions seconds.
TIMEOUT_S = 600.0


class Spice(Closing):
    """One SPICE process for any number of requests. Starting returns at once."""

    def __init__(
        self,
        class_path: Sequence[Path],
        *,
        timeout_s: float = TIMEOUT_S,
        command: Sequence[str | Path] | None = None,
    ) -> None:
        """Start the worker.

        Args:
            class_path: every jar that SPICE needs (evaluate.metrics.spice_jars.class_path()).
            timeout_s: end it after so long without a sign of progress.
            command: what to start instead of the worker (for tests of what can go wrong).
        """
        self.memory_mb = jvm.memory_limit_mb()
        self._process = LineProcess(
            command or module("spice_worker"),
            name="SPICE",
            timeout_s=timeout_s,
            cwd=ROOT,
            environment=jvm.ENVIRONMENT,
        )
        settings = {
            "class_path": [str(jar.absolute()) for jar in class_path],
            "memory_mb": self.memory_mb,
            "threads": cores(),
        }
        self._process.send([json.dumps(settings)])

    def close(self) -> None:
        self._process.close()

    def scores(
        self, references: Sequence[Sequence[str]], candidates: Sequence[Sequence[str]]
    ) -> list[np.ndarray]:
        """SPICE's F-score per clip. References are parsed once, equal candidates once.

        Args:
            references: per clip, its tokenised captions.
            candidates: per predictions file, a tokenised caption per clip.

        Returns:
            Per file, float64 [clips]; NaN where SPICE gives no number.

        Raises:
            ScoreError: if Java fails, lacks memory, hangs or answers something else.
        """
        request = {"references": [list(texts) for texts in references]}
        request["candidates"] = [list(texts) for texts in candidates]
        self._process.send([json.dumps(request)])
        answer = self._wait_for_values()
        values = [np.array(row, np.float64) for row in answer]  # None becomes NaN
        shape = [len(texts) for texts in candidates]
        if [len(row) for row in values] != shape:
            raise ScoreError(f"SPICE: answered {[len(row) for row in values]} values, not {shape}")
        return values

    def _wait_for_values(self) -> list[list[float | None]]:
        with progress(total=None, what="SPICE", unit="captions") as bar:
            while True:
                message = self._message()
                if "values" in message:
                    return message["values"]
                if "error" in message:
                    raise ScoreError(self._explain(f"SPICE: {message['error']}"))
                bar.total = message["total"]
                bar.update(message["done"] - bar.n)

    def _message(self) -> dict[str, Any]:
        try:
            line = self._process.receive()
        except ScoreError as error:
            raise ScoreError(self._explain(str(error))) from error
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if not isinstance(message, dict) or not message.keys() & {"values", "error", "total"}:
            raise ScoreError(f"SPICE: its process answered {line[:200]!r}, expected JSON")
        return message

    def _explain(self, error: str) -> str:
        if not any(sign in error for sign in ("OutOfMemoryError", "SIGKILL")):
            return error
        return (
            f"{error}; Java was allowed {self.memory_mb:,} MB: free memory, take a machine with "
            "8 GB to spare, or leave SPICE out with --no-spice"
        )

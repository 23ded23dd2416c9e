"""Captions of fixed validation clips, and their CIDEr-D, made beside training.

A child process makes them: `python -m evaluate sample` on the weights as they were saved for it, in
RUN/.sample, a run folder of its own. A line to it asks for captions, a line from it has them in
JSON. Training goes on meanwhile and takes what is answered when it is there; whatever goes wrong is
one line on stderr and never the end of a run.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from features.common.console import log
from features.common.here import ROOT, module_command
from features.common.machine import cores
from train.data.split import SplitData
from train.recipes.config import CIDER_D
from train.run_folder.checkpoint import Run, begin_run, save_weights

FOLDER = ".sample"
SHOWN = 10
# Of the processors' time that training has, the child beside it may take so much.
SHARE = 0.05
_LOOK_EVERY_S = 0.1
_IDS, _WORDS = "ids.txt", "words.txt"


@dataclass(frozen=True, kw_only=True)
class Said:
    """One clip's caption, in a task's wording where there are such, and what people wrote."""

    clip: str
    caption: str
    references: tuple[str, ...]
    task: str = ""

    @property
    def name(self) -> str:
        """What tells it from a clip of the same id in another folder."""
        return f"{self.clip} ({self.task})" if self.task else self.clip


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What a child answered.

    Attributes:
        update: the weights are those after it.
        captions: of the clips that are shown.
        clips: how many the sample has.
        cider_d: of all of them, a fraction up to 10; None where there was no time for it.
    """

    update: int
    captions: tuple[Said, ...]
    clips: int
    cider_d: float | None


class Samples:
    """The child of a run, which answers one validation after the other."""

    def __init__(self, run: Run, val: SplitData, *, device: str) -> None:
        """Choose the clips; nothing is started.

        Args:
            run: whose weights are looked at.
            val: what is validated on; `train.sample_clips` of its clips are taken, evenly spread.
            device: what the child computes on where training waits for it. Beside training that is
                a processor, so that a GPU and its memory are training's alone.
        """
        path = run.path.resolve() / FOLDER
        shutil.rmtree(path, ignore_errors=True)  # a killed run's
        self.waits = run.recipe.train.best == CIDER_D
        self._run, self._device = replace(run, path=path), device if self.waits else "cpu"
        self._features = [part.root.resolve() for part in val.features.parts]
        self._ids = _chosen(val, run.recipe.train.sample_clips, run.recipe.inputs.tasks)
        self._child: subprocess.Popen[bytes] | None = None
        self._update: int | None = None  # that an answer is awaited for
        self._heard = b""  # of that answer
        self._spent_s = 0.0  # of the processors' time, for all answers so far
        self._began = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether it is time for an answer: none is awaited, and all so far took their share of the
        processors' time at most; the child's start, some five seconds once, is not counted."""
        return self._update is None and (self.waits or self._left_s() >= 0)

    def after(self, update: int) -> Callable[[dict[str, torch.Tensor]], None]:
        """What asks for captions, to be called with the weights after an update."""
        self._update = update
        return self._ask

    def ready(self) -> Sample | None:
        """What was asked for, once it is there."""
        if self._update is None or self._child is None or self._child.stdout is None:
            return None
        part = self._child.stdout.read()  # None where there is nothing yet, b"" at the end
        self._heard += part or b""
        if self._heard.endswith(b"\n"):
            return self._answer()
        if part == b"":
            self._child.wait()
            self._failed(self._last_words())
        return None

    def wait(self, stopped: Callable[[], bool] = lambda: False) -> Sample | None:
        """What was asked for; None if nothing was, it fails, or `stopped` says that nobody waits
        for it any more."""
        while self._update is not None and not stopped():
            if sample := self.ready():
                return sample
            time.sleep(_LOOK_EVERY_S)
        return None

    def close(self) -> None:
        """End the child and leave nothing behind."""
        self._end_child()
        shutil.rmtree(self._run.path, ignore_errors=True)

    def _left_s(self) -> float:
        return SHARE * cores() * (time.monotonic() - self._began) - self._spent_s

    def _ask(self, weights: dict[str, torch.Tensor]) -> None:
        """Save weights, as train.run_folder.state names them, and ask for their captions."""
        folder = self._run.path
        try:
            if not folder.is_dir():
                begin_run(self._run)
                (folder / _IDS).write_text("\n".join(self._ids), encoding="utf-8")
            save_weights(self._run.model, folder, weights)
            if self._child is None:
                self._child = self._started()
            within = "" if self.waits else f"{max(0.0, self._left_s()):.1f}"
            assert self._child.stdin is not None
            self._child.stdin.write(f"{within}\n".encode())
        except OSError as error:
            ended = self._child and self._child.poll() is not None
            self._failed(self._last_words() if ended else str(error))

    def _started(self) -> subprocess.Popen[bytes]:
        folder = self._run.path
        options = ["--ids", folder / _IDS, "--show", SHOWN, "--device", self._device, "--ask"]
        command = [*sample_command(), *map(str, (folder, *self._features, *options))]
        with (folder / _WORDS).open("wb") as words:
            child = subprocess.Popen(
                command,
                bufsize=0,
                cwd=ROOT,
                env=os.environ | ({} if self.waits else {"OMP_NUM_THREADS": "1"}),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
                process_group=0,  # Ctrl-C is for us, who end it
            )
        assert child.stdout is not None
        os.set_blocking(child.stdout.fileno(), False)
        if not self.waits:
            with suppress(OSError):  # in our own session, where Linux' automatic groups heed it
                os.setpriority(os.PRIO_PROCESS, child.pid, 19)
        return child

    def _answer(self) -> Sample | None:
        assert self._update is not None
        try:
            told = json.loads(self._heard)
            sample = Sample(
                update=self._update,
                captions=tuple(
                    Said(
                        clip=one["clip"],
                        caption=one["caption"],
                        references=(*one["references"],),
                        task=one.get("task", ""),
                    )
                    for one in told["captions"]
                ),
                clips=told["clips"],
                cider_d=told["cider_d"],
            )
            self._spent_s += told["processor_s"]
        except (ValueError, KeyError, TypeError) as error:
            self._failed(f"no answer as expected ({error})")
            return None
        self._update, self._heard = None, b""
        return sample

    def _last_words(self) -> str:
        """The last line that a child said which has ended, or its exit code."""
        with suppress(OSError):
            words = (self._run.path / _WORDS).read_text("utf-8", "replace").splitlines()
            if said := [line.strip() for line in words if line.strip()]:
                return said[-1]
        return f"its process ended with exit code {self._child and self._child.returncode}"

    def _failed(self, why: str) -> None:
        log(f"no captions of validation clips after update {self._update:,}: {why}")
        self._end_child()

    def _end_child(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            for pipe in (self._child.stdin, self._child.stdout):
                if pipe:
                    pipe.close()
        self._child, self._update, self._heard = None, None, b""


def sample_command() -> list[str]:
    """The command that captions a sample."""
    return [*module_command("evaluate"), "sample"]


def _chosen(val: SplitData, most: int, tasks: Sequence[str]) -> list[str]:
    """`most` clips with captions, evenly spread, those first that are shown: their ids, or in JSON
    which of the folders has each, and whose wording it shall have."""
    clips, samples = np.unique(val.clip, return_index=True)
    taken = _spread(len(clips), most)
    shown = _spread(len(taken), SHOWN)
    ends = np.cumsum([len(part) for part in val.features.parts])
    lines = []
    for place in [*taken[shown], *np.delete(taken, shown)]:
        clip = int(clips[place])
        known = val.features[clip].id
        if "\n" in known:  # the list has one a line
            continue
        asked: dict[str, Any] = {"clip": known}
        if len(ends) > 1:  # clips of one id in two folders stay apart
            asked["features"] = int(np.searchsorted(ends, clip, side="right"))
        if tasks:
            asked["task"] = tasks[int(val.folder[samples[place]])]
        lines.append(json.dumps(asked) if len(asked) > 1 else known)
    return lines


def _spread(count: int, most: int) -> np.ndarray:
    """At most so many of range(count), at equal distances."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))

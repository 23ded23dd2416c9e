"""The training loop: updates, validation, saved states."""

import math
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from features.common.console import progress as progress_bar
from features.common.errors import INTERRUPTED
from train.data.loader import Loader, Piece
from train.distributed import Processes, Quiet
from train.flat import FlatAdamW
from train.memory import memory_watched
from train.model.tagbart import TagBart
from train.optim import learning_rate
from train.recipes.config import Recipe
from train.run_folder.metrics import Metrics
from train.run_folder.saver import Saver
from train.run_folder.state import Progress, has_state
from train.updates import Launched, Updater, refuse


@dataclass(kw_only=True)
class Trainer:
    """One run under way, in one process or in one of several.

    Attributes:
        path: the run folder.
        recipe: every setting.
        model, optimizer: on this process's device.
        train, val: loaders.
        processes: this process among those of the run.
        progress: where the run stands.
    """

    path: Path
    recipe: Recipe
    model: TagBart
    optimizer: torch.optim.AdamW | FlatAdamW
    train: Loader
    val: Loader
    processes: Processes = field(default_factory=Processes)
    progress: Progress = field(default_factory=Progress)
    _updater: Updater = field(init=False)
    _stopping: bool = False  # every process knows that one was asked to
    _metrics: Metrics | None = field(init=False, default=None)  # the first process's, as is
    _saver: Saver | None = field(init=False, default=None)
    _logged: tuple[float, int] = field(init=False)  # when, after how many captions

    def __post_init__(self) -> None:
        self._updater = Updater(
            recipe=self.recipe,
            model=self.model,
            optimizer=self.optimizer,
            processes=self.processes,
            updates=self.updates,
            audio_table=self.train.data.audio_table,
        )

    @property
    def updates_per_epoch(self) -> int:
        return -(-self.train.batches_per_epoch // self.recipe.optim.grad_accumulation)

    @property
    def updates(self) -> int:
        """Updates of the whole run."""
        most = self.recipe.optim.epochs * self.updates_per_epoch
        return min(most, self.recipe.optim.max_updates or most)

    def run(self) -> Progress:
        """Train to the end.

        Raises:
            RunError: if loss or gradient is not finite, or memory runs out.
            KeyboardInterrupt: after Ctrl-C or SIGTERM, when the state is saved.
        """
        settings = self.recipe.train
        save_every = settings.save_every or settings.validate_every
        started = time.monotonic() - self.progress.seconds
        before: Launched | None = None
        with self._writing(), self._stoppable(), self._bar() as bar:
            self._logged = (time.monotonic(), bar.n)
            for update, pieces in self._work():
                done, last = update + 1, update + 1 == self.updates
                validates = done % settings.validate_every == 0 or last
                saves = done % save_every == 0 or (last and settings.keep_state)
                with memory_watched(f"update {done}", self.recipe, self.processes.device):
                    launched = self._updater.launch(update, pieces)
                    if before:
                        self._read(before, bar)
                    before = launched
                    if not (last or validates or saves or self._stopping):
                        continue
                    self._read(launched, bar)
                    before = None
                    seconds = time.monotonic() - started
                    self.progress = replace(self.progress, update=done, seconds=seconds)
                    best = validates and self._validate()
                if self._saver and (validates or saves or self._stopping):
                    # Weights never stand without a state or the mark of a finished run.
                    state = saves or self._stopping or (best and not has_state(self.path))
                    self._saver.save(self.progress, best=best, state=state, curves=validates)
                if self._stopping:
                    if self._saver:
                        self._saver.wait()
                    self.processes.wait()
                    raise KeyboardInterrupt if self.processes.first else SystemExit(INTERRUPTED)
            if self._metrics and self.progress.best_loss is not None:
                final = {"best_val_loss": self.progress.best_loss}
                self._metrics.finish(self.progress.update, final)
        return self.progress

    def _work(self) -> Iterator[tuple[int, list[Piece]]]:
        """Every update still to do, with its forward passes."""
        accumulation = self.recipe.optim.grad_accumulation
        update = self.progress.update
        while update < self.updates:
            epoch, done = divmod(update, self.updates_per_epoch)
            pieces = self.train.epoch(self.recipe.train.seed, epoch, skip=done * accumulation)
            while update < self.updates and (group := list(islice(pieces, accumulation))):
                yield update, group
                update += 1

    def _read(self, launched: Launched, bar: tqdm) -> None:
        """Take in what an update came to: whether to stop, and its line in the log."""
        loss, norm, stops = self._updater.check(launched, self.train)
        self._stopping = self._stopping or stops
        bar.update(sum(len(piece.samples) for piece in launched.pieces))
        done = launched.number + 1
        if done % self.recipe.train.log_every == 0 or done == self.updates:
            self._log(done, loss, norm, bar.n)
            bar.set_postfix_str(self._shown(loss), refresh=False)

    def _validate(self) -> bool:
        """Measure the token loss over every caption; whether it is the lowest so far."""
        update = self.progress.update
        loss, captions = self._validation_loss()
        if self._metrics:
            self._metrics.write(update, {"val_loss": loss, "val_captions": captions})
        best = self.progress.best_loss
        if best is not None and loss >= best:
            return False
        self.progress = replace(self.progress, best_loss=loss, best_update=update)
        return True

    def _validation_loss(self) -> tuple[float, int]:
        """The mean loss over the labels of all captions, and how many captions there are.

        Raises:
            RunError: if it is not finite.
        """
        self.model.eval()
        samples: list[np.ndarray] = []
        labels = 0
        losses = [torch.zeros((), device=self.processes.device)]  # a process may get no batch
        with torch.inference_mode():
            for piece in self.val.evaluation():
                losses.append(self._updater.loss(piece))
                samples.append(piece.samples)
                labels += piece.labels
        own = torch.stack(losses).double()
        counts = own.new_tensor([labels, sum(map(len, samples))])
        whole = self.processes.total(torch.cat([own.sum().view(1), counts]))
        total, all_labels, captions = whole.tolist()
        if not math.isfinite(total):
            finite = own[1:].isfinite().tolist()
            wrong = [part for part, fine in zip(samples, finite, strict=True) if not fine]
            if not wrong:  # they are in another process's share
                raise Quiet()
            what = f"validation after update {self.progress.update}: loss is {total}"
            refuse(what, self.val, wrong)
        return total / all_labels, int(captions)

    def _log(self, done: int, loss: float, norm: float, captions: int) -> None:
        now = time.monotonic()
        seconds, since = now - self._logged[0], captions - self._logged[1]
        rate = learning_rate(self.recipe.optim, done - 1, self.updates)
        self._logged = (now, captions)
        if self._metrics:
            self._metrics.write(
                done,
                {
                    "epoch": done / self.updates_per_epoch,
                    "train_loss": loss,
                    "gradient_norm": norm,
                    "learning_rate": rate,
                    "captions_per_s": since / max(seconds, 1e-9),
                },
            )

    def _shown(self, loss: float) -> str:
        best = self.progress.best_loss
        return f"loss {loss:.3f}" + ("" if best is None else f", best val {best:.3f}")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Keep open what the first process writes."""
        if not self.processes.first:
            yield
            return
        self._metrics = Metrics(self.path, self.progress.update)
        self._metrics.begin(self.recipe)
        self._saver = Saver(self.path, self.model, self.optimizer)
        with closing(self._metrics), closing(self._saver):
            yield

    def _bar(self) -> tqdm:
        if not self.processes.first:
            return tqdm(disable=True)
        captions = self.recipe.optim.epochs * self.train.data.per_epoch
        share = self.updates / (self.recipe.optim.epochs * self.updates_per_epoch)
        bar = progress_bar(total=round(captions * share), what="train", unit="captions")
        bar.initial = round(captions * share * self.progress.update / max(1, self.updates))
        bar.n = bar.initial
        return bar

    @contextmanager
    def _stoppable(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM let the update under way finish and the state be saved."""

        def stop(*_) -> None:
            self._updater.asked = True

        before = {name: signal.signal(name, stop) for name in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for name, handler in before.items():
                signal.signal(name, handler)

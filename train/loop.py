"""The training loop: updates, validation, saved states."""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import torch
from tqdm import tqdm

from features.common.command import POLITE
from features.common.console import progress as progress_bar
from features.common.errors import INTERRUPTED
from features.common.publish import told_of
from train.data.loader import Loader, Piece
from train.distributed import Processes
from train.flat_adamw import FlatAdamW
from train.memory import memory_watched
from train.model.tagbart import TagBart
from train.optim import learning_rate
from train.recipes.config import VAL_LOSS, Recipe
from train.run_folder.metrics import Metrics
from train.run_folder.samples import Sample, Samples
from train.run_folder.saver import Saver
from train.run_folder.state import Progress, has_state
from train.updates import Launched, Updater
from train.validation import validation_loss


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
        samples: captions of validation clips, in the first process of a run that wants them.
    """

    path: Path
    recipe: Recipe
    model: TagBart
    optimizer: torch.optim.AdamW | FlatAdamW
    train: Loader
    val: Loader
    processes: Processes = field(default_factory=Processes)
    progress: Progress = field(default_factory=Progress)
    samples: Samples | None = None
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
            audio_tables=self.train.data.audio_tables,
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
            KeyboardInterrupt: after Ctrl-C or a polite kill, when the state is saved.
        """
        settings = self.recipe.train
        save_every = settings.save_every or settings.validate_every
        started = time.monotonic() - self.progress.seconds
        before: Launched | None = None
        with self._writing(), self._stoppable(), self._bar() as bar:
            self._logged = (time.monotonic(), bar.n)
            if self.progress.update >= self.updates:
                self._make_up()
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
                self._take_sample()
                if self._saver and (validates or saves or self._stopping):
                    # Weights never stand without a state or the mark of a finished run.
                    state = saves or self._stopping or (best and not has_state(self.path))
                    self._saver.save(
                        self.progress,
                        best=best,
                        state=state,
                        curves=validates,
                        sample=self._sampling(last) if validates else None,
                    )
                if self._stopping:
                    if self._saver:
                        self._saver.wait()
                    self.processes.wait()
                    raise KeyboardInterrupt if self.processes.first else SystemExit(INTERRUPTED)
            self._end()
        return self.progress

    def _make_up(self) -> None:
        """What follows the last state, where a kill has left it undone."""
        if self._saver and self._metrics:
            there = self._metrics.has_captions(self.progress.update)
            sample = None if there else self._sampling(True)
            self._saver.save(self.progress, curves=True, sample=sample)

    def _end(self) -> None:
        """What the last captions and the whole run came to, for the first process' files."""
        if not self._metrics or not self._saver:
            return
        self._saver.wait()
        self._take_sample(waiting=True)
        own = {"best_val_loss": self.progress.best_loss, "best_cider_d": self.progress.best_cider_d}
        final = {name: value for name, value in own.items() if value is not None}
        if final:
            self._metrics.finish(self.progress.update, final)

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
            self._take_sample()

    def _validate(self) -> bool:
        """Measure the token loss over every caption; whether these weights are the best so far."""
        update = self.progress.update
        loss, captions = validation_loss(
            self.model, self.val, self._updater, self.processes, update=update
        )
        if self._metrics:
            self._metrics.write(update, {"val_loss": loss, "val_captions": captions})
        best = self.progress.best_loss
        score = self.progress.best_cider_d
        if self.recipe.train.best == VAL_LOSS:
            better = best is None or loss < best
        else:
            found = self._cider_d()
            better = best is None or (found is not None and (score is None or found > score))
            score = found if better else score
        if better:
            self.progress = replace(
                self.progress, best_loss=loss, best_update=update, best_cider_d=score
            )
        return better

    def _cider_d(self) -> float | None:
        """CIDEr-D of the present weights' captions of the sample, which every process waits for;
        None where it could not be had."""
        score = torch.full((1,), math.nan, dtype=torch.float64)
        if self._saver and self.samples:
            self._saver.save(self.progress, sample=self.samples.after(self.progress.update))
            self._saver.wait()
            # Ctrl-C waits, too: an interrupted run finds the same weights the best ones.
            sample = self._take_sample(waiting=True)
            if sample and sample.cider_d is not None:
                score[0] = sample.cider_d
        self.processes.from_first(score)
        return None if score.isnan() else score.item()

    def _sampling(self, last: bool) -> Callable[[dict[str, torch.Tensor]], None] | None:
        """What makes captions by the weights just validated, beside training; None if it is not
        their turn, or they are there."""
        if not self.samples or self.samples.waits:
            return None
        if last:
            self._take_sample(waiting=True)
        return self.samples.after(self.progress.update) if last or self.samples.due else None

    def _take_sample(self, *, waiting: bool = False) -> Sample | None:
        """Note the captions that a child has made by now."""
        if not self.samples or not self._metrics:
            return None
        if not waiting:
            sample = self.samples.ready()
        elif self.samples.waits:
            sample = self.samples.wait()
        else:
            sample = self.samples.wait(lambda: self._updater.asked)
        if sample:
            self._metrics.sample(sample)
        return sample

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
        with told_of(self.path, self.path):  # a full disk names no file
            self._metrics = Metrics(self.path, self.progress.update)
            self._metrics.begin(self.recipe)
            self._saver = Saver(self.path, self.model, self.optimizer)
            samples = closing(self.samples) if self.samples else nullcontext()
            with closing(self._metrics), samples, closing(self._saver):
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
        """Ctrl-C and polite kills: the update under way ends, the state is saved."""

        def stop(*_) -> None:
            self._updater.asked = True

        # Under nohup a closed terminal is none.
        names = [name for name in POLITE if signal.getsignal(name) != signal.SIG_IGN]
        before = {name: signal.signal(name, stop) for name in (signal.SIGINT, *names)}
        try:
            yield
        finally:
            for name, handler in before.items():
                signal.signal(name, handler)

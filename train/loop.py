"""The training loop: updates, validation, saved states."""

import math
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import torch

from features.console import progress as progress_bar
from features.errors import RunError
from train.checkpoint import save_weights
from train.config import Recipe
from train.draws import update_seed
from train.loader import Loader, Piece
from train.metrics import Metrics
from train.model import TagBart
from train.optim import learning_rate, limit_gradient
from train.state import Progress, save_state

_NAMED_CLIPS = 16


@dataclass(kw_only=True)
class Trainer:
    """One run under way.

    Attributes:
        path: the run folder.
        recipe: every setting.
        model, optimizer: on `device`.
        train, val: loaders.
        progress: where the run stands.
    """

    path: Path
    recipe: Recipe
    model: TagBart
    optimizer: torch.optim.AdamW
    train: Loader
    val: Loader
    device: torch.device
    progress: Progress = field(default_factory=Progress)
    _stop: bool = False
    _metrics: Metrics = field(init=False)
    _logged: tuple[float, int] = field(init=False)  # when, after how many captions

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
        self._metrics = Metrics(self.path, self.progress.update)
        with closing(self._metrics), self._stoppable(), self._bar() as bar:
            self._logged = (time.monotonic(), bar.n)
            for update, pieces in self._work():
                with self._memory(update):
                    loss, norm = self._update(update, pieces)
                done, last = update + 1, update + 1 == self.updates
                self.progress = replace(
                    self.progress, update=done, seconds=time.monotonic() - started
                )
                bar.update(sum(len(piece.samples) for piece in pieces))
                if done % settings.log_every == 0 or last:
                    self._log(done, loss, norm, bar.n)
                    bar.set_postfix_str(self._shown(loss), refresh=False)
                if done % settings.validate_every == 0 or last:
                    with self._memory(update):
                        self._validate(done)
                if done % save_every == 0 or last or self._stop:
                    save_state(self.path, self.model, self.optimizer, self.progress)
                if self._stop:
                    raise KeyboardInterrupt
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

    def _update(self, update: int, pieces: list[Piece]) -> tuple[float, float]:
        """One step of the optimiser; gives the loss per label and the gradient's length."""
        settings = self.recipe.optim
        torch.manual_seed(update_seed(self.recipe.train.seed, update, self.train.rank))
        labels = sum(piece.labels for piece in pieces)
        loss = torch.zeros((), device=self.device)
        self.model.train()
        for piece in pieces:
            part = self._loss(piece, settings.label_smoothing) / labels
            part.backward()
            loss += part.detach()
        norm = limit_gradient(self.model, settings.clip_norm)
        values = (loss.item(), norm.item())
        if not all(map(math.isfinite, values)):
            self._refuse(update, pieces, *values)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(settings, update, self.updates)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return values

    def _loss(self, piece: Piece, label_smoothing: float) -> torch.Tensor:
        bf16 = self.recipe.train.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            return self.model(piece.batch.to(self.device), label_smoothing)

    def _validate(self, update: int) -> None:
        """Token loss over every caption; the best weights so far are published."""
        self.model.eval()
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        labels = captions = 0
        with torch.inference_mode():
            for piece in self.val.evaluation():
                total += self._loss(piece, 0.0)
                labels += piece.labels
                captions += len(piece.samples)
        loss = total.item() / labels
        best = self.progress.best_loss
        self._metrics.write(update, {"val_loss": loss, "val_captions": captions})
        if best is None or loss < best:
            save_weights(self.model, self.path)
            self.progress = replace(self.progress, best_loss=loss, best_update=update)

    def _log(self, update: int, loss: float, norm: float, captions: int) -> None:
        now = time.monotonic()
        seconds, since = now - self._logged[0], captions - self._logged[1]
        self._logged = (now, captions)
        self._metrics.write(
            update,
            {
                "epoch": update / self.updates_per_epoch,
                "train_loss": loss,
                "gradient_norm": norm,
                "learning_rate": self.optimizer.param_groups[0]["lr"],
                "captions_per_s": since / max(seconds, 1e-9),
            },
        )

    def _shown(self, loss: float) -> str:
        best = self.progress.best_loss
        return f"loss {loss:.3f}" + ("" if best is None else f", best val {best:.3f}")

    def _refuse(self, update: int, pieces: list[Piece], loss: float, norm: float) -> None:
        clips = [name for piece in pieces for name in self.train.data.clip_names(piece.samples)]
        more = f" and {len(clips) - _NAMED_CLIPS} more" if len(clips) > _NAMED_CLIPS else ""
        raise RunError(
            f"update {update + 1}: loss is {loss}, gradient norm {norm}, with clips "
            f"{', '.join(clips[:_NAMED_CLIPS])}{more}. Nothing of this update was kept. Check "
            "these clips' features (python -m features verify FEATURES), lower "
            "optim.learning_rate, or use train.precision=float32; then go on with --resume"
        )

    @contextmanager
    def _memory(self, update: int) -> Iterator[None]:
        """Say which setting to lower when memory runs out."""
        try:
            yield
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if type(error) is RuntimeError and "can't allocate memory" not in str(error):
                raise
            settings = self.recipe.optim
            raise RunError(
                f"update {update + 1}: out of memory on {self.device} with optim.batch_size = "
                f"{settings.batch_size}. Lower it and raise optim.grad_accumulation by the same "
                f"factor (--set optim.batch_size={max(1, settings.batch_size // 2)} --set "
                f"optim.grad_accumulation={2 * settings.grad_accumulation}: the same updates), "
                "or lower inputs.max_prompt_tokens"
            ) from error

    def _bar(self):
        captions = self.recipe.optim.epochs * len(self.train.data)
        share = self.updates / (self.recipe.optim.epochs * self.updates_per_epoch)
        bar = progress_bar(total=round(captions * share), what="train", unit="captions")
        bar.initial = round(captions * share * self.progress.update / max(1, self.updates))
        bar.n = bar.initial
        return bar

    @contextmanager
    def _stoppable(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM let the update under way finish and the state be saved."""

        def stop(*_) -> None:
            self._stop = True

        before = {name: signal.signal(name, stop) for name in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for name, handler in before.items():
                signal.signal(name, handler)

"""One update of the weights, told to the device without waiting for it.

The host runs one update ahead: what an update came to is read when the next one is on its way.
Whether loss and gradient are finite is decided on the device, before the weights change
(`found_inf` of the fused AdamW); once an update was refused so, none changes the weights any more
until the host has noticed and stops the run.
"""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
import torch
from torch import nn

from features.common.console import log
from features.common.damaged import some
from features.common.errors import RunError
from train.data.batches import AudioTables, Batch
from train.data.draws import update_seed
from train.data.loader import Loader, Piece
from train.distributed import Processes, Quiet
from train.faster import compile_layers, layers_pay, why_no_graphs
from train.flat_adamw import FlatAdamW
from train.graphs import Record, Repeated, Step, cuda_graphs, seed_draws
from train.model.tagbart import TagBart
from train.optim import learning_rate, limit_gradient, set_learning_rate
from train.recipes.config import ALWAYS, NEVER, Recipe

_NAMED_CLIPS = 16


class Reading:
    """Numbers on their way from the device to the host."""

    def __init__(self, values: torch.Tensor) -> None:
        self._values = values.to("cpu", non_blocking=True, copy=True)
        self._there = torch.cuda.Event() if values.is_cuda else None
        if self._there:
            self._there.record()

    def numbers(self) -> list[float]:
        """The numbers; waits for them, but for nothing that the device was told to do later."""
        if self._there:
            self._there.synchronize()
        return self._values.tolist()


@dataclass(frozen=True, kw_only=True)
class Launched:
    """An update that the device was told to do; `reading` is [loss, stops asked for, norm]."""

    number: int
    pieces: list[Piece]
    reading: Reading


@dataclass(kw_only=True)
class Updater:
    """Turns forward passes into steps of the optimiser.

    Attributes:
        recipe: every setting.
        model, optimizer: on the device of `processes`.
        processes: this process among those of the run.
        updates: of the whole run, for the schedule.
        audio_tables: where training's batches look their audio up (train/data/resident.py).
        asked: this process was asked to stop; the next update tells the others.
    """

    recipe: Recipe
    model: TagBart
    optimizer: torch.optim.AdamW | FlatAdamW
    processes: Processes
    updates: int
    audio_tables: AudioTables | None = None
    asked: bool = False
    _network: nn.Module = field(init=False)  # the model, or what shares its gradients
    _flat: FlatAdamW | None = field(init=False)
    _compiled: bool = field(init=False)
    _repeated: Repeated | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        device, settings = self.processes.device, self.recipe.train
        self._compiled = layers_pay(self.recipe, device, self.updates)
        if self._compiled:
            compile_layers(self.model)
            self._say("layers are compiled one by one: the first updates take seconds each")
        # bf16's gradients lie in one buffer, which processes add up themselves.
        self._flat = self.optimizer if isinstance(self.optimizer, FlatAdamW) else None
        # Where no buffer changes, torch before 2.13 shares none at the start either.
        for values in self.model.buffers():
            self.processes.from_first(values)
        if self._flat:
            self.processes.from_first(self._flat.buffer)
            self._flat.narrow()
            self._network = self.model
            self.model.looks_up_apart = True
        else:
            self._network = self.processes.shared(self.model)
        # What an update reads and writes besides its batch keeps its place (train/graphs.py).
        self._labels, self._stop, self._refused = (torch.zeros((), device=device) for _ in range(3))
        self._values = torch.zeros(3, device=device)
        self.optimizer.found_inf = self._refused  # type: ignore[union-attr]
        record, why = cuda_graphs(device), why_no_graphs(self.recipe, self.processes)
        if record and why and settings.cuda_graphs != NEVER:
            self._say(f"updates go without CUDA graphs: {why}")
        if record and not why:
            self._repeated = Repeated(
                lambda batch: self._update([batch]),
                device,
                lambda step: self._recorded(step, record),
                None if settings.cuda_graphs == ALWAYS else self._go_on_without_graphs,
            )

    def _recorded(self, step: Step, record: Record) -> Step:
        # To compile in the midst would fail: what has to be compiled anew goes as it is.
        with self._compiling("eager_on_recompile"):
            return record(step)

    def _compiling(self, stance: str) -> AbstractContextManager[Any]:
        """Another of torch's ways with compiled layers in a block."""
        return torch.compiler.set_stance(stance) if self._compiled else nullcontext()

    def _go_on_without_graphs(self, why: str) -> None:
        # What a backward pass left that was named and never done: the next would add to it.
        self.model.zero_grad(set_to_none=True)
        self._say(f"updates go on without CUDA graphs: {why}")

    def _say(self, what: str) -> None:
        if self.processes.first:
            log(what)

    def launch(self, update: int, pieces: list[Piece]) -> Launched:
        """Tell the device to do update number `update`, counted from 0, by its forward passes."""
        self._labels.fill_(sum(piece.labels for piece in pieces))
        self._stop.fill_(self.asked)
        set_learning_rate(self.optimizer, learning_rate(self.recipe.optim, update, self.updates))
        if not self.model.training:  # it walks through every module
            self.model.train()
        seed = update_seed(self.recipe.train.seed, update, self.processes.rank)
        if self._repeated:
            self._repeated(pieces[0].batch, seed)
        else:
            seed_draws(seed, self.processes.device)
            self._update([piece.batch.to(self.processes.device) for piece in pieces])
        return Launched(number=update, pieces=pieces, reading=Reading(self._values))

    def _update(self, batches: list[Batch]) -> None:
        """Forward and backward passes and a step; what it came to is in `_values` then."""
        settings = self.recipe.optim
        # What the loss is divided by, as published: the same for every update, however long its
        # captions, so that every token of every caption weighs the same.
        captions = settings.batch_size * settings.grad_accumulation
        places = captions * self.recipe.inputs.max_caption_tokens
        rows = len(range(self.processes.rank, settings.batch_size, self.processes.world))
        loss = torch.zeros_like(self._labels)
        for number, batch in enumerate(batches, 1):
            ready, more = batch.looked_up(self.audio_tables), number < len(batches)
            # The last batch of an epoch may have fewer rows: nothing is compiled for it alone.
            few = len(batch.attention_mask) < rows
            with (
                self.processes.gradients_stay(self._network) if more else nullcontext(),
                self._compiling("force_eager") if few else nullcontext(),
            ):
                part = self._loss(ready, self._network, settings.label_smoothing)
                # The loss is a sum over processes; so is the gradient in one buffer, while
                # DistributedDataParallel's is a mean.
                (part * ((1 if self._flat else self.processes.world) / places)).backward()
            if self._flat:
                self._flat.take_gradients(add=number > 1)
            loss += part.detach()
        if self._flat:
            self.processes.total(self._flat.gradient)
            norm = self._flat.limit_gradient(settings.clip_norm)
        else:
            norm = limit_gradient(self.model, settings.clip_norm)
        shared = self.processes.total(torch.stack([loss / self._labels, self._stop]))
        self._values.copy_(torch.cat([shared, norm.view(1)]))
        self._refused.copy_(self._refused.maximum(~self._values.isfinite().all()))
        self.optimizer.step()
        if not self._flat:
            self.model.zero_grad(set_to_none=True)

    def loss(self, piece: Piece) -> torch.Tensor:
        """The loss summed over this process's labels of a piece, for validation."""
        # In other shapes than training's: compiled layers would be compiled anew.
        with self._compiling("force_eager"):
            return self._loss(piece.on(self.processes.device), self.model)

    def _loss(self, batch: Batch, network: nn.Module, label_smoothing: float = 0.0) -> torch.Tensor:
        """The same for a batch that is ready on the device."""
        return network(batch, label_smoothing, self.recipe.optim.loss_on_padding)

    def check(self, launched: Launched, loader: Loader) -> tuple[float, float, bool]:
        """What an update came to: loss per label, gradient norm, whether any process shall stop.

        Raises:
            RunError: if loss or norm is not finite; the weights are as they were before it.
        """
        loss, stops, norm = launched.reading.numbers()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            if not self.processes.first:
                raise Quiet()
            what = f"update {launched.number + 1}: loss is {loss}, gradient norm {norm}"
            refuse(what, loader, [piece.samples for piece in launched.pieces])
        return loss, norm, stops > 0


def refuse(what: str, loader: Loader, samples: Sequence[np.ndarray]) -> NoReturn:
    """Stop over numbers that are not finite, with the clips behind them named.

    Args:
        what: which numbers.
        loader: whose samples they are.
        samples: those of every forward pass in question.
    """
    clips = [name for part in samples for name in loader.data.clip_names(part)]
    raise RunError(
        f"{what}, with clips {some(clips, _NAMED_CLIPS)}. Nothing of this was kept. "
        "Check these clips' features (python -m features verify FEATURES), lower "
        "optim.learning_rate, or use train.precision=float32; then go on with --resume"
    )

"""Weights, state and curves written by a thread, from copies, while training goes on."""

import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import torch

from features.common.errors import RunError
from train.model.tagbart import TagBart
from train.run_folder.checkpoint import WEIGHTS_NAME, save_weights
from train.run_folder.curves import draw_curves
from train.run_folder.state import Optimizer, Progress, moments, weights, write_state


class Saver:
    """Writes one save after the other, so what a later one says is never there before an earlier.

    Takes as much of the computer's memory as the copies of weights and AdamW's moments.
    """

    def __init__(self, path: Path, model: TagBart, optimizer: Optimizer) -> None:
        self._path, self._model, self._optimizer = path, model, optimizer
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="saver")
        self._under_way: list[Future[None]] = []
        self._copies: dict[str, torch.Tensor] = {}
        self._folder = _inode(path)
        self._clear_drafts()

    def save(
        self,
        progress: Progress,
        *,
        best: bool = False,
        state: bool = False,
        curves: bool = False,
        sample: Callable[[dict[str, torch.Tensor]], None] | None = None,
    ) -> None:
        """Copy what is to be written now, write it later.

        Args:
            progress: where the run stands.
            best: publish the weights as the run's own.
            state: publish what resuming needs.
            curves: draw metrics.jsonl as it is by then.
            sample: gets a copy of the weights when all this is written.
        """
        self.wait()
        model: dict[str, torch.Tensor] = {}
        if best or state or sample:
            model = self._copied("model", weights(self._model, self._optimizer))
        steps = self._copied("moments", moments(self._model, self._optimizer)) if state else {}
        if self._copies and next(self._model.parameters()).is_cuda:
            torch.cuda.synchronize()
        # The state first: it holds the weights, too, and what goes on from it publishes them again.
        if state:
            self._later(lambda: write_state(self._path, model, steps, progress))
        if best:
            self._later(lambda: save_weights(self._model, self._path, model))
        if curves:
            self._later(lambda: draw_curves(self._path))
        if sample:
            self._later(lambda: sample(model))

    def wait(self) -> None:
        """Go on when everything is written.

        Raises:
            RunError: if the system refused to write.
        """
        under_way, self._under_way = self._under_way, []
        try:
            for future in under_way:
                future.result()
        except OSError as error:
            self._check_folder()
            raise RunError(
                f"{self._path}: cannot be written ({error.strerror}); what was saved before is "
                "whole: make room there and go on with --resume"
            ) from error

    def close(self) -> None:
        """Wait for what is being written, then end the thread."""
        with self._pool:
            self.wait()

    def _clear_drafts(self) -> None:
        """Delete what a killed run was writing; the folder's lock says that it is dead."""
        for draft in (*self._path.glob(".*.part"), *self._path.glob(f".{WEIGHTS_NAME}.*.d")):
            shutil.rmtree(draft) if draft.is_dir() else draft.unlink()

    def _later(self, write: Callable[[], None]) -> None:
        before = self._under_way[-1:]

        def checked() -> None:
            for earlier in before:
                earlier.result()  # weights without the state could not be gone on from
            self._check_folder()  # or writing would make another one of that name
            write()

        self._under_way.append(self._pool.submit(checked))

    def _check_folder(self) -> None:
        """Refuse a run folder that was removed while training went on."""
        if _inode(self._path) != self._folder:
            raise RunError(
                f"{self._path}: the run folder is gone, and with it what was saved; leave it in "
                "place while a run trains, and begin again"
            )

    def _copied(self, part: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The tensors in the computer's memory, in room that is used again each time."""
        copies = {}
        for name, tensor in tensors.items():
            key = f"{part}.{name}"
            if key not in self._copies:
                self._copies[key] = torch.empty_like(
                    tensor,
                    device="cpu",
                    memory_format=torch.contiguous_format,
                    pin_memory=tensor.is_cuda,
                )
            copies[name] = self._copies[key].copy_(tensor, non_blocking=True)
        return copies


def _inode(folder: Path) -> int | None:
    try:
        return folder.stat().st_ino
    except OSError:
        return None

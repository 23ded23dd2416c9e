"""Several processes that train one model, as torchrun starts them.

Every process reads its share of each batch, gradients are added up by DistributedDataParallel, and
only the first process writes. A process that runs alone goes the same way and finds nothing to do.
"""

import gc
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from inspect import signature
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from features.common.errors import ConfigError, RunError

# The first process may learn a tokenizer, compare checksums or save while the others wait.
_PATIENCE = timedelta(hours=1)


class Quiet(SystemExit):
    """End this process without a word and with code 0: another one says what is wrong.

    Any other code would make torchrun kill that one before it has spoken.
    """

    def __init__(self) -> None:
        super().__init__(0)


@dataclass(frozen=True, kw_only=True)
class Processes:
    """This process among those that train together.

    Attributes:
        rank: counted from 0 over all machines.
        world: how many there are.
        device: what this one computes on.
    """

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """The sum of a tensor over all processes, in place; every process gets the same bits."""
        if self.world > 1:
            dist.all_reduce(values)
        return values

    def from_first(self, values: torch.Tensor) -> None:
        """Give every process the first one's tensor, in place."""
        if self.world > 1:
            dist.broadcast(values, 0)

    def wait(self) -> None:
        """Go on when every process has come here."""
        self.total(torch.zeros(()))

    def shared(self, model: nn.Module) -> nn.Module:
        """The model for forward passes whose backward pass gives every process the mean gradient.

        Starts every process from the first one's weights, buffers apart. Every pass must use every
        weight.
        """
        if self.world == 1:
            return model
        # No buffer changes. torch before 2.13 calls the setting by another name.
        known = signature(DistributedDataParallel).parameters
        name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
        settings: dict[str, Any] = {name: False, "gradient_as_bucket_view": True}
        return DistributedDataParallel(model, **settings)

    def gradients_stay(self, network: nn.Module) -> AbstractContextManager[None]:
        """A pass in this block only adds to this process's own gradient (accumulation)."""
        return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """Run a block in the first process, then in the others; if it fails there, all end."""
        failed = torch.ones(1)
        if self.world > 1 and not self.first:
            dist.broadcast(failed, 0)
            if failed.item():
                raise Quiet()
        try:
            yield
            failed.zero_()
        finally:
            if self.world > 1 and self.first:
                dist.broadcast(failed, 0)


@contextmanager
def joined_processes(device: str) -> Iterator[Processes]:
    """Join the processes that torchrun started; alone, just the device.

    Args:
        device: "cpu" or "cuda"; each process of a machine takes the GPU of its own number.

    Raises:
        ConfigError: if a machine has fewer GPUs than processes.
        RunError: if another process broke off.
    """
    world = int(os.environ["WORLD_SIZE"]) if dist.is_torchelastic_launched() else 1
    if world == 1:
        yield Processes(device=torch.device(device))
        return
    own, rank = torch.device(device), int(os.environ["RANK"])
    if device == "cuda":
        number, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if number >= there:
            raise ConfigError(
                f"torchrun started process {number + 1} here, but torch sees {there} GPUs: "
                f"--nproc-per-node {there}, or --device cpu"
            )
        own = torch.device("cuda", number)
        torch.cuda.set_device(own)
    # What is said on the way (who failed) is told by gloo on the CPU, gradients by the GPUs' nccl.
    backend = "gloo" if device == "cpu" else "cpu:gloo,cuda:nccl"
    try:
        dist.init_process_group(backend, timeout=_PATIENCE)
        yield Processes(rank=rank, world=world, device=own)
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            raise RunError(
                f"process {rank} of {world}: another process broke off; its own message, or "
                "torchrun's below, says why"
            ) from error
        raise
    # What DistributedDataParallel holds of the group goes first. If its end were the group's, too,
    # the group would wait, with Python's lock held, for a thread of its own that may want the lock.
    gc.collect()
    # Not after an error: tearing down waits for processes that may be gone.
    dist.destroy_process_group()

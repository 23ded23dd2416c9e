"""What is said when memory runs out: which setting to lower."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from features.common.errors import RunError
from train.recipes.config import Recipe

# As torch's allocator for CPUs and cuBLAS put it.
_FULL = ("can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")


@contextmanager
def memory_watched(doing: str, recipe: Recipe, device: torch.device) -> Iterator[None]:
    """Say which setting to lower when memory runs out in this block.

    Args:
        doing: what is done in it, for the message.
        recipe: of the run.
        device: what it computes on.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        full = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not full and not any(sign in str(error) for sign in _FULL):
            raise
        settings = recipe.optim
        raise RunError(
            f"{doing}: out of memory on {device} with optim.batch_size = {settings.batch_size}. "
            "Lower it and raise optim.grad_accumulation by the same factor (--set "
            f"optim.batch_size={max(1, settings.batch_size // 2)} --set "
            f"optim.grad_accumulation={2 * settings.grad_accumulation}: the same updates), "
            "or lower inputs.max_prompt_tokens. A run that was begun keeps its settings: name "
            "another --out"
        ) from error

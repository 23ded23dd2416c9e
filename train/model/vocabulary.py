"""Where a model meets its whole vocabulary: the output layer, the loss, embeddings looked up.

These matrices are larger than all others by far: to write or read one of them more is felt in every
update on a GPU.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from train.data.batches import IGNORED

ROWS = {"cpu": 1, "cuda": 64}  # of the output layer, a multiple of these
# Tokens that are looked up apart at most: each is compared with each. For 2,048 of them a core
# takes 63 ms at bart-large's shape, as without; for 8,192 it would take 965.
APART = 2048


def output_layer(hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The output layer without its bias; on a GPU its rows are filled up with zeros to a multiple
    of 64.

    50,304 rows take 47 µs on an H100 where 50,265 take 164 (docs/recipes.md).

    Args:
        hidden: [N, d_model].
        weight: [V, d_model].

    Returns:
        [N, V or more].
    """
    spare = -len(weight) % ROWS[hidden.device.type]
    return F.linear(hidden, _filled_up(weight, spare) if spare else weight)


def summed_loss(
    products: torch.Tensor, bias: torch.Tensor, labels: torch.Tensor, label_smoothing: float
) -> torch.Tensor:
    """Cross-entropy summed over labels, a float32 scalar.

    Args:
        products: [N, V or more], the output layer's without its bias; columns past V do not count.
        bias: [1, V].
        labels: int64 [N].
        label_smoothing: share of the mean over all entries.
    """
    return F.cross_entropy(
        (products[:, : bias.shape[1]] + bias).float(),
        labels,
        ignore_index=IGNORED,
        reduction="sum",
        label_smoothing=label_smoothing,
    )


def looked_up_apart(table: nn.Embedding, numbers: torch.Tensor) -> torch.Tensor:
    """Embeddings of tokens, int64 [N], whose gradient goes into the rows that are theirs.

    Else it would be a matrix of the whole vocabulary, nearly all zeros: 0.18 of the 11.3 ms of an
    update on an H100, to make and to add. The output layer's gradient is there by then, since the
    backward pass begins with it.
    """
    rows = F.embedding(numbers, table.weight.detach()).requires_grad_()

    def add_to_theirs(gradient: torch.Tensor) -> None:
        whole = table.weight.grad
        assert whole is not None
        # Each place gets the sum of all places of its token, so it matters not which is copied.
        same = (numbers[:, None] == numbers) & (numbers != table.padding_idx)
        sums = same.to(gradient.dtype) @ gradient
        whole.index_copy_(0, numbers, whole[numbers] + sums)

    rows.register_hook(add_to_theirs)
    return rows * float(table.embed_scale)  # type: ignore[arg-type]  # mypy takes it for a tensor


def _filled_up(weight: torch.Tensor, spare: int) -> torch.Tensor:
    """A matrix with so many rows of zeros more: those behind it in memory, if they are there."""
    rows, columns = weight.shape
    end = weight.storage_offset() + (rows + spare) * columns
    room = weight.untyped_storage().nbytes() // weight.element_size()
    if weight.dtype == torch.bfloat16 and end <= room:  # in a flat buffer (train/flat_adamw.py)
        return _WithRoom.apply(weight, spare)
    return F.pad(weight, (0, 0, 0, spare))


class _WithRoom(torch.autograd.Function):
    """A view of a matrix and the rows behind it; the gradient of these is let go."""

    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor, spare: int) -> torch.Tensor:
        ctx.rows, columns = weight.shape
        return weight.detach().as_strided((ctx.rows + spare, columns), (columns, 1))

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:  # type: ignore[override]
        return gradient[: ctx.rows], None

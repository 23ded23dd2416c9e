"""Projections of one input as one product: queries, keys and values of an attention.

Weights that are joined lie behind each other in memory, each projection's own a view of its part:
nothing is copied, and the model's own forward pass goes on as before. Where they do not lie so (a
model that was never joined, moved, or trained in other memory), each projection is a product.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers.models.bart.modeling_bart import BartAttention

from evaluate.captions.layers.int8 import Int8Joined


class Bf16Linear(nn.Linear):
    """A linear layer in bf16. What adds up along the layers and is normalised stays float32."""

    def __init__(self, layer: nn.Linear) -> None:
        nn.Module.__init__(self)
        layer.bfloat16()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Any [..., in] to bf16 [..., out]."""
        return functional.linear(rows.to(torch.bfloat16), self.weight, self.bias)


def join(attention: BartAttention, *, of_itself: bool) -> None:
    """Lay an attention's weights behind each other.

    Args:
        attention: in float32 or bf16.
        of_itself: queries, keys and values read the same; else the keys and values alone do.
    """
    layers: list[Any] = list(_layers(attention, of_itself))
    for name in ("weight", "bias"):
        parts = [getattr(layer, name) for layer in layers]
        whole = torch.cat([part.detach() for part in parts])
        for part, rows in zip(parts, whole.split([len(part) for part in parts]), strict=True):
            part.data = rows


def projected(attention: BartAttention, rows: torch.Tensor, *, of_itself: bool) -> torch.Tensor:
    """Queries, keys and values, or keys and values: [3 or 2, clips, heads, N, d_model / heads].

    Args:
        attention: whose projections to use.
        rows: [clips, N, d_model].
        of_itself: whether queries are among them.
    """
    layers: list[Any] = list(_layers(attention, of_itself))
    if isinstance(layers[0], Int8Joined):
        wide = layers[0].whole(rows)
    else:
        weight, bias = (_whole([getattr(layer, n) for layer in layers]) for n in ("weight", "bias"))
        if weight is None or bias is None:
            return torch.stack([heads(layer(rows), attention) for layer in layers])
        wide = functional.linear(rows.to(weight.dtype), weight, bias)
    parts = wide.unflatten(2, (len(layers), attention.num_heads, attention.head_dim))
    return parts.permute(2, 0, 3, 1, 4)


def heads(rows: torch.Tensor, attention: BartAttention) -> torch.Tensor:
    """[clips, N, d_model] to [clips, heads, N, d_model / heads]."""
    return rows.unflatten(2, (attention.num_heads, attention.head_dim)).transpose(1, 2)


def _layers(attention: BartAttention, of_itself: bool) -> Sequence[nn.Module]:
    keys_and_values = (attention.k_proj, attention.v_proj)
    return (attention.q_proj, *keys_and_values) if of_itself else keys_and_values


def _whole(parts: Sequence[torch.Tensor]) -> torch.Tensor | None:
    """Tensors of one shape that lie behind each other as one; None if they do not."""
    first, size = parts[0], parts[0].numel()
    behind = all(
        part.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
        and part.storage_offset() == first.storage_offset() + number * size
        and part.is_contiguous()
        for number, part in enumerate(parts)
    )
    if not behind:
        return None
    return first.as_strided((len(parts) * len(first), *first.shape[1:]), first.stride())

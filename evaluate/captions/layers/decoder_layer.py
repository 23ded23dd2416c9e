"""One layer of BART's decoder for a step of a search: transformers' arithmetic, fewer operations.

The search keeps what was computed (step_decoder.py); this is what is computed.
"""

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional
from transformers.models.bart.modeling_bart import BartAttention, BartDecoderLayer

from evaluate.captions.layers.encoder import feed_forward
from evaluate.captions.layers.joined import heads, projected

# Whether attention is two products of all heads: of few queries they take a third of the time of
# torch's kernel on a CPU, which cuts 4 queries and 48 keys into blocks for each head.
_TWO_PRODUCTS = {"cpu": True, "cuda": False}

Pair = Sequence[torch.Tensor]  # keys and values, [clips, heads, N, d_model / heads]
Keep = Callable[[torch.Tensor], torch.Tensor]


def source_of(layer: BartDecoderLayer, encoder_states: torch.Tensor) -> Pair:
    """Keys and values of the encoder's output.

    Args:
        layer: of the decoder.
        encoder_states: [clips, rows, d_model].
    """
    keys, values = projected(layer.encoder_attn, encoder_states, of_itself=False)
    # A CPU attends in float32 whatever its layers compute in: bf16 scores cost int8 captions.
    kind = keys.dtype if keys.is_cuda else torch.promote_types(keys.dtype, torch.float32)
    return keys.to(kind).contiguous(), values.to(kind).contiguous()


def decoder_layer(
    layer: BartDecoderLayer,
    hidden: torch.Tensor,
    keep: Keep,
    source: Pair,
    mask: torch.Tensor,
    visible: torch.Tensor,
) -> torch.Tensor:
    """The layer's output, [clips, Q, d_model].

    Args:
        layer: of the decoder.
        hidden: float32 [clips, Q, d_model].
        keep: takes the keys and values of `hidden`, [2, clips, heads, Q, d_model / heads], and
            gives those of all rows to look at, in the kind that `source` has.
        source: of `source_of`, for these clips.
        mask: what is added to the scores of the past, [..., Q, N], in that kind.
        visible: what is added to the scores of the encoder's rows, [clips, 1, 1, rows].
    """
    attention = layer.self_attn
    new = projected(attention, hidden, of_itself=True)
    attended = _attend(attention, new[0], keep(new[1:]), mask)
    hidden = layer.self_attn_layer_norm(hidden + attended)
    attention = layer.encoder_attn
    queries = heads(attention.q_proj(hidden), attention)
    hidden = layer.encoder_attn_layer_norm(hidden + _attend(attention, queries, source, visible))
    return layer.final_layer_norm(hidden + feed_forward(layer, hidden))


def _attend(
    attention: BartAttention, queries: torch.Tensor, rows: Pair | torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    keys, values = rows
    if not _TWO_PRODUCTS[queries.device.type]:
        mixed = functional.scaled_dot_product_attention(
            queries, keys, values, attn_mask=mask, scale=attention.scaling
        )
    else:
        mixed = _two_products(queries.to(keys.dtype), keys, values, mask, attention.scaling)
    return attention.out_proj(mixed.transpose(1, 2).flatten(2))


def _two_products(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor,
    scaling: float,
) -> torch.Tensor:
    """Attention as two products of all heads."""
    shape = queries.shape
    of_all = queries.reshape(-1, *shape[2:])
    scores = torch.bmm(of_all, keys.flatten(0, 1).mT).unflatten(0, shape[:2])
    weights = torch.add(mask, scores, alpha=scaling).softmax(-1)
    return torch.bmm(weights.flatten(0, 1), values.flatten(0, 1)).unflatten(0, shape[:2])

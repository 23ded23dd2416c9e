"""BART's encoder: transformers' arithmetic, with fewer operations."""

import torch
from torch.nn import functional
from transformers import BartForConditionalGeneration
from transformers.models.bart.modeling_bart import BartDecoderLayer, BartEncoderLayer

from evaluate.captions.layers.joined import projected

# Through a feed-forward layer at a time on a CPU: what is between stays in the cache.
_CPU_ROWS = 256


@torch.inference_mode()
def encode(
    bart: BartForConditionalGeneration, embeds: torch.Tensor, attention_mask: torch.Tensor
) -> torch.Tensor:
    """The encoder's output, float32 [clips, rows, d_model].

    Args:
        bart: in eval mode.
        embeds: [clips, rows, d_model], of TagBart.encoder_inputs.
        attention_mask: int [clips, rows], 1 where a row is no padding.
    """
    encoder = bart.model.encoder
    assert not bart.training
    hidden = encoder.layernorm_embedding(embeds + encoder.embed_positions(attention_mask))
    mask = None
    for layer in encoder.layers:
        queries, keys, values = projected(layer.self_attn, hidden, of_itself=True)
        if mask is None:  # in the kind that layers compute in
            empty = torch.zeros(attention_mask.shape, dtype=keys.dtype, device=keys.device)
            mask = empty.masked_fill_(attention_mask == 0, -torch.inf)[:, None, None, :]
        mixed = functional.scaled_dot_product_attention(
            queries, keys, values, attn_mask=mask, scale=layer.self_attn.scaling
        )
        attended = layer.self_attn.out_proj(mixed.transpose(1, 2).flatten(2))
        hidden = layer.self_attn_layer_norm(hidden + attended)
        hidden = layer.final_layer_norm(hidden + feed_forward(layer, hidden))
    return hidden


def feed_forward(layer: BartEncoderLayer | BartDecoderLayer, hidden: torch.Tensor) -> torch.Tensor:
    """What a layer's last two products make of [clips, N, d_model]."""
    rows = hidden.flatten(0, 1)
    size = len(rows) if rows.is_cuda else _CPU_ROWS
    parts = [layer.fc2(layer.activation_fn(layer.fc1(part))) for part in rows.split(size)]
    whole = parts[0] if len(parts) == 1 else torch.cat(parts)
    return whole.unflatten(0, hidden.shape[:2])

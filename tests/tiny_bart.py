"""A BART of tiny width with random weights."""

import torch
from transformers import BartConfig, BartForConditionalGeneration

SHAPE = {
    "vocab_size": 60, "d_model": 32, "encoder_layers": 1, "decoder_layers": 2,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64, "max_position_embeddings": 64,
}  # fmt: skip


def tiny_bart(**more: object) -> BartForConditionalGeneration:
    """The same each time, in eval mode; `more` are other settings of BartConfig."""
    torch.manual_seed(0)
    return BartForConditionalGeneration(BartConfig(**SHAPE | more)).eval()

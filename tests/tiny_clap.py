"""A small CLAP with random weights, saved as transformers saves one."""

from pathlib import Path
from typing import Any

import torch
from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

WIDTH = 24


def save_tiny_clap(path: Path, tokenizer: Any = None, *, seed: int = 0) -> None:
    """Write model and front end, and the tokenizer where the text tower is to be used."""
    torch.manual_seed(seed)
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 16, "vocab_size": len(tokenizer) if tokenizer else 50,
            "max_position_embeddings": 40}  # fmt: skip
    audio = {"hidden_size": 64, "patch_embeds_hidden_size": 8, "depths": [1, 1, 1, 1],
             "num_attention_heads": [2, 2, 2, 2]}  # fmt: skip
    config = ClapConfig(text_config=text, audio_config=audio, projection_dim=WIDTH)
    model = ClapModel(config).eval()
    for name, buffer in model.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(50, 500)  # of decibels, as a trained batch norm has it
    for name, parameter in model.text_model.named_parameters():
        if parameter.dim() == 2 and any(part in name for part in ("value", "dense")):
            parameter.data.mul_(5)  # so that what stands in a text shows in its vector
    model.save_pretrained(path)
    ClapFeatureExtractor(truncation="rand_trunc").save_pretrained(path)
    if tokenizer:
        tokenizer.save_pretrained(path)

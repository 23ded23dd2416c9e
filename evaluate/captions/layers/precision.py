"""The arithmetic that a run decodes in: float32, bf16, or int8 on a CPU.

Weights are cast once, when a run is opened, not at every token. What adds up stays in float32
whatever the precision: sums within a product and along the layers, norms, the logits.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import inf

import torch
from torch import nn
from torch.nn import functional
from transformers import BartForConditionalGeneration
from transformers.models.bart.modeling_bart import BartAttention

from evaluate.captions.layers.int8 import (
    Bf16Embedding,
    Int8Head,
    Int8Linear,
    int8_joined,
    require_int8,
)
from evaluate.captions.layers.joined import Bf16Linear, join
from evaluate.captions.options import require_precision
from features.common.errors import ConfigError
from train.model.tagbart import TagBart
from train.model.vocabulary import ROWS
from train.run_folder.checkpoint import Run


def in_precision(run: Run, precision: str) -> Run:
    """A run that computes in a precision: itself where it does already, else a copy.

    Raises:
        ConfigError: if the run was narrowed to another one, or this device has no such arithmetic.
    """
    own = precision_of(run.model)
    if own == precision:
        return run
    if own != "float32":
        raise ConfigError(
            f"{run.path} was opened in {own} and cannot decode in {precision}: open it in "
            f"{precision}"
        )
    run = replace(run, model=copy.deepcopy(run.model))
    narrow(run.model, precision)
    return run


def precision_of(model: TagBart) -> str:
    """What a model's layers compute in."""
    if isinstance(model.bart.lm_head, Int8Head):
        return "int8"
    layer = model.bart.model.encoder.layers[0].fc1
    return "bf16" if isinstance(layer, Bf16Linear) else "float32"


def narrow(model: TagBart, precision: str) -> None:
    """Turn a float32 model's weights into those that a precision's search uses, in place.

    Args:
        model: in eval mode, on the device where it will run.
        precision: one of options.PRECISIONS; "float32" changes no value.

    Raises:
        ConfigError: if there is no such precision, or this device has no such arithmetic.
    """
    require_precision(precision)
    if precision == "int8":
        require_int8(model.device)
        _to_int8(model)
        return
    if precision == "bf16":
        _replace_layers(model, Bf16Linear)
        if model.device.type != "cpu":  # which has no product of bf16 that gives float32
            bf16_head(model.bart)
    for attention, of_itself in _attentions(model):
        join(attention, of_itself=of_itself)


@torch.no_grad()
def bf16_head(bart: BartForConditionalGeneration) -> None:
    """Turn the output layer into bf16, with as many rows as a GPU is quick with.

    The rows that fill it up are of tokens that there are not: nothing finds them likely.
    """
    head, bias = bart.lm_head.weight.detach().bfloat16(), bart.final_logits_bias
    spare = -len(head) % ROWS["cuda"]
    head = functional.pad(head, (0, 0, 0, spare))
    bart.lm_head.weight = nn.Parameter(head, requires_grad=False)
    bart.register_buffer("final_logits_bias", functional.pad(bias, (0, spare), value=-inf))


@torch.no_grad()
def _to_int8(model: TagBart) -> None:
    bart = model.bart
    head, shared = bart.lm_head.weight, bart.model.shared
    # The encoder's, the decoder's and the model's own token embeddings are one, and as a rule the
    # output layer's weight is theirs.
    embedding = Bf16Embedding(shared)
    finer = embedding.rows if head is shared.weight else head.bfloat16()
    for owner, name in ((bart.model, "shared"), (bart.model.encoder, "embed_tokens"),
                        (bart.model.decoder, "embed_tokens")):  # fmt: skip
        setattr(owner, name, embedding)
    bart.lm_head = Int8Head(head, bart.final_logits_bias[0], finer)  # type: ignore[assignment]
    for attention, of_itself in _attentions(model):
        names = ("q_proj", "k_proj", "v_proj")[not of_itself :]
        for name, part in zip(
            names, int8_joined([getattr(attention, name) for name in names]), strict=True
        ):
            setattr(attention, name, part)
    _replace_layers(model, lambda layer: Int8Linear(layer.weight, layer.bias))


def _attentions(model: TagBart) -> Iterator[tuple[BartAttention, bool]]:
    """Every attention, and whether it looks at what it reads itself."""
    for part in (model.bart.model.encoder, model.bart.model.decoder):
        for layer in part.layers:
            yield layer.self_attn, True
    for layer in model.bart.model.decoder.layers:
        yield layer.encoder_attn, False


def _replace_layers(model: TagBart, make: Callable[[nn.Linear], nn.Module]) -> None:
    """Put another layer in the place of every linear one of the encoder and the decoder."""
    for part in (model.bart.model.encoder, model.bart.model.decoder):
        for module in list(part.modules()):
            for name, layer in list(module.named_children()):
                if isinstance(layer, nn.Linear):
                    setattr(module, name, make(layer))

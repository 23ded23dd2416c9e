"""The output layer in every precision: logits, and the likeliest next tokens."""

from collections.abc import Iterator

import torch
from torch.nn import functional
from transformers import BartForConditionalGeneration

from evaluate.captions.layers.int8 import Int8Head

_CPU_TOKENS = 2048  # of the vocabulary at a time on a CPU: their logits stay in the cache
_GROUPS = 128  # of tokens, of which only some are looked through


@torch.inference_mode()
def likeliest_tokens(
    bart: BartForConditionalGeneration, hidden: torch.Tensor, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The likeliest next tokens.

    Args:
        bart: whose output layer to use.
        hidden: [..., d_model], the decoder's output.
        count: tokens wanted.

    Returns:
        Log-probabilities and ids, [..., count], the likeliest first.
    """
    found, start = [], 0
    # On a GPU rows that stand for no token may follow (layers/precision.py).
    count = min(count, bart.config.vocab_size)
    for logits in logits_in_parts(bart, hidden):
        top, tokens = _likely(logits, count)
        mass = logits.logsumexp(dim=-1, keepdim=True)
        found.append((top, tokens + start if start else tokens, mass))
        start += logits.shape[-1]
    if len(found) > 1 or top.shape[-1] > count:
        top, tokens, mass = (torch.cat(values, dim=-1) for values in zip(*found, strict=True))
        top, index = top.topk(count)
        tokens, mass = tokens.gather(-1, index), mass.logsumexp(dim=-1, keepdim=True)
    if isinstance(bart.lm_head, Int8Head):
        rest = (1 - (top - mass).exp().sum(-1, keepdim=True)).clamp_(min=0)
        top = bart.lm_head.of_tokens(hidden, tokens)
        mass = mass + (rest + (top - mass).exp().sum(-1, keepdim=True)).log()
        top, index = top.sort(descending=True)
        tokens = tokens.gather(-1, index)
    return top - mass, tokens


def _likely(logits: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Some of [..., tokens] and their places, so many largest among them, in any order.

    On a CPU they are those of the groups that have the largest: to look through groups takes a
    third of the time of looking through tokens.
    """
    tokens = logits.shape[-1]
    if logits.is_cuda or tokens % _GROUPS or count > _GROUPS or tokens < 4 * _GROUPS:
        return logits.topk(min(count, tokens))
    groups = logits.unflatten(-1, (-1, _GROUPS))  # every so manyth token is one's
    group = groups.amax(-2).topk(count).indices[..., None, :]
    first = torch.arange(0, tokens, _GROUPS)[:, None]
    members = groups.gather(-1, group.expand(*group.shape[:-2], len(first), count))
    return members.flatten(-2), (group + first).flatten(-2)


def logits_in_parts(
    bart: BartForConditionalGeneration, hidden: torch.Tensor
) -> Iterator[torch.Tensor]:
    """The logits of one part of the vocabulary after the other; on a GPU all are one part.

    Args:
        bart: whose output layer to use. Its logits are float32 in any precision: in bf16 those
            near 10 are 0.06 apart, more than what separates many beams.
        hidden: [..., d_model], the decoder's output.

    Yields:
        [..., tokens of the part], in the vocabulary's order; behind it some that are -inf, perhaps.
    """
    head, bias = bart.lm_head, bart.final_logits_bias[0]
    if isinstance(head, Int8Head):
        yield from head.parts(hidden)
    elif hidden.is_cuda and head.weight.dtype == torch.bfloat16:
        rows = hidden.flatten(0, -2).to(torch.bfloat16)
        logits = torch.mm(rows, head.weight.T, out_dtype=torch.float32)
        yield logits.add_(bias).unflatten(0, hidden.shape[:-1])
    else:
        rows, bias = hidden.to(head.weight.dtype), bias.to(head.weight.dtype)
        size = len(bias) if hidden.is_cuda else _CPU_TOKENS
        for weight, of_part in zip(head.weight.split(size), bias.split(size), strict=True):
            yield functional.linear(rows, weight, of_part)

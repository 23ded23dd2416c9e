"""Captions drawn at random from the likeliest tokens: nucleus sampling.

Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration" (arXiv 1904.09751). At every
token the probabilities are sharpened by a temperature, then the smallest set of the likeliest
tokens that reaches the mass p is drawn from. A draw is a function of (seed, clip, number of the
draw, token).
"""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import BartForConditionalGeneration

from evaluate.captions.beams import Hypothesis, SpecialTokens
from evaluate.captions.layers.output_layer import logits_in_parts
from evaluate.captions.options import DecodingOptions
from evaluate.captions.step_decoder import StepDecoder
from train.data.draws import copy_keys, uniforms

# Wu et al. 2023 (arXiv 2309.17352) and their config/nucleus_t0.5_p95.json.
TEMPERATURE, TOP_P = 0.5, 0.95


def numbers(seed: int, key: np.uint64, draws: int, tokens: int) -> np.ndarray:
    """What a clip's captions are drawn with.

    Args:
        seed: of all draws.
        key: the clip's (train.data.draws.clip_keys).
        draws: captions.
        tokens: numbers for each.

    Returns:
        float64 [draws, tokens], between 0 and 1.
    """
    keys = copy_keys(np.full(draws, key), np.arange(draws, dtype=np.uint64))
    return uniforms(seed, 0, keys, np.full(draws, tokens)).reshape(draws, tokens)


@torch.inference_mode()
def draw_captions(
    bart: BartForConditionalGeneration,
    encoder_states: torch.Tensor,
    attention_mask: torch.Tensor,
    options: DecodingOptions,
    uniform: np.ndarray,
) -> list[Hypothesis]:
    """Draw captions of one clip.

    Args:
        bart: in eval mode, on the device of the inputs.
        encoder_states: [1, rows, d_model], the encoder's output.
        attention_mask: int [1, rows].
        options: what may follow, and what captions are ranked by.
        uniform: float64 [draws, max_length], numbers between 0 and 1.

    Returns:
        One per row of `uniform`, in order. Probabilities are the model's own, of before the
        temperature.
    """
    special, device = SpecialTokens.of(bart), encoder_states.device
    draws = len(uniform)
    if not draws:
        return []
    decoder = StepDecoder(
        bart, encoder_states, attention_mask, beams=draws, max_length=options.max_length
    )
    said = [[special.start, special.bos] for _ in range(draws)]
    logprobs = [[0.0] for _ in range(draws)]
    chance = torch.from_numpy(uniform).to(device)
    each = torch.arange(draws, device=device)[None]
    hidden = decoder.start(torch.tensor(said[0], device=device)).expand(draws, -1)
    running = list(range(draws))
    for length in range(len(said[0]), options.max_length - 1):
        if length > 2:
            last = torch.tensor([[tokens[-1] for tokens in said]], device=device)
            hidden = decoder.step(last, each)[0]
        rows = torch.tensor(running, device=device)
        likely = torch.cat(list(logits_in_parts(bart, hidden[rows])), dim=-1).log_softmax(dim=-1)
        allowed = _without(likely, [_banned(said[row], special.eos, options) for row in running])
        drawn = draw(*nucleus(allowed), chance[rows, length])
        found = likely.gather(1, drawn[:, None])[:, 0]
        for row, token, logprob in zip(running, drawn.tolist(), found.tolist(), strict=True):
            said[row].append(token)
            logprobs[row].append(logprob)
        running = [row for row in running if said[row][-1] != special.eos]
        if not running:
            break
    for row in running:  # as in the beam search, the last token is EOS at no cost
        said[row].append(special.eos)
        logprobs[row].append(0.0)
    return [
        Hypothesis(
            tokens=tuple(tokens[1:]), logprobs=tuple(own), score=options.rank(sum(own), len(own))
        )
        for tokens, own in zip(said, logprobs, strict=True)
    ]


def nucleus(
    logprobs: torch.Tensor, *, temperature: float = TEMPERATURE, p: float = TOP_P
) -> tuple[torch.Tensor, torch.Tensor]:
    """The tokens that may be drawn.

    Args:
        logprobs: [N, V], or logits; -inf for what may not come.
        temperature: below 1 sharpens.
        p: mass that the nucleus has at least.

    Returns:
        Probabilities float64 [N, K] after the temperature, the highest first, 0 outside of the
        nucleus; and the tokens [N, K].
    """
    sharp = (logprobs / temperature).softmax(dim=-1)
    # Tokens below this make up less than 1 - p together: the nucleus is among the others.
    least = (1 - p) / sharp.shape[-1]
    most = int((sharp >= least).sum(dim=-1).max())
    chances, tokens = sharp.topk(most, dim=-1)
    chances = chances.double()
    before = chances.cumsum(dim=-1) - chances
    return chances.masked_fill(before >= p, 0), tokens


def draw(chances: torch.Tensor, tokens: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """One token per row by the inverse CDF.

    Args:
        chances: float64 [N, K], in proportion to probabilities, from `nucleus`.
        tokens: [N, K].
        uniform: float64 [N], between 0 and 1.

    Returns:
        [N].
    """
    mass = chances.cumsum(dim=-1)
    place = (mass < uniform[:, None] * mass[:, -1:]).sum(dim=-1, keepdim=True)
    return tokens.gather(1, place)[:, 0]


def _banned(tokens: Sequence[int], eos: int, options: DecodingOptions) -> list[int]:
    """EOS of a caption that is too short, and what would end an n-gram that it has already."""
    banned = [eos] if len(tokens) < options.min_length else []
    size = options.no_repeat_ngram
    if size:
        starts, tail = range(len(tokens) - size + 1), tokens[len(tokens) - size + 1 :]
        banned += [tokens[i + size - 1] for i in starts if tokens[i : i + size - 1] == tail]
    return banned


def _without(logprobs: torch.Tensor, banned: Sequence[Sequence[int]]) -> torch.Tensor:
    """A copy with banned tokens at -inf; itself where none are."""
    rows = [row for row, tokens in enumerate(banned) for _ in tokens]
    if not rows:
        return logprobs
    columns = [token for tokens in banned for token in tokens]
    allowed = logprobs.clone()
    allowed[rows, columns] = -torch.inf
    return allowed

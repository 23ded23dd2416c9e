"""Beam search, caption by caption equal to transformers' `generate`.

A clip's beams are plain Python here (step_decoder.py holds the arithmetic), so that every rule
stands in one place: what may follow, what counts as finished, when a clip is done.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Any

import torch
from transformers import BartForConditionalGeneration

from evaluate.captions.options import DecodingOptions
from evaluate.captions.step_decoder import StepDecoder, likeliest_tokens


@dataclass(frozen=True, kw_only=True)
class SpecialTokens:
    """Ids of BART's special tokens; `start` is what the decoder's input begins with."""

    start: int
    bos: int
    eos: int

    @classmethod
    def of(cls, bart: BartForConditionalGeneration) -> "SpecialTokens":
        config: Any = bart.config
        return cls(
            start=config.decoder_start_token_id, bos=config.bos_token_id, eos=config.eos_token_id
        )


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """A finished caption.

    Attributes:
        tokens: BOS first, EOS last.
        logprobs: natural logarithm of each token's probability; 0 where a token was forced.
        score: what hypotheses are ranked by, sum(logprobs) / len(tokens) ** length_penalty.
    """

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    score: float

    @property
    def logprob(self) -> float:
        return sum(self.logprobs)


@dataclass(frozen=True, slots=True)
class _Node:
    """A token of a beam and the way back to the first."""

    token: int
    total: float  # log-probability of the beam up to here
    before: "_Node | None"

    def back(self) -> Iterator["_Node"]:
        node: _Node | None = self
        while node is not None:
            yield node
            node = node.before


class _ClipBeams:
    """One clip's running beams, best first, and its finished ones, best first."""

    def __init__(self, special: SpecialTokens, options: DecodingOptions) -> None:
        self.special, self._options = special, options
        self.running = [_Node(special.bos, 0.0, _Node(special.start, 0.0, None))]
        self.origins = [0]  # of the running beams: their places one step before
        self._ended: list[tuple[float, _Node]] = []  # score and EOS of those finished, best first
        self.done = False

    def hypotheses(self) -> list[Hypothesis]:
        """The finished captions, best first; only those kept to the end are walked back."""
        return [_hypothesis(score, node) for score, node in self._ended]

    def totals(self) -> list[float]:
        """Log-probabilities of the running beams."""
        return [node.total for node in self.running]

    def advance(self, candidates: Sequence[tuple[float, int, int]], length: int) -> None:
        """Take the next token of every beam.

        Args:
            candidates: 2 · beams of (log-probability of the whole, beam, token), best first: even
                if every beam ends here, as many others go on.
            length: tokens of a beam once this one stands, the start token counted.
        """
        if self.done:
            return
        options = self._options
        before, self.running, self.origins = self.running, [], []
        for rank, (total, beam, token) in enumerate(candidates):
            if total == -inf:
                break
            node = _Node(token, total, before[beam])
            if token == self.special.eos:
                if rank < options.beams:
                    self._ended.append((self._score(total, length), node))
                    self._ended.sort(key=lambda item: -item[0])
                    del self._ended[options.beams :]
            elif len(self.running) < options.beams:
                self.running.append(node)
                self.origins.append(beam)
        self.done = not self.running or self._nothing_better(length)

    def force(self, token: int, length: int) -> None:
        """End every beam with `token` at no cost."""
        self.advance([(node.total, i, token) for i, node in enumerate(self.running)], length)

    def banned(self, beam: int, length: int) -> list[int]:
        """Tokens that may not come next in a beam, which will then hold `length` tokens."""
        banned = [self.special.eos] if length <= self._options.min_length else []
        size = self._options.no_repeat_ngram
        if not size:
            return banned
        return banned + repeats([node.token for node in self.running[beam].back()][::-1], size)

    def _nothing_better(self, length: int) -> bool:
        if len(self._ended) < self._options.beams:
            return False
        # With one beam the search is greedy, as in transformers: the first EOS ends the caption.
        if self._options.early_stopping or self._options.beams == 1:
            return True
        return self._score(self.running[0].total, length) <= self._ended[-1][0]

    def _score(self, total: float, length: int) -> float:
        return self._options.rank(total, length - 1)


def repeats(tokens: Sequence[int], size: int) -> list[int]:
    """Tokens that would end an n-gram which stands in `tokens` already; none for size 0."""
    if not size:
        return []
    starts = range(len(tokens) - size + 1)
    tail = tokens[len(tokens) - size + 1 :]
    return [tokens[i + size - 1] for i in starts if tokens[i : i + size - 1] == tail]


def _hypothesis(score: float, end: _Node) -> Hypothesis:
    nodes = [*end.back()][::-1][1:]  # without the start token
    totals = [0.0, *(node.total for node in nodes)]
    return Hypothesis(
        tokens=tuple(node.token for node in nodes),
        logprobs=tuple(after - before for before, after in pairwise(totals)),
        score=score,
    )


@torch.inference_mode()
def beam_search(
    bart: BartForConditionalGeneration,
    encoder_states: torch.Tensor,
    attention_mask: torch.Tensor,
    options: DecodingOptions,
) -> list[list[Hypothesis]]:
    """Search the best captions of a batch of clips.

    Args:
        bart: in eval mode, on the device of the inputs.
        encoder_states: [clips, rows, d_model], the encoder's output.
        attention_mask: int [clips, rows], 1 where a row is no padding.
        options: how to search.

    Returns:
        Per clip up to `options.beams` hypotheses, best first.
    """
    special = SpecialTokens.of(bart)
    clips = [_ClipBeams(special, options) for _ in encoder_states]
    decoder = StepDecoder(
        bart, encoder_states, attention_mask, beams=options.beams, max_length=options.max_length
    )
    device = encoder_states.device
    rows = list(clips)  # those in the decoder's batch, in its order
    prefix = torch.tensor([special.start, special.bos], device=device)
    hidden = decoder.start(prefix)[:, None]
    for length in range(len(prefix) + 1, options.max_length):
        if length > len(prefix) + 1:
            hidden = decoder.step(*_next_tokens(rows, options.beams, device))
        candidates = _candidates(bart, hidden, rows, length, options)
        for clip, of_clip in zip(rows, candidates, strict=True):
            clip.advance(of_clip, length)
        done = [place for place, clip in enumerate(rows) if clip.done]
        if len(done) == len(rows):
            return [clip.hypotheses() for clip in clips]
        if done:
            rows = [rows[place] for place in decoder.drop(done)]
    for clip in rows:
        clip.force(special.eos, options.max_length)
    return [clip.hypotheses() for clip in clips]


def _candidates(
    bart: BartForConditionalGeneration,
    hidden: torch.Tensor,
    rows: Sequence[_ClipBeams],
    length: int,
    options: DecodingOptions,
) -> list[list[tuple[float, int, int]]]:
    """Per clip the 2 · beams likeliest continuations of all its beams, best first.

    Args:
        bart: whose output layer to use.
        hidden: [rows, Q, d_model], Q is 1 at first, then beams.
        rows: the clips.
        length: tokens of a beam with the one looked for.
        options: what may follow.
    """
    count, places = 2 * options.beams, hidden.shape[1]
    banned = [
        [clip.banned(beam, length) for beam in range(len(clip.running))]
        + [[]] * (places - len(clip.running))
        for clip in rows
    ]
    most = max(len(tokens) for of_clip in banned for tokens in of_clip)
    best, tokens = likeliest_tokens(bart, hidden, count + most)
    if most:
        # transformers, too, bans after normalising: what is left keeps its probability.
        filled = [[beam + [-1] * (most - len(beam)) for beam in of_clip] for of_clip in banned]
        ban = torch.tensor(filled, device=tokens.device)
        best[(tokens[..., None] == ban[:, :, None, :]).any(-1)] = -inf
    totals = [clip.totals() + [-inf] * (places - len(clip.running)) for clip in rows]
    best = best + torch.tensor(totals, device=best.device)[:, :, None]
    width = best.shape[2]
    best, index = best.flatten(1).topk(min(count, places * width), dim=1)
    chosen = tokens.flatten(1).gather(1, index)
    columns = (best.tolist(), (index // width).tolist(), chosen.tolist())
    return [list(zip(*of_clip, strict=True)) for of_clip in zip(*columns, strict=True)]


def _next_tokens(
    rows: Sequence[_ClipBeams], beams: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and origins of every beam, int64 [rows, beams]; a place without a beam gets zeros."""
    both = [
        [values + [0] * (beams - len(values)) for values in columns]
        for columns in (
            [[node.token for node in clip.running] for clip in rows],
            [clip.origins for clip in rows],
        )
    ]
    tokens, origins = torch.tensor(both, device=device)
    return tokens, origins

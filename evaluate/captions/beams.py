"""The running and finished beams of a batch of clips, as tensors on the decoder's device.

A search asks here, token by token, what goes on, what is finished and which clips are done. Nothing
is read back before the end, so that a GPU need not be waited for and a step can be recorded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers import BartForConditionalGeneration

from evaluate.captions.options import DecodingOptions

_NOTHING_SAID, _BEFORE_ALL = -1, -2  # where a beam holds no token


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

    @property
    def prefix(self) -> tuple[int, int]:
        """What every beam begins with."""
        return self.start, self.bos


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


class Beams:
    """Beams of every clip, best first, and those that ended, best first.

    A clip that is done has no running beam: the totals of its places are -inf, and nothing comes
    after those.
    """

    def __init__(
        self, clips: int, special: SpecialTokens, options: DecodingOptions, device: torch.device
    ) -> None:
        """Make room; `begin` fills it.

        Args:
            clips: at most.
            special: tokens.
            options: how to search.
            device: where the decoder is.
        """
        self._special, self._options = special, options
        beams, most, size = options.beams, options.max_length, options.no_repeat_ngram
        self._next = torch.zeros(clips, 2, beams, dtype=torch.int64, device=device)
        self._totals = torch.zeros(clips, beams, device=device)
        # Score, total, and the last token before EOS as place * beams + beam.
        self._ended = torch.zeros(clips, beams, 3, dtype=torch.float64, device=device)
        # Of every token found: itself, its beam's place one token before, the total with it.
        self._found = torch.zeros(clips, most, beams, 3, dtype=torch.float64, device=device)
        self._place = torch.zeros(1, dtype=torch.int64, device=device)  # of the next token
        self._divisors = torch.tensor(
            [1.0, *(options.divisor(place) for place in range(1, most))],
            dtype=torch.float64,
            device=device,
        )
        # What beams said, from their start token on, behind what no beam says.
        shape = (clips, beams, size + most) if 0 < size < most else (0, beams, 0)
        self._said = torch.zeros(shape, dtype=torch.int64, device=device)
        self._each = torch.arange(beams, device=device)

    def begin(self, clips: int) -> None:
        """Let each of so many clips begin with one beam; further places count as done."""
        prefix = self._special.prefix
        self._place.fill_(len(prefix))
        self._totals.fill_(-inf)
        self._totals[:clips, 0] = 0.0
        self._ended.fill_(-inf)
        if len(self._said):
            size = self._options.no_repeat_ngram
            self._said.fill_(_NOTHING_SAID)
            self._said[..., :size] = _BEFORE_ALL
            for place, token in enumerate(prefix, size):
                self._said[..., place] = token

    def next_tokens(self, clips: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Of the first clips: their beams' last tokens and places one token before, [clips, K]."""
        return self._next[:clips, 0], self._next[:clips, 1]

    def done(self, clips: int) -> list[bool]:
        """Which of the first clips are done; waits for the device."""
        return (self._totals[:clips, 0] == -inf).tolist()

    def swap(self, some: Sequence[int], others: Sequence[int]) -> None:
        """Let clips change places, one by one."""
        device = self._place.device
        to, source = torch.tensor([[*some, *others], [*others, *some]], device=device)
        for rows in (self._next, self._totals, self._ended, self._found, self._said):
            if len(rows):
                rows[to] = rows[source]

    def wanted(self, tokens: int) -> int:
        """How many of the likeliest tokens of every beam to ask for, when it is so long at most.

        2 · beams, so that even if every beam ends as many others go on, and those that may be
        banned.
        """
        banned = max(0, tokens - self._options.no_repeat_ngram) if len(self._said) else 0
        return 2 * self._options.beams + banned + (self._options.min_length > 0)

    def advance(self, likely: torch.Tensor, ids: torch.Tensor, tokens: int) -> None:
        """Take the next token of every beam.

        Args:
            likely: log-probabilities [clips, Q, W] of the likeliest tokens; Q is 1 at first, then
                beams.
            ids: those tokens.
            tokens: of a beam at most, with the one taken.
        """
        clips, places, width = likely.shape
        likely = self._allowed(likely, ids, tokens)
        whole = likely + self._totals[:clips, :places, None]
        count = 2 * self._options.beams
        best, index = whole.flatten(1).topk(min(count, places * width))
        beam = index.div(width, rounding_mode="floor")
        token = ids.flatten(1).gather(1, index)
        if count > best.shape[1]:  # a small vocabulary, many beams
            spare = (0, count - best.shape[1])
            best = functional.pad(best, spare, value=-inf)
            beam, token = functional.pad(beam, spare), functional.pad(token, spare)
        ends = token == self._special.eos
        most = self._options.beams
        self._end(best[:, :most].masked_fill(~ends[:, :most], -inf), beam[:, :most])
        self._go_on(best.masked_fill(ends, -inf), beam, token)

    def end_all(self, clips: int) -> None:
        """End every running beam with EOS at no cost."""
        self._end(self._totals[:clips], self._each.expand(clips, -1))

    def hypotheses(self, clips: int, tokens: int) -> list[list[Hypothesis]]:
        """The finished captions of the first clips, best first; waits for the device.

        Args:
            clips: how many.
            tokens: of the longest beam.
        """
        ended = self._ended[:clips].cpu().numpy()
        found = self._found[:clips, :tokens].cpu().numpy()
        there = ended[..., 0] != -inf
        nodes = np.where(there, ended[..., 2], 0).astype(np.int64)
        lasts, beam = np.divmod(nodes, self._options.beams)
        way = np.zeros((*beam.shape, tokens, 2))  # token and total
        clip = np.arange(clips)[:, None]
        first = len(self._special.prefix)
        for place in range(tokens - 1, first - 1, -1):
            at = found[clip, place, beam]
            way[:, :, place] = at[..., [0, 2]]
            beam = np.where(place <= lasts, at[..., 1], beam).astype(np.int64)
        return [
            [
                self._hypothesis(way[row, rank, first : lasts[row, rank] + 1], *ended[row, rank])
                for rank in np.flatnonzero(there[row])
            ]
            for row in range(clips)
        ]

    def _hypothesis(self, way: np.ndarray, score: float, total: float, _: float) -> Hypothesis:
        said = map(int, way[:, 0].tolist())
        totals = [0.0, 0.0, *way[:, 1].tolist(), float(total)]
        return Hypothesis(
            tokens=(self._special.bos, *said, self._special.eos),
            logprobs=tuple(after - before for before, after in pairwise(totals)),
            score=float(score),
        )

    def _allowed(self, likely: torch.Tensor, ids: torch.Tensor, tokens: int) -> torch.Tensor:
        """Log-probabilities, -inf for what may not come.

        transformers, too, bans after normalising: what is left keeps its probability.
        """
        if self._options.min_length:
            early = (ids == self._special.eos) & (self._place < self._options.min_length)
            likely = likely.masked_fill(early, -inf)
        size = self._options.no_repeat_ngram
        if not len(self._said) or tokens <= size:
            return likely
        # n-grams that every beam said, and the tail that the next token makes one of.
        said = self._said[: len(likely), : likely.shape[1], : size + tokens]
        ngrams = said.unfold(2, size, 1)
        tail = said.index_select(2, self._place + torch.arange(1, size, device=ids.device))
        repeats = (ngrams[..., :-1] == tail[:, :, None]).all(-1)
        banned = ngrams[..., -1].where(repeats, _NOTHING_SAID)
        return likely.masked_fill((ids[..., None] == banned[:, :, None]).any(-1), -inf)

    def _end(self, totals: torch.Tensor, beams: torch.Tensor) -> None:
        """Let beams end here: those with totals [clips, K] above -inf, at `beams` until now."""
        ended = self._ended[: len(totals)]
        nodes = beams + (self._place - 1) * self._options.beams
        new = torch.stack([totals / self._divisors[self._place], totals, nodes], dim=2)
        both = torch.cat([ended, new], dim=1)
        # Among equals the earlier stays first.
        order = both[..., 0].sort(dim=1, descending=True, stable=True).indices
        order = order[:, : self._options.beams, None].expand(-1, -1, 3)
        ended.copy_(both.gather(1, order))

    def _go_on(self, totals: torch.Tensor, beams: torch.Tensor, tokens: torch.Tensor) -> None:
        """Let the best that do not end go on, [clips, 2 K] of them, unless their clip is done."""
        clips, options = len(totals), self._options
        totals, order = totals.sort(dim=1, descending=True, stable=True)
        totals, order = totals[:, : options.beams], order[:, : options.beams]
        chosen = torch.stack([tokens, beams], dim=1).gather(2, order[:, None].expand(-1, 2, -1))
        self._next[:clips] = chosen
        step = torch.cat([chosen, totals[:, None]], dim=1).transpose(1, 2)
        self._found[:clips].index_copy_(1, self._place, step[:, None].double())
        worst = self._ended[:clips, -1, 0]
        done = worst > -inf
        # With one beam the search is greedy, as in transformers: the first EOS ends the caption.
        if not (options.early_stopping or options.beams == 1):
            done &= totals[:, 0] / self._divisors[self._place] <= worst
        self._totals[:clips] = totals.masked_fill(done[:, None], -inf)
        if len(self._said):
            said = self._said[:clips]
            said.copy_(said.gather(1, chosen[:, 1, :, None].expand_as(said)))
            said.index_copy_(2, self._place + options.no_repeat_ngram, chosen[:, 0, :, None])
        self._place += 1

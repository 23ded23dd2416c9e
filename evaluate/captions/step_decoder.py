"""BART's decoder one token at a time, for several beams of several clips.

The same arithmetic as transformers' BartDecoder, arranged for beam search:
- keys and values of the encoder's output are computed and kept once per clip, not per beam;
- beams are never copied when they change places: a clip's past holds the rows of all its beams,
  and a mask says which of them are a beam's own ancestors;
- clips that are done leave the batch;
- a step reads nothing that changes but tensors that keep their place, so that a GPU can repeat it
  as it was recorded (evaluate/captions/beam.py).

A clip's past has a row for each token of the prefix, then one a beam for every further token. Three
counts of tokens and their rows, each at most the next:
- `length`: what beams hold; `_used()` rows hold keys and values;
- `longest`: what they count as, so that few shapes are met; attention looks at `_rows(longest)`,
  and `_others` is -inf where a row is empty or no ancestor's;
- what there is memory for: `_others.shape[2]` rows, doubled by `make_room`, up to `max_length`.
"""

from collections.abc import Sequence
from functools import partial
from math import inf

import torch
from torch.nn import functional
from transformers import BartForConditionalGeneration

from evaluate.captions.layers.decoder_layer import Pair, decoder_layer, source_of

Place = slice | torch.Tensor  # rows of the past

# Tokens that beams have room for at first; twice as many each time that they need more.
_FIRST_TOKENS = {"cpu": 18, "cuda": 32}
# Beams count as so long as the next multiple of these, so that a GPU meets few shapes.
_TOKENS_TOGETHER = {"cpu": 1, "cuda": 16}
# Rows that are looked at are filled up to a multiple of these, or a GPU's attention would copy its
# mask in every layer to do so itself.
_MULTIPLE = {"cpu": 1, "cuda": 16}


class StepDecoder:
    """The decoder's state for a batch of clips.

    Example:
        decoder = StepDecoder(bart, encoder_states, attention_mask, beams=4, max_length=64)
        hidden = decoder.start(torch.tensor([2, 0]))       # [clips, d_model]
        hidden = decoder.step(tokens, origins)             # [clips, 4, d_model]
    """

    def __init__(
        self,
        bart: BartForConditionalGeneration,
        encoder_states: torch.Tensor,
        attention_mask: torch.Tensor,
        *,
        beams: int,
        max_length: int,
    ) -> None:
        """Compute the keys and values of the encoder's output.

        Args:
            bart: in eval mode.
            encoder_states: [clips, rows, d_model].
            attention_mask: [clips, rows], 1 where a row is no padding.
            beams: per clip.
            max_length: the most tokens that a beam may hold, those given to `start` included.
        """
        assert not bart.training
        self._decoder = bart.model.decoder
        self._beams, self._max_length = beams, max_length
        device = encoder_states.device
        self._together, self._first = _TOKENS_TOGETHER[device.type], _FIRST_TOKENS[device.type]
        self._multiple = _MULTIPLE[device.type]
        self.clips, self.length, self._prefix = len(encoder_states), 0, 0
        self._sources, self._visible = self._read(encoder_states, attention_mask)
        keys, kind = self._sources[0][0], self._sources[0][0].dtype  # that layers compute in
        # Keys and values of all layers, and what attention adds where a row is no ancestor.
        layers, (clips, heads, _, width) = len(self._sources), keys.shape
        self._past = keys.new_zeros(layers, 2, clips, heads, 0, width)
        self._others = keys.new_zeros(clips, beams, 0)
        self._own = torch.full((beams, beams), -inf, dtype=kind, device=device).fill_diagonal_(0)
        self._slots = torch.arange(beams, device=device)  # where the next token's rows go
        self._position = torch.zeros(1, dtype=torch.int64, device=device)

    @property
    def room(self) -> tuple[int, int]:
        """Clips and encoder rows that there is memory for."""
        return self._visible.shape[0], self._visible.shape[3]

    def take(self, encoder_states: torch.Tensor, attention_mask: torch.Tensor) -> None:
        """Begin anew with another batch in the same memory, which must have room for it."""
        sources, visible = self._read(encoder_states, attention_mask)
        clips, _, rows, _ = sources[0][0].shape
        for new, old in zip(sources, self._sources, strict=True):
            for values, place in zip(new, old, strict=True):
                place[:clips, :, :rows] = values
        self._visible[:clips, ..., rows:] = -inf
        self._visible[:clips, ..., :rows] = visible
        self.clips, self.length = clips, 0
        self._others.fill_(-inf)

    @torch.inference_mode()
    def start(self, tokens: torch.Tensor) -> torch.Tensor:
        """Feed the tokens that every beam of every clip begins with.

        Args:
            tokens: int64 [P].

        Returns:
            [clips, d_model], the decoder's output at the last of them.
        """
        count = self._prefix = self.length = len(tokens)
        self.make_room(count)
        self._others[:, :, :count] = 0
        shape = (count, self._rows(count))
        before = torch.full(shape, -inf, dtype=self._own.dtype, device=tokens.device).triu_(1)
        positions = torch.arange(count, device=tokens.device)
        place = slice(0, count)
        hidden = self._forward(tokens.expand(self.clips, -1), positions, before, place)
        torch.arange(count, count + self._beams, out=self._slots)
        self._position.fill_(count)
        return hidden[:, -1]

    @torch.inference_mode()
    def step(self, tokens: torch.Tensor, origins: torch.Tensor) -> torch.Tensor:
        """Feed one token per beam.

        Args:
            tokens: int64 [clips, beams].
            origins: int64 [clips, beams], which beam of the last step each one goes on from.

        Returns:
            [clips, beams, d_model], the decoder's output.
        """
        _, longest, _ = self.next_step()
        return self.feed(tokens, origins, longest)

    def next_step(self) -> tuple[int, int, bool]:
        """Count one token more and make room for it.

        Returns:
            The clips, as how long beams count, and whether they got other memory.
        """
        self.length += 1
        longest = self.longest(self.length)
        return self.clips, longest, self.make_room(longest)

    def longest(self, tokens: int) -> int:
        """As how long a beam of so many tokens counts: a multiple, but never above the limit."""
        return min(tokens + -tokens % self._together, self._max_length)

    def feed(self, tokens: torch.Tensor, origins: torch.Tensor, longest: int) -> torch.Tensor:
        """What `step` does after `next_step`; does nothing but on tensors that keep their place."""
        rows = self._rows(longest)
        mask = self._others[: self.clips, :, :rows]
        mask.copy_(mask.gather(1, origins[:, :, None].expand(-1, -1, rows)))
        place: Place = self._slots
        if self._together == 1:  # a plain copy is far quicker on a CPU
            place = slice(self._used() - self._beams, self._used())
        mask[:, :, place] = self._own
        hidden = self._forward(tokens, self._position, mask[:, None], place)
        self._slots += self._beams
        self._position += 1
        return hidden

    def move(self, movers: Sequence[int], holes: Sequence[int], clips: int) -> None:
        """Take clips out of the batch.

        Args:
            movers: places of clips that stay, in the places of others from now on.
            holes: those places.
            clips: so many are left, those in front.
        """
        self.clips = clips
        if not movers:
            return
        device = self._visible.device
        to, source = torch.tensor([list(holes), list(movers)], device=device)
        used = self._used()
        for layer in self._past:  # one by one: what is on its way takes memory, too
            layer[:, to, :, :used] = layer[:, source, :, :used]
        for rows in (self._visible, self._others, *(r for pair in self._sources for r in pair)):
            rows[to] = rows[source]

    def make_room(self, longest: int) -> bool:
        """Let beams become so long; whether they got other memory for it."""
        room, needed = self._others.shape[2], self._rows(longest)
        if needed <= room:
            return False
        # Twice what is there, so that long captions are moved seldom and short ones take little.
        beams = min(max(2 * room // self._beams, self._first), self._max_length)
        larger = max(needed, self._rows(self.longest(beams)))
        past, others = self._past, self._others
        self._past = past.new_zeros(*past.shape[:4], larger, past.shape[5])  # no row is infinite
        self._past[..., :room, :] = past
        self._others = functional.pad(others, (0, larger - room), value=-inf)
        return True

    def _read(self, states: torch.Tensor, mask: torch.Tensor) -> tuple[list[Pair], torch.Tensor]:
        """Keys and values of the encoder's output by layer, and what attention adds to them."""
        spare = -states.shape[1] % self._multiple
        states = functional.pad(states, (0, 0, 0, spare))
        sources = [source_of(layer, states) for layer in self._decoder.layers]
        padding = ~functional.pad(mask.bool(), (0, spare))[:, None, None, :]
        empty = torch.zeros(padding.shape, dtype=sources[0][0].dtype, device=mask.device)
        return sources, empty.masked_fill_(padding, -inf)

    def _used(self) -> int:
        """Rows of the past in use."""
        return self._prefix + self._beams * (self.length - self._prefix)

    def _rows(self, tokens: int) -> int:
        """Rows of the past when beams hold so many tokens, filled up."""
        rows = self._prefix + self._beams * (tokens - self._prefix)
        return rows + -rows % self._multiple

    def _forward(
        self, tokens: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor, place: Place
    ) -> torch.Tensor:
        """Tokens [clips, Q] to hidden states [clips, Q, d_model]; their rows go to `place`.

        `mask` [.., Q, rows] is added to attention; `positions` are those of all beams.
        """
        decoder = self._decoder
        hidden = decoder.embed_tokens(tokens)
        hidden = hidden + decoder.embed_positions(tokens, position_ids=positions)
        hidden = decoder.layernorm_embedding(hidden)
        visible = self._visible[: self.clips]
        for layer, past, source in zip(decoder.layers, self._past, self._sources, strict=True):
            keep = partial(self._keep, past[:, : self.clips], place, mask.shape[-1])
            own = [kept[: self.clips] for kept in source]
            hidden = decoder_layer(layer, hidden, keep, own, mask, visible)
        return hidden

    def _keep(self, past: torch.Tensor, place: Place, rows: int, new: torch.Tensor) -> torch.Tensor:
        """Keep a layer's new keys and values [2, clips, heads, Q, N], and give all to look at."""
        past[:, :, :, place] = new
        return past[..., :rows, :]

"""BART's decoder one token at a time, for several beams of several clips.

The same arithmetic as transformers' BartDecoder, arranged for beam search:
- keys and values of the encoder's output are computed and kept once per clip, not per beam;
- beams are never copied when they change places: a clip's past holds the rows of all its beams,
  and a mask says which of them are a beam's own ancestors;
- clips that are done leave the batch.
"""

from collections.abc import Sequence

import torch
from torch.nn import functional
from transformers import BartForConditionalGeneration
from transformers.models.bart.modeling_bart import BartAttention, BartDecoderLayer

from evaluate.captions.precision import logits_in_parts

Pair = tuple[torch.Tensor, torch.Tensor]  # keys and values, [clips, heads, N, d_model / heads]

_FIRST_STEPS = 16
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
        self._clips = len(encoder_states)
        self._length = 0  # tokens of a beam
        self._slots = 0  # rows of the past in use
        self._multiple = _MULTIPLE[encoder_states.device.type]
        spare = -encoder_states.shape[1] % self._multiple
        encoder_states = functional.pad(encoder_states, (0, 0, 0, spare))
        self._sources = [
            (_heads(layer.encoder_attn.k_proj(encoder_states), layer.encoder_attn),
             _heads(layer.encoder_attn.v_proj(encoder_states), layer.encoder_attn))
            for layer in self._decoder.layers
        ]  # fmt: skip
        self._kind = self._sources[0][0].dtype  # that layers compute in
        visible = functional.pad(attention_mask.bool(), (0, spare))
        self._visible = self._added(visible[:, None, None, :])
        self._past = [(keys[:, :, :0], values[:, :, :0]) for keys, values in self._sources]
        self._ancestors = visible[:, None, :0].expand(-1, beams, -1)

    @torch.inference_mode()
    def start(self, tokens: torch.Tensor) -> torch.Tensor:
        """Feed the tokens that every beam of every clip begins with.

        Args:
            tokens: int64 [P].

        Returns:
            [clips, d_model], the decoder's output at the last of them.
        """
        count = len(tokens)
        self._make_room(count)
        own = torch.ones(count, self._end(count), dtype=torch.bool, device=tokens.device).tril()
        hidden = self._forward(tokens.expand(self._clips, -1), own)
        self._ancestors[:, :, :count] = True
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
        self._make_room(self._beams)
        lines = self._ancestors[: self._clips]
        lines.copy_(lines.gather(1, origins[:, :, None].expand(-1, -1, lines.shape[2])))
        beams = torch.arange(self._beams, device=tokens.device)
        lines[:, beams, self._slots + beams] = True
        return self._forward(tokens, lines[:, None, :, : self._end(self._beams)])

    @torch.inference_mode()
    def drop(self, clips: Sequence[int]) -> list[int]:
        """Take clips out of the batch; those at its end move into their places.

        Args:
            clips: their places, in ascending order.

        Returns:
            The old place of each clip that stays, in the new order.
        """
        gone, left = set(clips), self._clips - len(clips)
        movers = [place for place in range(left, self._clips) if place not in gone]
        order = list(range(left))
        for hole, mover in zip(clips, movers, strict=False):
            order[hole] = mover
        # So few rows are moved that it pays at once, whenever a clip is done.
        self._clips = left
        if movers:
            device = self._visible.device
            to, source = torch.tensor([list(clips[: len(movers)]), movers], device=device)
            for pair in self._past:
                for rows in pair:
                    rows[to, :, : self._slots] = rows[source, :, : self._slots]
            for rows in (self._visible, self._ancestors, *(r for p in self._sources for r in p)):
                rows[to] = rows[source]
        return order

    def _make_room(self, count: int) -> None:
        """Let the past hold so many rows more."""
        capacity, needed = self._ancestors.shape[2], self._slots + count
        if needed <= capacity:
            return
        # Twice what is there, so that long captions are moved seldom and short ones take little.
        most = needed + self._beams * (self._max_length - self._length)
        larger = min(most, max(2 * capacity, count + _FIRST_STEPS * self._beams))
        larger += -larger % self._multiple
        self._past = [tuple(_larger(rows, larger) for rows in pair) for pair in self._past]  # type: ignore[misc]
        self._ancestors = _larger(self._ancestors, larger)

    def _end(self, count: int) -> int:
        """Rows of the past to be looked at once so many more are there, filled up."""
        end = self._slots + count
        return end + -end % self._multiple

    def _added(self, mask: torch.Tensor) -> torch.Tensor:
        """What attention adds where a mask says False, made once instead of in every layer."""
        empty = torch.zeros(mask.shape, dtype=self._kind, device=mask.device)
        return empty.masked_fill_(~mask, -torch.inf)

    def _forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Tokens [clips, Q] to hidden states [clips, Q, d_model]; `mask` [.., Q, past and own]."""
        decoder, count = self._decoder, tokens.shape[1]
        mask = self._added(mask)
        # The tokens handed to `start` follow each other, those of `step` stand side by side.
        first = self._slots == 0
        new = count if first else 1
        positions = torch.arange(self._length, self._length + new, device=tokens.device)
        hidden = decoder.embed_tokens(tokens)
        hidden = hidden + decoder.embed_positions(tokens[:, :new], position_ids=positions)
        hidden = decoder.layernorm_embedding(hidden)
        for layer, past, source in zip(decoder.layers, self._past, self._sources, strict=True):
            hidden = self._layer(layer, hidden, past, source, mask)
        self._length += new
        self._slots += count
        return hidden

    def _layer(
        self,
        layer: BartDecoderLayer,
        hidden: torch.Tensor,
        past: Pair,
        source: Pair,
        mask: torch.Tensor,
    ) -> torch.Tensor:
        attention, clips, end = layer.self_attn, self._clips, self._slots + hidden.shape[1]
        narrow = hidden.to(self._kind)  # once for its three projections
        for rows, projection in zip(past, (attention.k_proj, attention.v_proj), strict=True):
            rows[:clips, :, self._slots : end] = _heads(projection(narrow), attention)
        keys, values = (rows[:clips, :, : mask.shape[-1]] for rows in past)
        attended = _attend(attention, narrow, keys, values, mask)
        hidden = layer.self_attn_layer_norm(hidden + attended)
        keys, values = (rows[:clips] for rows in source)
        attended = _attend(layer.encoder_attn, hidden, keys, values, self._visible[:clips])
        hidden = layer.encoder_attn_layer_norm(hidden + attended)
        inner = layer.activation_fn(layer.fc1(hidden))
        return layer.final_layer_norm(hidden + layer.fc2(inner))


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
    tops, tokens, masses, start = [], [], [], 0
    for logits in logits_in_parts(bart, hidden):
        masses.append(logits.logsumexp(dim=-1, keepdim=True))
        top, index = logits.topk(min(count, logits.shape[-1]))
        tops.append(top)
        tokens.append(index + start)
        start += logits.shape[-1]
    top, index = torch.cat(tops, dim=-1).topk(min(count, start))
    mass = torch.cat(masses, dim=-1).logsumexp(dim=-1, keepdim=True)
    return top - mass, torch.cat(tokens, dim=-1).gather(-1, index)


def _attend(
    attention: BartAttention,
    hidden: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor,
) -> torch.Tensor:
    queries = _heads(attention.q_proj(hidden), attention)
    mixed = functional.scaled_dot_product_attention(
        queries, keys, values, attn_mask=mask, scale=attention.scaling
    )
    return attention.out_proj(mixed.transpose(1, 2).flatten(2))


def _heads(rows: torch.Tensor, attention: BartAttention) -> torch.Tensor:
    """[clips, N, d_model] to [clips, heads, N, d_model / heads]."""
    return rows.unflatten(2, (attention.num_heads, attention.head_dim)).transpose(1, 2)


def _larger(rows: torch.Tensor, capacity: int) -> torch.Tensor:
    """A copy of [clips, H, N, ...] with room for `capacity` instead of N."""
    grown = rows.new_zeros(*rows.shape[:2], capacity, *rows.shape[3:])  # no row is infinite
    grown[:, :, : rows.shape[2]] = rows
    return grown

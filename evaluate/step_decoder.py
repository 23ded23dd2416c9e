"""BART's decoder one token at a time, for several beams of several clips.

The same arithmetic as transformers' BartDecoder, arranged for beam search:
- keys and values of the encoder's output are computed and kept once per clip, not per beam;
- beams are never copied when they change places: a clip's past holds the rows of all its beams,
  and a mask says which of them are a beam's own ancestors;
- clips that are done leave the batch.
"""

import torch
from torch.nn import functional
from transformers import BartForConditionalGeneration
from transformers.models.bart.modeling_bart import BartAttention, BartDecoderLayer


class StepDecoder:
    """The decoder's state for a batch of clips. Beams per clip are set by the first `step`.

    Example:
        decoder = StepDecoder(bart, encoder_states, attention_mask, beams=4, max_length=64)
        logits = decoder.start(torch.tensor([2, 0]))       # [clips, vocabulary]
        logits = decoder.step(tokens, origins)             # [clips, 4, vocabulary]
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
        self._bart = bart
        self._decoder = bart.model.decoder
        self._beams = beams
        self._max_length = max_length
        self._length = 0  # tokens of a beam
        self._slots = 0  # rows of the past in use
        self._visible = attention_mask.bool()[:, None, None, :]
        self._sources = [
            (_heads(layer.encoder_attn.k_proj(encoder_states), layer.encoder_attn),
             _heads(layer.encoder_attn.v_proj(encoder_states), layer.encoder_attn))
            for layer in self._decoder.layers
        ]  # fmt: skip
        self._past: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._ancestors = torch.zeros(0)

    @torch.inference_mode()
    def start(self, tokens: torch.Tensor) -> torch.Tensor:
        """Feed the tokens that every beam of every clip begins with.

        Args:
            tokens: int64 [P].

        Returns:
            float32 [clips, vocabulary], logits of the next token.
        """
        clips, count = len(self._visible), len(tokens)
        capacity = count + self._beams * (self._max_length - count)
        self._past = [
            (_room_for(keys, capacity), _room_for(values, capacity))
            for keys, values in self._sources
        ]
        device = tokens.device
        own = torch.ones(count, count, dtype=torch.bool, device=device).tril()
        hidden = self._forward(tokens.expand(clips, -1), own)
        self._ancestors = torch.zeros(clips, self._beams, capacity, dtype=torch.bool, device=device)
        self._ancestors[:, :, :count] = True
        return self._logits(hidden[:, -1])

    @torch.inference_mode()
    def step(self, tokens: torch.Tensor, origins: torch.Tensor) -> torch.Tensor:
        """Feed one token per beam.

        Args:
            tokens: int64 [clips, beams].
            origins: int64 [clips, beams], which beam of the last step each one goes on from.

        Returns:
            float32 [clips, beams, vocabulary], logits of the next tokens.
        """
        index = origins[:, :, None].expand(-1, -1, self._ancestors.shape[2])
        self._ancestors = self._ancestors.gather(1, index)
        beams = torch.arange(self._beams, device=tokens.device)
        self._ancestors[:, beams, self._slots + beams] = True
        mask = self._ancestors[:, None, :, : self._slots + self._beams]
        return self._logits(self._forward(tokens, mask))

    def keep(self, clips: torch.Tensor) -> None:
        """Go on with these clips only, int64 [kept]."""
        self._visible = self._visible[clips]
        self._ancestors = self._ancestors[clips]
        self._sources = [(keys[clips], values[clips]) for keys, values in self._sources]
        self._past = [(keys[clips], values[clips]) for keys, values in self._past]

    def _forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Tokens [clips, Q] to hidden states [clips, Q, d_model]; `mask` [.., Q, past and own]."""
        decoder, count = self._decoder, tokens.shape[1]
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
        past: tuple[torch.Tensor, torch.Tensor],
        source: tuple[torch.Tensor, torch.Tensor],
        mask: torch.Tensor,
    ) -> torch.Tensor:
        attention, end = layer.self_attn, self._slots + hidden.shape[1]
        for rows, projection in zip(past, (attention.k_proj, attention.v_proj), strict=True):
            rows[:, :, self._slots : end] = _heads(projection(hidden), attention)
        keys, values = (rows[:, :, :end] for rows in past)
        attended = _attend(attention, hidden, keys, values, mask)
        hidden = layer.self_attn_layer_norm(hidden + attended)
        attended = _attend(layer.encoder_attn, hidden, *source, self._visible)
        hidden = layer.encoder_attn_layer_norm(hidden + attended)
        inner = layer.activation_fn(layer.fc1(hidden))
        return layer.final_layer_norm(hidden + layer.fc2(inner))

    def _logits(self, hidden: torch.Tensor) -> torch.Tensor:
        # In float32 even under autocast: bf16 logits near 10 are 0.06 apart, more than what
        # separates many beams.
        with torch.autocast(hidden.device.type, enabled=False):
            logits = self._bart.lm_head(hidden.to(self._bart.lm_head.weight.dtype))
            return logits + self._bart.final_logits_bias


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


def _room_for(like: torch.Tensor, capacity: int) -> torch.Tensor:
    clips, heads, _, width = like.shape
    return like.new_empty(clips, heads, capacity, width)

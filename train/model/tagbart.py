"""TagBart: BART and one dense layer per audio stream that adds it to the tags' tokens.

For generation, with a batch from train/data/inputs.py:
    embeds, mask = model.encoder_inputs(batch)
    ids = model.bart.generate(inputs_embeds=embeds, attention_mask=mask, …)
"""

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any

import torch
from torch import nn
from transformers import BartConfig, BartForConditionalGeneration, PreTrainedConfig, PreTrainedModel

from train.data.batches import Batch
from train.model.vocabulary import APART, looked_up_apart, output_layer, summed_loss


class TagBartConfig(PreTrainedConfig):
    """BART's configuration, whether tags are read, and how wide the audio is: 0 for none, a list
    for several streams.

    `decoding` is how the checkpoint that the run began with asks to be decoded
    (train/model/config_file.py).
    """

    model_type = "tagbart"
    sub_configs = {"bart": BartConfig}  # noqa: RUF012 - transformers' own name and type

    def __init__(
        self,
        bart: dict[str, Any] | BartConfig | None = None,
        tags: bool = True,
        audio_width: int | Sequence[int] = 0,
        decoding: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.bart = bart if isinstance(bart, BartConfig) else BartConfig(**(bart or {}))
        self.tags = tags
        widths = [audio_width] if isinstance(audio_width, int) else list(audio_width)
        self.audio_width = widths if len(widths) > 1 else sum(widths)
        self.decoding = decoding or {}
        super().__init__(**kwargs)

    @property
    def audio_widths(self) -> tuple[int, ...]:
        """Columns of each audio stream; () for none."""
        width = self.audio_width
        return tuple(width) if isinstance(width, list) else (width,) * (width > 0)


class TagBart(PreTrainedModel):
    """The captioner. Loads with `from_pretrained` from a run folder.

    Attributes:
        bart: the whole of BART, its language model head included.
        dense: audio width to d_model, None for tags alone; for several streams a list of such
            layers, whose outputs are summed. All that is added to BART.
        looks_up_apart: the gradient of embeddings that were looked up goes straight into that of
            the output layer, whose weights they share. Not for several processes that add gradients
            up by DistributedDataParallel.
    """

    config_class = TagBartConfig
    base_model_prefix = ""
    _supports_sdpa = True

    def __init__(self, config: TagBartConfig) -> None:
        super().__init__(config)
        self.bart = BartForConditionalGeneration(config.bart)
        width = int(self.bart.model.shared.embedding_dim)
        layers = [nn.Linear(columns, width) for columns in config.audio_widths]
        self.loss_of = summed_loss  # or what it was compiled to (train/faster.py)
        self.looks_up_apart = False
        self.dense: nn.Module | None = None
        if layers:
            self.dense = layers[0] if len(layers) == 1 else nn.ModuleList(layers)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Start dense layers as nn.Linear starts by itself, which is what the paper's did.

        That is uniform within ±1/sqrt(audio width), its bias too; transformers would make it
        N(0, 0.02) without a bias.
        """
        if any(module is layer for layer in self.dense_layers):
            module.reset_parameters()  # type: ignore[operator]  # mypy takes it for a tensor
        else:
            super()._init_weights(module)

    @property
    def dense_layers(self) -> list[nn.Linear]:
        """The dense layer of each audio stream."""
        modules = self.dense.modules() if self.dense is not None else []
        return [module for module in modules if isinstance(module, nn.Linear)]

    def encoder_inputs(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """What BART's encoder reads before it adds its own positions.

        Token embedding times BART's embedding scale, plus dense(audio row of the tag); at BOS, EOS
        and separators the audio is zero before the dense layer, which leaves its bias. Without
        tags, dense(audio rows) and no tokens.

        Returns:
            float [B, L, d_model] and the attention mask int64 [B, L].
        """
        embeds = None if batch.input_ids is None else self._embedded(batch.input_ids)[0]
        return self._with_audio(batch, embeds), batch.attention_mask

    def _embedded(self, *tokens: torch.Tensor) -> list[torch.Tensor]:
        """BART's embeddings of tokens, int64 [B, N] each, as BART scales them.

        Looked up at once: the gradient of each look-up is a matrix of the whole vocabulary.
        """
        numbers, table = torch.cat([part.flatten() for part in tokens]), self.bart.model.shared
        apart = (
            self.looks_up_apart
            and len(numbers) <= APART
            and torch.is_grad_enabled()
            and table.weight.requires_grad
            and self.bart.lm_head.weight is table.weight
        )
        rows = looked_up_apart(table, numbers) if apart else table(numbers)
        parts = rows.split([part.numel() for part in tokens])
        return [rows.unflatten(0, part.shape) for rows, part in zip(parts, tokens, strict=True)]

    def _with_audio(self, batch: Batch, embeds: torch.Tensor | None) -> torch.Tensor:
        """The encoder's inputs from the embeddings of its tokens, None for audio alone."""
        if embeds is None:
            return self._projected(batch)
        if self.dense is None:
            return embeds
        assert batch.audio_row is not None
        # Few audio rows stand behind many tokens: project the rows, then hand them out. Row 0 of
        # the table is what zero audio becomes.
        projected = self._projected(batch)
        bias = reduce(add, (layer.bias for layer in self.dense_layers))
        nothing = bias.to(projected.dtype).expand(len(projected), 1, -1)
        table = torch.cat([nothing, projected], dim=1)
        index = (batch.audio_row + 1).unsqueeze(-1).expand(-1, -1, table.shape[-1])
        return embeds + table.gather(1, index)

    def _projected(self, batch: Batch) -> torch.Tensor:
        """The audio rows through the dense layers, summed, [B, R, d_model]."""
        assert batch.audio is not None
        layers = self.dense_layers
        audio = batch.audio.to(layers[0].weight.dtype)
        parts = audio.split([layer.in_features for layer in layers], dim=-1)
        return reduce(add, (layer(p) for layer, p in zip(layers, parts, strict=True)))

    def forward(
        self, batch: Batch, label_smoothing: float = 0.0, on_padding: bool = False
    ) -> torch.Tensor:
        """Cross-entropy summed over the batch's labels, a float32 scalar.

        Args:
            batch: with what the decoder reads and shall say.
            label_smoothing: share of the mean over all entries.
            on_padding: padding is among the labels. Then no position looks at those of padding,
                nor at the last token's, as in the published code: its mask is that of the labels,
                which are a step ahead of what is read.
        """
        mask, spoken = batch.attention_mask, batch.decoder_ids
        assert spoken is not None and batch.labels is not None
        if batch.input_ids is None:
            embeds, (said,) = self._with_audio(batch, None), self._embedded(spoken)
        else:
            prompt, said = self._embedded(batch.input_ids, spoken)
            embeds = self._with_audio(batch, prompt)
        length = spoken.shape[1]
        seen = torch.ones(length, length, dtype=torch.bool, device=mask.device).tril()[None, None]
        if on_padding:
            seen = seen & (batch.labels != self.config.bart.pad_token_id)[:, None, None]
        hidden = self.bart.model(
            inputs_embeds=embeds,
            # Masks of four dimensions are taken as they are. Into others transformers looks, also
            # into the one that it makes where the decoder gets none, and the host waits for a GPU.
            attention_mask=_added(mask[:, None, None, :].bool(), embeds.dtype),
            decoder_inputs_embeds=said,
            decoder_attention_mask=_added(seen, embeds.dtype),
            use_cache=False,
        ).last_hidden_state
        return self.loss_of(
            output_layer(hidden.flatten(0, 1), self.bart.lm_head.weight),
            self.bart.final_logits_bias,
            # Compiled code would ask what these are a view of, which differs in a graph's batch.
            batch.labels.flatten().clone(),
            label_smoothing,
        )


def _added(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """What attention adds where a mask says False, made once instead of in every layer."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, -torch.inf)


def freeze_decoder(model: TagBart) -> None:
    """Stop the decoder's self-attention and MLP from learning (paper, Table 2).

    Cross-attention and layer norms stay free.
    """
    for layer in model.bart.model.decoder.layers:
        for part in (layer.self_attn, layer.fc1, layer.fc2):
            part.requires_grad_(False)


def trainable_parameters(model: nn.Module) -> int:
    """How many numbers learn; tied weights count once."""
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)

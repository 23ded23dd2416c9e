"""From rows of features to a model's input tensors, many clips at once.

For generation:
    builder = run.builder                                  # or InputBuilder.create(…)
    batch = builder.batch([clip.streams for clip in clips])    # argmax tags, padded
    embeds, mask = run.model.encoder_inputs(batch.to(device))
    run.model.bart.generate(inputs_embeds=embeds, attention_mask=mask, …)
    builder.tag_names(clip.streams)                        # the tags in a clip's prompt

For training, `block` takes drawn tags and `Block.batch(members)` pads any of its samples.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch

from features.errors import FormatError
from features.spec import EMBEDDING, TAG_LOGITS, StreamSpec
from train.config import InputsConfig
from train.draws import draw_tags, likeliest_tags
from train.prompts import NO_ROW, Prompts, TagTokens

IGNORED = -100  # a label that the loss leaves out


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Padded tensors for B samples; what a recipe does not use is None.

    Attributes:
        attention_mask: int64 [B, L], 1 at encoder positions that exist.
        input_ids: int64 [B, L], prompt tokens.
        audio: float [B, R, D] as the shards hold it, zeros after a clip's last row; or, where the
            rows live on the device, int [B, R, 1], their numbers (train/resident.py).
        audio_row: int64 [B, L], the row of `audio` behind each token, NO_ROW where it is zero.
        decoder_ids: int64 [B, T], what the decoder reads.
        labels: int64 [B, T], what it shall say, IGNORED where nothing counts.
    """

    attention_mask: torch.Tensor
    input_ids: torch.Tensor | None = None
    audio: torch.Tensor | None = None
    audio_row: torch.Tensor | None = None
    decoder_ids: torch.Tensor | None = None
    labels: torch.Tensor | None = None

    def to(self, device: torch.device | str) -> Self:
        """The same batch on another device; the host waits for no copy to a GPU."""
        device = torch.device(device)
        return self._each(lambda _, tensor: _sent(tensor, device).to(device, non_blocking=True))

    def clone(self) -> Self:
        """The same batch in memory of its own."""
        return self._each(lambda _, tensor: tensor.clone())

    def take(self, other: Self) -> None:
        """Become equal to a batch of the same shape, in place; waits as little as `to`."""
        for name, tensor in self._tensors().items():
            tensor.copy_(_sent(getattr(other, name), tensor.device), non_blocking=True)

    def shape(self) -> tuple:
        """What another batch must share to run through the same kernels: names, types, shapes."""
        return tuple((name, part.dtype, *part.shape) for name, part in self._tensors().items())

    def looked_up(self, table: torch.Tensor | None) -> Self:
        """The batch with the rows of `table` [rows, D] that its audio numbers, if it does."""
        if table is None or self.audio is None:
            return self
        return replace(self, audio=table[self.audio.squeeze(-1).long()])

    def part(self, rows: slice, *, inputs: int, audio: int, labels: int) -> Self:
        """Some rows, cut to so many encoder positions, audio rows and labels; views."""
        columns = {"audio": audio, "decoder_ids": labels, "labels": labels}
        return self._each(lambda name, tensor: tensor[rows, : columns.get(name, inputs)])

    def _each(self, change: Callable[[str, torch.Tensor], torch.Tensor]) -> Self:
        tensors = self._tensors()
        return replace(self, **{name: change(name, tensor) for name, tensor in tensors.items()})

    def _tensors(self) -> dict[str, torch.Tensor]:
        tensors = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: tensor for name, tensor in tensors.items() if tensor is not None}


def _sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The tensor as it can be copied to a device by itself: to a GPU from pinned memory only."""
    if device.type == "cuda" and not tensor.is_cuda:
        return tensor.contiguous().pin_memory()
    return tensor


@dataclass(frozen=True, kw_only=True)
class Rows:
    """One stream's rows of n clips, end to end: values [sum of counts, D], counts int64 [n]."""

    values: np.ndarray
    counts: np.ndarray

    @cached_property
    def start(self) -> np.ndarray:
        """int64 [n], each clip's first row in `values`."""
        return np.cumsum(self.counts) - self.counts


@dataclass(frozen=True, kw_only=True)
class Block:
    """Encoder inputs of n samples before padding.

    Attributes:
        prompts: tokens, or None for audio alone.
        audio: rows, or None for tags alone.
        ratio: tag rows per audio row.
        pad: the tokenizer's padding token.
    """

    prompts: Prompts | None
    audio: Rows | None
    ratio: int
    pad: int

    @cached_property
    def length(self) -> np.ndarray:
        """int64 [n], encoder positions of each sample."""
        if self.prompts is not None:
            return self.prompts.length
        assert self.audio is not None
        return self.audio.counts

    @cached_property
    def _start(self) -> np.ndarray:
        return np.cumsum(self.length) - self.length

    def batch(self, members: np.ndarray, *, columns: int = 0) -> Batch:
        """Pad the samples `members`, int [B], to the longest of them, to `columns` at least."""
        length = self.length[members]
        column = np.arange(max(columns, length.max()))
        present = column < length[:, None]
        tensors = {"attention_mask": torch.from_numpy(present.astype(np.int64))}
        if self.audio is not None:
            tensors["audio"] = torch.from_numpy(
                self._padded_audio(self.audio, members, columns if self.prompts is None else 0)
            )
        if self.prompts is not None:
            source = np.where(present, self._start[members][:, None] + column, 0)
            ids = np.where(present, self.prompts.tokens[source], self.pad)
            tensors["input_ids"] = torch.from_numpy(ids.astype(np.int64))
            if self.audio is not None:
                tag_row = np.where(present, self.prompts.tag_row[source], NO_ROW)
                last = self.audio.counts[members][:, None] - 1
                row = np.where(tag_row < 0, NO_ROW, np.minimum(tag_row // self.ratio, last))
                tensors["audio_row"] = torch.from_numpy(row.astype(np.int64))
        return Batch(**tensors)

    @staticmethod
    def _padded_audio(audio: Rows, members: np.ndarray, columns: int) -> np.ndarray:
        counts = audio.counts[members]
        column = np.arange(max(columns, counts.max()))
        source = audio.start[members][:, None] + np.minimum(column, counts[:, None] - 1)
        padded = audio.values[source]
        padded[column >= counts[:, None]] = 0
        return padded


@dataclass(frozen=True, kw_only=True)
class InputBuilder:
    """Turns feature rows into encoder inputs, as a recipe's [inputs] asks.

    Attributes:
        inputs: the recipe's section.
        streams: the streams that it uses, by name.
        tags: tokens of every tag, None for audio alone.
        pad: the tokenizer's padding token.
    """

    inputs: InputsConfig
    streams: dict[str, StreamSpec]
    tags: TagTokens | None
    pad: int

    @classmethod
    def create(
        cls, inputs: InputsConfig, streams: Mapping[str, StreamSpec], tokenizer: Any
    ) -> Self:
        """Pick the streams and encode every tag's name once.

        Raises:
            FormatError: if `streams` lacks one, or it is of another kind.
        """
        used = {}
        for name, kind in ((inputs.tags, TAG_LOGITS), (inputs.audio, EMBEDDING)):
            if name and (name not in streams or streams[name].kind != kind):
                raise FormatError(f"no stream {name!r} of kind {kind} among {list(streams)}")
            if name:
                used[name] = streams[name]
        tags = TagTokens.encode(tokenizer, used[inputs.tags].classes) if inputs.tags else None
        return cls(inputs=inputs, streams=used, tags=tags, pad=tokenizer.pad_token_id)

    @property
    def audio_width(self) -> int:
        """Columns of the audio stream, 0 without one."""
        return self.streams[self.inputs.audio].width if self.inputs.audio else 0

    @cached_property
    def ratio(self) -> int:
        """Tag rows per audio row: 10 for PANNs (10 s over 0.96 s), 1 for VGGish."""
        if not (self.inputs.tags and self.inputs.audio):
            return 1
        audio, tags = self.streams[self.inputs.audio], self.streams[self.inputs.tags]
        return max(1, round(audio.hop_s / tags.hop_s))

    def tag_counts(self, tag_rows: np.ndarray, audio_rows: np.ndarray | None) -> np.ndarray:
        """Rows of each clip that become tags: at equal clocks the shorter stream wins."""
        if audio_rows is None or self.ratio > 1:
            return tag_rows
        return np.minimum(tag_rows, audio_rows)

    def block(self, tags: Rows | None, audio: Rows | None, uniform: np.ndarray | None) -> Block:
        """Choose the tags of n clips and put their prompts together.

        Args:
            tags: logits, cut to `tag_counts` rows a clip already.
            audio: embeddings.
            uniform: float64 [rows of tags], numbers to draw with; None takes the likeliest tags.
        """
        prompts = None
        if tags is not None and self.tags is not None:
            if uniform is None:
                chosen = likeliest_tags(tags.values)
            else:
                chosen = draw_tags(tags.values, uniform)
            prompts = self.tags.prompts(
                chosen, tags.counts, max_tokens=self.inputs.max_prompt_tokens
            )
        return Block(prompts=prompts, audio=audio, ratio=self.ratio, pad=self.pad)

    def batch(self, clips: Sequence[Mapping[str, np.ndarray]]) -> Batch:
        """Encoder inputs of some clips with their likeliest tags, for generation.

        Args:
            clips: for each clip its streams' rows [T, D], by name (features.reader.Clip.streams).
        """
        tags, audio = self.gather(clips)
        return self.block(tags, audio, None).batch(np.arange(len(clips)))

    def tag_names(self, clip: Mapping[str, np.ndarray]) -> list[str]:
        """The tags in a clip's prompt, as the prompt says them; none for audio alone."""
        tags, _ = self.gather([clip])
        if tags is None or self.tags is None:
            return []
        return [self.tags.names[tag] for tag in likeliest_tags(tags.values)]

    def gather(self, clips: Sequence[Mapping[str, np.ndarray]]) -> tuple[Rows | None, Rows | None]:
        """The streams that the recipe uses, end to end: tag logits, cut to the rows that become
        tags, and embeddings; None where there is no such stream.

        Args:
            clips: for each clip its streams' rows [T, D], by name.
        """
        audio = tags = None
        if self.inputs.audio:
            audio = _joined([clip[self.inputs.audio] for clip in clips])
        if self.inputs.tags:
            rows = [clip[self.inputs.tags] for clip in clips]
            counts = self.tag_counts(
                np.array([len(part) for part in rows]), None if audio is None else audio.counts
            )
            tags = _joined([part[:count] for part, count in zip(rows, counts, strict=True)])
        return tags, audio


def _joined(rows: Sequence[np.ndarray]) -> Rows:
    return Rows(values=np.concatenate(rows), counts=np.array([len(part) for part in rows]))

"""Padded tensors for the model, many clips at once.

A Block holds the inputs of many samples end to end, as train/data/inputs.py puts them together;
`Block.batch(members)` pads any of its samples into a Batch.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Self

import numpy as np
import torch

from train.data.prompts import NO_ROW, Prompts

IGNORED = -100  # a label that the loss leaves out
_ALIGNED = 16  # bytes

# Each audio stream's rows [rows, D] on the device, where a batch brings their numbers.
AudioTables = tuple[torch.Tensor, ...]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Padded tensors for B samples; what a recipe does not use is None.

    Attributes:
        attention_mask: int64 [B, L], 1 at encoder positions that exist.
        input_ids: int64 [B, L], prompt tokens.
        audio: float [B, R, D] as the shards hold it, several streams side by side, zeros after a
            clip's last row; or, where the rows live on the device, int [B, R, streams], their
            numbers (train/data/resident.py).
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

    @property
    def room(self) -> int:
        """Bytes that all its tensors take end to end, each from a multiple of 16 on."""
        return sum(map(_room, self._tensors().values()))

    def within(self, memory: torch.Tensor) -> Self:
        """A batch of the same types and shapes in uint8 [room], filled with what stands there."""
        parts = iter(memory.split([_room(tensor) for tensor in self._tensors().values()]))
        return self._each(
            lambda _, tensor: next(parts)[: tensor.nbytes].view(tensor.dtype).view(tensor.shape)
        )

    def take(self, other: Self) -> None:
        """Become equal to a batch of the same shape, in place."""
        for name, tensor in self._tensors().items():
            tensor.copy_(getattr(other, name))

    def shape(self) -> tuple:
        """What another batch must share to run through the same kernels: names, types, shapes."""
        return tuple((name, part.dtype, *part.shape) for name, part in self._tensors().items())

    def looked_up(self, tables: AudioTables | None) -> Self:
        """The batch with the rows of the tables that its audio numbers, if it does."""
        if tables is None or self.audio is None:
            return self
        numbers = self.audio.long().unbind(-1)
        parts = [table[number] for table, number in zip(tables, numbers, strict=True)]
        return replace(self, audio=parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1))

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


def _room(tensor: torch.Tensor) -> int:
    return -(-tensor.nbytes // _ALIGNED) * _ALIGNED


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

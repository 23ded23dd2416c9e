"""Audio embeddings that live on the device: a batch brings row numbers and looks them up there.

Tags are drawn and prompts put together on the CPU, ahead of their use: that takes some 25
microseconds a clip in the loader's thread, and a seed gives the same tags on every device. What
would be copied for every batch, the embeddings, lies on the device instead.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch

from train.data.inputs import InputBuilder
from train.data.split import SplitData, StreamRows

_SHARE = 0.1  # of the device's memory that one split's embeddings may take


def fits(data: SplitData, builder: InputBuilder, device: torch.device) -> bool:
    """Whether a split's audio rows take little of a GPU's memory, and none has to be pooled."""
    if device.type != "cuda" or any(pace.pools for pace in builder.paces):
        return False
    streams = [data.streams[name] for name in builder.inputs.audio_streams]
    size = sum(values.nbytes for rows in streams for values in rows.parts)
    return 0 < size <= _SHARE * torch.cuda.get_device_properties(device).total_memory


def with_resident_audio(data: SplitData, streams: Sequence[str], device: torch.device) -> SplitData:
    """The same split with the rows of its audio streams on a device.

    Its batches bring the rows' numbers in the tables there; `Piece.on` looks them up. Row 0 of a
    table is zero, which is what stands after a clip's last row.
    """
    made = {name: _numbered(data.streams[name], device) for name in streams}
    numbers = {name: rows for name, (rows, _) in made.items()}
    tables = tuple(table for _, table in made.values())
    return replace(data, streams={**data.streams, **numbers}, audio_tables=tables)


def _numbered(rows: StreamRows, device: torch.device) -> tuple[StreamRows, torch.Tensor]:
    """A stream of row numbers, int32 [rows, 1], and the table that they stand for."""
    starts = np.cumsum([1, *map(len, rows.parts)]).tolist()
    kind = torch.from_numpy(np.array(rows.parts[0][:1])).dtype
    table = torch.zeros((starts[-1], rows.parts[0].shape[1]), dtype=kind, device=device)
    for start, values in zip(starts, rows.parts, strict=False):
        table[start : start + len(values)] = torch.from_numpy(np.array(values[:]))
    numbers = [np.arange(start, end, dtype=np.int32)[:, None] for start, end in pairwise(starts)]
    return replace(rows, parts=numbers), table

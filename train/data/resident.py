"""Audio embeddings that live on the device: a batch brings row numbers and looks them up there.

Tags are drawn and prompts put together on the CPU, ahead of their use: that takes some 25
microseconds a clip in the loader's thread, and a seed gives the same tags on every device. What
would be copied for every batch, the embeddings, lies on the device instead.
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch

from train.data.split import SplitData, StreamRows

_SHARE = 0.1  # of the device's memory that one split's embeddings may take


def fits(data: SplitData, stream: str, device: torch.device) -> bool:
    """Whether a split's rows of an audio stream take little of a GPU's memory."""
    if device.type != "cuda":
        return False
    size = sum(values.nbytes for values in data.streams[stream].parts)
    return size <= _SHARE * torch.cuda.get_device_properties(device).total_memory


def with_resident_audio(data: SplitData, stream: str, device: torch.device) -> SplitData:
    """The same split with its rows of an audio stream on a device.

    Its batches bring the rows' numbers in the table there; `Piece.on` looks them up. Row 0 of the
    table is zero, which is what stands after a clip's last row.
    """
    rows = data.streams[stream]
    starts = np.cumsum([1, *map(len, rows.parts)]).tolist()
    kind = torch.from_numpy(np.array(rows.parts[0][:1])).dtype
    table = torch.zeros((starts[-1], rows.parts[0].shape[1]), dtype=kind, device=device)
    for start, values in zip(starts, rows.parts, strict=False):
        table[start : start + len(values)] = torch.from_numpy(np.array(values[:]))
    numbers = [np.arange(start, end, dtype=np.int32)[:, None] for start, end in pairwise(starts)]
    numbered = StreamRows(parts=numbers, first=rows.first, counts=rows.counts)
    return replace(data, streams={**data.streams, stream: numbered}, audio_table=table)

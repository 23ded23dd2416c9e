"""The loss over every validation caption."""

import math

import numpy as np
import torch

from train.data.loader import Loader
from train.distributed import Processes, Quiet
from train.model.tagbart import TagBart
from train.updates import Updater, refuse


def validation_loss(
    model: TagBart, val: Loader, updater: Updater, processes: Processes, *, update: int
) -> tuple[float, int]:
    """The mean loss over the labels of all captions, and how many captions there are.

    Args:
        model: goes into evaluation mode.
        val: this process's share.
        updater: computes a pass's loss.
        processes: this process among those of the run.
        update: how many are done, for messages.

    Raises:
        RunError: if it is not finite.
    """
    model.eval()
    samples: list[np.ndarray] = []
    labels = 0
    losses = [torch.zeros((), device=processes.device)]  # a process may get no batch
    with torch.inference_mode():
        for piece in val.evaluation():
            losses.append(updater.loss(piece))
            samples.append(piece.samples)
            labels += piece.labels
    own = torch.stack(losses).double()
    counts = own.new_tensor([labels, sum(map(len, samples))])
    whole = processes.total(torch.cat([own.sum().view(1), counts]))
    total, all_labels, captions = whole.tolist()
    if not math.isfinite(total):
        finite = own[1:].isfinite().tolist()
        wrong = [part for part, fine in zip(samples, finite, strict=True) if not fine]
        if not wrong:  # they are in another process's share
            raise Quiet()
        refuse(f"validation after update {update}: loss is {total}", val, wrong)
    return total / all_labels, int(captions)

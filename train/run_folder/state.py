"""Everything that resuming needs, in one safetensors file: one rename publishes all of it.

Tensors: every trainable or frozen weight and buffer as `model.…`, both moments of AdamW as
`first.…` and `second.…`, its count of steps as `step.…`. Header: Progress as JSON. There is no
generator state to keep: order, tag draws and dropout follow from (seed, epoch, update).
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from features.common.errors import RunError
from features.common.publish import published
from train.model.tagbart import TagBart

NAME = "state.safetensors"
# 2: the loss is divided by captions x max_caption_tokens instead of the batch's own labels, and
# updates come in another order.
VERSION = 2


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a run stands.

    Attributes:
        update: updates done.
        best_loss: validation loss of the best weights so far, None before the first validation.
        best_update: after which update they were.
        best_cider_d: CIDEr-D of the best weights' sample; None where `train.best` does not ask.
        seconds: spent training so far.
        data: how many captions of how many clips it learns from, and fingerprints of these and of
            those it is measured by, as text; "" where not noted.
    """

    update: int = 0
    best_loss: float | None = None
    best_update: int = 0
    best_cider_d: float | None = None
    seconds: float = 0.0
    data: str = ""


def has_state(path: Path) -> bool:
    """Whether a run folder holds a state to go on from."""
    return (path / NAME).is_file()


class Optimizer(Protocol):
    """What is saved of an optimiser: torch's AdamW, or train.flat_adamw.FlatAdamW, whose `masters`
    are the float32 weights behind a model's bf16."""

    param_groups: list[dict[str, Any]]

    @property
    def state(self) -> Any: ...


def weights(model: TagBart, optimizer: Optimizer) -> dict[str, torch.Tensor]:
    """Parameters and buffers by name, float32, tied ones once."""
    named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    masters = getattr(optimizer, "masters", {})
    return {name: masters.get(tensor, tensor).detach() for name, tensor in named.items()}


def moments(model: TagBart, optimizer: Optimizer) -> dict[str, torch.Tensor]:
    """AdamW's moments and step of every weight that has learnt, as the state file names them."""
    found = {}
    for name, weight in model.named_parameters():
        if own := optimizer.state.get(weight):
            found[f"first.{name}"] = own["exp_avg"]
            found[f"second.{name}"] = own["exp_avg_sq"]
            found[f"step.{name}"] = own["step"]
    return found


def write_state(
    path: Path,
    weights: dict[str, torch.Tensor],
    moments: dict[str, torch.Tensor],
    progress: Progress,
) -> None:
    """Publish the state in the run folder `path`; contiguous tensors on the CPU."""
    tensors = {**{f"model.{name}": value for name, value in weights.items()}, **moments}
    header = {"version": str(VERSION), "progress": json.dumps(asdict(progress))}
    with published(path / NAME) as draft:
        save_file(tensors, draft, header)


def load_state(path: Path, model: TagBart, optimizer: Optimizer) -> Progress:
    """Put a saved state back into a model and its optimiser.

    Raises:
        RunError: if the file is damaged or does not belong to this recipe.
    """
    file_path = path / NAME
    try:
        with safe_open(file_path, "pt") as file:
            header = file.metadata()
            if header.get("version") != str(VERSION):
                raise RunError(
                    f"{file_path}: state version is {header.get('version')}, this program goes on "
                    f"from {VERSION}: the loss or the order of training is another since, and a "
                    "run is never a mixture; train again into another folder, or end this one "
                    "with the program that began it"
                )
            progress = Progress(**json.loads(header["progress"]))
            with torch.no_grad():
                for name, value in weights(model, optimizer).items():
                    value.copy_(_tensor_like(value, file, f"model.{name}"))
            _load_moments(file, model, optimizer)
    except RunError:
        raise
    except Exception as error:
        raise RunError(
            f"{file_path}: cannot be resumed from ({error}); train again into another folder"
        ) from error
    return progress


def _load_moments(file: safe_open, model: TagBart, optimizer: Optimizer) -> None:
    names = {weight: name for name, weight in model.named_parameters()}
    known = set(file.keys())
    for group in optimizer.param_groups:
        for weight in group["params"]:
            name = names[weight]
            if f"first.{name}" in known:
                found = {
                    "step": _tensor_like(torch.zeros(()), file, f"step.{name}"),
                    "exp_avg": _tensor_like(weight, file, f"first.{name}"),
                    "exp_avg_sq": _tensor_like(weight, file, f"second.{name}"),
                }
                for key, own in optimizer.state.get(weight, {}).items():
                    own.copy_(found[key])  # where it keeps its place
                if weight not in optimizer.state:
                    optimizer.state[weight] = {k: v.to(weight.device) for k, v in found.items()}


def _tensor_like(wanted: torch.Tensor, file: safe_open, name: str) -> torch.Tensor:
    """A saved tensor of the shape that belongs there, floating point and finite.

    Raises:
        ValueError: if it is not.
    """
    found = file.get_tensor(name)
    if found.shape != wanted.shape or found.dtype != torch.float32:
        raise ValueError(f"{name} is {found.dtype} {list(found.shape)}, not {list(wanted.shape)}")
    if not torch.isfinite(found).all():
        raise ValueError(f"{name} is not finite")
    return found

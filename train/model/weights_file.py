"""Weights from a model folder into BART or TagBart, exactly: what does not fit is refused by name.

transformers' own loader takes what is missing at random and only reports it, follows config.json
into other packages, and speaks of what it found in tracebacks. So the files are read here.
"""

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import BartForConditionalGeneration

from features.common.damaged import read_json, seen_in, some
from features.common.errors import WeightsError

SAFETENSORS, PICKLED = "model.safetensors", "pytorch_model.bin"
_INDEX = ".index.json"  # of weights that are cut into several files
# Counters that old releases carry; nothing reads them.
_NOT_READ = (".version",)
# Zeros where they are not in the file: releases of the bare BartModel have none.
_ZERO = ("final_logits_bias",)


def read_weights(folder: Path) -> tuple[Path, dict[str, Tensor]]:
    """The weights of a model folder: safetensors, or torch's pickles read without any code in them.

    Returns:
        The file, or the index of several, for messages; the tensors by name.

    Raises:
        WeightsError: if there are none, or a file is damaged.
    """
    for name in _names():
        path = folder / name
        if not path.is_file():
            continue
        if not name.endswith(_INDEX):
            return path, _read(path)
        state: dict[str, Tensor] = {}
        for part in _parts(path):
            state |= _read(part)
        return path, state
    raise WeightsError(f"{folder}: holds no weights; expected {SAFETENSORS} or {PICKLED}")


def fit_weights(model: nn.Module, state: Mapping[str, Tensor], path: Path, *, base: str) -> None:
    """Put weights into a model that must have exactly their names and shapes, as float32.

    Args:
        model: takes the weights; tied ones may stand under any of their names. One on torch's
            device "meta" gets its memory only when they fit.
        state: by the model's own names, or all without `base` in front.
        path: the file they came from, for messages.
        base: what the bare model's names lack in front, such as "model.".

    Raises:
        WeightsError: naming tensors that are missing, surplus, misshaped, not of floating point,
            not finite, or different where the model has one tensor under two names.
    """
    wanted = model.state_dict(keep_vars=True)
    found = {key: value for key, value in state.items() if not key.endswith(_NOT_READ)}
    if not any(key in wanted for key in found):
        based = {base + key: value for key, value in found.items()}
        found = based if any(key in wanted for key in based) else found
    told = {what: keys for what, keys in _misfits(wanted, found).items() if keys}
    if told:
        parts = "; ".join(f"{what}: {some(keys)}" for what, keys in told.items())
        raise WeightsError(
            f"{path}: not the weights of this model ({parts}); name a folder whose config.json "
            "and weights belong together"
        )
    if next(model.parameters()).is_meta:
        with_memory(model)
        wanted = model.state_dict(keep_vars=True)
    given = {id(wanted[key]) for key in found}
    with torch.no_grad():
        for key, value in found.items():
            wanted[key].copy_(value)
        for value in wanted.values():
            if id(value) not in given:
                value.zero_()


def with_memory(model: nn.Module) -> None:
    """Give a model on the device "meta" memory on the CPU, not filled, and tie what BART ties."""
    model.to_empty(device="cpu")
    for part in model.modules():
        if isinstance(part, BartForConditionalGeneration):
            part.tie_weights()


# What weights are computed with; others of floating point are codes that need a scale.
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def _misfits(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """Names of the tensors that do not fit, by what is wrong with them."""
    given: dict[int, str] = {}  # the model's tensor: under which name the file has it
    told: dict[str, list[str]] = {
        "missing": [], "surplus": [], "misshaped": [], "not floating point": [],
        "not finite": [], "different, but one tensor in this model": [],
    }  # fmt: skip
    for key, value in found.items():
        if key not in wanted:
            told["surplus"].append(key)
            continue
        first = given.setdefault(id(wanted[key]), key)
        if value.shape != wanted[key].shape:
            shapes = (_shape(value), _shape(wanted[key]))
            told["misshaped"].append(f"{key} {shapes[0]} where {shapes[1]} belongs")
        elif value.dtype not in _FLOATS:
            told["not floating point"].append(f"{key} {str(value.dtype).removeprefix('torch.')}")
        elif not torch.isfinite(value).all():
            told["not finite"].append(key)
        elif first != key and not torch.equal(value, found[first]):
            told["different, but one tensor in this model"].append(f"{first} and {key}")
    named: set[int] = set()
    for key, value in wanted.items():
        if id(value) not in given and id(value) not in named and not key.endswith(_ZERO):
            told["missing"].append(key)
        named.add(id(value))
    return told


def _names() -> tuple[str, ...]:
    return (SAFETENSORS, SAFETENSORS + _INDEX, PICKLED, PICKLED + _INDEX)


def _parts(index: Path) -> list[Path]:
    """The files that an index of weights names, each in its own folder."""
    named = read_json(index, WeightsError).get("weight_map")
    names = sorted(set(map(str, named.values()))) if isinstance(named, dict) else []
    strange = [name for name in names if Path(name).name != name]
    if strange or not names:
        raise WeightsError(
            f"{index}: its weight_map names {some(strange) or 'no files'}, expected files beside it"
        )
    absent = [name for name in names if not (index.parent / name).is_file()]
    if absent:
        raise WeightsError(f"{index}: names {some(absent)}, which is not there; get it again")
    return [index.parent / name for name in names]


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError,
            KeyError, TypeError, AttributeError, IndexError) as error:  # fmt: skip
        raise WeightsError(f"{path}: {seen_in(path, binary=True)}") from error
    if not isinstance(state, Mapping) or not all(isinstance(x, Tensor) for x in state.values()):
        raise WeightsError(f"{path}: holds {type(state).__name__}, expected tensors by name")
    return {str(name): tensor for name, tensor in state.items()}


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"

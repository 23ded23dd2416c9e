"""Files of weights → state dicts that fit their network exactly, and our own format for them.

Our format is safetensors with four metadata entries: `network` (a name for people), `config`
(JSON, the constructor's arguments), `classes` (JSON list of display names, for taggers) and
`source_sha256` (of the file or folder it was converted from, or empty).
"""

import csv
import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from features.common.checksum import sha256_of
from features.common.damaged import some, what_is
from features.common.errors import WeightsError, first_line
from features.common.publish import published


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A network with its weights, on the CPU and in eval mode.

    Attributes:
        module: the network.
        network: its name for people, such as "YAMNet".
        classes: display names of its outputs, empty if it has none.
        sha256: of the file that the weights came from.
    """

    module: nn.Module
    network: str
    classes: tuple[str, ...]
    sha256: str


def fit(module: nn.Module, state: Mapping[str, Tensor], path: Path, *, partial: bool) -> None:
    """Put weights into a network that must have exactly their names and shapes.

    Args:
        module: takes the weights, in eval mode afterwards.
        state: by the module's own names.
        path: the file they came from, for messages.
        partial: whether values that the module computes itself (its COMPUTED) may be absent.
            Batch norms' counters may always be, nothing reads them.

    Raises:
        WeightsError: naming the missing, surplus and misshaped keys, and those whose values are no
            weights.
    """
    wanted = module.state_dict()
    computed = getattr(module, "COMPUTED", ()) if partial else ()
    missing = [
        key
        for key in wanted
        if key not in state
        and not key.endswith("num_batches_tracked")
        and not key.startswith(tuple(computed))
    ]
    surplus = [key for key in state if key not in wanted]
    misshaped = [
        f"{key} {_shape(state[key])} where {_shape(value)} belongs"
        for key, value in wanted.items()
        if key in state and state[key].shape != value.shape
    ]
    unlike = [
        key
        for key, value in wanted.items()
        if key in state and value.is_floating_point() and not _is_finite(state[key])
    ]
    found = {
        "missing": missing,
        "surplus": surplus,
        "misshaped": misshaped,
        "whole numbers, NaN or infinite": unlike,
    }
    told = "; ".join(f"{what}: {some(keys)}" for what, keys in found.items() if keys)
    if told:
        raise WeightsError(
            f"{path}: not the weights of {type(module).__name__} as built here ({told}); "
            "put the released file there, or run: python -m extract fetch"
        )
    module.load_state_dict(state, strict=False)
    module.eval()


def save_network(
    path: Path,
    module: nn.Module,
    *,
    network: str,
    config: Mapping[str, Any],
    classes: Sequence[str] = (),
    source_sha256: str = "",
) -> None:
    """Publish a network in our format, without what it computes itself and norms' counters.

    Args:
        path: the .safetensors file to write.
        module: its tensors are saved in the dtypes they have; half precision halves the file.
        network: a name for people; it ends up in every shard.
        config: the constructor's keyword arguments that rebuild `module`.
        classes: display names of a tagger's outputs.
        source_sha256: of what it was converted from, if it was.
    """
    left_out = getattr(module, "COMPUTED", ())
    state = {
        key: value.detach().cpu().contiguous()
        for key, value in module.state_dict().items()
        if not key.startswith(tuple(left_out)) and not key.endswith("num_batches_tracked")
    }
    metadata = {
        "network": network,
        "config": json.dumps(dict(config)),
        "classes": json.dumps(list(classes), ensure_ascii=False),
        "source_sha256": source_sha256,
    }
    with published(path) as draft:
        save_file(state, draft, metadata=metadata)


def load_network(path: Path, build: Callable[..., nn.Module]) -> Loaded:
    """Read a network in our format; half-precision tensors become float32.

    Args:
        path: the .safetensors file.
        build: the network's class, called with the saved config.

    Raises:
        WeightsError: if the file is damaged, or does not fit what `build` makes.
    """
    metadata = read_metadata(path)
    try:
        config, classes = json.loads(metadata["config"]), json.loads(metadata["classes"])
        network = metadata["network"]
        module = build(**config)
    except (KeyError, ValueError, TypeError) as error:
        raise WeightsError(
            f"{path}: its metadata do not describe a {getattr(build, '__name__', build)} "
            f"({error!r}); make the file again with extract.weights.state_dicts.save_network"
        ) from error
    with safe_open(path, framework="pt") as file:
        # Not a dict, though it has keys().
        state = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
    fit(module, state, path, partial=True)
    return Loaded(module=module, network=network, classes=tuple(classes), sha256=sha256_of(path))


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a file in our format.

    Raises:
        WeightsError: if it is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise unreadable(path) from error


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a .npz file, pickles refused.

    Raises:
        WeightsError: if it is damaged or holds other things than arrays.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise unreadable(path) from error


def read_checkpoint(path: Path) -> Any:
    """What a released .pth file holds, read with weights_only=True: no code in it can run.

    PANNs' release keeps the state of its training sampler, numpy arrays pickled by numpy 1.

    Raises:
        WeightsError: if it is damaged, or holds objects other than tensors, arrays and containers.
    """
    try:
        with torch.serialization.safe_globals(_numpy_names()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise unreadable(path) from error


def read_class_names(path: Path, *, fetch: str = "yamnet") -> tuple[str, ...]:
    """The display names in a class map, a CSV with the columns index, mid, display_name.

    Args:
        path: the file.
        fetch: what brings it, for the message.

    Raises:
        WeightsError: if it is absent, lacks the column or a name, or is in another order.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
        names = tuple(row["display_name"] for row in rows)
    except FileNotFoundError as error:
        raise WeightsError(
            f"{path}: absent, so the classes have no names; put their class map there "
            f"(index, mid, display_name), or run: python -m extract fetch {fetch}"
        ) from error
    except (KeyError, UnicodeDecodeError, OSError) as error:
        raise WeightsError(
            f"{path}: not a class map ({first_line(error)}); expected columns index, mid, "
            "display_name, in UTF-8"
        ) from error
    for number, row in enumerate(rows):
        if row.get("index", str(number)) != str(number) or not row["display_name"]:
            raise WeightsError(
                f"{path}: class {number} is {list(row.values())}, expected its index, mid and "
                f"display_name, in order; get it again, e.g. with: python -m extract fetch {fetch}"
            )
    return names


def _numpy_names() -> list[Any]:
    """What numpy arrays and numbers are pickled with, by the module names of numpy 1 and 2."""
    from numpy._core import multiarray

    named: list[Any] = [np.ndarray, np.dtype]
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        named += [
            (multiarray._reconstruct, f"{module}._reconstruct"),
            (multiarray.scalar, f"{module}.scalar"),
        ]
    return named + [type(np.dtype(kind)) for kind in ("int32", "int64", "float32", "float64")]


def unreadable(path: Path) -> WeightsError:
    """What to raise for a file that is damaged or of another kind; in our own words, since torch's
    advise to let it run code."""
    what = what_is(path, binary=True)
    return WeightsError(
        f"{path}: cannot be read as weights: it {what}; get it again, e.g. with: "
        "python -m extract fetch"
    )


def _is_finite(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and bool(torch.isfinite(tensor).all())


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"

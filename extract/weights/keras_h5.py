"""Keras 2's weights files (`save_weights("name.h5")`) → arrays by name, read with h5py alone.

Layout, from what tf_keras writes: the attribute `layer_names` lists groups, each group's
attribute `weight_names` lists its data sets. A whole model saved by Keras 2 holds the same under
`model_weights`. Keras 3's files have neither.
"""

from pathlib import Path

import h5py
import numpy as np

from extract.weights.state_dicts import unreadable
from features.common.errors import WeightsError


def read_keras(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a Keras 2 weights file by their variables' names, without the `:0`.

    Raises:
        WeightsError: if it is damaged or no such file, or holds two arrays of one name.
    """
    found: dict[str, np.ndarray] = {}
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            if "layer_names" not in root.attrs:
                raise WeightsError(
                    f"{path}: is HDF5, but no weights file of Keras 2 (no layer_names); put the "
                    "released file there, or run: python -m extract fetch"
                )
            for layer in root.attrs["layer_names"]:
                group = root[layer]
                for weight in group.attrs["weight_names"]:
                    name = _text(weight).removesuffix(":0")
                    if name in found:
                        raise WeightsError(f"{path}: holds {name} twice; fetch it again")
                    found[name] = group[weight][()]
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise unreadable(path) from error
    return found


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name

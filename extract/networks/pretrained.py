"""Networks out of a folder as transformers saves it, refused unless its weights are all there."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch

from features.common.damaged import read_json, some
from features.common.errors import WeightsError, first_line

if TYPE_CHECKING:  # transformers takes seconds, and few extractions use it
    from transformers import PreTrainedModel

Model = TypeVar("Model", bound="PreTrainedModel")


def load_folder(kind: type[Model], folder: Path, *, surplus: tuple[str, ...] = ()) -> Model:
    """Read a model in float32 and eval mode.

    Args:
        kind: transformers' class.
        folder: with config.json and the weights.
        surplus: beginnings of names that the file may hold beyond the model.

    Raises:
        WeightsError: if the folder is of another kind of model, damaged, or lacks weights, where
            transformers would go on with random ones.
    """
    from transformers.utils import logging as transformers_logging

    _check_kind(kind, folder)
    transformers_logging.disable_progress_bar()
    try:
        loaded: Any = kind.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            attn_implementation="sdpa" if kind._supports_sdpa else "eager",
            dtype=torch.float32,
            output_loading_info=True,
        )
    except Exception as error:  # whatever a damaged file makes transformers raise
        raise WeightsError(
            f"{folder}: cannot be read as {kind.__name__} ({first_line(error)}); get it again, "
            f"e.g. with: python -m extract fetch {folder.name}"
        ) from error
    model, told = loaded
    problems = {
        "missing": told["missing_keys"],
        "surplus": [key for key in told["unexpected_keys"] if not key.startswith(surplus or "\0")],
        "misshaped": [str(found[0]) for found in told["mismatched_keys"]],
    }
    said = "; ".join(f"{what}: {some(sorted(keys))}" for what, keys in problems.items() if keys)
    if said:
        raise WeightsError(f"{folder}: not the weights of {kind.__name__} ({said}); get it again")
    return cast(Model, model.eval())


def _check_kind(kind: "type[PreTrainedModel]", folder: Path) -> None:
    path = folder / "config.json"
    expected = kind.config_class.model_type  # type: ignore[union-attr]
    found = read_json(path, WeightsError).get("model_type")
    if found != expected:
        raise WeightsError(f"{path}: is a model of type {found!r}, expected {expected!r}")

"""config.json of a model folder: what is known of BART is taken, checked, and nothing else.

transformers follows further keys (code of the folder's own, kernels fetched from a hub, other
weights files, quantisers), so it never gets to read the file.
"""

import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from transformers import BartConfig

from features.common.damaged import read_json
from features.common.errors import ConfigError, WeightsError
from train.model.tagbart import TagBartConfig
from train.recipes.config import BartShape

NAME = "config.json"
_GENERATION_NAME = "generation_config.json"
# What of a checkpoint's own decoding reaches the published code's search, by transformers' names.
DECODING: dict[str, tuple[tuple[type, ...], str]] = {
    "max_length": ((int,), "a whole number of 0 or more"),
    "length_penalty": ((int, float), "a number"),
    "no_repeat_ngram_size": ((int,), "a whole number of 0 or more"),
    "early_stopping": ((bool,), "true or false"),
}
# BART's own; prompts, labels and the search are built on them.
_TOKENS = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
_ATTENTION_KEYS = ("attn_implementation", "_attn_implementation")
_ATTENTION = (None, "eager", "sdpa")


def model_type(folder: Path) -> str:
    """What a folder's config.json says it is: "bart", "tagbart" or another architecture's name.

    Raises:
        WeightsError: if there is no such file, or it is damaged.
    """
    return str(_read(folder).get("model_type"))


def read_bart_config(folder: Path) -> BartConfig:
    """The configuration of a folder with BART.

    Raises:
        WeightsError: if it is damaged, of another architecture, or asks for what BART has not.
    """
    raw = _read(folder)
    _require_type(folder, raw, BartConfig.model_type)
    return BartConfig(**_bart_values(folder / NAME, raw))


def read_tagbart_config(folder: Path) -> TagBartConfig:
    """The configuration of a run folder.

    Raises:
        WeightsError: as `read_bart_config`.
    """
    raw = _read(folder)
    _require_type(folder, raw, TagBartConfig.model_type)
    path = folder / NAME
    bart, tags = raw.get("bart"), raw.get("tags")
    width: Any = raw.get("audio_width")
    decoding = raw.get("decoding") or {}
    if not (isinstance(bart, Mapping) and isinstance(decoding, Mapping) and isinstance(tags, bool)
            and _is_width(width, least=int(not tags))):  # fmt: skip
        raise WeightsError(
            f"{path}: is no run's config.json (bart, tags, audio_width, decoding are not as train "
            "writes them); get the folder again from where it came from"
        )
    _check_attention(path, raw)
    values = _bart_values(path, bart)
    return TagBartConfig(
        bart=BartConfig(**values),
        tags=tags,
        audio_width=width,
        decoding=_decoding(path, decoding),
    )


def _is_width(width: Any, *, least: int) -> bool:
    """Whether this is a width of one audio stream, or a list of those of several."""
    if isinstance(width, list) and len(width) > 1:
        return all(_is_width(item, least=1) for item in width)
    return type(width) is int and least <= width < 1 << 31


def read_decoding(folder: Path) -> dict[str, Any]:
    """How a checkpoint asks to be decoded, as far as it says so: DECODING's names and values.

    The published code leaves to its checkpoint what it does not set; the search of ours does not.

    Raises:
        WeightsError: if a file is damaged, or a value is none that a search can have.
    """
    found = _decoding(folder / NAME, _read(folder))
    path = folder / _GENERATION_NAME  # newer than config.json's word, where it is there
    return found | (_decoding(path, read_json(path, WeightsError)) if path.is_file() else {})


def _decoding(path: Path, raw: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: raw[key] for key in DECODING if raw.get(key) is not None}
    for key, value in found.items():
        types, expected = DECODING[key]
        if (
            type(value) not in types
            or not math.isfinite(value)
            or (value < 0 and key != "length_penalty")
        ):
            raise WeightsError(f"{path}: {key} is {value!r}, expected {expected}; mend it there")
    return found


def _read(folder: Path) -> dict[str, Any]:
    path = folder / NAME
    if not path.is_file():
        raise WeightsError(f"{folder}: no {NAME}")
    return read_json(path, WeightsError)


def _require_type(folder: Path, raw: Mapping[str, Any], wanted: str) -> None:
    found = raw.get("model_type")
    if found != wanted:
        raise WeightsError(
            f"{folder / NAME}: model_type is {found!r}, expected {wanted!r}: weights of another "
            "architecture do not fit"
        )


def _bart_values(path: Path, raw: Mapping[str, Any]) -> dict[str, Any]:
    """BART's shape and dropouts as config.json has them; its defaults where it says nothing."""
    _check_attention(path, raw)
    for name, wanted in _TOKENS.items():
        if raw.get(name, wanted) != wanted:
            raise WeightsError(f"{path}: {name} is {raw[name]!r}, BART's is {wanted}")
    known = {item.name for item in fields(BartShape)}
    try:
        shape = BartShape(**{key: value for key, value in raw.items() if key in known})
    except ConfigError as error:
        raise WeightsError(f"{path}: {error}") from error
    return vars(shape)


def _check_attention(path: Path, raw: Mapping[str, Any]) -> None:
    """Refuse attention that transformers would fetch or import another package for."""
    for key in _ATTENTION_KEYS:
        if raw.get(key) not in _ATTENTION:
            raise WeightsError(
                f"{path}: {key} is {raw[key]!r}, expected 'sdpa' or 'eager'; no other code is run "
                "for a model folder"
            )

"""An evaluation folder is of one run and one way of captioning; another one asks first."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evaluate.scores.results import JSON_NAME, Origin, read_results
from features.common.damaged import read_json
from features.common.errors import RunError, TagbartError
from features.common.publish import write_json

# Written before the captions, which stand for a while without scores.
NAME = ".evaluation.json"
_PATHS = ("run", "features")


def note_settings(out: Path, made: Origin, features: Path) -> None:
    """Note what the captions of a folder come from."""
    write_json(out / NAME, _record(made, features))


def check_same_settings(out: Path, made: Origin, features: Path) -> None:
    """Refuse a folder that holds an evaluation of something else.

    Raises:
        RunError: saying what differs.
    """
    found = _found(out)
    if found is None:
        return
    # Through JSON, so that both are of the same types.
    asked = json.loads(json.dumps(_record(made, features)))
    different = list(_differences(found, {key: asked[key] for key in asked if key in found}))
    if different:
        raise RunError(
            f"{out}: holds an evaluation of other settings ({'; '.join(different)}); name another "
            "--out, or replace it by --overwrite"
        )


def _record(made: Origin, features: Path) -> dict[str, Any]:
    return {**asdict(made), "features": str(features)}


def _found(out: Path) -> Mapping[str, Any] | None:
    """What a folder's captions come from; None if it holds none."""
    if (out / NAME).is_file():
        return read_json(out / NAME, RunError)
    if not (out / JSON_NAME).is_file():
        return None
    try:
        evaluation = read_results(out).evaluation
    except TagbartError as error:
        raise RunError(
            f"{error}; name another --out, or replace what is in {out} by --overwrite"
        ) from error
    return {"run": "none, but a predictions file"} if evaluation is None else asdict(evaluation)


def _differences(found: Mapping[str, Any], asked: Mapping[str, Any]) -> Iterator[str]:
    for key, value in asked.items():
        other = found[key]
        if key == "decoding" and isinstance(other, dict):
            yield from _differences({name: other.get(name) for name in value}, value)
        elif key in _PATHS:
            if Path(str(other)).resolve() != Path(value).resolve():
                yield f"{key} {other}, now {value}"
        elif other != value:
            yield f"{key} {other}, now {value}"

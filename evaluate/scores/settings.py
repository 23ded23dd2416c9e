"""The settings of the runs behind evaluations, and those in which several runs differ."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from features.common.errors import TagbartError
from features.common.reading import read_json
from features.spec import heard_test_clips
from train.recipes.config import SECTIONS
from train.recipes.files import FILE_NAME, read_resolved

MOST_NAMED = 4
_STREAMS_NAME = "streams.json"  # as train/run_folder/checkpoint.py has it, which imports torch


def settings_of(run: str, evaluation: Path) -> dict[str, Any]:
    """A run's settings by `section.key`, but for its seed; none where its recipe is not at hand.

    Args:
        run: the run folder as scores.json has it, relative to where `evaluate run` was started.
        evaluation: the evaluation's folder, which often lies in the run's.
    """
    for path in _places(run, evaluation, FILE_NAME):
        if path.is_file():
            try:
                recipe = read_resolved(path)
            except TagbartError:
                return {}  # of another version: its numbers still count
            return {
                f"{section}.{key}": value
                for section in SECTIONS
                for key, value in asdict(getattr(recipe, section)).items()
                if (section, key) != ("train", "seed")
            }
    return {}


def heard_of(run: str, evaluation: Path) -> str:
    """Whether the networks behind a run have heard AudioCaps' test clips: yes, no or unknown."""
    for path in _places(run, evaluation, _STREAMS_NAME):
        try:
            return heard_test_clips(read_json(path).values())
        except (OSError, ValueError, AttributeError, TypeError):
            continue  # not at hand, or damaged: its numbers still count
    return heard_test_clips([])


def _places(run: str, evaluation: Path, name: str) -> list[Path]:
    """Where a file of the run may be: where the run was, and around the evaluation."""
    return [Path(run) / name] * bool(run) + [evaluation.resolve().parent / name]


def differing(several: Sequence[Mapping[str, Any]]) -> list[str]:
    """Keys whose values are not the same in all of several mappings, in order."""
    keys = dict.fromkeys(key for one in several for key in one)
    return [key for key in keys if any(one.get(key) != several[0].get(key) for one in several)]


def named(settings: Mapping[str, Any], keys: Iterable[str]) -> str:
    """Some settings as text, e.g. `optim.epochs=6, inputs.audio=""`; the last ones counted only."""
    known = [key for key in keys if key in settings]
    shown = [f"{key}={_plain(settings[key])}" for key in known[:MOST_NAMED]]
    rest = len(known) - len(shown)
    return ", ".join([*shown, *([f"{rest} more settings"] if rest else [])])


def _plain(value: Any) -> str:
    return json.dumps(value) if value == "" or isinstance(value, tuple) else str(value)

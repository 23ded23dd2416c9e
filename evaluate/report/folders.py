"""Evaluation folders as the report needs them: systems, their captions, their scores per clip."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from evaluate.scores.cli import short_names
from evaluate.scores.predictions import Prediction, read_predictions
from evaluate.scores.results import (
    CSV_NAME,
    JSON_NAME,
    METRICS,
    PREDICTIONS_NAME,
    Origin,
    Result,
    check_predictions,
    read_results,
)
from evaluate.scores.settings import differing, named
from features.common.errors import TagbartError
from features.common.reading import check_ordinary

# What clips are ranked by: the first of these that every folder has.
_RANKING = ("spider", "cider_d", *METRICS)
_HEARD = ("likelihood", "cosine", "combined")  # of candidates that were chosen by ear
# Captions without references, and a copy of predictions.jsonl, are no further systems.
_NO_SYSTEM = (PREDICTIONS_NAME, "unscored.jsonl")


@dataclass(frozen=True, kw_only=True)
class System:
    """Something that captioned the clips: a run, or a baseline.

    Attributes:
        label: how the report calls it.
        path: evaluation folder, or a baseline's predictions file.
        predictions: by clip id, in the file's order.
        result: its scores.json; None for a baseline that was not scored.
        clip_scores: clip id: metric: value; a value that is not there is NaN.
        n_best: clip id: records of Candidate.as_json (evaluate/captions/candidate.py), none where
            no list was kept.
    """

    label: str
    path: Path
    predictions: dict[str, Prediction]
    result: Result | None
    clip_scores: dict[str, dict[str, float]] = field(repr=False)
    n_best: dict[str, list[dict[str, Any]]] = field(repr=False)

    def caption(self, clip: str) -> str:
        """What it said, "" for a clip that it was not asked about."""
        found = self.predictions.get(clip)
        return found.candidate if found else ""

    def score(self, clip: str, metric: str) -> float:
        return self.clip_scores.get(clip, {}).get(metric, math.nan)

    @property
    def made(self) -> Origin | None:
        """The run that it is, and how its captions were made, if that is on record."""
        return self.result.evaluation if self.result else None


@dataclass(frozen=True, kw_only=True)
class Study:
    """What a report is about.

    Attributes:
        systems: one per evaluation folder.
        baselines: further predictions in the first folder.
        clips: those that all systems captioned, in the first one's order.
        left_out: clips that only some systems captioned.
        metric: what clips are ranked by.
    """

    systems: tuple[System, ...]
    baselines: tuple[System, ...]
    clips: tuple[str, ...]
    left_out: tuple[str, ...]
    metric: str

    @cached_property
    def metrics(self) -> list[str]:
        """All that some system has, in the order of tables."""
        return [
            name
            for name in METRICS
            if any(s.result and name in s.result.corpus for s in self.systems)
        ]

    def references(self, clip: str) -> tuple[str, ...]:
        return self.systems[0].predictions[clip].references

    def difference(self, clip: str) -> float:
        """How far the systems' scores lie apart; for two, the second minus the first."""
        values = [system.score(clip, self.metric) for system in self.systems]
        if len(values) == 2:
            return values[1] - values[0]
        return max(values) - min(values)


def read_study(folders: Sequence[Path]) -> Study:
    """Read evaluation folders and see which clips they share.

    Raises:
        TagbartError: if a folder is no evaluation, or they share no clip.
    """
    systems = tuple(
        _read_system(folder, label) for folder, label in zip(folders, _labels(folders), strict=True)
    )
    first, *others = systems
    clips = tuple(clip for clip in first.predictions if all(clip in s.predictions for s in others))
    if not clips:
        raise TagbartError(
            f"{folders[0]} and the other folders share no clip; compare evaluations of one split"
        )
    everything = dict.fromkeys(clip for system in systems for clip in system.predictions)
    shared = [
        name
        for name in _RANKING
        if all(system.result and name in system.result.corpus for system in systems)
    ]
    if not shared:
        raise TagbartError(f"{folders[0]} and the other folders share no metric; score them again")
    return Study(
        systems=systems,
        baselines=tuple(_read_baselines(folders[0], first)),
        clips=clips,
        left_out=tuple(clip for clip in everything if clip not in set(clips)),
        metric=shared[0],
    )


def _labels(folders: Sequence[Path]) -> list[str]:
    """What systems are called: recipe and seed, and what else tells them apart."""
    # One folder is called by its last two names, e.g. yamnet-panns/test.
    alone = "/".join(folders[0].resolve().parts[-2:])
    paths = [alone] if len(folders) == 1 else short_names(list(folders))
    origins = [
        read_results(folder).evaluation if (folder / JSON_NAME).is_file() else None
        for folder in folders
    ]
    names = [f"{made.recipe}, seed {made.seed}" if made else "" for made in origins]
    decoding = [{"split": made.split, **made.decoding} if made else {} for made in origins]
    labels = []
    for name, path, own in zip(names, paths, decoding, strict=True):
        alike = [other for other, of in zip(decoding, names, strict=True) if of == name]
        differs = differing(alike) if name else []
        if not name:
            labels.append(path)
        elif differs:
            labels.append(f"{name}, {named(own, differs)}")
        else:  # the same in all that is on record
            labels.append(name if len(alike) == 1 else f"{name} ({path})")
    return labels


def _read_system(folder: Path, label: str) -> System:
    result = read_results(folder)
    # A bare `evaluate score` records the path that it was given, relative to where it ran.
    names = (folder / PREDICTIONS_NAME, folder / Path(result.predictions).name)
    path = next((item for item in (*names, Path(result.predictions)) if item.is_file()), None)
    if path is None:
        raise TagbartError(
            f"{folder}: {JSON_NAME} was made from {result.predictions}, which is not there; put it "
            f"into {folder} as {PREDICTIONS_NAME}"
        )
    check_predictions(folder, result, path)
    predictions = read_predictions(path)
    return System(
        label=label,
        path=folder,
        predictions=predictions,
        result=result,
        clip_scores=read_clip_scores(folder / CSV_NAME),
        n_best={clip: _checked_n_best(path, item) for clip, item in predictions.items()},
    )


def _read_baselines(folder: Path, model: System) -> list[System]:
    """Other predictions in the folder; NAME.jsonl has its scores, if any, in NAME/."""
    found = []
    said = {clip: item.candidate for clip, item in model.predictions.items()}
    for path in sorted(folder.glob("*.jsonl")):
        if path.name in _NO_SYSTEM:
            continue
        predictions = read_predictions(path)
        if {clip: item.candidate for clip, item in predictions.items()} == said:
            continue
        scored = folder / path.stem
        has_scores = (scored / JSON_NAME).is_file()
        result = read_results(scored) if has_scores else None
        if result is not None:
            check_predictions(scored, result, path)
        found.append(
            System(
                label=path.stem.replace("-", " "),
                path=path,
                predictions=predictions,
                result=result,
                clip_scores=read_clip_scores(scored / CSV_NAME) if has_scores else {},
                n_best={},
            )
        )
    return found


def read_clip_scores(path: Path) -> dict[str, dict[str, float]]:
    """Read a scores.csv: clip id: metric: value, NaN where a cell is empty.

    Raises:
        TagbartError: if it is absent or not as evaluate/scores/results.py writes it.
    """
    try:
        check_ordinary(path)
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            return {
                row.pop("clip"): {
                    name: float(value) if value else math.nan for name, value in row.items()
                }
                for row in reader
            }
    except OSError as error:
        raise TagbartError(f"{path}: cannot be read ({error.strerror}); score again") from error
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        raise TagbartError(f"{path}: is no table of scores ({error}); score again") from error


def _checked_n_best(path: Path, said: Prediction) -> list[dict[str, Any]]:
    records = [item for item in said.n_best if isinstance(item, dict)]
    if len(records) < len(said.n_best) or not all(
        type(item.get(key)) in (int, float)
        for item in records
        for key in ("probability", *(_HEARD if "combined" in item else ()))
    ):
        raise TagbartError(
            f"{path}, clip {said.clip!r}: n_best is no list of captions with probabilities; "
            "caption again"
        )
    return records

"""Does a run listen? Its captions of the same clips once more, with other audio or with none.

A caption that only sounds likely keeps much of its score whatever is heard. So a split is captioned
again under CONDITIONS (docs/scoring.md says each exactly) and scored together with the run's own
captions: intervals and paired differences rest on the same draws of clips.

OUT/listen-check.json              values, intervals, differences; whose captions they belong to
OUT/listen-check/CONDITION/        an evaluation folder each, for `evaluate report` and `table`
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evaluate.captions.caption import load_listener
from evaluate.captions.generate import caption_clips
from evaluate.captions.options import CLAP, DecodingOptions
from evaluate.metrics.wording import WORDING, jackknife
from evaluate.scores.bootstrap import draw_weights, paired
from evaluate.scores.layout import aligned, percent, terminal_width
from evaluate.scores.predictions import Prediction, write_predictions
from evaluate.scores.results import METRICS, PREDICTIONS_NAME, Scores
from features.common.console import progress
from features.common.errors import ConfigError, TagbartError
from features.common.publish import write_json
from features.reader import Clip, Features
from features.spec import EMBEDDING, TAG_LOGITS
from train.run_folder.checkpoint import Run

FORMAT, VERSION = "tagbart-listen-check", 1
JSON_NAME, FOLDER = "listen-check.json", "listen-check"
SILENCE_S = 10.0  # what AudioCaps' clips last
# Name of a folder: how tables call it.
CONDITIONS = {
    "shuffled": "audio of another clip",
    "silent": "digital silence",
    "missing": "nothing heard",
    "tags": "tags alone",
}
OWN = "as it is"

Streams = dict[str, np.ndarray]


class NotPossible(Exception):
    """A condition that this run cannot be put under here; says why."""


@dataclass(frozen=True, kw_only=True)
class Listening:
    """A run, the clips that it is asked about, and how.

    Attributes:
        run: as it captioned the split.
        features: the split.
        options: as the run captioned it.
        weights: folder with the networks' weights, for silence.
    """

    run: Run
    features: Features
    options: DecodingOptions
    weights: Path

    def caption(self) -> tuple[dict[str, list[str]], dict[str, str]]:
        """Caption the split under every condition.

        Returns:
            Captions by condition, in the split's order; and why others are not possible.
        """
        makers: dict[str, Callable[[], Iterator[Clip]]] = {
            "shuffled": self._shuffled,
            "silent": self._silent,
            "missing": self._missing,
            "tags": self._tags,
        }
        captions, why_not = {}, {}
        for name, make in makers.items():
            try:
                captions[name] = self._said(name, make())
            except NotPossible as error:
                why_not[name] = str(error)
        return captions, why_not

    def _said(self, name: str, clips: Iterator[Clip]) -> list[str]:
        first = next(clips)  # what is not possible is said before the bar
        options = replace(self.options, n_best=1)
        total = len(self.features) * options.passes
        with progress(total=total, what=CONDITIONS[name], unit="captions") as bar:
            found = caption_clips(self.run, _chained(first, clips), options, done=bar.update)
        return [caption.text for caption in found]

    def _shuffled(self) -> Iterator[Clip]:
        """Every clip with the features of the one half the split further on: never its own."""
        count = len(self.features)
        if count < 2:
            raise NotPossible("a split of one clip has no other audio")
        for index in range(count):
            other = self.features[(index + count // 2) % count]
            yield replace(self.features[index], streams=other.streams)

    def _silent(self) -> Iterator[Clip]:
        """Every clip with what the run's own networks make of silence."""
        try:
            listener = load_listener(
                self.run.path, self.weights, str(self.run.model.device), self.options.precision
            )
        except TagbartError as error:
            raise NotPossible(f"needs the run's networks, see --weights: {error}") from error
        rows: Streams = {}
        for name, encoder in listener.encoders.items():
            samples = round(SILENCE_S * encoder.spec.sample_rate_hz)
            [heard] = encoder.encode([torch.zeros(samples, device=self.run.model.device)])
            rows[name] = heard.float().cpu().numpy().astype(encoder.spec.dtype)
        for clip in self._clips():
            yield replace(clip, streams=rows)

    def _missing(self) -> Iterator[Clip]:
        """Every clip without a tag, its embeddings zero."""
        for clip in self._clips():
            streams = {
                name: rows[:0] if self._kind(name) == TAG_LOGITS else np.zeros_like(rows)
                for name, rows in self._read(clip).items()
            }
            yield replace(clip, streams=streams)

    def _tags(self) -> Iterator[Clip]:
        """Every clip with its own tags, its embeddings zero."""
        kinds = set(map(self._kind, self.run.builder.streams))
        if TAG_LOGITS not in kinds:
            raise NotPossible("the run reads no tags")
        if EMBEDDING not in kinds:
            raise NotPossible("the run reads nothing else, so this is the run as it is")
        for clip in self._clips():
            streams = {
                name: rows if self._kind(name) == TAG_LOGITS else np.zeros_like(rows)
                for name, rows in self._read(clip).items()
            }
            yield replace(clip, streams=streams)

    def _clips(self) -> Iterator[Clip]:
        return (self.features[index] for index in range(len(self.features)))

    def _read(self, clip: Clip) -> Streams:
        """The streams that the run reads."""
        return {name: clip.streams[name] for name in self.run.builder.streams}

    def _kind(self, name: str) -> str:
        return self.run.builder.streams[name].kind


def _chained(first: Clip, others: Iterator[Clip]) -> Iterator[Clip]:
    yield first
    yield from others


def write_captions(
    out: Path, features: Features, captions: Mapping[str, Sequence[str]]
) -> list[Path]:
    """Publish the conditions' captions of clips with references; their evaluation folders."""
    folders = []
    for name, texts in captions.items():
        clips = (features[index] for index in range(len(features)))
        predictions = [
            Prediction(clip=clip.id, candidate=text, references=clip.captions)
            for clip, text in zip(clips, texts, strict=True)
            if clip.captions
        ]
        folders.append(out / FOLDER / name)
        write_predictions(folders[-1] / PREDICTIONS_NAME, predictions)
    return folders


def write_check(
    out: Path, own: Scores, others: Mapping[str, Scores], why_not: Mapping[str, str]
) -> dict[str, Any]:
    """Publish OUT/listen-check.json.

    Args:
        out: the run's evaluation folder.
        own: scores of its captions.
        others: scores by condition, of the same clips.
        why_not: why conditions are not there.

    Returns:
        What the file holds.
    """
    weights = draw_weights(len(own.clips))
    record = {
        "format": FORMAT,
        "version": VERSION,
        "clips": len(own.clips),
        "sha256": {"predictions": own.predictions_sha256},
        "own": {"corpus": own.corpus, "intervals": own.intervals, "wording": own.wording},
        "conditions": {
            name: {
                "audio": CONDITIONS[name],
                "corpus": scores.corpus,
                "intervals": scores.intervals,
                "differences": _differences(own, scores, weights),
                "wording": scores.wording,
                "wording_differences": _wording_differences(own, scores),
            }
            for name, scores in others.items()
        },
        "not_done": dict(why_not),
    }
    write_json(out / JSON_NAME, record)
    return record


def _differences(own: Scores, other: Scores, weights: np.ndarray) -> dict[str, Any]:
    """Per metric the mean of the clips' differences, condition minus the run as it is."""
    found = {}
    for name in METRICS:
        if name in own.corpus and name in other.corpus:
            mean, low, high = paired(other.per_clip[name] - own.per_clip[name], weights)
            found[name] = {"mean": mean, "interval": [low, high]}
    return found


def _wording_differences(own: Scores, other: Scores) -> dict[str, Any]:
    """Per measure of wording the difference, condition minus the run as it is."""
    found = {}
    for name in own.wording_without.keys() & other.wording_without.keys():
        value = other.wording[name] - own.wording[name]
        without = other.wording_without[name] - own.wording_without[name]
        found[name] = {"value": value, "interval": list(jackknife(value, without))}
    return {name: found[name] for name in WORDING if name in found}


def as_text(record: Mapping[str, Any]) -> str:
    """What the file holds as a table, × 100."""
    conditions = record["conditions"]
    columns = [name for name in METRICS if name in record["own"]["corpus"]]
    columns = [name for name in columns if all(name in c["corpus"] for c in conditions.values())]
    rows = [["", *(METRICS[name] for name in columns)], *_rows(OWN, record["own"], columns)]
    for condition in conditions.values():
        rows += _rows(condition["audio"], condition, columns)
        differences = [condition["differences"][name] for name in columns]
        rows.append(["  clips' difference", *(percent(item["mean"]) for item in differences)])
        rows.append(["    95 %", *(_span(item["interval"]) for item in differences)])
    lines = [f"{CONDITIONS[name]}: not done ({why})" for name, why in record["not_done"].items()]
    title = f"\nDoes it listen? {record['clips']:,} clips, scores × 100"
    return "\n".join([title, aligned(rows, terminal_width()), *lines])


def _rows(label: str, scores: Mapping[str, Any], columns: Sequence[str]) -> list[list[str]]:
    values = [percent(scores["corpus"][name]) for name in columns]
    return [
        [label, *values],
        ["  95 %", *(_span(scores["intervals"][name]) for name in columns)],
    ]


def _span(bounds: Sequence[float]) -> str:
    low, high = bounds
    return f"{percent(low)} to {percent(high)}" if low < 0 else f"{percent(low)}–{percent(high)}"


def check_possible(options: DecodingOptions) -> None:
    """Refuse ways of decoding under which conditions cannot be compared.

    Raises:
        ConfigError: where captions are chosen by audio that the conditions take away.
    """
    if options.choose == CLAP:
        raise ConfigError(
            "--listen-check takes audio away that --choose clap chooses by; leave one of them out"
        )

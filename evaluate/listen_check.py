"""Does a run listen? Its captions of the same clips once more, with other audio or with none.

A caption that only sounds likely keeps much of its score whatever is heard. So a split is captioned
again under CONDITIONS (docs/scoring.md says each exactly) and scored together with the run's own
captions: intervals and paired differences rest on the same draws of clips.

OUT/listen-check.json          values, intervals, differences (scores/computing/listening.py)
OUT/listen-check/CONDITION/    an evaluation folder each, for `evaluate report` and `table`
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from evaluate.captions.caption import load_listener
from evaluate.captions.generate import caption_clips
from evaluate.captions.options import CLAP, DecodingOptions
from evaluate.scores.computing.listening import CONDITIONS, FOLDER
from evaluate.scores.predictions import Prediction, write_predictions
from evaluate.scores.results import PREDICTIONS_NAME
from features.common.console import progress
from features.common.errors import ConfigError, TagbartError
from features.reader import Clip, Features
from features.spec import EMBEDDING, TAG_LOGITS
from train.run_folder.checkpoint import Run

SILENCE_S = 10.0  # what AudioCaps' clips last

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
            found = caption_clips(self.run, chain([first], clips), options, done=bar.update)
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
        for clip in self.features:
            yield replace(clip, streams=rows)

    def _tags(self) -> Iterator[Clip]:
        """Every clip with its own tags, its embeddings zero."""
        kinds = {spec.kind for spec in self.run.builder.streams.values()}
        if TAG_LOGITS not in kinds:
            raise NotPossible("the run reads no tags")
        if EMBEDDING not in kinds:
            raise NotPossible("the run reads nothing else, so this is the run as it is")
        return self._missing(tags=True)

    def _missing(self, *, tags: bool = False) -> Iterator[Clip]:
        """Every clip with zeros for its embeddings, and without a row of tags or with its own."""
        for clip in self.features:
            streams: Streams = {}
            for name, spec in self.run.builder.streams.items():
                rows = clip.streams[name]
                if spec.kind == TAG_LOGITS:
                    streams[name] = rows if tags else rows[:0]
                else:
                    streams[name] = np.zeros_like(rows)
            yield replace(clip, streams=streams)


def write_captions(
    out: Path, features: Features, captions: Mapping[str, Sequence[str]]
) -> list[Path]:
    """Publish the conditions' captions of clips with references; their evaluation folders."""
    folders = []
    for name, texts in captions.items():
        predictions = [
            Prediction(clip=clip.id, candidate=text, references=clip.captions)
            for clip, text in zip(features, texts, strict=True)
            if clip.captions
        ]
        folders.append(out / FOLDER / name)
        write_predictions(folders[-1] / PREDICTIONS_NAME, predictions)
    return folders


def check_possible(options: DecodingOptions) -> None:
    """Refuse ways of decoding under which conditions cannot be compared.

    Raises:
        ConfigError: where captions are chosen by audio that the conditions take away.
    """
    if options.choose == CLAP:
        raise ConfigError(
            "--listen-check takes audio away that --choose clap chooses by; leave one of them out"
        )

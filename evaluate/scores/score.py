"""Score predictions: tokenise once, every metric, corpus and clip values, intervals over clips."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from evaluate.metrics import fense
from evaluate.metrics.bleu_rouge_cider import BLEU_ORDER, ReferenceMetrics, corpus_bleu
from evaluate.metrics.child import Closing, ScoreError
from evaluate.metrics.meteor import Meteor, additive
from evaluate.metrics.spice import jars
from evaluate.metrics.spice.client import Spice, new_spice
from evaluate.metrics.tokenizer import tokenize
from evaluate.metrics.wording import wording
from evaluate.scores.bootstrap import draw_weights, interval, weighted_means
from evaluate.scores.left_out import in_words, say_left_out, spice_values, too_long
from evaluate.scores.predictions import PredictionSets
from evaluate.scores.results import METRICS, Scores, Without
from features.common.console import log

_NEEDS_SPICE = ("spice", "spider", "spider_fl")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which of the metrics that need more than `make setup`, and how.

    Attributes:
        spice: False leaves SPICE and SPIDEr out.
        fense: True adds FENSE, and SPIDEr-FL where there is SPICE.
        cache: False keeps no parses of SPICE on disk and uses none from there.
        long_captions: True gives SPICE to clips with captions beyond MOST_WORDS words too.
    """

    spice: bool = True
    fense: bool = False
    cache: bool = True
    long_captions: bool = False


def new_scorer(wanted: Wanted | None = None) -> "Scorer":
    """A scorer with all metrics that this machine can compute.

    Args:
        wanted: SPICE, but not FENSE when None.

    Raises:
        ScoreError: if FENSE is asked for and its package or weights are missing.
    """
    wanted = wanted or Wanted()
    without_fense = fense.missing() if wanted.fense else None
    if without_fense:
        raise ScoreError(f"FENSE: {without_fense}")
    why_not = jars.missing() if wanted.spice else "left out as asked"
    spice = None if why_not else new_spice(cache=wanted.cache)
    return Scorer(
        spice=spice,
        why_no_spice=why_not or "",
        use_fense=wanted.fense,
        long_captions=wanted.long_captions,
    )


def score_texts(
    candidates: Sequence[str], references: Sequence[Sequence[str]], wanted: Wanted | None = None
) -> Scores:
    """Every metric of captions in memory.

    Args:
        candidates: a caption per clip.
        references: per clip, at least one caption.
        wanted: SPICE, but not FENSE when None.

    Returns:
        `corpus` and `intervals` by metric, `per_clip` float64 [clips] by metric.

    Raises:
        ValueError: if candidates and references differ in number.
        ScoreError: if a scorer's process fails.
    """
    sets = PredictionSets(
        clips=tuple(map(str, range(len(candidates)))),
        references=tuple(map(tuple, references)),
        candidates=(tuple(candidates),),
    )
    with new_scorer(wanted) as scorer:
        [scores] = scorer.score(sets)
    return scores


class Scorer(Closing):
    """Computes the scores of predictions. Holds Java processes.

    Example:
        with new_scorer() as scorer:
            [scores] = scorer.score(read_sets([path]))
    """

    def __init__(
        self,
        *,
        spice: Spice | None,
        why_no_spice: str = "",
        use_fense: bool = False,
        long_captions: bool = False,
    ) -> None:
        self._spice, self._use_fense, self._long_captions = spice, use_fense, long_captions
        self._not_available = {} if spice else {"spice": why_no_spice, "spider": "needs SPICE"}
        if use_fense and not spice:
            self._not_available["spider_fl"] = "needs SPICE"
        self._meteor = Meteor()
        self._pool = ThreadPoolExecutor(1)

    def close(self) -> None:
        for process in (self._meteor, self._spice):
            if process is not None:
                process.close()
        self._pool.shutdown()

    def score(self, sets: PredictionSets) -> list[Scores]:
        """Score every predictions file against the references that they share.

        Args:
            sets: one or more files' candidates.

        Returns:
            One Scores per file.

        Raises:
            ScoreError: if a scorer's process fails, hangs, or answers something else.
        """
        texts = _Tokenized(sets)
        long = too_long(texts.references, texts.candidates)
        if self._spice is None or self._long_captions:
            long[:] = False
        say_left_out(long, sets.clips)
        weights = draw_weights(len(sets.clips))
        # METEOR works in a process of its own: it goes on while Python counts n-grams. One
        # thread talks to it, one file after the other.
        meteor = [
            self._pool.submit(self._meteor_scores, candidates, texts.references, weights)
            for candidates in texts.candidates
        ]
        metrics = ReferenceMetrics(texts.references)
        partial = [_Draft(weights) for _ in texts.candidates]
        for draft, candidates in zip(partial, texts.candidates, strict=True):
            draft.add_bleu(metrics, candidates)
            draft.add_mean("rouge_l", metrics.rouge_l(candidates))
            draft.add_mean("cider_d", metrics.cider_d(candidates))
        if self._spice is not None:
            values = spice_values(self._spice, texts.references, texts.candidates, long)
            for draft, spice in zip(partial, values, strict=True):
                draft.add_mean("spice", spice)
                draft.add_mean("spider", (draft.per_clip["cider_d"] + spice) / 2)
        if self._use_fense:
            found = fense.fense_values(texts.references, texts.candidates)
            for draft, file in zip(partial, found, strict=True):
                draft.add_mean("fense", file.fense)
                if self._spice is not None:
                    draft.add_mean("spider_fl", file.spider_fl(draft.per_clip["spider"]))
        for draft, future in zip(partial, meteor, strict=True):
            try:
                draft.add("meteor", *future.result())
            except ScoreError as error:  # a caption that repeats itself for ever takes all memory
                raise ScoreError(f"{error}; {sets.longest()}") from error
        finished = [
            replace(
                draft.finish(sets.clips, self._not_available),
                wording=wording(candidates, texts.references),
            )
            for draft, candidates in zip(partial, texts.candidates, strict=True)
        ]
        if not sets.sha256:
            return finished
        return [
            replace(scores, predictions_sha256=sha256)
            for scores, sha256 in zip(finished, sets.sha256, strict=True)
        ]

    def _meteor_scores(
        self, candidates: Sequence[str], references: Sequence[Sequence[str]], weights: np.ndarray
    ) -> tuple[float, np.ndarray, np.ndarray]:
        statistics = self._meteor.statistics(candidates, references)
        clips, corpus = self._meteor.scores(statistics)
        draws, _ = self._meteor.scores(weights @ additive(statistics))
        return corpus, clips, draws


class _Tokenized:
    """The texts of predictions files, tokenised by one Java process, references once."""

    def __init__(self, sets: PredictionSets) -> None:
        flat = [text for texts in sets.references for text in texts]
        flat += [text for candidates in sets.candidates for text in candidates]
        tokens = iter(tokenize(flat))
        self.references = [[next(tokens) for _ in texts] for texts in sets.references]
        self.candidates = [[next(tokens) for _ in sets.clips] for _ in sets.candidates]
        blank = [
            clip for clip, texts in zip(sets.clips, self.references, strict=True) if not all(texts)
        ]
        if blank:
            log(
                f"warning: {len(blank)} clips have a reference without words, the first is "
                f"{blank[0]!r}; it counts as a reference, as in pycocoevalcap"
            )


class _Draft:
    """Gathers one file's scores metric by metric."""

    def __init__(self, weights: np.ndarray) -> None:
        self._weights = weights
        self._corpus: dict[str, float] = {}
        self.per_clip: dict[str, np.ndarray] = {}
        self._intervals: dict[str, tuple[float, float]] = {}

    def add_bleu(self, metrics: ReferenceMetrics, candidates: Sequence[str]) -> None:
        corpus, clips, statistics = metrics.bleu(candidates)
        draws = corpus_bleu(statistics, self._weights)
        for order in range(BLEU_ORDER):
            self.add(f"bleu_{order + 1}", corpus[order], clips[:, order], draws[:, order])

    def add_mean(self, name: str, clips: np.ndarray) -> None:
        """A metric whose corpus value is the mean over clips; NaN is a clip without a value."""
        present = clips[np.isfinite(clips)]
        corpus = present.mean() if len(present) else np.nan
        self.add(name, corpus, clips, weighted_means(clips, self._weights))

    def finish(self, clips: tuple[str, ...], not_available: dict[str, str]) -> Scores:
        """All of it; a metric that clips lack is none of the whole and stands under `without`."""
        lacking = {name: int(np.isnan(values).sum()) for name, values in self.per_clip.items()}
        without = {
            name: Without(clips=count, value=self._corpus[name], interval=self._intervals[name])
            for name, count in lacking.items()
            if count and name in _NEEDS_SPICE and count < len(clips)
        }
        reasons = {name: in_words(item) for name, item in without.items()}
        reasons |= {
            name: "no clip has a value"
            for name, count in lacking.items()
            if count == len(clips) and name in _NEEDS_SPICE
        }
        names = [name for name in METRICS if name in self._corpus and name not in reasons]
        return Scores(
            clips=clips,
            corpus={name: self._corpus[name] for name in names},
            per_clip={name: self.per_clip[name] for name in METRICS if name in self.per_clip},
            intervals={name: self._intervals[name] for name in names},
            not_available=not_available | reasons,
            without=without,
        )

    def add(self, name: str, corpus: float, clips: np.ndarray, draws: np.ndarray) -> None:
        """A metric with its corpus value, float64 [clips], and float64 [draws] of the corpus'."""
        self._corpus[name] = float(corpus)
        self.per_clip[name] = clips
        self._intervals[name] = interval(draws)

"""One file's scores while they are computed, metric by metric: corpus, clips, intervals."""

from collections.abc import Sequence

import numpy as np

from evaluate.metrics.bleu_rouge_cider import BLEU_ORDER, ReferenceMetrics, corpus_bleu
from evaluate.scores.computing.bootstrap import interval, weighted_means
from evaluate.scores.computing.left_out import in_words
from evaluate.scores.results import METRICS, Scores, Without

_NEEDS_SPICE = ("spice", "spider", "spider_fl", "spider_max")


class Draft:
    """Gathers one file's scores metric by metric; `weights` float64 [draws, clips]."""

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

    def add_spider(self, spice: np.ndarray) -> None:
        """SPICE of the clips, and SPIDEr: its mean with the CIDEr-D that was added before."""
        self.add_mean("spice", spice)
        self.add_mean("spider", (self.per_clip["cider_d"] + spice) / 2)

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

"""Score predictions: tokenise once, every metric, corpus and clip values, intervals over clips."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from evaluate.metrics import fense
from evaluate.metrics.bleu_rouge_cider import ReferenceMetrics
from evaluate.metrics.child import Closing, ScoreError
from evaluate.metrics.clap import ClapSource, clap_scores
from evaluate.metrics.meteor import Meteor, additive
from evaluate.metrics.spice import jars
from evaluate.metrics.spice.client import Spice, new_spice
from evaluate.metrics.wording import without_each, wording
from evaluate.scores.computing.bootstrap import draw_weights
from evaluate.scores.computing.draft import Draft
from evaluate.scores.computing.left_out import say_left_out, spice_values, too_long
from evaluate.scores.computing.tokenized import NBest, TokenizedSets, Tokens, further_ranks
from evaluate.scores.predictions import PredictionSets
from evaluate.scores.results import Scores


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which of the metrics that need more than `make setup`, and how.

    Attributes:
        spice: False leaves SPICE and SPIDEr out.
        fense: False leaves FENSE, its parts and SPIDEr-FL out, True insists on them, None takes
            them where package and weights are there.
        cache: False keeps no parses of SPICE on disk and uses none from there.
        long_captions: True gives SPICE to clips with captions beyond MOST_WORDS words too.
        spider_max: False leaves SPIDEr-max out where there are n-best lists.
        clap: where CLAPScore comes from, None for none.
    """

    spice: bool = True
    fense: bool | None = None
    cache: bool = True
    long_captions: bool = False
    spider_max: bool = True
    clap: ClapSource | None = None


def new_scorer(wanted: Wanted | None = None) -> "Scorer":
    """A scorer with all metrics that this machine can compute.

    Args:
        wanted: all that can be computed here when None.

    Raises:
        ScoreError: if FENSE or CLAPScore is insisted on and what it needs is missing.
    """
    wanted = wanted or Wanted()
    why_no_fense = "left out as asked" if wanted.fense is False else fense.missing()
    if wanted.fense and why_no_fense:
        raise ScoreError(f"FENSE: {why_no_fense}")
    why_no_clap = wanted.clap.missing() if wanted.clap else None
    why_no_spice = jars.missing() if wanted.spice else "left out as asked"
    there = replace(wanted, fense=not why_no_fense, clap=None if why_no_clap else wanted.clap)
    return Scorer(
        there,
        spice=None if why_no_spice else new_spice(cache=wanted.cache),
        not_available=_lacking(why_no_spice, why_no_fense, why_no_clap),
    )


def _lacking(
    why_no_spice: str | None, why_no_fense: str | None, why_no_clap: str | None
) -> dict[str, str]:
    """Why metrics are not there, by metric; FENSE's parts go without saying."""
    found: dict[str, str | None] = {}
    found |= {"spice": why_no_spice, "spider": "needs SPICE"} if why_no_spice else {}
    if why_no_fense:
        found["fense"] = why_no_fense
    elif why_no_spice:
        found["spider_fl"] = "needs SPICE"
    found["clap_score"] = why_no_clap
    return {name: why for name, why in found.items() if why}


def score_texts(
    candidates: Sequence[str], references: Sequence[Sequence[str]], wanted: Wanted | None = None
) -> Scores:
    """Every metric of captions in memory.

    Args:
        candidates: a caption per clip.
        references: per clip, at least one caption.
        wanted: all that can be computed here when None.

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
        wanted: Wanted,
        *,
        spice: Spice | None,
        not_available: Mapping[str, str] | None = None,
    ) -> None:
        """Nothing starts but METEOR.

        Args:
            wanted: what of it must be there; `fense` None is left out here.
            spice: None for no SPICE and nothing that needs it.
            not_available: why metrics are left out, by metric, for the record.
        """
        self._wanted, self._spice, self._not_available = wanted, spice, dict(not_available or {})
        self._tokens, self._meteor = Tokens(), Meteor()
        self._pool = ThreadPoolExecutor(1)

    def close(self) -> None:
        for process in (self._meteor, self._spice):
            if process is not None:
                process.close()
        self._pool.shutdown(cancel_futures=True)

    def score(self, sets: PredictionSets) -> list[Scores]:
        """Score every predictions file against the references that they share.

        Args:
            sets: one or more files' candidates.

        Returns:
            One Scores per file.

        Raises:
            ScoreError: if a scorer's process fails, hangs, or answers something else.
        """
        return self.begin(sets)()

    def begin(self, sets: PredictionSets) -> Callable[[], list[Scores]]:
        """Let METEOR work on predictions files while others are scored; what returns the scores.

        See `score`.
        """
        texts = TokenizedSets(sets, self._tokens)
        weights = draw_weights(len(sets.clips))
        # METEOR works in a process of its own: it goes on while Python counts n-grams. One
        # thread talks to it, one file after the other.
        meteor = [
            self._pool.submit(self._meteor_scores, candidates, texts.references, weights)
            for candidates in texts.candidates
        ]
        return lambda: self._finish(sets, texts, weights, meteor)

    def _finish(
        self,
        sets: PredictionSets,
        texts: TokenizedSets,
        weights: np.ndarray,
        meteor: Sequence[Future[tuple[float, np.ndarray, np.ndarray]]],
    ) -> list[Scores]:
        """All other metrics, then METEOR's."""
        metrics = ReferenceMetrics(texts.references)
        partial = [Draft(weights) for _ in texts.candidates]
        for draft, candidates in zip(partial, texts.candidates, strict=True):
            draft.add_bleu(metrics, candidates)
            draft.add_mean("rouge_l", metrics.rouge_l(candidates))
            draft.add_mean("cider_d", metrics.cider_d(candidates))
        if self._spice is not None:
            self._add_spice(self._spice, metrics, partial, texts)
        if self._wanted.fense:
            found = fense.fense_values(texts.references, texts.candidates)
            for draft, metrics_of_file in zip(partial, found, strict=True):
                for name, values in metrics_of_file.items():
                    draft.add_mean(name, values)
                if self._spice is not None:
                    clips = draft.per_clip
                    draft.add_mean("spider_fl", fense.spider_fl(clips["spider"], clips["fer"]))
        if self._wanted.clap is not None:
            found_by_ear = clap_scores(self._wanted.clap, sets.clips, sets.candidates)
            for draft, values in zip(partial, found_by_ear, strict=True):
                draft.add_mean("clap_score", values)
        for draft, future in zip(partial, meteor, strict=True):
            try:
                draft.add("meteor", *future.result())
            except ScoreError as error:  # a caption that repeats itself for ever takes all memory
                raise ScoreError(f"{error}; {sets.longest()}") from error
        sha256 = sets.sha256 or (None,) * len(partial)
        return [
            replace(
                draft.finish(sets.clips, self._not_available | self._why_no_max(lists)),
                wording=wording(candidates, texts.references),
                wording_without=without_each(candidates, texts.references),
                predictions_sha256=digest,
            )
            for draft, candidates, lists, digest in zip(
                partial, texts.candidates, texts.n_best, sha256, strict=True
            )
        ]

    def _add_spice(
        self, spice: Spice, metrics: ReferenceMetrics, drafts: Sequence[Draft], texts: TokenizedSets
    ) -> None:
        """SPICE, SPIDEr and SPIDEr-max; all texts in one request, so that none is parsed twice."""
        further = [
            further_ranks(own, lists) if self._wanted.spider_max else []
            for own, lists in zip(texts.candidates, texts.n_best, strict=True)
        ]
        files = [*texts.candidates, *(rank for ranks in further for rank in ranks)]
        long = too_long(texts.references, files)
        if self._wanted.long_captions:
            long[:] = False
        say_left_out(long[: len(drafts)], texts.clips)
        values = iter(spice_values(spice, texts.references, files, long))
        for draft in drafts:
            draft.add_spider(next(values))
        for draft, ranks in zip(drafts, further, strict=True):
            if ranks:
                spider = [(metrics.cider_d(rank) + next(values)) / 2 for rank in ranks]
                # NaN, of a caption without SPICE, stays: the best of the others may not be the best
                draft.add_mean("spider_max", np.maximum.reduce([draft.per_clip["spider"], *spider]))

    def _why_no_max(self, lists: NBest) -> dict[str, str]:
        """Why a file with n-best lists has no SPIDEr-max; {} for others."""
        if not self._wanted.spider_max or not any(lists):
            return {}
        if self._spice is None:
            return {"spider_max": "needs SPICE"}
        without = sum(not texts for texts in lists)
        reason = f"{without:,} of {len(lists):,} clips have no n-best list"
        return {"spider_max": reason} if without else {}

    def _meteor_scores(
        self, candidates: Sequence[str], references: Sequence[Sequence[str]], weights: np.ndarray
    ) -> tuple[float, np.ndarray, np.ndarray]:
        statistics = self._meteor.statistics(candidates, references)
        clips, corpus = self._meteor.scores(statistics)
        draws, _ = self._meteor.scores(weights @ additive(statistics))
        return corpus, clips, draws

"""BLEU, ROUGE-L and CIDEr-D by pycocoevalcap's own classes, the references prepared once.

Texts are tokenised (evaluate.metrics.tokenizer). Values are fractions; CIDEr-D goes up to 10.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BLEU_ORDER = 4


@dataclass(frozen=True, kw_only=True)
class BleuStatistics:
    """What corpus BLEU is made of, per clip: it adds up over clips, BLEU itself does not.

    Attributes:
        correct: float64 [clips, 4], n-grams of the candidate that a reference holds.
        guess: float64 [clips, 4], n-grams of the candidate.
        length: float64 [clips], its words.
        closest: float64 [clips], words of the reference nearest in length.
    """

    correct: np.ndarray
    guess: np.ndarray
    length: np.ndarray
    closest: np.ndarray


def corpus_bleu(statistics: BleuStatistics, weights: np.ndarray) -> np.ndarray:
    """Corpus BLEU-1 to 4 of weighted clips (BleuScorer's formula, with its two small constants).

    Args:
        statistics: of n clips.
        weights: float64 [draws, n], how often each clip counts.

    Returns:
        float64 [draws, 4].
    """
    small, tiny = 1e-9, 1e-15
    precision = (weights @ statistics.correct + tiny) / (weights @ statistics.guess + small)
    orders = np.arange(1, BLEU_ORDER + 1)
    geometric = np.cumprod(precision, axis=1) ** (1.0 / orders)
    ratio = (weights @ statistics.length + tiny) / (weights @ statistics.closest + small)
    penalty = np.where(ratio < 1, np.exp(np.minimum(0.0, 1 - 1 / ratio)), 1.0)
    return geometric * penalty[:, None]


class ReferenceMetrics:
    """BLEU, ROUGE-L and CIDEr-D against references whose n-grams are counted once."""

    def __init__(self, references: Sequence[Sequence[str]]) -> None:
        """Count the references' n-grams.

        Args:
            references: per clip, at least one tokenised caption.
        """
        from pycocoevalcap.bleu.bleu_scorer import BleuScorer
        from pycocoevalcap.cider.cider_scorer import CiderScorer
        from pycocoevalcap.rouge.rouge import Rouge

        self._references = [list(texts) for texts in references]
        self._bleu = BleuScorer(n=BLEU_ORDER)
        self._cider = CiderScorer(n=BLEU_ORDER, sigma=6.0)
        self._rouge = Rouge()
        for texts in self._references:
            self._bleu.cook_append(None, texts)
            self._cider.cook_append(None, texts)
        self._cider.compute_doc_freq()

    def bleu(self, candidates: Sequence[str]) -> tuple[np.ndarray, np.ndarray, BleuStatistics]:
        """BLEU-1 to 4.

        Returns:
            The corpus' [4], the clips' own [clips, 4], and the statistics behind the corpus'.
        """
        scorer = self._bleu
        scorer.retest(list(candidates))
        corpus, clips = scorer.compute_score(option="closest", verbose=0)
        counts = scorer.ctest
        closest = [
            scorer._single_reflen(item["reflen"], "closest", item["testlen"]) for item in counts
        ]
        statistics = BleuStatistics(
            correct=np.array([item["correct"] for item in counts], np.float64),
            guess=np.array([item["guess"] for item in counts], np.float64),
            length=np.array([item["testlen"] for item in counts], np.float64),
            closest=np.array(closest, np.float64),
        )
        return np.array(corpus), np.array(clips).T, statistics

    def rouge_l(self, candidates: Sequence[str]) -> np.ndarray:
        """ROUGE-L per clip, float64 [clips]; the corpus' is their mean."""
        return np.array(
            [
                # The class finds one common (empty) word in two captions without words.
                self._rouge.calc_score([candidate], references) if candidate else 0.0
                for candidate, references in zip(candidates, self._references, strict=True)
            ],
            np.float64,
        )

    def cider_d(self, candidates: Sequence[str]) -> np.ndarray:
        """CIDEr-D per clip, float64 [clips]; the corpus' is their mean.

        Document frequencies are those of the references given, so a clip's value depends on the
        set it is scored in; a set of one clip gives 0.
        """
        from pycocoevalcap.cider.cider_scorer import cook_test

        self._cider.ctest = [cook_test(candidate) for candidate in candidates]
        return np.array(self._cider.compute_cider(), np.float64)

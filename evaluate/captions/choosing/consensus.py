"""How far captions of one clip agree: minimum Bayes risk without a reference."""

from collections import Counter
from collections.abc import Sequence

NGRAM_ORDER = 4


def expected_agreement(texts: Sequence[str]) -> list[float]:
    """How well each caption agrees with the others on average.

    Args:
        texts: captions of one clip; one that was found twice stands there twice and counts twice.

    Returns:
        Its mean agreement with every other caption; 0 for a single one.
    """
    grams = [_ngrams(text) for text in texts]
    others = max(1, len(texts) - 1)
    return [
        sum(_agreement(one, other) for j, other in enumerate(grams) if j != i) / others
        for i, one in enumerate(grams)
    ]


def _agreement(first: Sequence[Counter], second: Sequence[Counter]) -> float:
    """F1 of the n-grams that two captions share, the mean over n = 1 to 4; 1 for equal captions.

    Orders that both captions are too short for are left out.
    """
    scores = [
        2 * (one & other).total() / (one.total() + other.total())
        for one, other in zip(first, second, strict=True)
        if one or other
    ]
    return sum(scores) / len(scores) if scores else 1.0


def _ngrams(text: str) -> list[Counter]:
    """Counts of 1- to 4-grams; words are cut at spaces, lower case, bare of punctuation."""
    stripped = (word.strip(".,;:!?").lower() for word in text.split())
    words = [word for word in stripped if word]
    return [
        Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
        for n in range(1, NGRAM_ORDER + 1)
    ]

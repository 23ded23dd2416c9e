"""How captions are worded, whatever they say: vocabulary, diversity, length.

Defined as aac-metrics defines them (Labbé et al.; its published values are what the tests compare
with): of tokenised captions, distinct n-grams over all n-grams, per caption or over all captions.

Intervals are the jackknife's (Efron & Tibshirani 1993, chapter 11), not a bootstrap's: in a draw
with replacement over a third of the clips is missing, so every draw has fewer different words than
the whole, and its interval lies below the value.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from math import sqrt
from typing import Any

import numpy as np

ORDERS = (1, 2, 3)
_TWO_SIDED_95 = 1.959964

# Name in scores.json: how it reads behind a value.
WORDING = {
    "vocab_len": "different words",
    "vocab_in_ref_len": "of them in a reference",
    "new_words": "in none",
    "sent_len": "words a caption",
    **{f"sents_div{order}": f"distinct-{order} within a caption" for order in ORDERS},
    **{f"corpus_div{order}": f"distinct-{order} over all" for order in ORDERS},
}
# The same of the references, to compare with; they depend on no caption.
OF_REFERENCES = {
    "ref_vocab_len": "different words in all references",
    "vocab_coverage": "share of the references' words that the captions know",
    "ref_sent_len": "words a reference",
    **{f"ref_sents_div{order}": f"distinct-{order} within a reference" for order in ORDERS},
    **{f"ref_corpus_div{order}": f"distinct-{order} over one reference a clip" for order in ORDERS},
}


def wording(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Measures of all candidates together, and of their references.

    Args:
        candidates: tokenised, words apart by spaces, at least one.
        references: per candidate, tokenised likewise.

    Returns:
        Values by the names of WORDING and OF_REFERENCES. A caption without an n-gram counts 0
        within a caption. `ref_corpus_div` is the mean over the first, second, … references of all
        clips, each as many texts as there are captions (aac-metrics draws one a clip at random).
    """
    captions = [text.split() for text in candidates]
    texts = [[text.split() for text in some] for some in references]
    own = set(chain.from_iterable(captions))
    flat = list(chain.from_iterable(texts))
    words = Counter(chain.from_iterable(flat))
    values = {
        "vocab_len": float(len(own)),
        "vocab_in_ref_len": float(len(own & words.keys())),
        "new_words": float(len(own - words.keys())),
        "sent_len": _mean_length(captions),
        "ref_vocab_len": float(len(words)),
        "vocab_coverage": sum(words[word] for word in own) / max(1, words.total()),
        "ref_sent_len": _mean_length(flat),
    }
    most = max(map(len, texts))
    places = [[some[place] for some in texts if place < len(some)] for place in range(most)]
    for order in ORDERS:
        values[f"sents_div{order}"] = float(np.mean(_within(captions, order)))
        values[f"corpus_div{order}"] = _over_all(captions, order)
        values[f"ref_sents_div{order}"] = float(np.mean(_within(flat, order)))
        values[f"ref_corpus_div{order}"] = float(
            np.mean([_over_all(place, order) for place in places])
        )
    return {name: values[name] for name in (*WORDING, *OF_REFERENCES)}


def without_each(
    candidates: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, np.ndarray]:
    """Each measure of WORDING with one clip left out, float64 [clips]; {} for a single clip.

    Args: see `wording`.
    """
    count = len(candidates)
    if count < 2:
        return {}
    captions = [text.split() for text in candidates]
    known = _sole_owners(captions)
    heard = _sole_owners(
        [list(chain.from_iterable(t.split() for t in some)) for some in references]
    )
    lost, lost_known = np.zeros((2, count))
    for word, clip in known.items():
        if clip is not None:
            lost[clip] += 1
            lost_known[clip] += word in heard
        if word in heard and (of := heard[word]) is not None and of != clip:
            lost_known[of] += 1  # said still, but by no reference that is left
    new = len(known.keys() - heard.keys())
    lengths = np.array([len(words) for words in captions], np.float64)
    found = {
        "vocab_len": len(known) - lost,
        "vocab_in_ref_len": len(known) - new - lost_known,
        "sent_len": (lengths.sum() - lengths) / (count - 1),
    }
    found["new_words"] = found["vocab_len"] - found["vocab_in_ref_len"]
    for order in ORDERS:
        within = _within(captions, order)
        found[f"sents_div{order}"] = (within.sum() - within) / (count - 1)
        grams = [_grams(words, order) for words in captions]
        sole = Counter(clip for clip in _sole_owners(grams).values() if clip is not None)
        distinct = len(set(chain.from_iterable(grams)))
        left = np.array([distinct - sole[clip] for clip in range(count)], np.float64)
        total = sum(map(len, grams)) - np.array(list(map(len, grams)), np.float64)
        found[f"corpus_div{order}"] = left / np.maximum(total, 1)
    return found


def jackknife(value: float, without: np.ndarray) -> tuple[float, float]:
    """95 % interval of a value, or of two systems' difference, from those without each clip.

    Args:
        value: of all clips.
        without: float64 [clips], the value with each clip left out, at least two.
    """
    count = len(without)
    spread = sqrt((count - 1) / count * float(np.square(without - without.mean()).sum()))
    return value - _TWO_SIDED_95 * spread, value + _TWO_SIDED_95 * spread


def intervals(
    values: Mapping[str, float], without: Mapping[str, np.ndarray]
) -> dict[str, tuple[float, float]]:
    """95 % intervals of what `without_each` knows, as far as there are such counts and shares."""
    found = {}
    for name, each in without.items():
        low, high = jackknife(values[name], each)
        found[name] = max(0.0, low), min(high, 1.0) if "_div" in name else high
    return found


def _mean_length(texts: Sequence[Sequence[str]]) -> float:
    return sum(map(len, texts)) / max(1, len(texts))


def _within(texts: Sequence[Sequence[str]], order: int) -> np.ndarray:
    """Distinct n-grams over n-grams of each text, float64 [texts]."""
    grams = [_grams(words, order) for words in texts]
    return np.array([len(set(of_one)) / len(of_one) if of_one else 0.0 for of_one in grams])


def _over_all(texts: Sequence[Sequence[str]], order: int) -> float:
    everything = list(chain.from_iterable(_grams(words, order) for words in texts))
    return len(set(everything)) / len(everything) if everything else 0.0


def _sole_owners(parts: Sequence[Sequence[Any]]) -> dict[Any, int | None]:
    """Of every item, the one part that holds it, or None where several do."""
    found: dict[Any, int | None] = {}
    for number, part in enumerate(parts):
        for item in set(part):
            found[item] = None if item in found else number
    return found


def _grams(words: Sequence[str], order: int) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + order]) for i in range(len(words) - order + 1)]

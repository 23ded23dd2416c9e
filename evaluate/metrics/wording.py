"""How captions are worded, whatever they say: vocabulary, diversity, length.

Defined as aac-metrics defines them (Labbé et al.; its published values are what the tests compare
with): of tokenised captions, distinct n-grams over all n-grams, per caption or over all captions.
"""

from collections.abc import Sequence
from itertools import chain

ORDERS = (1, 2, 3)

# Name in scores.json: how it reads behind a value.
WORDING = {
    "vocab_len": "different words",
    "vocab_in_ref_len": "of them in a reference",
    "new_words": "in none",
    "sent_len": "words a caption",
    **{f"sents_div{order}": f"distinct-{order} within a caption" for order in ORDERS},
    **{f"corpus_div{order}": f"distinct-{order} over all" for order in ORDERS},
}


def wording(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Measures of all candidates together.

    Args:
        candidates: tokenised, words apart by spaces, at least one.
        references: per candidate, tokenised likewise.

    Returns:
        Values by the names of WORDING. A caption without an n-gram counts 0 within a caption.
    """
    captions = [text.split() for text in candidates]
    own = set(chain.from_iterable(captions))
    theirs = {word for texts in references for text in texts for word in text.split()}
    values = {
        "vocab_len": float(len(own)),
        "vocab_in_ref_len": float(len(own & theirs)),
        "new_words": float(len(own - theirs)),
        "sent_len": sum(map(len, captions)) / len(captions),
    }
    for order in ORDERS:
        grams = [_grams(words, order) for words in captions]
        within = [len(set(of_one)) / len(of_one) if of_one else 0.0 for of_one in grams]
        values[f"sents_div{order}"] = sum(within) / len(within)
        everything = list(chain.from_iterable(grams))
        values[f"corpus_div{order}"] = len(set(everything)) / len(everything) if everything else 0.0
    return {name: values[name] for name in WORDING}


def _grams(words: Sequence[str], order: int) -> list[tuple[str, ...]]:
    return [tuple(words[i : i + order]) for i in range(len(words) - order + 1)]

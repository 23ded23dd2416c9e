"""The texts of predictions files, cut into words once; further candidates as files of their own."""

from collections.abc import Iterable, Sequence
from itertools import chain

from evaluate.metrics.tokenizer import tokenize
from evaluate.scores.predictions import PredictionSets
from features.common.console import log

NBest = Sequence[Sequence[str]]  # per clip its candidates, none where no list was kept


class Tokens:
    """Texts cut into words; those that are not known go to one Java process together."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def learn(self, texts: Iterable[str]) -> None:
        """Tokenise what is not known."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            self._known.update(zip(new, tokenize(new), strict=True))

    def of(self, texts: Sequence[str]) -> list[str]:
        """Texts that were learnt, tokenised."""
        return [self._known[text] for text in texts]


class TokenizedSets:
    """The texts of predictions files, tokenised."""

    def __init__(self, sets: PredictionSets, tokens: Tokens) -> None:
        n_best = sets.n_best or tuple(tuple(() for _ in sets.clips) for _ in sets.candidates)
        lists = [*sets.references, *sets.candidates, *chain.from_iterable(n_best)]
        tokens.learn(chain.from_iterable(lists))
        self.clips = sets.clips
        self.references = [tokens.of(texts) for texts in sets.references]
        self.candidates = [tokens.of(texts) for texts in sets.candidates]
        self.n_best: list[NBest] = [[tokens.of(texts) for texts in file] for file in n_best]
        blank = [
            clip for clip, texts in zip(sets.clips, self.references, strict=True) if not all(texts)
        ]
        if blank:
            log(
                f"warning: {len(blank)} clips have a reference without words, the first is "
                f"{blank[0]!r}; it counts as a reference, as in pycocoevalcap"
            )


def further_ranks(candidates: Sequence[str], lists: NBest) -> list[list[str]]:
    """The candidates of n-best lists besides each clip's own, as files with a caption per clip.

    SPIDEr-max looks at them: it is the SPIDEr of a clip's best candidate, averaged over clips
    (Labbé, Pellegrini, Pinquier, "Is my automatic audio captioning system so bad? SPIDEr-max: a
    metric to consider several caption candidates", DCASE 2022).

    Args:
        candidates: per clip, its caption.
        lists: per clip, its n-best list.

    Returns:
        As many files as the clip with most candidates needs; where a clip has no more, its caption
        stands again. Empty if a clip has no list.
    """
    if not all(lists):
        return []
    pools = [
        list(dict.fromkeys((own, *texts))) for own, texts in zip(candidates, lists, strict=True)
    ]
    most = max(map(len, pools))
    return [
        [pool[rank] if rank < len(pool) else pool[0] for pool in pools] for rank in range(1, most)
    ] or [list(candidates)]

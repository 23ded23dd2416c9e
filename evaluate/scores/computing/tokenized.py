"""The texts of predictions files, cut into words once."""

from itertools import chain

from evaluate.metrics.tokenizer import tokenize
from evaluate.scores.computing.n_best import NBest
from evaluate.scores.predictions import PredictionSets
from features.common.console import log


class TokenizedSets:
    """The texts of predictions files, tokenised by one Java process, references once."""

    def __init__(self, sets: PredictionSets) -> None:
        n_best = sets.n_best or tuple(tuple(() for _ in sets.clips) for _ in sets.candidates)
        lists = [*sets.references, *sets.candidates, *chain.from_iterable(n_best)]
        tokens = iter(tokenize(list(chain.from_iterable(lists))))
        self.clips = sets.clips
        self.references = [[next(tokens) for _ in texts] for texts in sets.references]
        self.candidates = [[next(tokens) for _ in sets.clips] for _ in sets.candidates]
        self.n_best: list[NBest] = [
            [[next(tokens) for _ in texts] for texts in file] for file in n_best
        ]
        blank = [
            clip for clip, texts in zip(sets.clips, self.references, strict=True) if not all(texts)
        ]
        if blank:
            log(
                f"warning: {len(blank)} clips have a reference without words, the first is "
                f"{blank[0]!r}; it counts as a reference, as in pycocoevalcap"
            )

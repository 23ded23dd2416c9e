"""Scoring several predictions files: ours in one go, and pycocoevalcap's own classes per file.

Both in one run on the same captions; prints seconds, their ratio and the largest difference
between any two numbers. `python -m benchmarks.score [FILES]`, 10 files take some minutes.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.spice_cost import spice_cost, timed
from evaluate.metrics import jvm
from evaluate.scores.human import read_captions
from evaluate.scores.predictions import PredictionSets
from evaluate.scores.results import Scores
from evaluate.scores.score import Wanted, new_scorer

CLIPS = 975
TARGET = 0.40  # of the time of the classes called once per file
SPEAKERS = "a man|a woman|a crowd|someone|a child|a dog|a car engine|an audience|music|wind"
VERBS = "speaks|laughs|barks|revs|claps loudly|plays softly|blows|talks quickly|sings|hums"
PLACES = "in a room|nearby|in the distance|while birds chirp|followed by a thud|over static|twice"

Numbers = dict[str, np.ndarray]


def main(files: int = 10) -> float:
    """Measure, print, and return our time as a share of theirs."""
    sets, source = predictions(files)
    print(f"scoring {files} files of {CLIPS} clips ({source}), without SPICE")
    ours_s, ours = timed(lambda: _ours(sets))
    print(f"  ours                             {ours_s:7.1f} s")
    theirs_s, theirs = timed(lambda: [_pycocoevalcap(sets, k) for k in range(files)])
    print(f"  pycocoevalcap, once per file     {theirs_s:7.1f} s")
    ratio = ours_s / theirs_s
    print(f"  ours / theirs                    {ratio:7.2f}   (target: {TARGET:.2f} at most)")
    difference = max(
        np.abs(mine[name] - other[name]).max()
        for mine, other in zip(map(_numbers, ours), theirs, strict=True)
        for name in other
    )
    print(f"  largest difference of a number   {difference:7.0e}")
    spice_cost(sets)
    return ratio


def predictions(files: int) -> tuple[PredictionSets, str]:
    """Five captions a clip: four are references; candidates are rewordings, different per file."""
    rng = np.random.default_rng(0)
    real = os.environ.get("TAGBART_REAL_DATA")
    if real:
        captions = read_captions(Path(real) / "audiocaps" / "captions" / "test.csv")
        source = "AudioCaps' test captions"
    else:
        parts = [words.split("|") for words in (SPEAKERS, VERBS, PLACES)]
        captions = {
            f"clip {i}": tuple(" ".join(map(str, map(rng.choice, parts))) for _ in range(5))
            for i in range(CLIPS)
        }
        source = "made-up captions; TAGBART_REAL_DATA is not set"
    texts = list(captions.values())[:CLIPS]
    return PredictionSets(
        clips=tuple(captions)[:CLIPS],
        references=tuple(tuple(five[1:]) for five in texts),
        candidates=tuple(tuple(_reworded(five, rng) for five in texts) for _ in range(files)),
    ), source


def _reworded(captions: Sequence[str], rng: np.random.Generator) -> str:
    words = captions[int(rng.integers(len(captions)))].split()
    kept = [word for word in words if rng.random() < 0.8]
    return " ".join(kept or words)


def _ours(sets: PredictionSets) -> list[Scores]:
    with new_scorer(Wanted(spice=False)) as scorer:
        return scorer.score(sets)


def _numbers(scores: Scores) -> Numbers:
    """Per-clip values with the corpus' behind them."""
    return {
        name: np.append(values, scores.corpus[name]) for name, values in scores.per_clip.items()
    }


def _pycocoevalcap(sets: PredictionSets, file: int) -> Numbers:
    """What pycocoevalcap's COCOEvalCap.evaluate does, less SPICE."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    folder = str(jvm.java().parent)
    if not os.environ["PATH"].startswith(folder):
        os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
    tokenizer = PTBTokenizer()
    references = tokenizer.tokenize(
        {
            clip: [{"caption": text} for text in texts]
            for clip, texts in zip(sets.clips, sets.references, strict=True)
        }
    )
    candidates = tokenizer.tokenize(
        {
            clip: [{"caption": text}]
            for clip, text in zip(sets.clips, sets.candidates[file], strict=True)
        }
    )
    corpus, clips = Bleu(4).compute_score(references, candidates, verbose=0)
    numbers = {f"bleu_{n + 1}": np.append(clips[n], corpus[n]) for n in range(4)}
    for name, metric in (("meteor", Meteor()), ("rouge_l", Rouge()), ("cider_d", Cider())):
        corpus, clips = metric.compute_score(references, candidates)
        numbers[name] = np.append(clips, corpus)
    return numbers


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))

"""What SPICE costs with parses kept, beside the published way, which parses every text of a file.

Every figure is that of all metrics, with processes of its own started and models loaded anew.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from evaluate.metrics.child import ROOT
from evaluate.metrics.spice import jars
from evaluate.metrics.spice.client import Spice
from evaluate.metrics.spice.parses import FILE_NAME
from evaluate.metrics.tokenizer import tokenize
from evaluate.scores.human import leave_one_out
from evaluate.scores.predictions import PredictionSets
from evaluate.scores.results import Scores
from evaluate.scores.score import Scorer, Wanted

T = TypeVar("T")


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Seconds and result of a call."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def spice_cost(sets: PredictionSets) -> None:
    """Measure and print.

    Args:
        sets: at least two files.
    """
    why_not = jars.missing()
    if why_not:
        print(f"  SPICE                            not measured: {why_not}")
        return
    first, second = (replace(sets, candidates=(file,)) for file in sets.candidates[:2])
    print(f"all metrics with SPICE, {len(sets.clips)} clips, models loaded where they are needed")
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / FILE_NAME
        first_s, [scores] = timed(lambda: _score([first], cache))
        print(f"  first file                       {first_s:7.1f} s   (target: 140 at most)")
        further_s, _ = timed(lambda: _score([second], cache))
        print(f"  a further file                   {further_s:7.1f} s   (target: 45 at most)")
        again_s, [again] = timed(lambda: _score([first], cache))
        print(f"  a file known already             {again_s:7.1f} s   (target: 20 at most)")
    theirs_s, theirs = timed(lambda: _published(first))
    print(f"  SPICE alone, the published way   {theirs_s:7.1f} s   for every file")
    same = np.array_equal(scores.per_clip["spice"], theirs)
    same = same and np.array_equal(again.per_clip["spice"], theirs)
    print(f"  SPICE of all three               {'equal to the last bit' if same else 'DIFFERS'}")
    captions = {
        clip: (*texts, candidate)
        for clip, texts, candidate in zip(
            sets.clips, sets.references, sets.candidates[0], strict=True
        )
    }
    with tempfile.TemporaryDirectory() as folder:
        rounds = leave_one_out(captions, Path("the bench's captions"))
        human_s, _ = timed(lambda: _score(rounds, Path(folder) / FILE_NAME))
    print(f"  each caption against the others  {human_s:7.1f} s   (target: 150 at most)")


def _score(rounds: list[PredictionSets], cache: Path) -> list[Scores]:
    spice = Spice(jars.class_path(), cache=cache, versions=jars.versions())
    with Scorer(Wanted(), spice=spice) as scorer:
        return [scorer.score(sets)[0] for sets in rounds]


def _published(sets: PredictionSets) -> np.ndarray:
    tokens = iter(tokenize([text for texts in sets.references for text in texts]))
    asked = {
        "references": [[next(tokens) for _ in texts] for texts in sets.references],
        "candidates": tokenize(sets.candidates[0]),
    }
    command = [sys.executable, "-m", "benchmarks.published.spice"]
    done = subprocess.run(
        command, input=json.dumps(asked), capture_output=True, text=True, cwd=ROOT, check=True
    )
    return np.array(json.loads(done.stdout), np.float64)

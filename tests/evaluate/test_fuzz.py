"""Seeded damage to predictions and scores of anybody: a result, or a refusal; nothing else.

What ends in any other error would be caught by features/common/command.py, which is for what nobody
foresaw: here it is a failure. Damage is bytes changed, cut, doubled, put in and left out.
"""

import random
import signal
from pathlib import Path

import numpy as np

from evaluate.scores.predictions import Prediction, read_predictions, write_predictions
from evaluate.scores.results import Scores, read_results, write_results
from features.common.checksum import sha256_of
from features.common.errors import TagbartError

LIMIT_S = 30  # of one reading
PIECES = (b"\x00", b"\xff\xfe", b"-1", b"1e999", b"NaN", b"null", b"[", b'{"', b"true", b'"', b"\n",
          b"../", b"999999999999999999999", b"\xed\xa0\x80")  # fmt: skip


def damaged(data: bytes, rng: random.Random) -> bytes:
    """The bytes with one to four things done to them."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(out) + 1)
        length = rng.choice((1, 1, 2, 8, 64))
        match rng.randrange(6):
            case 0:
                out[at : at + length] = rng.randbytes(length)
            case 1:
                del out[at : at + length]
            case 2:
                out[at:at] = rng.choice(PIECES)
            case 3:
                out[at : at + length] = rng.choice(PIECES)
            case 4:
                out[at:at] = out[at : at + length] * rng.choice((1, 3))
            case 5 if rng.random() < 0.2:
                del out[at:]
    return bytes(out)


def survive(path: Path, read, *, tries: int, seed: int = 0) -> None:
    """Read a file that is damaged in so many ways; report all errors that are no refusals."""

    def too_long(*_):
        raise AssertionError(f"no end within {LIMIT_S} s")

    whole, wrong = path.read_bytes(), {}
    before = signal.signal(signal.SIGALRM, too_long)
    try:
        for number in range(tries):
            path.write_bytes(damaged(whole, random.Random(f"{path.name} {seed} {number}")))
            signal.alarm(LIMIT_S)
            try:
                read()
            except TagbartError as refusal:
                if not str(refusal).strip():
                    wrong[number] = "a refusal without words"
            except Exception as error:
                wrong[number] = f"{type(error).__name__}: {str(error)[:200]}"
            finally:
                signal.alarm(0)
    finally:
        signal.signal(signal.SIGALRM, before)
        path.write_bytes(whole)
    assert not wrong, f"{path.name}, seed {seed}: {len(wrong)} of {tries}: {wrong}"


def test_predictions_and_scores(tmp_path):
    path = tmp_path / "predictions.jsonl"
    items = [Prediction(clip=f"c{n}", candidate="a dog", references=("dogs",)) for n in range(3)]
    write_predictions(path, items)
    survive(path, lambda: read_predictions(path), tries=300)
    scores = Scores(
        clips=("c0",),
        corpus={"bleu_1": 0.5},
        per_clip={"bleu_1": np.array([0.5])},
        intervals={"bleu_1": (0.0, 1.0)},
        predictions_sha256=sha256_of(path),
    )
    write_results(tmp_path, scores, predictions="predictions.jsonl")
    survive(tmp_path / "scores.json", lambda: read_results(tmp_path), tries=300)

"""Seeded damage to everything that may come from anybody: a result, or a refusal; nothing else.

What ends in any other error would be caught by features/common/command.py, which is for what nobody
foresaw: here it is a failure. Damage is bytes changed, cut, doubled, put in and left out.
"""

import faulthandler
import json
import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from evaluate.scores.predictions import Prediction, read_predictions, write_predictions
from evaluate.scores.results import read_results, write_results
from extract.dump.plan import read_dump
from extract.sound.audio import load_audio
from features.common.checksum import sha256_of
from features.common.errors import ClipError, TagbartError
from features.reader import Features
from features.verify import verify
from tests.evaluate.scores.scoring_fixtures import made_scores
from train.run_folder.checkpoint import load_run

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


class Survives:
    """Reads a file that is damaged in many ways; reports all errors that are no refusals."""

    def __init__(self, stderr: int) -> None:
        self._stderr = stderr

    def __call__(self, path: Path, read, *, tries: int, seed: int = 0, begin: int | None = None):
        """Damage what stands in the first `begin` bytes of a file, or anywhere; `read` reads it."""
        whole, wrong, refused = path.read_bytes(), {}, 0
        for number in range(tries):
            rng = random.Random(f"{path.name} {seed} {number}")
            path.write_bytes(damaged(whole[:begin], rng) + (whole[begin:] if begin else b""))
            # No signal reaches a library that never ends: the process goes, and says where it was.
            faulthandler.dump_traceback_later(LIMIT_S, exit=True, file=self._stderr)
            try:
                read()
            except TagbartError as refusal:
                refused += 1
                told = str(refusal)  # of a clip, whoever lists the clips adds its name
                named = path.name in told or f"{path.parent}/" in told  # or what it points to
                if not named and not isinstance(refusal, ClipError):
                    wrong[number] = f"a refusal that does not name the file: {refusal}"
            except Exception as error:
                wrong[number] = f"{type(error).__name__}: {str(error)[:200]}"
            finally:
                faulthandler.cancel_dump_traceback_later()
        path.write_bytes(whole)
        print(
            f"{path.name}: {tries} mutations, {refused} refused, {len(wrong)} wrong"
        )  # pytest -rP
        assert refused, "nothing that was damaged was read"
        assert not wrong, f"{path.name}, seed {seed}: {len(wrong)} of {tries}: {wrong}"


@pytest.fixture
def survive(capfd):
    with capfd.disabled():
        stderr = os.dup(2)  # not the one that pytest keeps to itself
    yield Survives(stderr)
    os.close(stderr)


@pytest.fixture
def features(tiny_features, tmp_path) -> Path:
    return Path(shutil.copytree(tiny_features, tmp_path / "features"))


def read_features(root: Path) -> None:
    """Everything of a split, and what verify says of it."""
    clips = Features(root, "test")
    problems = verify(root)  # says what is wrong, and raises nothing
    assert all(str(root) in str(problem) for problem in problems)
    for clip in clips.ids:
        assert clips[clip].streams


def test_shards(features, survive):
    shard, index = features / "test" / "00000.h5", features / "features.json"
    listed = json.loads(index.read_text())

    def read():
        entry = listed["splits"]["test"]["shards"][0]
        entry |= {"bytes": shard.stat().st_size, "sha256": sha256_of(shard)}
        index.write_text(json.dumps(listed))
        read_features(features)

    survive(shard, read, tries=300)


def test_the_index(features, survive):
    survive(features / "features.json", lambda: read_features(features), tries=300)


def test_predictions_and_scores(tmp_path, survive):
    path = tmp_path / "predictions.jsonl"
    items = [Prediction(clip=f"c{n}", candidate="a dog", references=("dogs",)) for n in range(3)]
    write_predictions(path, items)
    survive(path, lambda: read_predictions(path), tries=300)
    scores = made_scores(["c0"], {"bleu_1": [0.5]}, predictions_sha256=sha256_of(path))
    write_results(tmp_path, scores, predictions="predictions.jsonl")
    survive(tmp_path / "scores.json", lambda: read_results(tmp_path), tries=300)


def test_captions(tmp_path, survive):
    for name in ("a_0", "b_30"):
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(100), 16_000)
    path = tmp_path / "test.csv"
    path.write_text(
        'audiocap_id,youtube_id,start_time,caption\n1,a,0,"a dog, barking"\n2,b,30,rain ü\n'
    )
    survive(path, lambda: read_dump(tmp_path), tries=300)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_headers_of_sounds(suffix, tmp_path, survive, without_ffmpeg):
    path = tmp_path / f"a.{suffix}"
    sound = np.random.default_rng(0).normal(0, 0.1, (1600, 2))
    soundfile.write(path, sound, 16_000)
    survive(path, lambda: load_audio(path), tries=150, begin=96)
    survive(path, lambda: load_audio(path), tries=100)


@pytest.mark.parametrize(
    "name", ["recipe.toml", "streams.json", "config.json", "model.safetensors", "tokenizer.json"]
)
def test_run_folders(name, tiny_run_folder, tmp_path, survive):
    run = Path(shutil.copytree(tiny_run_folder, tmp_path / "run"))
    begin = 2048 if name == "model.safetensors" else None  # its header
    survive(run / name, lambda: load_run(run), tries=60, begin=begin)

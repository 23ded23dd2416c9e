"""A folder with an evaluation of something else is refused, and says what differs."""

import json
from pathlib import Path

import pytest

from evaluate.captions.options import DecodingOptions
from evaluate.cli import app
from evaluate.evaluation import EvaluationJob, caption_split
from evaluate.same_settings import NAME, check_same_settings, note_settings
from evaluate.scores.results import Origin
from evaluate.scores.score import Wanted
from features.common.errors import RunError


def made(**changes) -> Origin:
    decoding = {"beams": 4, "length_penalty": 1.0, "precision": "float32"}
    values = {"recipe": "tiny", "seed": 0, "split": "test", "run": "runs/a", "decoding": decoding}
    return Origin(**(values | changes))


def scores_of(origin: Origin | None) -> dict:
    return {
        "format": "tagbart-scores", "version": 1, "predictions": "predictions.jsonl", "clips": 1,
        "corpus": {}, "intervals": {}, "not_available": {},
        "evaluation": None if origin is None else vars(origin),
    }  # fmt: skip


@pytest.mark.parametrize("scored", [False, True])
def test_what_differs_is_named(scored, tmp_path):
    if scored:  # by an earlier version, which noted nothing else
        (tmp_path / "scores.json").write_text(json.dumps(scores_of(made())))
    else:
        note_settings(tmp_path, made(), Path("features"))
    check_same_settings(tmp_path, made(run="./runs/a"), Path("features"))
    for changes, words in (
        ({"split": "val"}, "split test, now val"),
        ({"run": "runs/b"}, r"run runs/a, now runs/b"),
        ({"seed": 1}, "seed 0, now 1"),
        ({"decoding": {"beams": 5, "precision": "float32"}}, r"\(beams 4, now 5\)"),
    ):
        with pytest.raises(RunError, match=rf"{words}.*--overwrite"):
            check_same_settings(tmp_path, made(**changes), Path("features"))


def test_other_features_are_other_settings(tmp_path):
    note_settings(tmp_path, made(), Path("features"))
    with pytest.raises(RunError, match="features features, now others"):
        check_same_settings(tmp_path, made(), Path("others"))


def test_a_folder_without_an_evaluation_is_free(tmp_path):
    check_same_settings(tmp_path, made(), Path("features"))
    check_same_settings(tmp_path / "absent", made(), Path("features"))


def test_scores_of_a_predictions_file_and_damaged_notes_are_not_replaced(tmp_path):
    (tmp_path / "scores.json").write_text(json.dumps(scores_of(None)))
    with pytest.raises(RunError, match="run none, but a predictions file"):
        check_same_settings(tmp_path, made(), Path("features"))
    (tmp_path / NAME).write_text("{")
    with pytest.raises(RunError, match=r"\.evaluation\.json"):
        check_same_settings(tmp_path, made(), Path("features"))


def test_a_run_that_is_not_there_is_said_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = EvaluationJob(
        run=Path("some/demo"), features=tmp_path, split="test", out=tmp_path / "out", device="cpu",
        options=DecodingOptions(), exports=(), wanted=Wanted(spice=False), as_json=False,
    )  # fmt: skip
    with pytest.raises(RunError, match="hf download some/demo --local-dir demo"):
        caption_split(asked)
    command = ["run", "some/demo", str(tmp_path), "--out", "out", "--no-spice"]
    with pytest.raises(RunError, match="hf download some/demo --local-dir demo"):
        app(command, standalone_mode=False)

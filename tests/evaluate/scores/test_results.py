"""scores.json and scores.csv: what is written is read back, what is absent has no column."""

import csv
import json
import os
from dataclasses import replace

import numpy as np
import pytest

from evaluate.report.folders import read_clip_scores
from evaluate.scores.foreign import read_foreign_sets
from evaluate.scores.human import read_captions
from evaluate.scores.predictions import read_sets
from evaluate.scores.results import (
    Origin,
    Scores,
    Without,
    as_result,
    check_predictions,
    is_scored,
    mean_and_std,
    read_results,
    recorded_origin,
    summary_to_json,
    write_results,
)
from features.common.checksum import sha256_of
from features.common.damaged import read_json
from features.common.errors import TagbartError
from train.data.sources import read_ids

SCORES = Scores(
    clips=("-a_b_30", "ü,\n.wav"),
    corpus={"bleu_1": 0.6, "cider_d": 1.0 / 3},
    per_clip={"bleu_1": np.array([0.5, 0.7]), "cider_d": np.array([1.0 / 3, np.nan])},
    intervals={"bleu_1": (0.5, 0.7), "cider_d": (0.2, 0.4)},
    not_available={"spice": "why"},
    without={"spider": Without(clips=1, value=0.25, interval=(0.25, 0.25))},
)
MADE = Origin(recipe="demo", seed=3, split="test", run="runs/x", decoding={"beams": 4})


def test_scores_json_is_read_back_as_it_was_written(tmp_path):
    write_results(tmp_path, SCORES, predictions="p.jsonl", evaluation=MADE)
    assert read_results(tmp_path) == as_result(SCORES, "p.jsonl", MADE)
    raw = json.loads((tmp_path / "scores.json").read_text())
    assert raw["corpus"] == {"bleu_1": 0.6, "cider_d": 1 / 3}
    assert raw["clips"] == 2
    assert raw["without"] == {"spider": {"clips": 1, "value": 0.25, "interval": [0.25, 0.25]}}
    write_results(tmp_path, SCORES, predictions="p.jsonl")
    assert read_results(tmp_path).evaluation is None


def test_a_scores_json_of_before_lacks_no_clips(tmp_path):
    write_results(tmp_path, SCORES, predictions="p.jsonl")
    raw = json.loads((tmp_path / "scores.json").read_text())
    del raw["without"]
    (tmp_path / "scores.json").write_text(json.dumps(raw))
    assert read_results(tmp_path).without == {}


def test_scores_csv_has_a_row_per_clip_in_full_precision_and_no_column_for_absent_metrics(tmp_path):
    write_results(tmp_path, SCORES, predictions="p.jsonl")
    with (tmp_path / "scores.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["clip", "bleu_1", "cider_d"]
    assert rows[1][0] == "-a_b_30" and float(rows[1][2]) == 1 / 3
    assert rows[2] == ["ü,\n.wav", "0.7", ""]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not valid JSON"),
        ("[]", "is not of format"),
        ('{"format": "tagbart-scores", "version": 2}', "version 1"),
        ('{"format": "tagbart-scores", "version": 1}', "a record is missing"),
    ],
)
def test_a_scores_json_that_is_none_is_named(tmp_path, text, words):
    (tmp_path / "scores.json").write_text(text)
    with pytest.raises(TagbartError, match=words) as caught:
        read_results(tmp_path)
    assert str(tmp_path / "scores.json") in str(caught.value)


def test_a_folder_with_scores_of_several_files_names_their_folders(tmp_path):
    summary = summary_to_json({"a": as_result(SCORES, "p"), "b/x": as_result(SCORES, "q")})
    (tmp_path / "scores.json").write_text(json.dumps(summary))
    with pytest.raises(TagbartError, match=f"one by one: {tmp_path}/a {tmp_path}/b/x$"):
        read_results(tmp_path)


def test_a_folder_without_scores_says_how_to_make_them(tmp_path):
    (tmp_path / "predictions.jsonl").touch()
    for path, found in (("", r"holds no scores\.json"), ("absent", "no such folder"),
                        ("predictions.jsonl", "is no folder")):  # fmt: skip
        with pytest.raises(TagbartError, match=f"{path}: {found}; name .* `python -m eval.*--out"):
            read_results(tmp_path / path)


def test_a_folder_of_evaluations_is_told_which_one_to_name(tmp_path):
    write_results(tmp_path / "val", SCORES, predictions="p.jsonl")
    with pytest.raises(TagbartError, match=f"but holds {tmp_path / 'val'}; name one or more"):
        read_results(tmp_path)


def test_mean_and_sample_standard_deviation_are_of_what_all_files_have():
    mean, std = mean_and_std([{"bleu_1": 0.1, "spice": 0.2}, {"bleu_1": 0.3}])
    assert mean == pytest.approx({"bleu_1": 0.2})
    assert std == pytest.approx({"bleu_1": 0.2 / 2**0.5})  # sqrt((0.1² + 0.1²) / (2 - 1))
    assert mean_and_std([{"spice": 0.2}]) == ({"spice": 0.2}, {})


def test_several_files_are_kept_by_name():
    result = as_result(SCORES, "p.jsonl")
    summary = summary_to_json({"a": result, "b": result})
    assert list(summary["files"]) == ["a", "b"]
    assert summary["std"] == {"bleu_1": 0.0, "cider_d": 0.0}


def evaluation(folder, captions="a dog barks\n"):
    """An evaluation folder whose scores know what they were made from."""
    (folder / "predictions.jsonl").write_text(captions)
    digest = sha256_of(folder / "predictions.jsonl")
    scores = replace(SCORES, predictions_sha256=digest)
    write_results(folder, scores, predictions="predictions.jsonl", evaluation=MADE)


def test_scores_of_captions_that_were_replaced_since_are_refused_by_name(tmp_path):
    evaluation(tmp_path)
    assert read_results(tmp_path).evaluation == MADE and is_scored(tmp_path)
    (tmp_path / "predictions.jsonl").write_text("a siren wails\n")  # and the scorer was killed
    with pytest.raises(TagbartError, match=r"scores\.json: its scores are not those"):
        read_results(tmp_path)
    assert not is_scored(tmp_path)
    assert recorded_origin(tmp_path) == MADE  # which still keeps another file's scores out


def test_a_table_per_clip_that_is_not_that_of_the_scores_is_refused_by_name(tmp_path):
    evaluation(tmp_path)
    (tmp_path / "scores.csv").write_text("clip,bleu_1\n-a_b_30,1.0\n")
    with pytest.raises(TagbartError, match=r"scores\.csv: is not the one"):
        read_results(tmp_path)


def test_scores_of_a_file_elsewhere_are_compared_with_that_file(tmp_path):
    other = tmp_path / "nearest.jsonl"
    other.write_text("rain falls\n")
    scores = replace(SCORES, predictions_sha256=sha256_of(other))
    write_results(tmp_path / "nearest", scores, predictions="nearest.jsonl")
    result = read_results(tmp_path / "nearest")
    check_predictions(tmp_path / "nearest", result, other)
    other.write_text("snow falls\n")
    with pytest.raises(TagbartError, match="not those of the captions in"):
        check_predictions(tmp_path / "nearest", result, other)


def test_a_folder_made_before_checksums_were_kept_is_read_with_one_warning(tmp_path, capsys):
    evaluation(tmp_path)
    raw = json.loads((tmp_path / "scores.json").read_text())
    raw.pop("sha256")
    (tmp_path / "scores.json").write_text(json.dumps(raw))
    assert read_results(tmp_path).corpus == SCORES.corpus
    assert capsys.readouterr().err.count("warning: ") == 1


@pytest.mark.parametrize(
    "change",
    [
        {"corpus": [1]},
        {"corpus": {"bleu_1": "0.6"}},
        {"corpus": {"bleu_1": 10**400}},
        {"intervals": {}},
        {"intervals": {"bleu_1": [0.5], "cider_d": [0, 1]}},
        {"clips": "2"},
        {"clips": True},
        {"clips": -1},
        {"clips": 2**63},
        {"corpus": {"bleu_1": float("nan")}},
        {"intervals": {"bleu_1": [0.0, float("inf")], "cider_d": [0, 1]}},
        {"predictions": "half a character: \ud800"},
        {"predictions": None},
        {"not_available": 3},
        {"not_available": {"spice": []}},
        {"evaluation": []},
        {"evaluation": {"recipe": ["x"], "seed": 0, "split": "test", "run": "r"}},
        {"sha256": "ab"},
        {"sha256": {"predictions": 3}},
        {"version": 1.0},
        {"version": True},
    ],
)
def test_a_record_of_another_type_is_named_in_one_line(tmp_path, change):
    evaluation(tmp_path)
    raw = json.loads((tmp_path / "scores.json").read_text())
    (tmp_path / "scores.json").write_text(json.dumps(raw | change))
    with pytest.raises(TagbartError, match=r"scores\.json: "):
        read_results(tmp_path)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("predictions.jsonl", lambda path: read_sets([path])),
        ("scores.json", lambda path: read_results(path.parent)),
        ("scores.csv", read_clip_scores),
        ("test.csv", read_captions),
        ("captions.jsonl", lambda path: read_foreign_sets([], path)),
        ("captions.json", lambda path: read_foreign_sets([], path)),
        ("streams.json", lambda path: read_json(path, TagbartError)),
        ("ids.txt", read_ids),
    ],
)
def test_a_pipe_is_refused_and_not_waited_for(tmp_path, name, read):
    os.mkfifo(tmp_path / name)
    with pytest.raises(TagbartError, match=rf"{name}: .*no ordinary file"):
        read(tmp_path / name)


def test_deeply_nested_scores_are_no_scores(tmp_path):
    (tmp_path / "scores.json").write_text('{"a":' * 100_000)
    with pytest.raises(TagbartError, match=r"scores\.json: not valid JSON"):
        read_results(tmp_path)

"""Predictions files: keyed by clip id, and every fault named by file, line and clip."""

import json
from pathlib import Path

import pytest

from evaluate.scores.predictions import (
    Prediction,
    PredictionsError,
    PredictionSets,
    read_predictions,
    read_sets,
    write_predictions,
)


def lines(path: Path, *records: object) -> Path:
    text = (item if isinstance(item, str) else json.dumps(item) for item in records)
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return path


def record(clip: str, candidate: str = "a dog barks", references=("a dog", "dogs bark")):
    return {"clip": clip, "candidate": candidate, "references": list(references)}


def test_what_is_written_is_read_back_with_its_line_numbers(tmp_path):
    texts = ["a dog\nbarks", "caf\u00e9 \U0001f415 \u2028 x", ""]
    written = [
        Prediction(clip=f"-_{n}", candidate=text, references=(text, "b"))
        for n, text in enumerate(texts)
    ]
    write_predictions(tmp_path / "p.jsonl", written)
    read = list(read_predictions(tmp_path / "p.jsonl").values())
    assert [(item.clip, item.candidate, item.references) for item in read] == [
        (item.clip, item.candidate, item.references) for item in written
    ]
    assert [item.line for item in read] == [1, 2, 3]


def test_other_keys_and_empty_lines_are_ignored(tmp_path):
    path = lines(tmp_path / "p.jsonl", record("a") | {"spice": 0.1}, "", record("b"))
    assert list(read_predictions(path)) == ["a", "b"]
    assert read_predictions(path)["b"].line == 3


@pytest.mark.parametrize(
    ("faulty", "words"),
    [
        ("{not json", "not valid JSON"),
        ("[1]", "expected a JSON object"),
        ({"candidate": "x", "references": ["y"]}, "has no 'clip'"),
        (record(""), '"clip" is empty'),
        (record("a\ud83d"), "'\\ud83d' is half a character"),
        (record("b", references=["y", "\udfff"]), "'\\udfff' is half a character"),
        ({"clip": 7, "candidate": "x", "references": ["y"]}, "'clip' is 7, expected a text"),
        ({"clip": "b", "references": ["y"]}, "has no 'candidate'"),
        ({"clip": "b", "candidate": None, "references": ["y"]}, "clip 'b': 'candidate' is None"),
        (record("b", references=[]), "clip 'b': has no references"),
        ({"clip": "b", "candidate": "x"}, "clip 'b': has no references"),
        ({"clip": "b", "candidate": "x", "references": "y"}, "clip 'b': has no references"),
        ({"clip": "b", "candidate": "x", "references": [1]}, "clip 'b': a reference is no text"),
        (record("a"), "clip 'a' stands in line 1 already"),
    ],
)
def test_a_faulty_line_is_named_by_file_and_line(tmp_path, faulty, words):
    path = lines(tmp_path / "p.jsonl", record("a"), faulty)
    with pytest.raises(PredictionsError) as caught:
        read_predictions(path)
    assert str(caught.value).startswith(f"{path}, line 2")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_absent_an_empty_and_a_binary_file_are_named(tmp_path):
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name, words in (("absent", "No such file"), ("empty", "holds no"), ("binary", "not UTF-8")):
        with pytest.raises(PredictionsError, match=words) as caught:
            read_predictions(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)


def test_files_in_another_order_are_joined_by_clip_id(tmp_path):
    a = lines(tmp_path / "a.jsonl", record("x", "one"), record("y", "two", ["r", "s"]))
    b = lines(tmp_path / "b.jsonl", record("y", "zwei", ["s", "r"]), record("x", "eins"))
    sets = read_sets([a, b])
    assert sets.clips == ("x", "y")
    assert sets.candidates == (("one", "two"), ("eins", "zwei"))
    assert sets.references == (("a dog", "dogs bark"), ("r", "s"))


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ([record("x"), record("z")], "line 2: clip 'z' is not in"),
        ([record("x")], "lacks 1 clips of"),
        ([record("y"), record("x", references=["other"])], "line 2, clip 'x': its references"),
    ],
)
def test_files_with_other_clips_or_references_are_refused(tmp_path, second, words):
    a = lines(tmp_path / "a.jsonl", record("x"), record("y"))
    b = lines(tmp_path / "b.jsonl", *second)
    with pytest.raises(PredictionsError, match=words) as caught:
        read_sets([a, b])
    assert str(a) in str(caught.value) and str(b) in str(caught.value)


def test_the_longest_text_is_named_by_its_clip():
    sets = PredictionSets(
        clips=("a", "b"),
        references=(("one two", "three"), ("four",)),
        candidates=(("x", "word " * 9), ("y", "z")),
    )
    assert sets.longest() == "the longest text is a caption of clip 'b', 9 words"


def test_n_best_lists_are_read_as_texts_or_as_objects_with_one(tmp_path):
    kept = [
        record("x") | {"n_best": [{"text": "a dog", "logprob": -1}, {"text": "dogs"}]},
        record("y") | {"n_best": ["a cat"]},
        record("z"),
    ]
    path = lines(tmp_path / "a.jsonl", *kept)
    assert read_sets([path]).n_best == ((("a dog", "dogs"), ("a cat",), ()),)
    for wrong in ("a dog", [3], [{"caption": "a dog"}]):
        lines(path, record("x") | {"n_best": wrong})
        with pytest.raises(PredictionsError, match=r"line 1, clip 'x': \"n_best\" is no list"):
            read_sets([path])

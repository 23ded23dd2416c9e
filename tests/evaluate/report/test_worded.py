"""How systems word their captions, in the report: values as scored, paired differences."""

from math import sqrt

import numpy as np
import pytest

from evaluate.metrics.child import ScoreError
from evaluate.metrics.wording import without_each, wording
from evaluate.report.build import build_report
from evaluate.report.folders import read_study
from evaluate.report.material import Sources
from evaluate.report.worded import worded
from evaluate.scores.predictions import Prediction, write_predictions
from evaluate.scores.results import write_results
from tests.evaluate.scores.scoring_fixtures import made_scores

PEOPLE = [("a dog barks",), ("rain falls",), ("a bee",), ("a man speaks",)]
FIRST = ["a dog barks", "rain", "a bee", "a man"]
SECOND = ["a dog", "rain falls on rain", "bees buzz around", "a man speaks"]


def evaluation(folder, captions):
    clips = [f"clip_{number}" for number in range(len(captions))]
    write_predictions(
        folder / "predictions.jsonl",
        [
            Prediction(clip=clip, candidate=text, references=people)
            for clip, text, people in zip(clips, captions, PEOPLE, strict=True)
        ],
    )
    worded = {
        "wording": wording(captions, PEOPLE),
        "wording_without": without_each(captions, PEOPLE),
    }
    made = made_scores(clips, {"cider_d": [0.5] * len(clips)}, **worded)
    write_results(folder, made, predictions="predictions.jsonl")
    return folder


@pytest.fixture
def folders(tmp_path):
    return [evaluation(tmp_path / "a", FIRST), evaluation(tmp_path / "b", SECOND)]


def test_words_and_their_differences_stand_in_the_report(folders, tmp_path):
    rows, why_not = worded(read_study(folders))
    assert why_not == ""
    by_name = {row["measure"]: row for row in rows}
    # a dog barks rain bee man; a dog rain falls on bees buzz around man speaks
    assert [text for text, *_ in by_name["different words"]["values"]] == ["6", "10"]
    assert by_name["different words"]["differences"][0][0] == "+4"
    assert [text for text, *_ in by_name["in none"]["values"]] == ["0", "4"]  # on bees buzz around
    # For a mean the jackknife's interval is that of the clips' differences: -1, 3, 1, 1 words.
    gaps = np.array([-1, 3, 1, 1])
    half = 1.959964 * gaps.std(ddof=1) / sqrt(4)
    low, high = f"{1 - half:+.1f}".replace("-", "−"), f"{1 + half:+.1f}"
    assert by_name["words a caption"]["differences"] == [("+1.0", f"{low} to {high}", False)]
    assert by_name["distinct-3 within a caption"]["values"][0][1] == "0.0–74.0"  # of 1 0 0 0
    build_report(folders, tmp_path / "out", Sources())
    assert f"<td>+1.0 <small>{low} to {high}</small></td>" in (
        (tmp_path / "out" / "index.html").read_text("utf-8")
    )


def test_without_java_the_values_stand_and_the_reason(folders, tmp_path, monkeypatch):
    def no_java(texts):
        raise ScoreError("Java is not here")

    monkeypatch.setattr("evaluate.scores.computing.tokenized.tokenize", no_java)
    rows, why_not = worded(read_study(folders))
    assert why_not == "Java is not here" and rows[0]["differences"] == []
    build_report(folders, tmp_path / "out", Sources())
    text = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert "No differences: Java is not here." in text and '<th scope="row">words a caption' in text


def test_one_system_needs_no_java_and_scores_of_old_have_no_table(folders, tmp_path, monkeypatch):
    monkeypatch.setattr("evaluate.scores.computing.tokenized.tokenize", None)
    rows, _ = worded(read_study(folders[:1]))
    assert rows[3]["values"][0][0] == "2.0" and not rows[3]["differences"]  # 8 words of 4 captions
    scores = folders[0] / "scores.json"
    scores.write_text(scores.read_text("utf-8").replace('"wording_intervals"', '"other"'), "utf-8")
    assert worded(read_study(folders)) == ([], "")

"""Where `python -m evaluate score` writes, and what it leaves alone."""

import json
from dataclasses import replace

import pytest

from evaluate.metrics.wording import without_each, wording
from evaluate.scores.cli import score_command, score_table
from evaluate.scores.results import Origin, read_results, write_results
from features.common.errors import ConfigError
from tests.evaluate.scores.scoring_fixtures import made_scores
from tests.evaluate.scores.test_predictions import lines, record

MADE = Origin(recipe="demo", seed=3, split="test", run="runs/x", decoding={"beams": 4})
EARLIER = made_scores("x", {"bleu_1": [0.5]})


@pytest.fixture
def evaluated(tmp_path):
    """A folder as `evaluate run` leaves it, with another predictions file beside."""
    folder = tmp_path / "test"
    folder.mkdir()
    for name in ("predictions", "other"):
        lines(folder / f"{name}.jsonl", record("x", "a dog barks"), record("y", "it rains"))
    write_results(folder, EARLIER, predictions="predictions.jsonl", evaluation=MADE)
    return folder


@pytest.mark.parametrize("names", [["other"], ["predictions", "other"]])
def test_scores_of_evaluate_run_are_never_replaced_by_others(evaluated, names):
    before = (evaluated / "scores.json").read_bytes()
    with pytest.raises(ConfigError, match=r"scores of `evaluate run`.*name another --out") as error:
        score_command([evaluated / f"{name}.jsonl" for name in names], out=evaluated, spice=False)
    assert str(evaluated / "scores.json") in str(error.value)
    assert (evaluated / "scores.json").read_bytes() == before
    assert not (evaluated / "other").exists()


def test_its_own_predictions_scored_again_keep_the_record_of_the_run(evaluated, shared_meteor):
    score_command([evaluated / "predictions.jsonl"], out=evaluated, spice=False)
    result = read_results(evaluated)
    assert result.evaluation == MADE
    assert result.clips == 2 and "meteor" in result.corpus


def test_earlier_scores_of_several_files_are_replaced(evaluated, tmp_path, shared_meteor):
    files = [evaluated / "predictions.jsonl", evaluated / "other.jsonl"]
    out = tmp_path / "both"
    for order in (files, files[::-1]):
        score_command(order, out=out, spice=False)
        summary = json.loads((out / "scores.json").read_text())
        assert list(summary["files"]) == [file.stem for file in order]


def test_a_table_of_files_of_which_one_lacks_a_metric_names_the_file():
    whole = replace(EARLIER, corpus={"bleu_1": 0.5, "spice": 0.25},
                    intervals={"bleu_1": (0.5, 0.5), "spice": (0.25, 0.25)})  # fmt: skip
    lacking = replace(EARLIER, not_available={"spice": "for all clips; without 1 clip: 50.0"})
    _, heading, *rows = score_table({"b": lacking, "a": whole}).splitlines()
    assert heading.split() == ["B-1", "SPICE"]
    assert rows[0].split() == ["b", "50.0", "–"]
    assert rows[2].split() == ["a", "50.0", "25.0"]
    assert rows[4].split() == ["mean", "50.0", "–"]
    assert rows[-1] == "b: SPICE: not available (for all clips; without 1 clip: 50.0)"


def test_how_captions_are_worded_is_printed_with_intervals_beside_their_references():
    texts, references = ["a dog barks", "a cat"], [["a dog barks"], ["the cat"]]
    worded = replace(
        EARLIER,
        clips=("x", "y"),
        wording=wording(texts, references),
        wording_without=without_each(texts, references),
    )
    table = score_table({"mine": worded})
    heading, own, interval, theirs = table.partition("How captions are worded\n")[2].splitlines()
    assert heading.split()[:6] == ["words", "in", "no", "reference", "words", "each"]
    # 4 words; without x 2 of them, without y 3: 4 ± 1.96 · sqrt(1/2 · (1/4 + 1/4)) = 4 ± 0.98
    assert own.split()[:4] == ["mine", "4", "0", "2.5"]
    assert interval.split()[:3] == ["95", "%", "3–5"]
    assert theirs.split()[:4] == ["references", "5", "–", "2.5"]

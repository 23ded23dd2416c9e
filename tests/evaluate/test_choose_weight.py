"""`evaluate run --choose clap` as users meet it, and the weights that its candidates allow."""

import json

import numpy as np
import pytest

from evaluate.captions.choosing.weight import best, candidates_of
from evaluate.choose_weight_cli import weights_table
from evaluate.cli import app
from evaluate.metrics import clap
from evaluate.metrics.clap_text import ClapText
from evaluate.report.build import build_report
from evaluate.report.material import Sources
from evaluate.scores.predictions import PredictionsError, read_predictions
from evaluate.scores.results import Scores, read_results
from features.common.errors import ConfigError, FormatError, TagbartError, WeightsError
from tests.evaluate.scores.scoring_fixtures import share_meteor


def evaluate(*arguments: object) -> None:
    app([str(part) for part in arguments], standalone_mode=False)


@pytest.fixture(scope="module")
def chosen(tiny_run_folder, heard_features, clap_folder, meteor, tmp_path_factory):
    """The evaluation folder of a run that chose by ear."""
    out = tmp_path_factory.mktemp("chosen") / "val"
    with pytest.MonkeyPatch.context() as patch:
        share_meteor(meteor, patch)
        evaluate(
            "run", tiny_run_folder, heard_features, "--out", out, "--choose", "clap",
            "--candidates", 8, "--clap", clap_folder, "--no-spice", "--no-fense"
        )  # fmt: skip
    return out


def records(out):
    return [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]


def test_predictions_hold_every_candidates_three_numbers_and_the_first_is_the_caption(chosen):
    for record in records(chosen):
        assert record["n_best"][0]["text"] == record["candidate"]
        for item in record["n_best"]:
            assert item["combined"] == pytest.approx(
                0.3 * item["likelihood"] + 0.7 * item["cosine"]
            )
    made = read_results(chosen).evaluation.decoding
    assert (made["choose"], made["candidates"], made["choose_weight"], made["seed"]) == (
        "clap", 8, 0.3, 0
    )  # fmt: skip


def test_clapscore_is_the_mean_cosine_of_the_captions_with_an_interval(chosen):
    result = read_results(chosen)
    cosines = [record["n_best"][0]["cosine"] for record in records(chosen)]
    assert result.corpus["clap_score"] == pytest.approx(np.mean(cosines), abs=1e-5)
    low, high = result.intervals["clap_score"]
    assert low < result.corpus["clap_score"] < high
    rows = (chosen / "scores.csv").read_text().splitlines()
    column = rows[0].split(",").index("clap_score")
    found = [float(row.split(",")[column]) for row in rows[1:]]
    np.testing.assert_allclose(found, cosines, atol=1e-5)


def test_the_runs_own_weight_has_the_runs_own_score(chosen, shared_meteor, capsys):
    evaluate("choose-weight", chosen, "--no-spice", "--json")
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert [float(weight) for weight in found] == pytest.approx(np.arange(11) / 10)
    assert found["0.3"]["cider_d"]["value"] == read_results(chosen).corpus["cider_d"]
    assert "candidates of the test split" in err  # and a weight chosen there is no fair one


def test_the_table_of_weights_marks_the_highest():
    scores = [
        Scores(
            clips=("one",), corpus={"cider_d": value}, per_clip={}, intervals={"cider_d": (0.1, 2)},
            not_available={"spice": "no jars"},
        )
        for value in (0.5, 0.75)
    ]  # fmt: skip
    lines = weights_table({0.0: scores[0], 0.1: scores[1]}).splitlines()
    assert lines[2].split() == ["0.0", "50.0", "10.0–200.0"]
    assert lines[3].split() == ["0.1", "*75.0", "10.0–200.0"]
    assert lines[4] == "SPICE: not available (no jars)"


def test_the_report_shows_the_numbers_beside_the_rivals(chosen, tmp_path):
    build_report([chosen], tmp_path / "report", Sources())
    page = (tmp_path / "report" / "clips" / "00000.html").read_text()
    first = records(chosen)[0]["n_best"][0]
    assert f"cosine {first['cosine']:.2f} · combined {first['combined']:.3f}" in page
    assert f"likelihood {first['likelihood']:.2f}" in page and "Ranked by ear" in page


def test_score_computes_clapscore_from_features(
    chosen, heard_features, clap_folder, shared_meteor, capsys, monkeypatch
):
    tower = ClapText.read(clap_folder)  # here, which spares a process
    monkeypatch.setattr(clap, "text_vectors", lambda _, texts: tower.vectors(texts).numpy())
    path = chosen / "predictions.jsonl"
    evaluate(
        "score", path, "--features", heard_features, "--clap", clap_folder, "--no-spice",
        "--no-fense", "--json"
    )  # fmt: skip
    corpus = json.loads(capsys.readouterr().out)["corpus"]
    assert corpus["clap_score"] == pytest.approx(read_results(chosen).corpus["clap_score"])
    with pytest.raises(TagbartError, match="name them by --features"):
        evaluate("score", path, "--clap", clap_folder)


def test_without_the_tower_clapscore_is_left_out_with_the_command_that_brings_it(
    tiny_run_folder, heard_features, shared_meteor, tmp_path, monkeypatch
):
    monkeypatch.setenv("TAGBART_WEIGHTS", str(tmp_path / "weights"))
    out = tmp_path / "out"
    evaluate("run", tiny_run_folder, heard_features, "--out", out, "--no-spice", "--no-fense")
    result = read_results(out)
    assert "clap_score" not in result.corpus
    assert "python -m extract fetch clap" in result.not_available["clap_score"]


@pytest.mark.parametrize("asked", [["--choose", "clap"], ["--clap", "nowhere"]])
def test_what_choosing_by_ear_lacks_is_said_before_any_work(
    tiny_run_folder, tiny_features, heard_features, tmp_path, asked, monkeypatch
):
    monkeypatch.setenv("TAGBART_WEIGHTS", str(tmp_path / "weights"))
    rest = ["--out", tmp_path / "out", *asked]
    with pytest.raises(FormatError, match="has no stream 'clap'"):
        evaluate("run", tiny_run_folder, tiny_features, *rest)
    with pytest.raises(WeightsError, match="no such folder") as error:
        evaluate("run", tiny_run_folder, heard_features, *rest)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--candidates", "--choose-weight"])
def test_an_option_of_choosing_by_ear_is_refused_where_captions_are_chosen_otherwise(option):
    with pytest.raises(ConfigError, match=rf"{option} is for .*add --choose clap"):
        evaluate("run", "RUN", "FEATURES", "--out", "OUT", option, 1)


def test_the_weight_decides_between_likelihood_and_cosine():
    # 0.5 better in likelihood, 0.3 worse in cosine: the first leads where 0.5 w > 0.3 (1 - w).
    pool = [
        {"text": "likely", "likelihood": -0.5, "cosine": 0.1},
        {"text": "heard", "likelihood": -1.0, "cosine": 0.4},
    ]
    assert [best(pool, weight) for weight in (0.0, 0.37, 0.38, 1.0)] == [
        "heard", "heard", "likely", "likely"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "n_best",
    [[], ["a dog"], [{"text": "a dog"}], [{"text": "a", "likelihood": -1.0, "cosine": None}]],
)
def test_an_evaluation_that_was_not_chosen_by_ear_is_refused(tmp_path, n_best):
    path = tmp_path / "predictions.jsonl"
    record = {"clip": "one", "candidate": "a", "references": ["a"], "n_best": n_best}
    path.write_text(json.dumps(record))
    with pytest.raises(PredictionsError, match=r"clip 'one': has no candidates .*--choose clap"):
        candidates_of(read_predictions(path), path)

"""`python -m evaluate run`, from a run and features to an evaluation folder."""

import csv
import json
import shutil
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from evaluate import evaluation, paper_runs
from evaluate.captions.cli_options import decoding_options
from evaluate.captions.options import DecodingOptions
from evaluate.cli import app
from evaluate.evaluation import as_record
from evaluate.report.folders import read_clip_scores
from evaluate.scores.results import read_results
from features.common.checksum import sha256_of
from features.common.errors import ConfigError, FormatError, TagbartError
from tests.evaluate.command import evaluate
from tests.evaluate.conftest import CAPTIONS
from train.run_folder.checkpoint import own_decoding


@pytest.fixture(scope="module")
def evaluated(tiny_run_folder, tiny_features, tmp_path_factory):
    """The evaluation folder and what the command said."""
    out = tmp_path_factory.mktemp("out")
    options = ["--n-best", 2, "--export", "coco", "--export", "dcase", "--no-spice"]
    options += ["--listen-check", "--weights", out / "none"]
    done = evaluate("run", tiny_run_folder, tiny_features, "--out", out, *options)
    assert done.returncode == 0, done.stderr
    return out, done


def test_memorised_captions_score_full_marks(evaluated):
    out, done = evaluated
    result = read_results(out)
    assert result.clips == len(CAPTIONS) - 1  # one has no reference
    assert result.corpus["rouge_l"] == pytest.approx(1)
    assert result.corpus["meteor"] == pytest.approx(1)
    assert "ROUGE-L" in done.stdout and "100.0" in done.stdout


def test_an_out_that_cannot_be_written_into_is_refused_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "require_run", lambda run: None)
    (tmp_path / "file").touch()
    asked = SimpleNamespace(run=tmp_path, out=tmp_path / "file", features=tmp_path / "none")
    with pytest.raises(ConfigError, match="file: is no folder"):
        evaluation.caption_split(asked)
    (tmp_path / "recipe.toml").touch()
    asked.out = tmp_path
    with pytest.raises(ConfigError, match="with which an evaluation would be"):
        evaluation.caption_split(asked)
    arguments = ["score", str(tmp_path / "none.jsonl"), "--out", str(tmp_path / "file" / "x")]
    done = CliRunner().invoke(app, arguments)
    assert "file: is no folder" in str(done.exception)


def test_stdout_holds_the_table_and_progress_goes_to_stderr(evaluated):
    _, done = evaluated
    assert "caption" not in done.stdout.lower().replace("captions", "")
    assert "captions" in done.stderr


def test_predictions_name_clip_candidate_references_and_n_best(evaluated):
    out, _ = evaluated
    lines = (out / "predictions.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["candidate"] for record in records] == list(CAPTIONS[:-1])
    assert [record["references"] for record in records] == [[text] for text in CAPTIONS[:-1]]
    for record in records:
        assert record["n_best"][0]["text"] == record["candidate"]
        assert 0 < record["n_best"][0]["probability"] <= 1


def test_a_clip_without_references_is_captioned_but_not_scored(evaluated):
    out, done = evaluated
    [record] = [json.loads(line) for line in (out / "unscored.jsonl").read_text().splitlines()]
    assert (record["clip"], record["candidate"]) == ("clip_11", CAPTIONS[-1])
    assert "1 clip has no references" in done.stderr


def test_the_listen_check_stands_beside_the_scores_and_in_folders_of_its_own(evaluated):
    out, done = evaluated
    assert "Does it listen? 11 clips" in done.stdout
    assert "digital silence: not done (needs the run's networks, see --weights" in done.stdout
    record = json.loads((out / "listen-check.json").read_text())
    assert list(record["conditions"]) == ["shuffled", "missing", "tags"]
    assert list(record["not_done"]) == ["silent"]
    assert record["sha256"]["predictions"] == sha256_of(out / "predictions.jsonl")
    assert record["own"]["corpus"] == read_results(out).corpus
    for name, condition in record["conditions"].items():
        folder = out / "listen-check" / name
        result = read_results(folder)
        assert result.corpus == condition["corpus"]
        assert result.evaluation.decoding["listen-check"] == name
        own, other = (
            [clip["rouge_l"] for clip in read_clip_scores(path / "scores.csv").values()]
            for path in (out, folder)
        )
        expected = sum(other) / len(other) - sum(own) / len(own)
        assert condition["differences"]["rouge_l"]["mean"] == pytest.approx(expected)
    # The run knows its clips by heart, so with another's audio it says the other's caption: clip
    # i that of clip i + 6 of 12.
    lines = (out / "listen-check" / "shuffled" / "predictions.jsonl").read_text().splitlines()
    said = {record["clip"]: record["candidate"] for record in map(json.loads, lines)}
    assert said == {f"clip_{i}": CAPTIONS[(i + 6) % 12] for i in range(11)}


def test_exports_hold_every_clip(evaluated):
    out, _ = evaluated
    coco = json.loads((out / "captions.coco.json").read_text())
    assert coco[0] == {"image_id": "clip_0", "caption": CAPTIONS[0]}
    with (out / "captions.dcase.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["file_name", "caption_predicted"]
    assert rows[1:] == [[f"clip_{i}.wav", text] for i, text in enumerate(CAPTIONS)]
    assert len(coco) == len(CAPTIONS)


def test_scores_say_where_the_captions_came_from(evaluated, tiny_run_folder):
    out, _ = evaluated
    made = read_results(out).evaluation
    assert (made.recipe, made.seed, made.split, made.run) == (
        "tiny", 0, "test", str(tiny_run_folder)
    )  # fmt: skip
    assert made.decoding["beams"] == 4


def test_the_record_tells_what_decides_captions_and_not_how_fast_they_came():
    assert as_record(DecodingOptions(batch_size=1)) == as_record(DecodingOptions(batch_size=64))
    assert as_record(DecodingOptions(seed=1)) == as_record(DecodingOptions(seed=2))
    drawn = DecodingOptions(tag_draws=2, seed=1)
    assert as_record(drawn) != as_record(DecodingOptions(tag_draws=2, seed=2))
    assert as_record(drawn) != as_record(DecodingOptions(tag_draws=2, choose="likelihood", seed=1))


def test_published_decoding_takes_no_search_options(tiny_run_folder):
    with pytest.raises(ConfigError, match="leave --max-length out"):
        decoding_options({"beams": None, "max_length": 30}, published=tiny_run_folder)
    asked = {"beams": None, "max_length": None}
    options = decoding_options(asked, published=tiny_run_folder, batch_size=4)
    assert options == DecodingOptions.published(own_decoding(tiny_run_folder), batch_size=4)


def test_features_of_other_weights_than_in_training_are_refused(
    tiny_run_folder, tiny_features, tmp_path
):
    other = tmp_path / "run"
    shutil.copytree(tiny_run_folder, other)
    streams = json.loads((other / "streams.json").read_text())
    streams["panns"]["weights_sha256"] = "f" * 64
    (other / "streams.json").write_text(json.dumps(streams))
    arguments = ["run", str(other), str(tiny_features), "--out", str(tmp_path / "out")]
    with pytest.raises(FormatError, match="'panns' has weights_sha256 0000"):
        app(arguments, standalone_mode=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no-run", "FEATURES", "--out", "OUT"], "no-run"),
        (["RUN", "FEATURES", "--out", "OUT", "--split", "tset"], "has no split 'tset'"),
        (["RUN", "FEATURES", "--out", "OUT", "--beams", "0"], "beams is 0"),
        (["RUN", "FEATURES", "--out", "OUT", "--device", "tpu"], "expected cpu or cuda"),
    ],
)
def test_what_cannot_be_done_ends_in_one_line(
    tiny_run_folder, tiny_features, tmp_path, capsys, arguments, said
):
    known = {"RUN": tiny_run_folder, "FEATURES": tiny_features, "OUT": tmp_path / "out"}
    with pytest.raises(TagbartError, match=said) as error:
        app(["run", *(str(known.get(part, part)) for part in arguments)], standalone_mode=False)
    assert "\n" not in str(error.value)
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "out").exists()


def test_what_scoring_shall_leave_out_reaches_it(tiny_run_folder, tiny_features, monkeypatch):
    asked = []
    monkeypatch.setattr(evaluation, "evaluate", asked.append)
    monkeypatch.setattr(
        paper_runs, "run_experiments", lambda experiments: asked.append(experiments) or {}
    )
    left_out = ["--no-cache", "--no-spice", "--no-fense"]
    run = ["run", str(tiny_run_folder), str(tiny_features), "--out", "out"]
    app([*run, "--no-spider-max", *left_out], standalone_mode=False)
    app(["paper", str(tiny_features), "--out", "out", *left_out], standalone_mode=False)
    app(run, standalone_mode=False)
    wanted, of_paper, usual = (job.wanted for job in asked)
    assert (wanted.cache, wanted.spice, wanted.fense, wanted.spider_max) == (False,) * 4
    assert (of_paper.cache, of_paper.spice, of_paper.fense) == (False,) * 3
    assert (usual.cache, usual.spice, usual.fense, usual.spider_max) == (True, True, None, True)

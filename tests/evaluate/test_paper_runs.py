"""The paper's experiments on toy features, from recipes to tables."""

import json
import shutil
from dataclasses import replace

import pytest

from evaluate import evaluation, paper_runs
from evaluate.cli import app
from evaluate.paper_runs import Experiments, paper_recipes, run_experiments
from evaluate.scores.score import Wanted
from features.common.errors import ConfigError, TagbartError
from tests.train.toy import random_clips, settings, write_features

SETTINGS = tuple(settings(optim__epochs=1, train__validate_every=100))


@pytest.fixture(scope="module")
def toy_features(tmp_path_factory):
    """Features with a split to train on, one to validate and one to test."""
    splits = {
        "train": random_clips(24, seed=1),
        "val": random_clips(4, captions=2, seed=2),
        "test": random_clips(4, captions=2, seed=3),
    }
    return write_features(tmp_path_factory.mktemp("features"), splits)


@pytest.fixture
def asked(toy_features, tmp_path, shared_meteor):
    return Experiments(
        features=toy_features,
        out=tmp_path / "paper",
        recipes=("vggish", "yamnet"),
        seeds=(0, 1),
        settings=SETTINGS,
        wanted=Wanted(spice=False, fense=False),
    )


def modified(folder):
    """Every file with the time of its last change."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_the_papers_recipes_are_those_of_its_two_tables():
    recipes = paper_recipes()
    assert len(recipes) == 11 == len(set(recipes))
    assert {"panns", "yamnet-panns-scratch", "yamnet-panns-cnn-frozen-decoder"} <= set(recipes)


def test_recipes_and_seeds_fill_the_tables_and_nothing_is_done_twice(asked, capsys):
    assert run_experiments(asked) == {}
    said = capsys.readouterr()
    for number, (recipe, seed) in enumerate(
        [("vggish", 0), ("yamnet", 0), ("vggish", 1), ("yamnet", 1)], start=1
    ):
        assert f"run {number} of 4: {recipe}, seed {seed}" in said.err
        scores = json.loads((asked.out / recipe / str(seed) / "test" / "scores.json").read_text())
        made = scores["evaluation"]
        assert (made["recipe"], made["seed"], made["split"]) == (recipe, seed, "test")
        card = (asked.out / recipe / str(seed) / "README.md").read_text()
        assert f"| cider_d | {100 * scores['corpus']['cider_d']:.1f} |" in card
    for recipe in ("vggish", "yamnet"):
        assert f"{recipe}, 2 seeds, 4 other clips" in said.out
    assert "Ours with --set model.pretrained=none" in said.out
    assert (asked.out / "tables.txt").read_text() == said.out
    assert "yamnet, 2 seeds" in (asked.out / "tables.md").read_text()
    assert "ours,yamnet,2,4" in (asked.out / "tables.csv").read_text()

    before = modified(asked.out)
    assert run_experiments(asked) == {}
    assert capsys.readouterr().out == said.out
    changed = {path.name for path, when in modified(asked.out).items() if before[path] != when}
    assert changed == {"tables.txt", "tables.md", "tables.csv"}


def test_a_run_that_fails_is_named_and_the_others_are_in_the_tables(asked, capsys, monkeypatch):
    train = paper_runs.train

    def breaks_once(job):
        if (job.recipe.name, job.recipe.train.seed) == ("vggish", 0):
            raise TagbartError("update 7: loss is nan")
        return train(job)

    monkeypatch.setattr(paper_runs, "train", breaks_once)
    path = asked.out / "vggish" / "0"
    assert run_experiments(replace(asked, seeds=(0,))) == {str(path): "update 7: loss is nan"}
    said = capsys.readouterr()
    assert "yamnet, 1 seed" in said.out and "vggish, 1 seed" not in said.out
    assert f"{path} failed, going on with the others: update 7: loss is nan" in said.err


def test_with_every_run_failed_there_are_no_tables(asked, monkeypatch):
    def breaks(job):
        raise TagbartError("no memory")

    monkeypatch.setattr(paper_runs, "train", breaks)
    with pytest.raises(TagbartError, match="every run failed, the first with: no memory"):
        run_experiments(asked)
    assert not (asked.out / "tables.txt").exists()


def test_captions_that_were_not_scored_are_scored_without_being_found_again(asked, monkeypatch):
    one = replace(asked, recipes=("yamnet",), seeds=(0,))
    run_experiments(one)
    folder = asked.out / "yamnet" / "0" / "test"
    scores = (folder / "scores.json").read_bytes()
    (folder / "scores.json").unlink()
    monkeypatch.setattr(evaluation, "caption_features", None)  # whoever calls it fails
    run_experiments(one)
    assert (folder / "scores.json").read_bytes() == scores


def test_a_run_of_other_settings_is_refused_not_mixed_in(asked):
    one = replace(asked, recipes=("yamnet",), seeds=(0,))
    run_experiments(one)
    other = replace(one, settings=(*SETTINGS, "optim.batch_size=2"))
    with pytest.raises(TagbartError, match="begun with other settings than those asked for now"):
        run_experiments(other)


def test_a_finished_run_of_other_features_is_kept_with_a_word(asked, toy_features, capsys):
    one = replace(asked, recipes=("yamnet",), seeds=(0,))
    run_experiments(one)
    assert "it was trained on" not in capsys.readouterr().err
    moved = asked.out.parent / "moved"
    shutil.copytree(toy_features, moved)
    run_experiments(replace(one, features=moved))
    assert f"it was trained on {toy_features}, not on {moved}" in capsys.readouterr().err


def test_one_recipe_twice_is_refused(asked):
    with pytest.raises(ConfigError, match="two of the recipes are called 'yamnet'"):
        run_experiments(replace(asked, recipes=("yamnet", "yamnet")))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--recipes", "yamnet,vgish"], "did you mean 'vggish'"),
        (["--seeds", "0,one"], "--seeds 0,one: expected numbers"),
        (["--seeds", "1,1"], "names a seed twice"),
    ],
)
def test_what_is_not_valid_is_refused_before_anything_runs(toy_features, tmp_path, options, words):
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match=words):
        app(["paper", str(toy_features), "--out", str(out), *options], standalone_mode=False)
    assert not out.exists()


def test_the_commands_exit_code_tells_that_a_run_failed(
    toy_features, tmp_path, shared_meteor, monkeypatch
):
    monkeypatch.setattr(paper_runs, "run_experiments", lambda asked: {"a/0": "why"})
    command = ["paper", str(toy_features), "--out", str(tmp_path), "--no-spice"]
    assert app(command, standalone_mode=False) == 1

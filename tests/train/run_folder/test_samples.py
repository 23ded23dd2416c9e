"""Captions and CIDEr-D of fixed validation clips beside training; the child is stood in for, but in
tests/evaluate/test_sample.py."""

import json
import shutil
import sys
import types
import zlib
from dataclasses import replace

import pytest

from features.common.errors import ConfigError
from features.reader import Features
from tests.train.run_folder.test_metrics import events, numbers
from tests.train.test_resume import Killed, assert_same_weights, killed_in
from tests.train.test_run import job
from tests.train.toy import SMALL
from train import run as whole_run
from train.data.split import SplitData
from train.loop import Trainer
from train.run import train
from train.run_folder import samples
from train.run_folder.checkpoint import load_run
from train.run_folder.samples import Samples
from train.run_folder.tracker import require_tracker

# 12 updates; validated after 4, 8 and 12.
SAMPLED = {"train__sample_clips": 5, "optim__epochs": 1, "train__validate_every": 4}

# Speaks as `python -m evaluate sample` does; CIDEr-D is any function of the weights.
CHILD = """
import json, pathlib, sys, zlib
run, ids = sys.argv[1], sys.argv[sys.argv.index("--ids") + 1]
names = open(ids).read().split("\\n")
for line in sys.stdin:
    score = zlib.crc32(pathlib.Path(run, "model.safetensors").read_bytes()) / 2**32
    captions = [{"clip": name, "caption": "a <b> dog", "references": ["a cat"]} for name in names]
    answer = {"captions": captions, "clips": len(names), "cider_d": score, "processor_s": 0.0}
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def stand_in(monkeypatch):
    """A function that makes a program in Python the child."""

    def use(program: str) -> None:
        monkeypatch.setattr(samples, "sample_command", lambda: [sys.executable, "-c", program])

    use(CHILD)
    return use


def told(run) -> list[dict]:
    return [json.loads(line) for line in (run / "captions.jsonl").read_text().splitlines()]


def score_of(run) -> float:
    return zlib.crc32((run / "model.safetensors").read_bytes()) / 2**32


def test_captions_and_cider_d_stand_in_tensorboard_under_their_update(
    stand_in, toy_features, tmp_path
):
    out = tmp_path / "run"
    train(job(toy_features, out, train__best="cider_d", **SAMPLED))
    lines = told(out)
    assert [line["update"] for line in lines] == [4, 8, 12]
    written = [event for file in events(out) for event in file]
    ids = Features(toy_features, "val").ids
    for line in lines:
        own = [event for event in written if event.step == line["update"]]
        texts = {
            value.tag: value.tensor.string_val[0].decode()
            for event in own
            for value in event.summary.value
            if value.metadata.plugin_data.plugin_name == "text"
        }
        assert len(texts) == 5 and set(texts) < {f"captions/{clip}" for clip in ids}
        assert all("**a <b> dog**" in text and "- a cat" in text for text in texts.values())
        scores = [value for event in own for tag, value in numbers(event).items()
                  if tag == "val_cider_d"]  # fmt: skip
        assert scores == [pytest.approx(line["cider_d"])]
    assert not (out / samples.FOLDER).exists()


def test_the_best_weights_are_those_of_the_highest_cider_d_also_after_an_interruption(
    stand_in, toy_features, tmp_path
):
    changes = SAMPLED | {"train__best": "cider_d"}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    progress = train(job(toy_features, whole, **changes))
    best = max(told(whole), key=lambda line: line["cider_d"])
    assert score_of(whole) == best["cider_d"] == progress.best_cider_d
    assert progress.best_update == best["update"]
    assert f"{100 * best['cider_d']:.1f}" in (whole / "README.md").read_text()
    with pytest.MonkeyPatch.context() as patch:
        killed_in(10, patch)
        with pytest.raises(Killed):
            train(job(toy_features, parts, **changes))
    train(job(toy_features, parts, resume=True, **changes))
    assert_same_weights(parts, whole)
    assert told(parts) == told(whole)


def test_beside_training_the_last_weights_are_always_captioned_and_nothing_else_changes(
    stand_in, toy_features, tmp_path
):
    train(job(toy_features, tmp_path / "with", **SAMPLED))
    train(job(toy_features, tmp_path / "without", **SAMPLED | {"train__sample_clips": 0}))
    assert_same_weights(tmp_path / "with", tmp_path / "without")
    assert told(tmp_path / "with")[-1]["update"] == 12
    assert not (tmp_path / "without" / "captions.jsonl").exists()


@pytest.mark.parametrize("place", [(Trainer, "_end"), (whole_run, "_finish")])
def test_a_kill_after_the_last_state_loses_neither_captions_nor_curves(
    stand_in, toy_features, tmp_path, place
):
    out = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(*place, lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            train(job(toy_features, out, **SAMPLED))
    (out / "curves.png").unlink()
    train(job(toy_features, out, resume=True, **SAMPLED))
    assert [line["update"] for line in told(out)].count(12) == 1
    assert (out / "curves.png").is_file()


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import sys; sys.exit('it broke')", "it broke"),
        ("input(); print('nothing like it')", "no answer as expected"),
        ("import os; os._exit(3)", "exit code 3"),
    ],
)
@pytest.mark.parametrize("best", ["val_loss", "cider_d"])
def test_a_child_that_fails_is_a_line_and_never_the_end_of_a_run(
    stand_in, toy_features, tmp_path, capsys, program, said, best
):
    stand_in(program)
    out = tmp_path / "run"
    changes = SAMPLED | {"train__validate_every": 12, "train__best": best}
    assert train(job(toy_features, out, **changes)).best_update == 12
    [line] = [text for text in capsys.readouterr().err.splitlines() if "no captions" in text]
    assert "after update 12" in line and (said in line or "Broken pipe" in line)
    load_run(out)


def a_run(toy, path):
    from train.run_folder.checkpoint import Run

    recipe = replace(toy.recipe, train=replace(toy.recipe.train, sample_clips=3))
    streams = toy.builder.streams
    return Run(path=path, model=toy.model, tokenizer=toy.tokenizer, recipe=recipe, streams=streams)


def test_the_clips_are_evenly_spread_over_those_that_are_validated_on(
    make_toy, toy_features, tmp_path
):
    toy, val = make_toy(), Features(toy_features, "val")
    data = SplitData.load(val, toy.builder, toy.tokenizer, without=frozenset(val.ids[:1]))
    chosen = Samples(a_run(toy, tmp_path), data, device="cpu")._ids
    assert chosen == [val.ids[1], val.ids[3], val.ids[5]]  # of 1 to 5


def test_of_several_folders_each_clip_is_asked_for_with_its_folder_and_its_task(
    make_toy, toy_features, tmp_path
):
    toy, val = make_toy(), Features(toy_features, "val")
    # The second and the third of three folders have a split to validate on, of the same clips.
    data = SplitData.load([val, val], toy.builder, toy.tokenizer, numbers=[1, 2])
    run = a_run(toy, tmp_path)
    inputs = replace(run.recipe.inputs, tasks=("a", "b", "c"))
    run = replace(run, recipe=replace(run.recipe, inputs=inputs))
    last = len(val) - 1
    found = [json.loads(line) for line in Samples(run, data, device="cpu")._ids]
    assert [found[0], found[-1]] == [
        {"clip": val.ids[0], "features": 0, "task": "b"},
        {"clip": val.ids[last], "features": 1, "task": "c"},
    ]
    alone = replace(run, recipe=replace(run.recipe, inputs=replace(inputs, tasks=())))
    plain = json.loads(Samples(alone, data, device="cpu")._ids[-1])
    assert plain == {"clip": val.ids[last], "features": 1}


def test_beside_training_the_child_takes_a_twentieth_of_the_processors_time_at_most(
    make_toy, toy_data, tmp_path, monkeypatch
):
    """After 100 s on two processors that is 10 s."""
    found = Samples(a_run(make_toy(), tmp_path), toy_data, device="cpu")
    now = [0.0]
    monkeypatch.setattr(samples.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(samples, "cores", lambda: 2)
    found._began, now[0] = 0.0, 100.0
    for spent, due in ((9.9, True), (10.1, False)):
        found._spent_s = spent
        assert found.due is due
    now[0] = 102.0
    assert found.due
    found.after(3)
    assert not found.due  # one at a time


class Recorder:
    """Stands for a run of wandb's."""

    def __init__(self) -> None:
        self.logged: list[dict] = []
        self.summary: dict = {}
        self.finished = False

    def define_metric(self, name, step_metric) -> None:
        assert (name, step_metric) == ("*", "update")

    def log(self, values) -> None:
        self.logged.append(values)

    def finish(self) -> None:
        self.finished = True


@pytest.fixture
def wandb(monkeypatch):
    """A module of that name, and what it was told."""
    module, run = types.ModuleType("wandb"), Recorder()
    module.Table = lambda columns, data: (columns, data)
    module.init = lambda **asked: (setattr(run, "asked", asked), run)[1]
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    return run


def test_wandb_gets_the_same_numbers_and_captions_offline(wandb, stand_in, toy_features, tmp_path):
    out = tmp_path / "run"
    train(job(toy_features, out, train__tracker="wandb", train__best="cider_d", **SAMPLED))
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [item for item in wandb.logged if "captions" not in item] == lines
    tables = {item["update"]: item["captions"] for item in wandb.logged if "captions" in item}
    assert set(tables) == {4, 8, 12}
    columns, rows = tables[12]
    assert columns == ["clip", "caption", "references"] and len(rows) == 5
    assert wandb.asked["mode"] == "offline" and wandb.asked["dir"] == str(out)
    assert wandb.asked["config"]["optim"]["batch_size"] == SMALL["optim.batch_size"]
    assert wandb.summary["best_val_loss"] > 0 and wandb.finished


def test_a_tracker_that_is_not_installed_is_refused_before_anything_is_made(
    toy_features, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "wandb", None)
    asked = job(toy_features, tmp_path / "run", train__tracker="wandb")
    with pytest.raises(ConfigError, match="make setup-wandb"):
        train(asked)
    assert not (tmp_path / "run").exists()
    monkeypatch.setitem(sys.modules, "wandb", types.ModuleType("wandb"))  # a folder of that name
    with pytest.raises(ConfigError, match="make setup-wandb"):
        require_tracker(asked.recipe)


def test_the_real_wandb_writes_a_run_that_can_be_sent(
    stand_in, toy_features, tmp_path, monkeypatch
):
    pytest.importorskip("wandb", reason="wandb is not installed: make setup-wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    out = tmp_path / "run"
    train(job(toy_features, out, train__tracker="wandb", **SAMPLED))
    assert list(out.glob("wandb/offline-run-*/*.wandb"))
    shutil.rmtree(out / "wandb")

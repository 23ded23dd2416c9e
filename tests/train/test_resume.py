"""A run goes on exactly where it stands, begins anew where nothing of it was saved, and is never
eaten by either."""

import errno
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from transformers import BartConfig, BartForConditionalGeneration

from features.common.errors import RunError
from tests.train.test_run import command, job, set_options, validation_losses
from tests.train.toy import SMALL
from train import run as whole_run
from train.run import train
from train.run_folder import saver
from train.run_folder.metrics import Metrics
from train.updates import Updater

SHORT = {"optim__epochs": 1}  # 12 updates; a state is due every 1,000


class Killed(Exception):
    """Stands for whatever ends a process without giving it time to save."""


def killed_in(update: int, patch: pytest.MonkeyPatch) -> None:
    """Break off in an update, with no word to the run."""
    real = Updater.launch

    def launch(self, number, pieces):
        if number + 1 == update:
            raise Killed
        return real(self, number, pieces)

    patch.setattr(Updater, "launch", launch)


def assert_same_weights(found, expected) -> None:
    one, other = load_file(found / "model.safetensors"), load_file(expected / "model.safetensors")
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name
    assert validation_losses(found) == validation_losses(expected)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, toy_tokenizer):
    """A folder with a small BART and its tokenizer."""
    torch.manual_seed(5)
    shape = {key.partition(".")[2]: value for key, value in SMALL.items() if key[:5] == "bart."}
    config = BartConfig(**{**shape, "vocab_size": len(toy_tokenizer)})
    folder = tmp_path_factory.mktemp("pretrained")
    BartForConditionalGeneration(config).save_pretrained(folder)
    toy_tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("weights", ["none", "pretrained"])
def test_a_run_killed_before_anything_was_saved_begins_anew_bit_for_bit(
    weights, pretrained, toy_features, tmp_path
):
    changes = dict(SHORT)
    if weights == "pretrained":
        changes |= {"model__pretrained": str(pretrained), "model__tokenizer": ""}
    train(job(toy_features, tmp_path / "whole", **changes))
    with pytest.MonkeyPatch.context() as patch:
        killed_in(5, patch)
        with pytest.raises(Killed):
            train(job(toy_features, tmp_path / "again", **changes))
    torch.manual_seed(99)  # as another process would find it
    train(job(toy_features, tmp_path / "again", resume=True, **changes))
    assert_same_weights(tmp_path / "again", tmp_path / "whole")


def test_a_kill_between_the_first_state_and_the_best_weights_loses_nothing(toy_features, tmp_path):
    changes = SHORT | {"train__validate_every": 4}
    train(job(toy_features, tmp_path / "whole", **changes))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saver, "save_weights", full)
        with pytest.raises(RunError, match="No space left"):
            train(job(toy_features, tmp_path / "again", **changes))
    found = {path.name for path in (tmp_path / "again").iterdir()}
    assert "state.safetensors" in found and "model.safetensors" not in found
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Updater, "launch", lambda *_: seen.append(weights_of(tmp_path / "again")))
        with pytest.raises(AttributeError):  # there is no update to look at
            train(job(toy_features, tmp_path / "again", resume=True, **changes))
    assert seen[0]
    train(job(toy_features, tmp_path / "again", resume=True, **changes))
    assert_same_weights(tmp_path / "again", tmp_path / "whole")


def test_a_disk_that_is_full_of_numbers_names_the_run_and_what_was_saved_goes_on(
    toy_features, tmp_path, monkeypatch
):
    changes = {"optim__epochs": 1, "train__save_every": 4, "train__log_every": 1}
    real = Metrics.write

    def full(self, update, values):
        if update == 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, update, values)

    with monkeypatch.context() as patch:
        patch.setattr(Metrics, "write", full)
        with pytest.raises(OSError, match="No space left") as caught:
            train(job(toy_features, tmp_path / "run", **changes))
    assert caught.value.filename == str(tmp_path / "run")
    assert train(job(toy_features, tmp_path / "run", resume=True, **changes)).update == 12


def weights_of(path):
    return load_file(path / "model.safetensors")


def test_weights_never_stand_without_a_state_before_the_run_is_finished(
    toy_features, tmp_path, monkeypatch
):
    out, found = tmp_path / "run", []
    real = saver.save_weights

    def look(model, path, weights=None):
        found.append((path / "state.safetensors").is_file())
        real(model, path, weights)

    monkeypatch.setattr(saver, "save_weights", look)
    train(job(toy_features, out, optim__epochs=1, train__validate_every=5))
    assert found and all(found)


@pytest.fixture(scope="module")
def finished(toy_features, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "run"
    command("run", toy_features, "--out", out, *set_options(**SHORT))
    return out


def test_trained_weights_without_state_or_mark_are_refused_by_name_and_kept(
    finished, toy_features, tmp_path
):
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    (out / "finished.json").unlink()
    before = (out / "model.safetensors").read_bytes()
    with pytest.raises(RunError, match=r"model\.safetensors.*neither state\.safetensors .* nor"):
        train(job(toy_features, out, resume=True, **SHORT))
    assert (out / "model.safetensors").read_bytes() == before


def test_a_state_that_was_due_and_is_gone_is_missed(toy_features, tmp_path):
    changes = SHORT | {"train__save_every": 2, "train__log_every": 1}
    with pytest.MonkeyPatch.context() as patch:
        killed_in(9, patch)
        with pytest.raises(Killed):
            train(job(toy_features, tmp_path / "run", **changes))
    (tmp_path / "run" / "state.safetensors").unlink()
    with pytest.raises(RunError, match=r"state\.safetensors is gone, though \d updates were done"):
        train(job(toy_features, tmp_path / "run", resume=True, **changes))


def test_a_kill_after_the_mark_leaves_a_run_that_is_finished(toy_features, tmp_path, capsys):
    out = tmp_path / "run"
    changes = SHORT | {"train__save_every": 3}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whole_run, "_tidy", lambda _: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            train(job(toy_features, out, **changes))
    assert (out / "finished.json").is_file() and (out / "state.safetensors").is_file()
    command("run", toy_features, "--out", out, "--resume", "--json")
    result = json.loads(capsys.readouterr().out)
    assert result["updates"] == 12
    assert not (out / "state.safetensors").exists() and (out / "README.md").is_file()


def test_resuming_a_finished_run_is_done_and_changes_nothing(
    finished, toy_features, tmp_path, capsys
):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    capsys.readouterr()
    for options in (["--resume"], set_options(**SHORT)):
        command("run", toy_features, "--out", finished, "--json", *options)
        assert json.loads(capsys.readouterr().out)["updates"] == 12
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before
    with pytest.raises(RunError, match="holds a finished run, trained on"):
        command("run", tmp_path, "--out", finished, "--resume")


def test_the_same_command_goes_on_and_another_one_is_refused(toy_features, tmp_path, finished):
    out = tmp_path / "run"
    arguments = ["run", toy_features, "--out", out, *set_options(**SHORT)]
    with pytest.MonkeyPatch.context() as patch:
        killed_in(3, patch)
        with pytest.raises(Killed):
            command(*arguments)
    with pytest.raises(RunError, match=r"begun with other settings \(train\.seed\)"):
        command(*arguments, "--set", "train.seed=1")
    with pytest.raises(RunError, match=r"begun with other settings \(train\.seed\)"):
        command("run", toy_features, "--out", out, "--resume", "--set", "train.seed=1")
    command(*arguments)
    assert_same_weights(out, finished)

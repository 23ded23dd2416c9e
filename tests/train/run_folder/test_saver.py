"""What is saved is what was there when it was asked for, and a full disk is said."""

import errno
import threading
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

import train.run_folder.saver
from features.common.errors import RunError
from train.optim import make_optimizer
from train.run_folder.checkpoint import begin_run, save_weights
from train.run_folder.saver import Saver
from train.run_folder.state import NAME, Progress, load_state


@pytest.fixture
def saver(make_toy, tmp_path):
    toy = make_toy()
    optimizer = make_optimizer(toy.model, toy.recipe.optim)
    for weight in toy.model.parameters():
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    return Saver(tmp_path, toy.model, optimizer)


def test_weights_that_change_while_a_state_is_written_are_not_in_it(
    saver, make_toy, tmp_path, monkeypatch
):
    changed, real = threading.Event(), train.run_folder.saver.write_state

    def write_state(*arguments):
        assert changed.wait(60)
        real(*arguments)

    monkeypatch.setattr(train.run_folder.saver, "write_state", write_state)
    weight = saver._model.dense.weight
    expected = weight.detach().clone()
    saver.save(Progress(update=1), best=False, state=True, curves=False)
    with torch.no_grad():
        weight.zero_()
    changed.set()
    saver.close()
    assert torch.equal(load_file(tmp_path / NAME)["model.dense.weight"], expected)
    toy = make_toy()
    optimizer = make_optimizer(toy.model, toy.recipe.optim)
    assert load_state(tmp_path, toy.model, optimizer) == Progress(update=1)
    assert torch.equal(toy.model.dense.weight, expected)


def test_drafts_of_a_killed_run_are_deleted_and_nothing_else(make_toy, tmp_path):
    names = (NAME, "model.safetensors", "tokenizer.json", "metrics.jsonl")
    dead = [tmp_path / f".{name}.host.1.part" for name in names]
    folder = tmp_path / ".model.safetensors.host.1.d"
    folder.mkdir()
    (tmp_path / ".begun.part").mkdir()
    kept = [tmp_path / name for name in (NAME, "model.safetensors", ".lock")]
    for path in (*dead, *kept, folder / "config.json"):
        path.write_text("")
    toy = make_toy()
    Saver(tmp_path, toy.model, make_optimizer(toy.model, toy.recipe.optim)).close()
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_a_disk_that_is_full_ends_in_one_line_and_leaves_nothing_to_go_on_from_without_a_state(
    saver, tmp_path, monkeypatch
):
    def write_state(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(train.run_folder.saver, "write_state", write_state)
    saver.save(Progress(update=1), best=True, state=True, curves=False)
    with pytest.raises(RunError, match=r"cannot be written .No space left on device.*--resume"):
        saver.close()
    assert not list(tmp_path.iterdir())


def test_a_run_that_finds_no_room_to_begin_names_its_folder_and_leaves_nothing_half_written(
    tmp_path,
):
    def full(folder):
        folder.mkdir()
        (folder / "tokenizer.json").write_text('{"')
        raise Exception("No space left on device (os error 28)")  # as tokenizers says it

    run = SimpleNamespace(path=tmp_path / "run", tokenizer=SimpleNamespace(save_pretrained=full))
    with pytest.raises(OSError, match="No space left") as caught:
        begin_run(run)
    assert caught.value.filename == str(run.path)
    assert not list(run.path.iterdir())


def test_what_a_full_disk_left_of_weights_is_deleted(make_toy, tmp_path):
    toy = make_toy()

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    toy.model.config.save_pretrained = full
    with pytest.raises(OSError, match=r"model\.safetensors"):
        save_weights(toy.model, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_run_folder_removed_midway_is_said_and_not_made_again(make_toy, tmp_path):
    toy, folder = make_toy(), tmp_path / "run"
    folder.mkdir()
    saver = Saver(folder, toy.model, make_optimizer(toy.model, toy.recipe.optim))
    folder.rmdir()
    saver.save(Progress(update=1), best=False, state=True, curves=False)
    with pytest.raises(RunError, match="the run folder is gone, and with it what was saved"):
        saver.close()
    assert not folder.exists()

"""Two processes train as one: losses, validation, files, stops, errors."""

import faulthandler
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.forking import from_server
from tests.train.toy import STILL, random_clips, settings, write_features
from train.recipes.files import load_recipe
from train.run import Job, train
from train.run_folder.metrics import read_metrics
from train.run_folder.state import NAME as STATE_NAME
from train.updates import Updater

_COUNT = itertools.count()
ROOT = Path(__file__).parents[2]
SHORT = STILL | {"optim__epochs": 2, "optim__grad_accumulation": 2, "train__log_every": 1,
                 "train__validate_every": 3, "train__keep_state": True}  # fmt: skip


def job(features: Path, out: Path, *, resume: bool = False, **changes) -> Job:
    recipe = load_recipe("yamnet-panns", settings(**{**SHORT, **changes}))
    return Job(features=features, out=out, recipe=recipe, resume=resume)


def _process(rank: int, world: int, port: int, asked: Job, prepare, results) -> None:
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "test",
        "GLOO_SOCKET_IFNAME": "lo",
    }  # fmt: skip
    torch.set_num_threads(1)
    faulthandler.dump_traceback_later(60, exit=True)  # a hang shows where, and ends
    if prepare:
        prepare(rank)
    try:
        train(asked)
        results.put((rank, "done", ""))
    except BaseException as error:  # a SystemExit is a result, too
        results.put((rank, type(error).__name__, str(error)))


def together(asked: Job, *, world: int = 2, prepare: Callable[[int], None] | None = None):
    """Train in several processes; gives each one's end and message, by rank."""
    # Below the ports that a system hands out by itself, so that nobody takes it meanwhile.
    port = 20000 + os.getpid() % 5000 + next(_COUNT)
    context = from_server()
    results = context.Queue()
    processes = [
        context.Process(target=_process, args=(rank, world, port, asked, prepare, results))
        for rank in range(world)
    ]
    for process in processes:
        process.start()
    ends = sorted(results.get(timeout=120) for _ in processes)
    for process in processes:
        process.join()
    return [(name, message) for _, name, message in ends]


def numbers(run: Path, *names: str) -> list[tuple]:
    lines = [[line.get(name) for name in names] for line in read_metrics(run)]
    return [tuple(line) for line in lines if None not in line]


@pytest.fixture(scope="module")
def alone(toy_features, tmp_path_factory):
    out = tmp_path_factory.mktemp("alone") / "run"
    train(job(toy_features, out))
    return out


@pytest.fixture(scope="module")
def two(toy_features, tmp_path_factory):
    """45 captions by 4: the last batch has one caption, so the second process has no share."""
    out = tmp_path_factory.mktemp("two") / "run"
    assert together(job(toy_features, out)) == [("done", "")] * 2
    return out


def test_two_processes_have_the_losses_of_one_at_the_same_batch(alone, two):
    for names in (("update", "train_loss"), ("update", "val_loss"), ("update", "gradient_norm")):
        found, expected = numbers(two, *names), numbers(alone, *names)
        assert len(expected) >= 4
        assert np.allclose(found, expected, rtol=1e-4), names


def test_two_processes_end_with_the_weights_of_one(alone, two):
    found, expected = load_file(two / STATE_NAME), load_file(alone / STATE_NAME)
    for name, value in expected.items():
        assert torch.allclose(found[name], value, atol=2e-3), name  # two updates' size at most


def test_two_processes_have_the_losses_of_one_in_bf16(alone, toy_features, tmp_path):
    out = tmp_path / "run"
    changes = {"train__precision": "bf16", "optim__grad_accumulation": 2, "optim__batch_size": 2}
    assert together(job(toy_features, out, **changes)) == [("done", "")] * 2
    train(job(toy_features, tmp_path / "one", **changes))
    for names in (("update", "train_loss"), ("update", "val_loss")):
        found, expected = numbers(out, *names), numbers(tmp_path / "one", *names)
        assert len(expected) >= 4
        assert np.allclose(found, expected, rtol=2e-2), names  # bf16 has 8 bits
    found, expected = load_file(out / STATE_NAME), load_file(tmp_path / "one" / STATE_NAME)
    for name, value in expected.items():
        if name.startswith("model."):
            assert torch.allclose(found[name], value, atol=5e-3), name


def test_validation_over_processes_counts_every_caption_once(alone, two):
    counted = {captions for (captions,) in numbers(two, "val_captions")}
    assert counted == {30}


def test_two_processes_leave_what_one_leaves(alone, two):
    names = [sorted(path.name for path in run.iterdir()) for run in (alone, two)]
    assert names[0] == names[1]
    finished = [json.loads((run / "finished.json").read_text()) for run in (alone, two)]
    assert finished[0].keys() == finished[1].keys()
    assert len(list((two / "tensorboard").iterdir())) == 1


def test_more_processes_than_validation_batches(tmp_path):
    clips = random_clips(9, seed=3)
    features = write_features(tmp_path / "features", {"train": clips, "val": clips[:1]})
    assert together(job(features, tmp_path / "two")) == [("done", "")] * 2
    train(job(features, tmp_path / "one"))
    losses = [numbers(tmp_path / name, "val_loss", "val_captions") for name in ("two", "one")]
    assert np.allclose(*losses, rtol=1e-4)


def test_frozen_weights_hold_nobody_up(toy_features, tmp_path):
    changes = {"model__freeze_decoder": True, "optim__max_updates": 4}
    assert together(job(toy_features, tmp_path / "run", **changes)) == [("done", "")] * 2
    assert numbers(tmp_path / "run", "update", "val_loss")


def test_layers_left_out_at_random_are_refused(toy_features, tmp_path):
    first, second = together(job(toy_features, tmp_path / "run", bart__decoder_layerdrop=0.5))
    assert first[0] == "ConfigError" and "must be 0 with several processes" in first[1]
    assert second == ("Quiet", "0")


def stop_the_second_in_update_2(rank: int) -> None:
    if rank == 1:
        real = Updater.launch

        def launch(self, number, pieces):
            if number == 2:
                signal.raise_signal(signal.SIGTERM)
            return real(self, number, pieces)

        Updater.launch = launch


def test_a_signal_to_one_process_stops_all_and_resuming_goes_on(toy_features, two, tmp_path):
    out = tmp_path / "run"
    ends = together(job(toy_features, out), prepare=stop_the_second_in_update_2)
    assert [name for name, _ in ends] == ["KeyboardInterrupt", "SystemExit"]
    assert numbers(out, "update")[-1] == (3,)
    assert together(job(toy_features, out, resume=True)) == [("done", "")] * 2
    for name, value in load_file(two / STATE_NAME).items():
        assert torch.equal(load_file(out / STATE_NAME)[name], value), name


def test_a_loss_that_is_not_finite_ends_all_and_the_first_process_names_the_clips(
    toy_features, tmp_path
):
    wild = {"optim__learning_rate": 1e30, "optim__clip_norm": 0.0}
    (first, message), second = together(job(toy_features, tmp_path / "run", **wild))
    assert first == "RunError" and "with clips clip1_" in message
    assert second == ("Quiet", "0")


def break_the_second(rank: int) -> None:
    if rank == 1:

        def launch(self, number, pieces):
            raise torch.OutOfMemoryError("CUDA out of memory")

        Updater.launch = launch


def test_a_process_that_breaks_off_ends_the_other(toy_features, tmp_path):
    first, second = together(job(toy_features, tmp_path / "run"), prepare=break_the_second)
    assert first[0] == second[0] == "RunError"
    assert "out of memory on cpu" in second[1]
    assert "process 0 of 2: another process broke off" in first[1]


def test_what_the_first_process_refuses_at_the_start_ends_all(toy_features, two):
    (first, message), second = together(job(toy_features, two))
    assert first == "RunError" and "holds a finished run" in message
    assert second == ("Quiet", "0")


def test_a_batch_smaller_than_the_processes_is_refused(toy_features, tmp_path):
    (first, message), second = together(job(toy_features, tmp_path / "run", optim__batch_size=1))
    assert first == "ConfigError"
    assert "optim.batch_size is 1, over all processes together" in message
    assert second == ("Quiet", "0")


def test_torchrun_trains_and_prints_one_result(toy_features, tmp_path):
    options = [part for one in settings(**SHORT, optim__max_updates=2) for part in ("--set", one)]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         "-m", "train", "run", str(toy_features), "--out", str(tmp_path / "run"),
         "--device", "cpu", "--json", *options],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["updates"] == 2
    assert "2 x cpu" in done.stderr

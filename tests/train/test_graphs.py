"""Updates repeated as they were recorded are the updates that a plain run does, in every bit.

A CPU has no CUDA graphs: tests/recorded.py stands in for them.
"""

import gc
import weakref
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import train.graphs
import train.run
from features.common.errors import ConfigError, RunError
from tests.recorded import record
from tests.train.toy import settings
from train.data.batches import Batch
from train.recipes.files import load_recipe
from train.run import Job
from train.run_folder.metrics import read_metrics
from train.run_folder.state import NAME as STATE_NAME
from train.updates import Updater


@pytest.fixture
def recorded(monkeypatch):
    """Updates are recorded by the stand-in from a shape's second turn on; a list of what was.

    Lengths are rounded up to 16, so that shapes come again in a short run.
    """
    found = []

    def noted(step):
        found.append(step)
        return record(step)

    monkeypatch.setattr("train.updates.cuda_graphs", lambda device: noted)
    monkeypatch.setattr(train.graphs, "PLAIN_TURNS", 1)
    monkeypatch.setitem(train.run._LENGTH_MULTIPLE, "cpu", 16)
    return found


def run(features, out, **changes) -> tuple[list, dict[str, torch.Tensor]]:
    """What a short run logs, and its weights and moments at the end."""
    few = {"optim__max_updates": 14, "train__log_every": 1, "train__validate_every": 99,
           "train__keep_state": True, "optim__warmup_updates": 2,
           "train__cuda_graphs": False}  # fmt: skip
    recipe = load_recipe("yamnet-panns", settings(**{**few, **changes}))
    train.run.train(Job(features=features, out=out, recipe=recipe))
    names = ("update", "train_loss", "gradient_norm", "learning_rate", "val_loss")
    lines = [[line.get(name) for name in names] for line in read_metrics(out)]
    return lines, load_file(out / STATE_NAME)


@pytest.mark.parametrize(
    "changes",
    [{}, {"inputs__tags": '""', "inputs__audio": "vggish"}, {"train__precision": "bf16"},
     {"model__freeze_decoder": True, "optim__clip_norm": 0.0, "optim__label_smoothing": 0.1}],
    ids=["tags and audio", "audio", "bf16", "frozen, no limit, smoothing"],
)  # fmt: skip
def test_recorded_updates_are_the_plain_ones_in_every_bit(
    toy_features, tmp_path, recorded, changes
):
    expected = run(toy_features, tmp_path / "plain", **changes)
    assert not recorded
    lines, state = run(toy_features, tmp_path / "graphs", train__cuda_graphs=True, **changes)
    assert recorded
    assert lines == expected[0]
    assert state.keys() == expected[1].keys()
    for name, value in expected[1].items():
        assert torch.equal(state[name], value), name


def test_draws_are_those_of_torchs_own_seed():
    torch.manual_seed(7)
    expected = torch.get_rng_state()
    torch.rand(3)
    train.graphs.seed_draws(7, torch.device("cpu"))
    assert torch.equal(torch.get_rng_state(), expected)


def test_a_shape_runs_plainly_once_and_no_more_shapes_are_recorded_than_allowed(
    toy_features, tmp_path, monkeypatch, recorded
):
    monkeypatch.setattr(train.graphs, "MOST_SHAPES", 1)
    asked, by_our_code = [], []
    launch, update = Updater.launch, Updater._update

    def launched(self, number, pieces):
        asked.append(pieces[0].batch.shape())
        return launch(self, number, pieces)

    def updated(self, batches):
        by_our_code.append(batches[0].shape())
        update(self, batches)

    monkeypatch.setattr(Updater, "launch", launched)
    monkeypatch.setattr(Updater, "_update", updated)
    run(toy_features, tmp_path / "run", train__cuda_graphs=True)
    first = next(shape for turn, shape in enumerate(asked) if shape in asked[:turn])
    assert len(recorded) == 1 and asked.count(first) > 2
    assert by_our_code.count(first) == 2  # once plainly, once to be recorded
    others = [shape for shape in asked if shape != first]
    assert len(set(others)) > 1
    assert [shape for shape in by_our_code if shape != first] == others


def test_a_graph_too_refuses_an_update_that_is_not_finite(
    toy_features, tmp_path, monkeypatch, recorded
):
    take, kept = Batch.take, []

    def spoilt(room, other):
        take(room, other)
        if len(recorded) >= 2:
            room.audio.fill_(torch.nan)

    def check(self, launched, loader, real=Updater.check):
        kept.append([weight.clone() for weight in self.model.parameters()])
        return real(self, launched, loader)

    monkeypatch.setattr(Batch, "take", spoilt)
    monkeypatch.setattr(Updater, "check", check)
    with pytest.raises(RunError, match=r"loss is nan.* with clips clip1_"):
        run(toy_features, tmp_path / "run", train__cuda_graphs=True)
    assert all(weight.isfinite().all() for weight in kept[-1])


def refused(step):
    """Fails behind the backward pass, which leaves gradients that nobody computed."""
    error = RuntimeError("no such luck\nat all")
    with patch("train.updates.limit_gradient", side_effect=error), suppress(RuntimeError):
        step()
    raise RunError("an update could not be recorded") from error


def test_by_default_a_run_goes_on_plainly_where_recording_fails_and_says_why(
    toy_features, tmp_path, monkeypatch, recorded, capsys
):
    expected = run(toy_features, tmp_path / "plain")
    capsys.readouterr()
    monkeypatch.setattr("train.updates.cuda_graphs", lambda device: refused)
    lines, state = run(toy_features, tmp_path / "run", train__cuda_graphs='"auto"')
    assert lines == expected[0]
    assert all(torch.equal(state[name], value) for name, value in expected[1].items())
    said = [line for line in capsys.readouterr().err.splitlines() if "CUDA graphs" in line]
    assert said == ["updates go on without CUDA graphs: no such luck"]
    with pytest.raises(RunError, match="could not be recorded"):
        run(toy_features, tmp_path / "asked", train__cuda_graphs=True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"optim__grad_accumulation": 2}, "optim.grad_accumulation is above 1"),
     ({"bart__encoder_layerdrop": 0.1}, "layers are dropped")],
)  # fmt: skip
def test_by_default_graphs_are_left_out_where_they_cannot_be_and_one_line_says_why(
    toy_features, tmp_path, recorded, capsys, changes, said
):
    run(toy_features, tmp_path / "run", train__cuda_graphs='"auto"', **changes)
    assert not recorded
    assert f"updates go without CUDA graphs: {said}" in capsys.readouterr().err


@pytest.fixture
def states():
    """What torch's generator got to draw from."""
    return []


@pytest.fixture
def streams(monkeypatch, states):
    """torch.cuda's part in recording, empty; a list of the pools and streams recorded with."""
    found = []

    def graph(graph, pool, stream, **_):
        found.append((pool, stream))
        return nullcontext()

    generator = SimpleNamespace(graphsafe_set_state=states.append)
    monkeypatch.setattr(torch, "Generator", lambda device: (device, len(states)))
    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", lambda *of: states.append(of))
    for name, stand_in in {
        "default_generators": [generator],
        "current_device": lambda: 0,
        "graph_pool_handle": object,
        "CUDAGraph": lambda: SimpleNamespace(replay=None),
        "Stream": object,
        "current_stream": lambda: None,
        "stream": nullcontext,
        "graph": graph,
    }.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    return found


def test_a_runs_graphs_share_memory_and_stream_with_each_other_and_no_other_runs(streams):
    for _ in range(2):
        record = train.graphs.cuda_graphs(torch.device("cuda"))
        for _ in range(2):
            record(lambda: None)
    assert streams[0] == streams[1] and streams[2] == streams[3]
    assert not set(streams[0]) & set(streams[2])


@pytest.mark.parametrize(
    ("first", "last", "raised"),
    [(RuntimeError("not while capturing"), None, RunError),
     (RuntimeError("not while capturing"), RuntimeError("invalidated"), RunError),
     (torch.OutOfMemoryError("full"), None, torch.OutOfMemoryError),
     (torch.OutOfMemoryError("full"), RuntimeError("invalidated"), torch.OutOfMemoryError)],
)  # fmt: skip
def test_after_a_recording_that_failed_numbers_and_memory_are_as_outside_of_one(
    streams, states, monkeypatch, first, last, raised
):
    @contextmanager
    def graph(*_, **__):
        try:
            yield
        finally:
            if last:
                raise last

    class Made:
        """What the step made."""

    made = []

    def step():
        own = Made()
        made.append(weakref.ref(own))
        raise first

    record = train.graphs.cuda_graphs(torch.device("cuda"))
    record(lambda: None)
    assert not states
    monkeypatch.setattr(torch.cuda, "graph", graph)
    pool, _ = streams[0]
    gc.disable()
    try:
        with pytest.raises(raised) as caught:
            record(step)
        assert str(first) in str(caught.value)  # not what its end said of it
        assert states == [(torch.device("cuda"), 0), (0, pool)]
        first.__traceback__ = None
        if last:
            last.__traceback__ = None
        del caught
        assert made[0]() is None  # without a garbage collection
    finally:
        gc.enable()


def test_no_garbage_is_collected_while_a_graph_is_recorded(streams):
    record = train.graphs.cuda_graphs(torch.device("cuda"))
    collecting = []

    def step():
        collecting.append(gc.isenabled())
        if len(collecting) == 2:
            raise RuntimeError("operation not permitted when stream is capturing")

    record(step)
    assert gc.isenabled()
    with pytest.raises(RunError, match=r"recorded as a CUDA graph \(operation not permitted"):
        record(step)
    assert gc.isenabled() and collecting == [False, False]


def test_graphs_need_updates_that_run_the_same_kernels():
    for setting in ("optim.grad_accumulation=2", "bart.encoder_layerdrop=0.1"):
        with pytest.raises(ConfigError, match=r"it needs optim\.grad_accumulation = 1"):
            load_recipe("yamnet-panns", ["train.cuda_graphs=true", setting])


def test_a_batch_takes_another_of_its_shape_into_its_own_memory(toy_data, make_toy):
    toy = make_toy()
    block = toy.builder.block(*toy_data.rows(np.arange(6), toy.builder), None)
    columns = int(block.length.max())
    first = block.batch(np.array([0, 1]), columns=columns)
    other = block.batch(np.array([2, 3]), columns=columns)
    other = replace(other, audio=torch.arange(3, dtype=torch.int8))  # of which 13 bytes stay empty
    memory = torch.empty(other.room, dtype=torch.uint8)
    room = other.within(memory)
    assert room.shape() == other.shape()
    place = room.input_ids.data_ptr()
    room.take(other)
    assert room.input_ids.data_ptr() == place
    for name, value in vars(other).items():
        found = getattr(room, name)
        assert value is None or found.equal(value), name
        assert value is None or found.data_ptr() % 16 == memory.data_ptr() % 16, name
    # One copy of its memory is a copy of the batch.
    assert other.within(memory.clone()).input_ids.equal(other.input_ids)
    assert not first.input_ids.equal(other.input_ids)
    assert first.shape() != block.batch(np.array([0]), columns=columns).shape()

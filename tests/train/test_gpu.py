"""Training on a GPU: the losses of a CPU, and a host that never waits for an update."""

import pytest
import torch

from tests.train.toy import STILL, settings
from train.data.batches import Batch
from train.flat_adamw import FlatAdamW
from train.recipes.config import OptimConfig
from train.recipes.files import load_recipe
from train.run import Job, train
from train.run_folder.metrics import read_metrics
from train.updates import Updater

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device"),
]
SHORT = STILL | {"train__log_every": 1, "optim__epochs": 1, "train__cuda_graphs": False}


def losses(features, out, device: str, **changes) -> list[float]:
    recipe = load_recipe("yamnet-panns", settings(**{**SHORT, **changes}))
    train(Job(features=features, out=out, recipe=recipe, device=device))
    return [line.get("train_loss", line.get("val_loss")) for line in read_metrics(out)]


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-3), ("bf16", 2e-2)])
def test_a_gpu_has_the_losses_of_a_cpu(toy_features, tmp_path, precision, tolerance):
    expected = losses(toy_features, tmp_path / "cpu", "cpu")
    found = losses(toy_features, tmp_path / "gpu", "cuda", train__precision=precision)
    assert found == pytest.approx(expected, rel=tolerance)


def test_deterministic_runs_on_a_gpu_are_equal_in_every_bit(toy_features, tmp_path):
    changes = {"train__deterministic": True, "bart__dropout": 0.1}
    runs = [losses(toy_features, tmp_path / str(run), "cuda", **changes) for run in range(2)]
    assert runs[0] == runs[1]


def test_a_gpu_takes_graphs_and_compiled_layers_by_itself(toy_features, tmp_path, monkeypatch):
    monkeypatch.setattr("train.graphs.PLAIN_TURNS", 1)
    monkeypatch.setattr("train.faster.COMPILING_PAYS", 10)
    changes = {"train__precision": "bf16", "optim__epochs": 4}
    expected = losses(toy_features, tmp_path / "plain", "cuda", train__compile=False, **changes)
    found = losses(toy_features, tmp_path / "auto", "cuda", train__cuda_graphs='"auto"', **changes)
    assert found == pytest.approx(expected, rel=2e-2)


def test_a_gpus_adamw_reads_gradients_where_they_are():
    layer = torch.nn.Linear(64, 64, device="cuda")
    assert FlatAdamW(layer, OptimConfig(), adds_up=False)._kernel is not None  # after its trial


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_updates_repeated_by_cuda_graphs_have_the_losses_of_plain_ones(
    toy_features, tmp_path, monkeypatch, precision
):
    monkeypatch.setattr("train.graphs.PLAIN_TURNS", 1)
    recorded, take = [], Batch.take
    monkeypatch.setattr(Batch, "take", lambda self, *a: (recorded.append(1), take(self, *a)))
    changes = {"train__precision": precision, "bart__dropout": 0.1, "optim__epochs": 4}
    expected = losses(toy_features, tmp_path / "plain", "cuda", **changes)
    assert not recorded
    found = losses(toy_features, tmp_path / "graphs", "cuda", train__cuda_graphs=True, **changes)
    assert len(recorded) > 20
    assert found == pytest.approx(expected, rel=1e-3 if precision == "float32" else 2e-2)


def test_launching_an_update_makes_the_host_wait_for_nothing(toy_features, tmp_path, monkeypatch):
    real = Updater.launch

    def launch(self, number, pieces):
        if number < 2:  # the first ones make the optimiser's state
            return real(self, number, pieces)
        torch.cuda.set_sync_debug_mode("error")
        try:
            return real(self, number, pieces)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(Updater, "launch", launch)
    assert losses(toy_features, tmp_path / "run", "cuda")

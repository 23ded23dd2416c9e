"""Which runs compile their layers, and that no fast way changes what is computed."""

from dataclasses import replace

import pytest
import torch

from train.faster import COMPILING_PAYS, layers_pay
from train.flat_adamw import FlatAdamW
from train.model import vocabulary
from train.recipes.config import OptimConfig, Recipe, TrainConfig


def recipe(**train) -> Recipe:
    return Recipe(train=TrainConfig(**train))


def model_and_batch(make_toy, toy_data):
    """A toy's model, and the first batch that it would learn from."""
    toy = make_toy()
    return toy.model, next(iter(toy.loader(toy_data).epoch(0, 0))).batch


def test_layers_are_compiled_where_the_updates_repay_it(monkeypatch):
    monkeypatch.setattr("train.faster.has_triton", lambda: True)
    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    assert layers_pay(recipe(), gpu, 24_000) and not layers_pay(recipe(), gpu, 200)
    assert not layers_pay(recipe(), cpu, 24_000)
    assert layers_pay(recipe(compile="always"), cpu, 1)
    assert not layers_pay(recipe(compile="never"), gpu, 24_000)
    monkeypatch.setattr("train.faster.has_triton", lambda: False)
    assert not layers_pay(recipe(), gpu, COMPILING_PAYS)


def test_true_and_false_of_older_recipes_mean_always_and_never():
    made = TrainConfig(compile=True, cuda_graphs=False)  # type: ignore[arg-type]
    assert (made.compile, made.cuda_graphs) == ("always", "never")


def test_rows_of_zeros_below_the_output_layer_change_neither_loss_nor_gradients(
    make_toy, toy_data, monkeypatch
):
    model, batch = model_and_batch(make_toy, toy_data)
    weights, model = list(model.parameters()), model.double().eval()
    batch = replace(batch, audio=batch.audio.double())
    assert len(model.bart.lm_head.weight) % 64
    found = []
    for rows in (1, 64):
        monkeypatch.setitem(vocabulary.ROWS, "cpu", rows)
        loss = model(batch)
        found.append((loss, *torch.autograd.grad(loss, weights)))
    for plain, filled in zip(*found, strict=True):
        torch.testing.assert_close(plain, filled, rtol=1e-6, atol=1e-8)
    assert found[0][0].item() == pytest.approx(found[1][0].item(), rel=1e-6)


def test_the_zeros_behind_a_flat_output_layer_serve_without_a_copy(make_toy, toy_data, monkeypatch):
    model, batch = model_and_batch(make_toy, toy_data)
    model.eval()
    FlatAdamW(model, OptimConfig(), adds_up=False)
    weights, found = list(model.parameters()), []
    monkeypatch.setattr(vocabulary.F, "pad", None)  # only the room behind the weights is left
    for rows in (1, 64):
        monkeypatch.setitem(vocabulary.ROWS, "cpu", rows)
        loss = model(batch)
        found.append((loss, *torch.autograd.grad(loss, weights)))
    for plain, filled in zip(*found, strict=True):
        torch.testing.assert_close(plain, filled, rtol=2e-2, atol=1e-3)

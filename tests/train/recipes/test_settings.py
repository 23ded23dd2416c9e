"""Settings of precision, determinism and the loss do what they say, in whole short runs."""

import math

import pytest
import torch

from tests.train.test_updates import updater_of
from tests.train.toy import STILL, settings
from train.recipes.files import load_recipe
from train.run import Job, train
from train.run_folder.metrics import read_metrics

SHORT = STILL | {"train__log_every": 1, "optim__max_updates": 6}


@pytest.fixture
def logged(toy_features, tmp_path):
    """A function from settings to what a short run logged of one number."""
    count = iter(range(9))

    def run(number: str = "train_loss", **changes) -> list[float]:
        out = tmp_path / f"run{next(count)}"
        recipe = load_recipe("yamnet-panns", settings(**SHORT | changes))
        train(Job(features=toy_features, out=out, recipe=recipe))
        return [line[number] for line in read_metrics(out) if number in line]

    return run


def test_bf16_trains_float32_weights_with_losses_near_those_of_float32(
    logged, toy_features, tmp_path
):
    exact, rounded = logged(), logged(train__precision="bf16")
    assert rounded == pytest.approx(exact, rel=0.02)  # bf16 has 8 bits
    assert rounded != exact


def test_bf16_computes_in_bf16_over_masters_and_moments_in_float32(make_toy, toy_data):
    toy = make_toy(train__precision="bf16")
    updater, found = updater_of(toy), []
    toy.model.bart.model.decoder.layers[0].fc1.register_forward_hook(
        lambda module, inputs, output: found.append(output.dtype)
    )
    updater.launch(0, [next(iter(toy.loader(toy_data).epoch(0, 0)))])
    assert found == [torch.bfloat16]
    assert {weight.dtype for weight in toy.model.parameters()} == {torch.bfloat16}
    moments = [state["exp_avg"] for state in updater.optimizer.state.values()]
    held = [*updater.optimizer.masters.values(), *moments]
    assert {tensor.dtype for tensor in held} == {torch.float32}


def test_deterministic_runs_are_equal_in_every_bit_and_forbid_operations_that_are_not(
    logged, monkeypatch
):
    from train.updates import Updater

    forbidden, real = set(), Updater.launch

    def launch(self, number, pieces):
        forbidden.add(torch.are_deterministic_algorithms_enabled())
        return real(self, number, pieces)

    monkeypatch.setattr(Updater, "launch", launch)
    dropout = {"bart__dropout": 0.1, "train__deterministic": True}
    assert logged(**dropout) == logged(**dropout)
    assert forbidden == {True} and not torch.are_deterministic_algorithms_enabled()


def test_validation_is_not_smoothed(logged):
    plain = logged("val_loss", optim__learning_rate=1e-12)
    smoothed = logged("val_loss", optim__learning_rate=1e-12, optim__label_smoothing=0.5)
    assert smoothed == pytest.approx(plain, rel=1e-6)


def test_warm_up_starts_at_zero_and_reaches_the_rate(logged):
    rates = logged("learning_rate", optim__warmup_updates=3)
    assert rates == pytest.approx([0, 1e-3 / 3, 2e-3 / 3, 1e-3, 2e-3 / 3, 1e-3 / 3])


def test_the_gradient_that_is_logged_is_the_one_before_the_limit(logged):
    tight = {"optim__clip_norm": 1e-3, "optim__learning_rate": 1e-12}
    free = {"optim__clip_norm": 0.0, "optim__learning_rate": 1e-12}
    before, same = logged("gradient_norm", **tight), logged("gradient_norm", **free)
    assert before == pytest.approx(same, rel=1e-4)
    assert all(norm > 1e-3 and math.isfinite(norm) for norm in before)

"""The kernels that read gradients in place, by Triton's interpreter: see test_flat_adamw.py."""

import pytest
import torch

import train.flat_adamw
from tests.train.test_flat_adamw import (
    SETTINGS,
    beside_torchs_adamw,
    give,
    layers,
    test_a_refused_step_changes_nothing,  # noqa: F401 - again, with these kernels
    test_masters_and_moments_are_those_of_torchs_adamw,  # noqa: F401
)
from train import adamw_kernel
from train.flat_adamw import FlatAdamW


@pytest.fixture(autouse=True)
def as_on_a_gpu(monkeypatch):
    monkeypatch.setattr(train.flat_adamw, "has_own_kernel", lambda device: True)
    monkeypatch.setattr(torch, "compile", lambda step, **_: step)


@pytest.fixture
def pair():
    """As in test_flat_adamw.py."""
    model, flat, exact, expected = beside_torchs_adamw()
    assert flat._kernel is not None
    return model, flat, exact, expected


def test_a_gradient_that_is_missing_or_lies_askew_is_read_as_what_it_is():
    found = []
    for askew in (False, True):
        model = layers()
        flat = FlatAdamW(model, SETTINGS, adds_up=False)
        give(model, layers(), 0)
        bias, weight = model["second"].bias, model["second"].weight
        if askew:
            bias.grad = None
            weight.grad = torch.cat([weight.grad.new_ones(1, 5), weight.grad])[1:]
            assert weight.grad.data_ptr() % 16
        else:
            bias.grad.zero_()
        flat.take_gradients(add=False)
        flat.limit_gradient(1.0)
        flat.step()
        found.append(flat.buffer)
    assert torch.equal(*found)


def test_a_kernel_that_fails_its_trial_is_done_without_and_a_line_says_why(monkeypatch, capsys):
    def fails(*_):
        raise RuntimeError("no such instruction\nat line 3")

    monkeypatch.setattr(adamw_kernel, "try_out", fails)
    flat = FlatAdamW(layers(), SETTINGS, adds_up=False)
    assert flat._kernel is None and len(flat.gradient)
    said = capsys.readouterr().err.splitlines()
    assert said == ["gradients are copied before AdamW reads them: no such instruction"]

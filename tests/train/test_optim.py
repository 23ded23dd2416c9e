"""Schedule, weight decay and clipping do what their settings say."""

import pytest
import torch
from torch import nn

from train.optim import learning_rate, limit_gradient, make_optimizer
from train.recipes.config import OptimConfig


def test_the_rate_falls_linearly_from_the_first_update_to_zero_after_the_last():
    settings = OptimConfig(learning_rate=1e-5)
    rates = [learning_rate(settings, update, 4) for update in range(5)]
    assert rates == pytest.approx([1e-5, 7.5e-6, 5e-6, 2.5e-6, 0.0])


def test_a_constant_schedule_stays():
    settings = OptimConfig(learning_rate=1.0, schedule="constant", warmup_updates=1)
    assert [learning_rate(settings, update, 3) for update in range(3)] == [0.0, 1.0, 1.0]


def test_weight_decay_shrinks_matrices_and_leaves_biases():
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.bias.fill_(1.0)
    optimizer = make_optimizer(layer, OptimConfig(learning_rate=0.1, weight_decay=0.5))
    for weight in layer.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    # AdamW: weight * (1 - rate * decay), the gradient being zero.
    assert torch.allclose(layer.weight, torch.tensor(0.95))
    assert torch.equal(layer.bias, torch.ones(2))


def test_a_long_gradient_is_cut_to_the_limit_and_a_short_one_kept():
    layer = nn.Linear(2, 1, bias=False)
    for gradient, limit, expected in (([3, 4], 1.0, [0.6, 0.8]), ([0.3, 0.4], 1.0, [0.3, 0.4]),
                                      ([3, 4], 0.0, [3, 4])):  # fmt: skip
        layer.weight.grad = torch.tensor([gradient], dtype=torch.float32)
        norm = limit_gradient(layer, limit)
        assert norm.item() == pytest.approx((gradient[0] ** 2 + gradient[1] ** 2) ** 0.5)
        assert layer.weight.grad[0].tolist() == pytest.approx(expected, rel=1e-5)

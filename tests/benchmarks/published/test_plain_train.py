"""The trainer's speed costs no accuracy: its losses are those of a plain loop."""

import pytest
import torch

from benchmarks.published.plain_train import largest_difference


def test_losses_of_the_trainer_are_those_of_a_plain_loop(toy):
    assert largest_difference(toy.folder, toy.recipe, "cpu") < 1e-5


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_losses_of_the_trainer_on_a_gpu_are_those_of_a_plain_loop_there(toy):
    assert largest_difference(toy.folder, toy.recipe, "cuda") < 1e-4

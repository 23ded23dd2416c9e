"""What a model runs on: what was asked for, or a GPU where there is one."""

import pytest
import torch

from features.common.errors import ConfigError
from train.model.device import own_device


@pytest.mark.parametrize(("there", "chosen"), [(True, "cuda"), (False, "cpu")])
def test_a_gpu_is_taken_where_there_is_one(monkeypatch, there, chosen):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert own_device(None) == chosen
    assert own_device("cpu") == "cpu"


def test_one_of_several_gpus_can_be_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert own_device("cuda:1") == "cuda:1"


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="--device is cuda, but torch finds no CUDA device"):
        own_device("cuda")
    with pytest.raises(ConfigError, match="--device is 'tpu', expected cpu or cuda"):
        own_device("tpu")

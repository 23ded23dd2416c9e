"""cuDNN's attention stays unused in training."""

import torch
from torch.backends.cuda import cudnn_sdp_enabled

from tests.train.toy import settings
from train.opening import Job
from train.recipes.files import load_recipe
from train.run import train
from train.updates import Updater


def test_training_and_validation_do_without_cudnns_attention(toy_features, tmp_path, monkeypatch):
    seen, loss = [], Updater._loss

    def noted(self, *arguments):
        seen.append((self.model.training, cudnn_sdp_enabled()))
        return loss(self, *arguments)

    monkeypatch.setattr(Updater, "_loss", noted)
    recipe = load_recipe("yamnet-panns", settings(optim__max_updates=1))
    torch.backends.cuda.enable_cudnn_sdp(True)
    train(Job(features=toy_features, out=tmp_path / "run", recipe=recipe))
    assert set(seen) == {(True, False), (False, False)}

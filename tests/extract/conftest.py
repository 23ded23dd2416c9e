"""Weights folders for the tests of the networks, and a tiny one for those of the command."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from benchmarks.tiny_networks import write_tiny_networks
from extract.networks.panns import WavegramLogmelCnn14
from extract.networks.vggish import VGGish

PANNS_FILE = "Wavegram_Logmel_Cnn14_mAP=0.439.pth"
VGGISH_FILE = "vggish-10086976.pth"


@pytest.fixture(scope="session")
def weights_rule(real_data: Path) -> ModuleType:
    """golden/fill_weights.py: the rule that fills a state dict from its keys."""
    path = real_data / "golden" / "fill_weights.py"
    spec = importlib.util.spec_from_file_location("fill_weights", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # The folder is read-only and not ours: no bytecode beside it.
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = writes
    return module


@pytest.fixture(scope="session")
def weights_folder(
    real_data: Path, weights_rule: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """All three networks under their released names: YAMNet's are real, the others by rule."""
    folder = tmp_path_factory.mktemp("weights")
    for name in ("yamnet_weights.npz", "yamnet_class_map.csv"):
        (folder / name).symlink_to(real_data / "weights" / name)
    panns, vggish = WavegramLogmelCnn14(), VGGish()
    weights_rule.fill(panns)
    weights_rule.fill(vggish)
    # What the release holds beside the model: its training sampler's state.
    sampler = {"indexes_per_class": [np.arange(3)], "queue": [2, 0], "pointers_of_classes": [1]}
    released = {"iteration": 600_000, "model": panns.state_dict(), "sampler": sampler}
    torch.save(released, folder / PANNS_FILE)
    torch.save(vggish.state_dict(), folder / VGGISH_FILE)
    return folder


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All three networks at a fraction of their width, with random weights."""
    return write_tiny_networks(tmp_path_factory.mktemp("tiny-weights"))

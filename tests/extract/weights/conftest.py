"""Official files as their makers' own programs write them, for the tests of what reads them."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from extract.networks.vggish import VGGish


def tensorflow_names(network: VGGish) -> dict[str, np.ndarray]:
    """A VGGish's parameters under tf-slim's names, in TensorFlow's layouts."""
    places = ("conv1", "conv2", "conv3/conv3_1", "conv3/conv3_2", "conv4/conv4_1", "conv4/conv4_2")
    places += ("fc1/fc1_1", "fc1/fc1_2", "fc2")
    values = {}
    parameters = [value.detach().numpy() for value in network.parameters()]
    for place, weight, bias in zip(places, parameters[::2], parameters[1::2], strict=True):
        order = (2, 3, 1, 0) if weight.ndim == 4 else (1, 0)
        values[f"vggish/{place}/weights"] = weight.transpose(order)
        values[f"vggish/{place}/biases"] = bias
    return values


@pytest.fixture(scope="package")
def small_vggish() -> VGGish:
    torch.manual_seed(0)
    return VGGish(width=4, hidden=16, embedding=8)


@pytest.fixture(scope="package")
def models(real_data, small_vggish: VGGish, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SavedModels yamnet, vggish, and altered: a vggish whose graph does not do what it should.

    Beside them yamnet.h5 and yamnet_answers.npz, from Keras 2 (make_savedmodel.py).
    """
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("TensorFlow is not installed: make setup-tensorflow")
    folder = tmp_path_factory.mktemp("hub")
    np.savez(folder / "vggish.npz", **tensorflow_names(small_vggish))
    yamnet = real_data / "weights" / "yamnet_weights.npz"
    command = [sys.executable, str(Path(__file__).with_name("make_savedmodel.py"))]
    command += ["yamnet", str(yamnet), str(folder / "yamnet"), "1"]
    command += ["vggish", str(folder / "vggish.npz"), str(folder / "vggish"), "1"]
    command += ["vggish", str(folder / "vggish.npz"), str(folder / "altered"), "1.01"]
    subprocess.run(command, check=True, capture_output=True)
    return folder

"""VGGish against the reference's output with weights filled by rule."""

from pathlib import Path

import numpy as np
import pytest
import torch

from extract.networks.log_mel import PATCH_SAMPLES
from extract.networks.vggish import VGGish, from_tensorflow
from extract.streams import load_encoders
from tests.extract.networks.golden import listed, relative, shapes

TOLERANCE = 2e-4  # relative L2


def test_a_reduced_width_is_the_same_network():
    network = VGGish(width=4, hidden=16, embedding=8)
    assert network(torch.zeros(2, PATCH_SAMPLES)).shape == (2, 8)
    assert (network(torch.rand(50, PATCH_SAMPLES)) < 0).any(), "no ReLU after the last layer"


def test_the_first_dense_layer_hears_channels_last():
    network = VGGish(width=4, hidden=16, embedding=8)
    heard = []
    network.embeddings[0].register_forward_pre_hook(lambda layer, args: heard.append(args[0]))
    maps = []
    network.features[-1].register_forward_hook(lambda layer, args, out: maps.append(out))
    network(torch.rand(1, PATCH_SAMPLES))
    # Maps are [1, 32 channels, 6, 4]: neighbours in what fc1 hears are channels of one place.
    torch.testing.assert_close(heard[0][0, :32], maps[0][0, :, 0, 0])


@pytest.mark.real_data
def test_embeddings_are_those_of_the_reference(real_data: Path, weights_folder: Path):
    encoder = load_encoders(["vggish"], weights_folder)["vggish"]
    golden = np.load(real_data / "golden" / "vggish_golden.npz")
    clips = ("r9", "synthetic")
    rows = encoder.encode([torch.from_numpy(golden[f"{clip}_waveform"]) for clip in clips])
    for clip, found in zip(clips, rows, strict=True):
        assert relative(found.numpy(), golden[f"{clip}_embedding"]) < TOLERANCE


@pytest.mark.real_data
def test_parameters_are_named_and_shaped_as_in_torchvggishs_release(real_data: Path):
    rows = listed(real_data / "golden" / "vggish_state_dict.csv")
    assert shapes(VGGish()) == {row["torch_key"]: row["torch_shape"] for row in rows}
    # And TensorFlow's variables arrive there, each in its own place and layout.
    for row in rows:
        shape = [int(side) for side in row["tf_shape"].split("x")]
        values = np.zeros(shape, np.float32)
        place = {4: (2, 1, 0, 7), 2: (5, 6), 1: (3,)}[len(shape)]
        values[place] = 1.0
        ((key, tensor),) = from_tensorflow({row["tf_slim_name"]: values}).items()
        assert key == row["torch_key"]
        assert "x".join(map(str, tensor.shape)) == row["torch_shape"]
        order = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[len(shape)]
        assert tensor[tuple(place[axis] for axis in order)] == 1.0 and tensor.sum() == 1.0

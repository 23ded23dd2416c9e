"""YAMNet against the TensorFlow reference's output with the real weights."""

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from extract.networks.log_mel import PATCH_SAMPLES, cut
from extract.networks.yamnet import NATIVE_HOP_SAMPLES, YAMNet, from_tensorflow
from extract.sound.resample import RESAMPLER, resample
from extract.streams import load_encoders, load_weights

TOLERANCE = 2e-4  # of scores; every mutation of the network that was tried exceeds it


def test_a_reduced_width_keeps_the_layers_and_shrinks_the_channels():
    network = YAMNet(width=4, classes=7)
    assert network(torch.zeros(2, PATCH_SAMPLES)).shape == (2, 7)
    assert network.logits.in_features == 4 * 32
    assert network.state_dict().keys() == YAMNet().state_dict().keys()


def test_tensorflow_kernels_are_turned_to_torch_layouts():
    depthwise = np.zeros((3, 3, 5, 1), np.float32)
    depthwise[0, 1, 4, 0] = 2.0
    pointwise = np.zeros((1, 1, 5, 6), np.float32)
    pointwise[0, 0, 4, 3] = 3.0
    state = from_tensorflow(
        {
            "layer2/depthwise_conv/depthwise_kernel": depthwise,
            "layer2/pointwise_conv/kernel": pointwise,
            "layer2/pointwise_conv/bn/beta": np.ones(6, np.float32),
        }
    )
    assert state["layers.layer2.depthwise_conv.conv.weight"][4, 0, 0, 1] == 2.0
    assert state["layers.layer2.pointwise_conv.conv.weight"][3, 4, 0, 0] == 3.0
    assert state["layers.layer2.pointwise_conv.bn.bias"].shape == (6,)


@pytest.mark.real_data
def test_scores_and_embeddings_are_those_of_the_reference(real_data: Path, weights_folder: Path):
    network = load_weights("yamnet", weights_folder).module
    golden = np.load(real_data / "golden" / "yamnet_golden.npz")
    for clip in ("dog_975ms", "baby_5000ms", "R9_ZSCveAHg_7s"):
        waveform = torch.from_numpy(golden[f"{clip}_waveform"])
        patches = cut(waveform, PATCH_SAMPLES, NATIVE_HOP_SAMPLES, keep_tail=True)
        with torch.inference_mode():
            embeddings = network.embed(network.log_mel(patches))
            scores = torch.sigmoid(network(patches))
        np.testing.assert_allclose(scores, golden[f"{clip}_scores"], atol=TOLERANCE)
        np.testing.assert_allclose(embeddings, golden[f"{clip}_embeddings"], atol=1e-3)


# Golden scores come from the TensorFlow reference and the real resampy of either year.
@pytest.mark.real_data
@pytest.mark.parametrize(
    ("golden", "resampler", "dtype", "tolerance"),
    [
        ("audiocaps_yamnet_scores", "resampy 0.4.3 kaiser_best", "float32", TOLERANCE),
        ("audiocaps_yamnet_scores_2021", RESAMPLER, "float32", 5e-4),
        ("audiocaps_yamnet_scores_2021", RESAMPLER, "float16", 8e-4),
    ],
)
def test_real_clips_get_the_reference_scores_from_their_files_on(
    real_data: Path, weights_folder: Path, golden: str, resampler: str, dtype: str, tolerance: float
):
    encoder = load_encoders(["yamnet"], weights_folder, dtype=dtype)["yamnet"]
    expected = np.load(real_data / "golden" / f"{golden}.npz")
    waveforms = []
    for clip in expected.files:
        path = real_data / "audiocaps" / "clips" / f"{clip}.wav"
        sound, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
        mono = torch.from_numpy(sound.mean(axis=1))
        waveforms.append(resample(mono, rate_hz, encoder.spec.sample_rate_hz, resampler))
    for clip, logits in zip(expected.files, encoder.encode(waveforms), strict=True):
        stored = logits.to(getattr(torch, dtype)).float()
        scores = torch.sigmoid(stored).numpy()
        np.testing.assert_allclose(scores, expected[clip], atol=tolerance)
        np.testing.assert_array_equal(scores.argmax(axis=1), expected[clip].argmax(axis=1))


@pytest.mark.real_data
def test_classes_are_the_521_display_names(real_data: Path, weights_folder: Path):
    with (real_data / "weights" / "yamnet_class_map.csv").open(newline="") as file:
        names = tuple(row["display_name"] for row in csv.DictReader(file))
    assert load_weights("yamnet", weights_folder).classes == names
    assert len(names) == 521

"""CLAP's stream against transformers: its feature extractor, its forward pass, its refusals."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import ClapFeatureExtractor, ClapModel

from extract.networks import clap
from extract.networks.clap import ClapAudio
from extract.streams import load_encoders
from features.common.errors import WeightsError
from tests.tiny_clap import save_tiny_clap


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("clap-weights") / "clap"
    save_tiny_clap(path)
    return path


def noise(seconds, seed=0):
    samples = int(seconds * clap.SAMPLE_RATE_HZ)
    return 0.1 * np.random.default_rng(seed).standard_normal(samples).astype(np.float32)


# Under half a window is repeated, over half is not, one sample less than a window is padded.
@pytest.mark.parametrize("seconds", [0.05, 3.3, 7.0, 9.99998, 10.0])
def test_the_front_end_is_the_feature_extractors(folder, seconds):
    sound = noise(seconds)
    extractor = ClapFeatureExtractor.from_pretrained(folder)
    theirs = extractor(sound, sampling_rate=clap.SAMPLE_RATE_HZ, return_tensors="np")
    ours = ClapAudio.read(folder).log_mel(clap.windows(torch.from_numpy(sound)))
    np.testing.assert_allclose(ours[0].numpy(), theirs["input_features"][0], atol=1e-4)


@torch.inference_mode()
def test_rows_are_transformers_own_audio_features_window_by_window(folder):
    sounds = [noise(13.5), noise(2.0, seed=1)]
    encoder = load_encoders(["clap"], folder.parent)["clap"]
    rows = encoder.encode([torch.from_numpy(sound) for sound in sounds])
    assert [tuple(part.shape) for part in rows] == [(2, 24), (1, 24)]
    model = ClapModel.from_pretrained(folder).eval()
    extractor = ClapFeatureExtractor.from_pretrained(folder)
    parts = [sounds[0][:480_000], sounds[0][480_000:], sounds[1]]
    for part, row in zip(parts, torch.cat(rows), strict=True):
        heard = extractor(part, sampling_rate=clap.SAMPLE_RATE_HZ, return_tensors="pt")
        theirs = model.get_audio_features(input_features=heard["input_features"].float())
        np.testing.assert_allclose(row, theirs.pooler_output[0], atol=1e-5)


def test_a_missing_weight_is_named_where_transformers_would_make_one_up(folder, tmp_path):
    spoilt = tmp_path / "clap"
    spoilt.mkdir()
    for name in ("config.json", "preprocessor_config.json"):
        (spoilt / name).write_bytes((folder / name).read_bytes())
    state = load_file(folder / "model.safetensors")
    gone = "audio_projection.linear1.weight"
    del state[gone]
    save_file(state, spoilt / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=f"missing: {gone}"):
        ClapAudio.read(spoilt)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "bart"}, "is a model of type 'bart', expected 'clap'"),
        (None, "is no JSON that can be read; it is a web page"),
    ],
)
def test_another_model_or_a_damaged_folder_is_refused(folder, tmp_path, change, said):
    config = json.loads((folder / "config.json").read_text())
    text = json.dumps(config | change) if change else "<html>"
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(WeightsError, match=said):
        ClapAudio.read(tmp_path)


def test_a_clap_with_fusion_is_refused(folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    ClapFeatureExtractor(truncation="fusion").save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="laion/clap-htsat-unfused"):
        ClapAudio.read(tmp_path)

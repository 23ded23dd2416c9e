"""AST's stream against transformers: its feature extractor and its forward pass."""

import numpy as np
import pytest
import torch
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTForAudioClassification,
    ASTModel,
)

from extract.networks import ast
from extract.networks.ast import AstAudio
from extract.streams import load_encoders
from features.common.errors import WeightsError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small AST with its classifier and random weights, saved as transformers saves one."""
    torch.manual_seed(0)
    config = ASTConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
                       intermediate_size=32)  # fmt: skip
    path = tmp_path_factory.mktemp("ast-weights") / "ast"
    ASTForAudioClassification(config).save_pretrained(path)
    ASTFeatureExtractor().save_pretrained(path)
    return path


def noise(seconds, seed=0):
    samples = round(seconds * ast.SAMPLE_RATE_HZ)
    return 0.1 * np.random.default_rng(seed).standard_normal(samples).astype(np.float32)


@pytest.mark.parametrize("seconds", [0.025, 3.3, 9.9999, 10.0])
def test_the_front_end_is_the_feature_extractors(folder, seconds):
    sound = noise(seconds)
    extractor = ASTFeatureExtractor.from_pretrained(folder)
    theirs = extractor(sound, sampling_rate=ast.SAMPLE_RATE_HZ, return_tensors="np")
    ours = AstAudio.read(folder).filter_banks(ast.windows(torch.from_numpy(sound)))
    np.testing.assert_allclose(ours[0].numpy(), theirs["input_values"][0], atol=1e-4)


@torch.inference_mode()
def test_rows_are_transformers_own_pooled_output_window_by_window(folder):
    sounds = [noise(13.5), noise(2.0, seed=1)]
    encoder = load_encoders(["ast"], folder.parent)["ast"]
    rows = encoder.encode([torch.from_numpy(sound) for sound in sounds])
    assert [tuple(part.shape) for part in rows] == [(2, 32), (1, 32)]
    model = ASTModel.from_pretrained(folder).eval()
    extractor = ASTFeatureExtractor.from_pretrained(folder)
    parts = [sounds[0][:160_000], sounds[0][160_000:], sounds[1]]
    for part, row in zip(parts, torch.cat(rows), strict=True):
        heard = extractor(part, sampling_rate=ast.SAMPLE_RATE_HZ, return_tensors="pt")
        np.testing.assert_allclose(row, model(**heard).pooler_output[0], atol=1e-5)


def test_silence_and_a_sound_of_one_sample_have_rows(folder):
    encoder = load_encoders(["ast"], folder.parent)["ast"]
    for rows in encoder.encode([torch.zeros(16_000), torch.ones(1)]):
        assert torch.isfinite(rows).all()


def test_a_front_end_of_other_settings_is_refused(folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    ASTFeatureExtractor(max_length=512).save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="expected \\(16000, 1024, True\\)"):
        AstAudio.read(tmp_path)

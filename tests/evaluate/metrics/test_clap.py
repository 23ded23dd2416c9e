"""CLAP's two towers against transformers' own ClapModel, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, ClapModel

from evaluate.metrics import clap
from evaluate.metrics.child import ScoreError
from evaluate.metrics.clap import ClapSource, audio_vector, check_same_clap, clap_scores
from evaluate.metrics.clap_text import ClapText
from features.common.errors import FormatError, WeightsError
from features.reader import Features
from tests.evaluate.conftest import CAPTIONS
from tests.tiny_clap import save_tiny_clap


@torch.inference_mode()
def theirs(folder, texts):
    """transformers' text features, one text at a time."""
    model, tokenizer = ClapModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    made = [tokenizer([text], return_tensors="pt") for text in texts]
    rows = [model.eval().get_text_features(**inputs).pooler_output for inputs in made]
    return torch.cat(rows).numpy()


def test_text_vectors_are_transformers_own_whatever_is_batched_with_them(clap_folder):
    expected = theirs(clap_folder, CAPTIONS)
    found = ClapText.read(clap_folder).vectors(CAPTIONS).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found[0] - found[1]).max() > 0.01  # texts do differ


def test_a_text_that_is_too_long_is_cut_where_the_tower_ends(clap_folder):
    # 40 positions, of which Roberta leaves two out.
    tower = ClapText.read(clap_folder)
    long = "rain " * 100
    ids = AutoTokenizer.from_pretrained(clap_folder)(long, truncation=True, max_length=38)
    with torch.inference_mode():
        model = ClapModel.from_pretrained(clap_folder).eval()
        expected = model.get_text_features(input_ids=torch.tensor([ids["input_ids"]]))
    np.testing.assert_allclose(tower.vectors([long]), expected.pooler_output, atol=1e-5)


def test_an_audio_vector_is_the_mean_of_the_windows_at_length_one():
    rows = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], np.float16)
    # The mean is (1/3, 2/3), of length sqrt(5) / 3.
    np.testing.assert_allclose(audio_vector(rows), [1 / 5**0.5, 2 / 5**0.5])


def test_scores_are_each_captions_cosine_by_clip_not_by_order(clap_folder, heard_features):
    source = ClapSource(folder=clap_folder, features=heard_features, split="test")
    assert source.missing() is None
    clips = ["clip_7", "clip_2"]
    files = [["a dog barks", "rain falls heavily"], ["rain falls heavily", ""]]
    features, texts = Features(heard_features, "test"), ["a dog barks", "rain falls heavily", ""]
    said = dict(zip(texts, theirs(clap_folder, texts), strict=True))
    for found, file in zip(clap_scores(source, clips, files), files, strict=True):
        expected = []
        for clip, text in zip(clips, file, strict=True):
            mean = features[clip].streams["clap"].mean(axis=0)
            expected.append(mean @ said[text] / np.linalg.norm(mean))
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_clip_that_the_features_lack_is_named(clap_folder, heard_features):
    source = ClapSource(folder=clap_folder, features=heard_features, split="test")
    with pytest.raises(ScoreError, match="lacks 1 of the 2 clips, the first is 'elsewhere'"):
        clap_scores(source, ["clip_0", "elsewhere"], [["a", "b"]])


def test_what_is_missing_or_of_another_clap_is_said_in_one_line(
    clap_folder, heard_features, tiny_features, tmp_path
):
    with pytest.raises(FormatError, match=r"has no stream 'clap'.*--streams clap"):
        check_same_clap(clap_folder, Features(tiny_features, "test"))
    features = Features(heard_features, "test")
    with pytest.raises(WeightsError, match=r"no such folder; .*python -m extract fetch clap"):
        check_same_clap(tmp_path / "clap", features)
    with pytest.raises(WeightsError, match=r"fetch clap --from laion/larger_clap_general$"):
        check_same_clap(Path("laion/larger_clap_general"), features)
    save_tiny_clap(tmp_path / "other", seed=1)
    with pytest.raises(WeightsError, match=r"sha256 [0-9a-f]{12}….*name the folder of the same"):
        check_same_clap(tmp_path / "other", features)


def test_a_folder_without_a_tokenizer_or_with_another_ones_is_refused(clap_folder, tmp_path):
    bare = tmp_path / "clap"
    shutil.copytree(clap_folder, bare)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (bare / name).unlink()
    with pytest.raises(WeightsError, match="holds no tokenizer"):
        ClapText.read(bare)
    tokenizer = AutoTokenizer.from_pretrained(clap_folder)
    tokenizer.add_tokens(["thunderclap"])
    tokenizer.save_pretrained(bare)
    with pytest.raises(WeightsError, match="text tower knows"):
        ClapText.read(bare)


def test_a_folder_that_breaks_in_the_worker_is_told_in_the_workers_words(clap_folder, tmp_path):
    broken = tmp_path / "clap"
    shutil.copytree(clap_folder, broken)
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(config | {"model_type": "bart"}))
    with pytest.raises(ScoreError, match="is a model of type 'bart', expected 'clap'"):
        clap.text_vectors(broken, ["a dog barks"])

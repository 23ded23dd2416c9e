"""TF-Hub SavedModels: built here with TensorFlow itself, converted, compared, refused."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from extract.networks.releases import VGGISH_HUB
from extract.networks.vggish import VGGish
from extract.streams import load_weights
from extract.weights import tfhub
from extract.weights.state_dicts import load_network, read_npz
from extract.weights.tfhub import converted
from features.common.errors import WeightsError
from tests.extract.weights.conftest import tensorflow_names

SMALL_VGGISH = replace(VGGISH_HUB, config={"width": 4, "hidden": 16, "embedding": 8})


@pytest.mark.tensorflow
@pytest.mark.real_data
def test_yamnets_saved_model_is_converted_once_with_its_class_names(
    models: Path, real_data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    folder = tmp_path / "weights"  # with no other file of YAMNet's beside it
    folder.mkdir()
    (folder / "yamnet").symlink_to(models / "yamnet")
    loaded = load_weights("yamnet", folder)
    assert len(loaded.classes) == 521 and loaded.classes[3] == "class 3, etc."
    released = read_npz(real_data / "weights" / "yamnet_weights.npz")
    np.testing.assert_array_equal(
        loaded.module.state_dict()["logits.weight"], released["logits/kernel"].T
    )
    assert "tensorflow" not in sys.modules

    def never(*arguments):
        raise AssertionError("asked TensorFlow again")

    monkeypatch.setattr(tfhub, "_ask", never)
    again = load_weights("yamnet", folder)
    assert (again.sha256, again.classes) == (loaded.sha256, loaded.classes)


@pytest.mark.tensorflow
@pytest.mark.real_data
def test_vggishs_saved_model_gives_its_weights(models: Path, small_vggish: VGGish):
    loaded = load_network(converted(models / "vggish", SMALL_VGGISH), VGGish)
    for key, value in small_vggish.state_dict().items():
        assert torch.equal(loaded.module.state_dict()[key], value)


@pytest.mark.tensorflow
@pytest.mark.real_data
def test_a_saved_model_that_answers_otherwise_than_its_weights_is_refused(models: Path):
    with pytest.raises(WeightsError, match="answers a test signal otherwise"):
        converted(models / "altered", SMALL_VGGISH)
    assert not list((models / "altered").glob("*.safetensors"))


@pytest.mark.tensorflow
def test_a_folder_that_is_no_saved_model_is_refused(tmp_path: Path):
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("TensorFlow is not installed: make setup-tensorflow")
    (tmp_path / "vggish").mkdir()
    (tmp_path / "vggish" / "saved_model.pb").write_bytes(b"not a graph")
    with pytest.raises(WeightsError, match=r"vggish: TensorFlow could not read it"):
        converted(tmp_path / "vggish", SMALL_VGGISH)


def answering(module: VGGish, factor: float = 1.0):
    """What the process with TensorFlow tells, without it: variables and output of a VGGish."""

    def ask(folder: Path, signal: np.ndarray) -> dict[str, np.ndarray]:
        with torch.inference_mode():
            output = VGGISH_HUB.outputs(module, torch.from_numpy(signal))[0] * factor
        held = {f"variable:{key}": value for key, value in tensorflow_names(module).items()}
        return held | {"output": output.numpy()}

    return ask


@pytest.fixture
def saved_model(tmp_path: Path) -> Path:
    folder = tmp_path / "vggish"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.data").write_bytes(b"numbers")
    return folder


def test_a_changed_saved_model_is_converted_anew(
    saved_model: Path, small_vggish: VGGish, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tfhub, "_ask", answering(small_vggish))
    first = load_network(converted(saved_model, SMALL_VGGISH), VGGish)
    (saved_model / "variables" / "variables.data").write_bytes(b"others.")
    torch.manual_seed(1)
    other = VGGish(width=4, hidden=16, embedding=8)
    monkeypatch.setattr(tfhub, "_ask", answering(other))
    second = load_network(converted(saved_model, SMALL_VGGISH), VGGish)
    assert first.sha256 != second.sha256
    assert torch.equal(second.module.features[0].weight, other.features[0].weight)


def test_a_folder_that_cannot_be_written_is_converted_into_the_cache(
    saved_model: Path, small_vggish: VGGish, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(tfhub, "_ask", answering(small_vggish))
    monkeypatch.setattr(tfhub.os, "access", lambda path, mode: False)
    path = converted(saved_model, SMALL_VGGISH)
    assert path.is_relative_to(tmp_path / "cache" / "tagbart")
    assert converted(saved_model, SMALL_VGGISH) == path


@pytest.mark.parametrize("factor", [1.01, float("nan")])
def test_a_difference_beyond_the_tolerance_is_refused(
    saved_model: Path, small_vggish: VGGish, monkeypatch: pytest.MonkeyPatch, factor: float
):
    monkeypatch.setattr(tfhub, "_ask", answering(small_vggish, factor))
    with pytest.raises(WeightsError, match=r"largest difference .*tolerance 0\.0002"):
        converted(saved_model, SMALL_VGGISH)
    assert not list(saved_model.glob("*.safetensors"))


def test_other_variables_than_the_networks_are_named(
    saved_model: Path, small_vggish: VGGish, monkeypatch: pytest.MonkeyPatch
):
    def without_one(folder: Path, signal: np.ndarray) -> dict[str, np.ndarray]:
        answers = answering(small_vggish)(folder, signal)
        del answers["variable:vggish/fc2/biases"]
        return answers

    monkeypatch.setattr(tfhub, "_ask", without_one)
    with pytest.raises(WeightsError, match=r"missing: embeddings\.4\.bias"):
        converted(saved_model, SMALL_VGGISH)


def test_without_tensorflow_the_error_says_how_to_install_it(
    saved_model: Path, monkeypatch: pytest.MonkeyPatch
):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        tfhub.importlib.util,
        "find_spec",
        lambda name: None if name.startswith("tensorflow") else real(name),
    )
    with pytest.raises(WeightsError, match="make setup-tensorflow"):
        converted(saved_model, SMALL_VGGISH)


def test_a_damaged_conversion_is_refused(
    saved_model: Path, small_vggish: VGGish, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tfhub, "_ask", answering(small_vggish))
    path = converted(saved_model, SMALL_VGGISH)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(WeightsError, match="cannot be read"):
        converted(saved_model, SMALL_VGGISH)

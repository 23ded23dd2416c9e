"""YAMNet's release: Keras 2's own file in, Keras' own answers out; what is refused, and why."""

import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from extract.networks.log_mel import PATCH_SAMPLES, cut
from extract.networks.yamnet import NATIVE_HOP_SAMPLES, from_tensorflow
from extract.streams import load_weights
from extract.weights.keras_h5 import read_keras
from features.common.errors import WeightsError

TOLERANCE = 2e-5


def write_keras(path: Path, layers: dict[str, dict[str, np.ndarray]], *, under: str = "/") -> None:
    """A file in the layout of Keras 2."""
    with h5py.File(path, "w") as file:
        root = file.require_group(under)
        root.attrs["layer_names"] = [layer.encode() for layer in layers]
        for layer, weights in layers.items():
            group = root.create_group(layer)
            group.attrs["weight_names"] = [f"{name}:0".encode() for name in weights]
            for name, value in weights.items():
                group[f"{name}:0"] = value


@pytest.fixture
def fetched(models: Path, real_data: Path, tmp_path: Path) -> Path:
    """A weights folder as `extract fetch yamnet` leaves it."""
    shutil.copy(models / "yamnet.h5", tmp_path)
    shutil.copy(real_data / "weights" / "yamnet_class_map.csv", tmp_path)
    return tmp_path


@pytest.mark.tensorflow
@pytest.mark.real_data
def test_the_file_that_keras_saves_gives_what_keras_answers(models: Path, fetched: Path):
    loaded = load_weights("yamnet", fetched)
    answers = np.load(models / "yamnet_answers.npz")
    waveform = torch.from_numpy(answers["waveform"])
    with torch.inference_mode():
        patches = cut(waveform, PATCH_SAMPLES, NATIVE_HOP_SAMPLES, keep_tail=True)
        scores = torch.sigmoid(loaded.module(patches))
    assert np.ptp(answers["scores"], axis=0).max() > 0.1  # the signal is heard
    np.testing.assert_allclose(scores, answers["scores"], atol=TOLERANCE, rtol=0)
    assert loaded.network == "YAMNet" and loaded.classes[:2] == (
        "Speech",
        "Child speech, kid speaking",
    )


@pytest.mark.tensorflow
@pytest.mark.real_data
def test_it_is_read_without_tensorflow(fetched: Path):
    program = (
        "import sys; from pathlib import Path\n"
        "sys.modules |= dict.fromkeys(('tensorflow', 'tensorflow_hub', 'tf_keras', 'keras'))\n"
        "from extract.streams import load_weights\n"
        f"print(len(load_weights('yamnet', Path({str(fetched)!r})).classes))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "521\n", done.stderr


@pytest.mark.parametrize("name", ["dense", "dense_1", "logits", "predictions/head"])
@pytest.mark.parametrize("classes", [4, 7])  # 4: as many as the layer before has channels
def test_the_last_layer_is_known_by_its_shape_whatever_its_name(name: str, classes: int):
    kernel = np.arange(4 * classes, dtype=np.float32).reshape(4, classes)
    state = from_tensorflow(
        {
            "layer14/pointwise_conv/bn/beta": np.zeros(4, np.float32),
            "layer14/pointwise_conv/bn/moving_mean": np.zeros(4, np.float32),
            f"{name}/kernel": kernel,
            f"{name}/bias": np.full(classes, 2, np.float32),
        }
    )
    assert torch.equal(state["logits.weight"], torch.from_numpy(kernel).T)
    assert state["logits.bias"].tolist() == [2.0] * classes
    assert "layers.layer14.pointwise_conv.bn.bias" in state


@pytest.mark.parametrize("under", ["/", "model_weights"])
def test_arrays_are_found_by_their_variables_names(tmp_path: Path, under: str):
    kernel = np.arange(6, dtype=np.float32).reshape(2, 3)
    path = tmp_path / "some.h5"
    write_keras(
        path, {"re_lu": {}, "a/b": {"a/b/kernel": kernel, "a/b/bias": kernel[0]}}, under=under
    )
    found = read_keras(path)
    assert list(found) == ["a/b/kernel", "a/b/bias"]
    np.testing.assert_array_equal(found["a/b/kernel"], kernel)


def without_layer_names(path: Path) -> None:
    with h5py.File(path, "w") as file:  # as Keras 3 does it
        file["layers/dense/vars/0"] = np.zeros(3)


def of_another_network(path: Path) -> None:
    write_keras(path, {"dense": {"dense/kernel": np.zeros((1024, 521), np.float32)}})


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda path: path.write_bytes(b"<!DOCTYPE html><html>Not found</html>"), "cannot be read"),
        (lambda path: path.write_bytes(b""), "cannot be read"),
        (without_layer_names, "no weights file of Keras 2"),
        (of_another_network, r"not the weights of YAMNet .*missing: layers\.layer1\.conv"),
    ],
)
def test_another_file_under_its_name_is_refused_in_one_line(tmp_path: Path, make, what: str):
    (tmp_path / "yamnet_class_map.csv").write_text("index,mid,display_name\n0,/m/0,Speech\n")
    make(tmp_path / "yamnet.h5")
    with pytest.raises(WeightsError, match=rf"yamnet\.h5: .*{what}") as caught:
        load_weights("yamnet", tmp_path)
    assert "\n" not in str(caught.value)


def test_a_truncated_file_is_refused(tmp_path: Path):
    path = tmp_path / "some.h5"
    write_keras(path, {"dense": {"dense/kernel": np.zeros((100, 100))}})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(WeightsError, match=r"some\.h5: cannot be read as weights"):
        read_keras(path)

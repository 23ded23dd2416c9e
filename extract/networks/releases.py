"""What reads each network's weights out of the file or folder that its makers publish.

All raise WeightsError if it is damaged or holds other weights.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from extract.networks import convnext, log_mel, panns, panns_tags, vggish, yamnet
from extract.weights import tfhub
from extract.weights.hub import sha256_of_weights
from extract.weights.keras_h5 import read_keras
from extract.weights.official import CLASS_MAP_NAME
from extract.weights.state_dicts import (
    Loaded,
    fit,
    load_network,
    read_checkpoint,
    read_class_names,
    read_npz,
)
from features.common.checksum import sha256_of
from features.common.errors import WeightsError


def yamnet_h5(path: Path) -> Loaded:
    """YAMNet's release, a weights file of Keras 2, with yamnet_class_map.csv beside it."""
    return _yamnet(path, read_keras)


def yamnet_npz(path: Path) -> Loaded:
    """YAMNet from arrays by TensorFlow's names, with yamnet_class_map.csv beside them."""
    return _yamnet(path, read_npz)


def vggish_release(path: Path) -> Loaded:
    """VGGish as torchvggish ships it."""
    module = vggish.VGGish()
    fit(module, _tensors(read_checkpoint(path), path), path, partial=False)
    return Loaded(module=module, network="VGGish", classes=(), sha256=sha256_of(path))


def panns_release(path: Path) -> Loaded:
    """PANNs' checkpoint as it is."""
    module = panns.WavegramLogmelCnn14()
    fit(module, _panns_tensors(path), path, partial=False)
    network = "PANNs Wavegram_Logmel_Cnn14"
    return Loaded(module=module, network=network, classes=(), sha256=sha256_of(path))


def convnext_release(path: Path, *, network: str) -> Loaded:
    """The ConvNeXt tagger's checkpoint as it is, bare or under `model`."""
    checkpoint = read_checkpoint(path)
    state = checkpoint.get("model", checkpoint) if isinstance(checkpoint, dict) else checkpoint
    module = convnext.ConvNeXt()
    fit(module, _tensors(state, path), path, partial=False)
    return Loaded(module=module, network=network, classes=(), sha256=sha256_of(path))


def panns_tags_release(path: Path) -> Loaded:
    """PANNs' Cnn14_DecisionLevelMax as it is, with class_labels_indices.csv beside it."""
    names = read_class_names(path.with_name("class_labels_indices.csv"), fetch="panns_tags")
    module = panns_tags.PannsTags()
    fit(module.cnn14, _panns_tensors(path), path, partial=False)
    network = "PANNs Cnn14_DecisionLevelMax"
    return Loaded(module=module.eval(), network=network, classes=names, sha256=sha256_of(path))


def transformers_folder(path: Path, *, network: str, read: Callable[[Path], nn.Module]) -> Loaded:
    """A network out of a folder as transformers saves it."""
    module = read(path).eval()
    return Loaded(module=module, network=network, classes=(), sha256=sha256_of_weights(path))


def saved_model(path: Path, *, recipe: tfhub.Recipe) -> Loaded:
    """A network out of its TF-Hub SavedModel, converted when first read."""
    return load_network(tfhub.converted(path, recipe), recipe.build)


def _yamnet_scores(network: yamnet.YAMNet, waveform: Tensor) -> tuple[Tensor, ...]:
    hop = yamnet.NATIVE_HOP_SAMPLES
    patches = log_mel.cut(waveform, log_mel.PATCH_SAMPLES, hop, keep_tail=True)
    return (torch.sigmoid(network(patches)),)


def _vggish_outputs(network: vggish.VGGish, waveform: Tensor) -> tuple[Tensor, ...]:
    # Releases differ in whether the last ReLU belongs to the embedding; ours is before it.
    rows = network(vggish.examples(waveform))
    return rows, torch.relu(rows)


YAMNET_HUB = tfhub.Recipe(
    network="YAMNet",
    build=yamnet.YAMNet,
    state_of=yamnet.from_tensorflow,
    outputs=_yamnet_scores,
)
VGGISH_HUB = tfhub.Recipe(
    network="VGGish",
    build=vggish.VGGish,
    state_of=vggish.from_tensorflow,
    outputs=_vggish_outputs,
)


def _yamnet(path: Path, read: Callable[[Path], dict[str, np.ndarray]]) -> Loaded:
    names = read_class_names(path.with_name(CLASS_MAP_NAME))
    module = yamnet.YAMNet()
    fit(module, yamnet.from_tensorflow(read(path)), path, partial=False)
    if len(names) != module.logits.out_features:
        raise WeightsError(
            f"{path.with_name(CLASS_MAP_NAME)}: names {len(names)} classes, YAMNet has "
            f"{module.logits.out_features}; fetch it again with: python -m extract fetch yamnet"
        )
    return Loaded(module=module, network="YAMNet", classes=names, sha256=sha256_of(path))


def _panns_tensors(path: Path) -> dict[str, Tensor]:
    checkpoint = read_checkpoint(path)
    if not isinstance(checkpoint, dict) or "model" not in checkpoint:
        raise WeightsError(f"{path}: holds no 'model', which PANNs' releases do; fetch it again")
    return _tensors(checkpoint["model"], path)


def _tensors(state: Any, path: Path) -> dict[str, Tensor]:
    if isinstance(state, dict) and all(isinstance(value, Tensor) for value in state.values()):
        return dict(state)
    raise WeightsError(f"{path}: holds no state dict of tensors; fetch it again")

"""A small CLAP and features that it heard."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from extract.weights.hub import sha256_of_weights
from tests.evaluate import conftest
from tests.tiny_clap import WIDTH, save_tiny_clap
from train.model.pretrained import train_tokenizer


@pytest.fixture(scope="session")
def clap_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLAP with random weights and a tokenizer."""
    path = tmp_path_factory.mktemp("weights") / "clap"
    save_tiny_clap(path, train_tokenizer([*conftest.CAPTIONS], 400))
    return path


@pytest.fixture(scope="session")
def heard_features(tmp_path_factory: pytest.TempPathFactory, clap_folder: Path) -> Path:
    """`tiny_features` with a `clap` stream of one to three windows, unit vectors at random."""
    root = tmp_path_factory.mktemp("heard")
    spec = conftest.stream("clap", "embedding", WIDTH, 10.0)
    rng = np.random.default_rng(1)
    drawn = [rng.normal(0, 1, (1 + number % 3, WIDTH)) for number in range(12)]
    rows = [
        (part / np.linalg.norm(part, axis=1, keepdims=True)).astype(np.float32) for part in drawn
    ]
    conftest.write_features(
        root, replace(spec, weights_sha256=sha256_of_weights(clap_folder)), rows
    )
    return root

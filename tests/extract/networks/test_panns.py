"""Wavegram-Logmel-CNN14 against the reference's output with weights filled by rule."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from extract.networks.panns import WavegramLogmelCnn14, windows
from extract.streams import load_encoders
from tests.extract.networks.golden import listed, relative, shapes

TOLERANCE = 1e-5  # relative L2


@pytest.mark.parametrize(
    ("samples", "rows"), [(1, 1), (320_000, 1), (320_001, 2), (640_000, 2), (960_000, 3)]
)
def test_a_clip_has_a_window_for_each_10_s_begun(samples: int, rows: int):
    cut = windows(torch.ones(samples))
    assert cut.shape == (rows, 320_000)
    assert float(cut.double().sum()) == samples


@pytest.mark.parametrize("width", [5, 16])
def test_a_reduced_width_is_the_same_network(width: int):
    network = WavegramLogmelCnn14(width=width, classes=3).eval()
    embedding = network(torch.rand(2, 32_000))
    assert embedding.shape == (2, 32 * width)
    assert network.fc_audioset(embedding).shape == (2, 3)


def test_making_the_network_runs_no_wget_and_writes_nothing_at_home(tmp_path: Path):
    """In a fresh process with an empty home and a wget that leaves a trace."""
    home, tools = tmp_path / "home", tmp_path / "tools"
    home.mkdir()
    tools.mkdir()
    wget = tools / "wget"
    wget.write_text(f"#!/bin/sh\ntouch {tmp_path / 'wget-ran'}\n")
    wget.chmod(0o755)
    code = (
        "import sys, extract.streams, extract.networks.panns as p; p.WavegramLogmelCnn14(width=2);"
        "assert 'panns_inference' not in sys.modules and 'matplotlib' not in sys.modules"
    )
    environment = {"HOME": str(home), "PATH": f"{tools}:{os.environ['PATH']}"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "wget-ran").exists()
    assert list(home.rglob("*")) == []


@pytest.mark.real_data
def test_state_dict_has_the_official_checkpoints_keys_and_shapes(real_data: Path):
    official = listed(real_data / "golden" / "panns_wavegram_state_dict.csv")
    assert shapes(WavegramLogmelCnn14()) == {row["key"]: row["shape"] for row in official}


@pytest.mark.real_data
def test_embeddings_and_class_scores_are_those_of_the_reference(
    real_data: Path, weights_folder: Path
):
    golden = np.load(real_data / "golden" / "panns_wavegram_golden.npz")
    encoder = load_encoders(["panns"], weights_folder)["panns"]
    clips = ("r9", "synthetic")
    rows = encoder.encode([torch.from_numpy(golden[f"{clip}_waveform"]) for clip in clips])
    for clip, found in zip(clips, rows, strict=True):
        assert found.shape == (1, 2048)
        assert relative(found[0].numpy(), golden[f"{clip}_embedding"]) < TOLERANCE
        with torch.inference_mode():
            scores = torch.sigmoid(encoder.network.fc_audioset(found))[0]
        np.testing.assert_allclose(scores, golden[f"{clip}_clipwise_output"], atol=1e-5)

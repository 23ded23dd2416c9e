"""The ConvNeXt tagger against golden values of both published implementations, which agree."""

import importlib
import sys

import numpy as np
import pytest
import torch

from extract.networks import convnext
from extract.networks.convnext import ConvNeXt
from extract.running.folding import prepared
from tests.extract.networks.golden import listed, relative, shapes

# Twice what float32 rounding in another order gives; every mutation tried moves more.
TOLERANCE = 2e-5
SIGNALS = ("synthetic", "synthetic3s3", "noise", "short")


@pytest.fixture(scope="module")
def golden(real_data):
    return dict(np.load(real_data / "golden" / "convnext_golden.npz"))


@pytest.fixture(scope="module")
def network(real_data, weights_rule):
    """The network, its weights filled by the rule that the golden values were made with."""
    sys.modules["fill_weights"] = weights_rule  # what fill_convnext.py imports
    sys.path.insert(0, str(real_data / "golden"))
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        rule = importlib.import_module("fill_convnext")
    finally:
        sys.dont_write_bytecode = writes
        sys.path.remove(str(real_data / "golden"))
        del sys.modules["fill_weights"]
    module = ConvNeXt().eval()
    with torch.no_grad():
        rule.fill(module)
    return module


def test_it_has_the_names_and_shapes_of_the_released_checkpoint(real_data):
    released = listed(real_data / "golden" / "convnext_state_dict.csv")
    assert shapes(ConvNeXt()) == {row["key"]: row["shape"] for row in released}
    assert sum(p.numel() for p in ConvNeXt().parameters() if p.requires_grad) == 28_222_767


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("hastened", [False, True])
def test_frames_and_logits_are_the_references(network, golden, signal, hastened):
    if hastened:
        network = prepared(network, device="cpu", precision="float32")
    with torch.inference_mode():
        log_mel = network.log_mel(torch.from_numpy(golden[f"{signal}_waveform"])[None])
        frames = network.frames(log_mel)
        embedding = network.embedding(frames)
        logits = network.head_audioset(embedding)
    assert relative(log_mel[0, 0].numpy(), golden[f"{signal}_log_mel_bn0"]) < TOLERANCE
    assert relative(frames[0].numpy(), golden[f"{signal}_frame_embeddings"]) < TOLERANCE
    assert relative(embedding[0].numpy(), golden[f"{signal}_embedding"]) < TOLERANCE
    assert relative(logits[0].numpy(), golden[f"{signal}_clipwise_logits"]) < TOLERANCE


def test_a_row_is_the_mean_of_three_frames_and_the_last_of_what_is_left(network, golden):
    frames = golden["synthetic_frame_embeddings"]  # 31 frames in 10 s
    expected = [frames[i : i + 3].mean(axis=0) for i in range(0, 31, 3)]
    with torch.inference_mode():
        rows = network(torch.from_numpy(golden["synthetic_waveform"])[None])[0].numpy()
    assert rows.shape == (11, 768)
    assert relative(rows, np.stack(expected)) < TOLERANCE


def test_a_clip_is_heard_whole_and_a_very_long_one_in_pieces():
    assert [piece.shape for piece in convnext.clips(torch.ones(320_000))] == [(1, 320_000)]
    short = convnext.clips(torch.ones(10))[0]
    assert short.shape == (1, 7_360) and short.sum() == 10
    pieces = convnext.clips(torch.arange(2.0e6))
    assert [piece.shape[1] for piece in pieces] == [1_843_200, 156_800]
    assert torch.equal(torch.cat(pieces, dim=1)[0], torch.arange(2.0e6))

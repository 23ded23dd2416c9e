"""PANNs' per-second tags against panns-inference's own network."""

import csv

import numpy as np
import pytest
import torch

from extract.networks import panns_tags
from extract.networks.panns import panns_models
from extract.streams import load_encoders

FILE = "Cnn14_DecisionLevelMax_mAP=0.385.pth"


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """panns-inference's network with random weights, and a weights folder that holds it."""
    torch.manual_seed(0)
    network = panns_models().Cnn14_DecisionLevelMax(32_000, 1024, 320, 64, 50, 14_000, 527).eval()
    folder = tmp_path_factory.mktemp("panns-tags")
    torch.save({"iteration": 1, "model": network.state_dict()}, folder / FILE)
    with (folder / "class_labels_indices.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["index", "mid", "display_name"])
        rows.writerows([i, f"/m/{i}", f"Sound, {i}"] for i in range(527))
    return network, folder


@torch.inference_mode()
def test_a_row_is_the_largest_of_three_segments_and_all_rows_give_the_clips_decision(released):
    network, folder = released
    sound = 0.1 * torch.randn(96_000, generator=torch.Generator().manual_seed(1))
    encoder = load_encoders(["panns_tags"], folder)["panns_tags"]
    assert encoder.spec.kind == "tag_logits" and encoder.spec.classes[3] == "Sound, 3"
    (rows,) = encoder.encode([sound])
    theirs = network(sound[None])
    # 301 frames are 9 segments of 32; the framewise output repeats each segment's score 32 times.
    segments = theirs["framewise_output"][0, : 9 * 32 : 32]
    assert rows.shape == (3, 527)
    scores = torch.sigmoid(rows)
    np.testing.assert_allclose(scores, segments.view(3, 3, 527).amax(dim=1), atol=1e-5)
    np.testing.assert_allclose(scores.amax(dim=0), theirs["clipwise_output"][0], atol=1e-5)


def test_a_short_clip_makes_one_row():
    assert [part.shape for part in panns_tags.clips(torch.ones(5))] == [(1, 10_240)]

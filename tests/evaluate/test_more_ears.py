"""From sound to captions by the recipes that listen otherwise, with small random networks."""

import csv
import json

import numpy as np
import pytest
import soundfile
import torch

from evaluate.captions.captioner import Captioner
from evaluate.captions.generate import caption_clips
from extract.cli import app as extract_app
from extract.networks.convnext import ConvNeXt
from extract.networks.panns import WavegramLogmelCnn14
from extract.networks.yamnet import YAMNet
from extract.weights.state_dicts import save_network
from features.common.errors import ConfigError, FormatError
from features.reader import Features
from tests.evaluate.conftest import TAGS
from tests.tiny_clap import WIDTH as CLAP_WIDTH
from tests.tiny_clap import save_tiny_clap
from tests.train.toy import settings
from train.cli import app as train_app
from train.run_folder.checkpoint import load_run

RATE_HZ = 22_050
WORDS = ("a dog barks", "rain falls", "a siren wails", "bees buzz", "a man speaks", "an engine")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A weights folder with YAMNet, PANNs, ConvNeXt and CLAP of small width."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    shape = {"widths": (4, 8, 8, 16), "depths": (1, 1, 1, 1)}
    for name, network, config, classes in (
        ("yamnet", YAMNet(width=4, classes=len(TAGS)), {"width": 4, "classes": len(TAGS)}, TAGS),
        ("panns", WavegramLogmelCnn14(width=4), {"width": 4}, ()),
        ("convnext", ConvNeXt(**shape), shape, ()),
    ):
        path = folder / f"{name}.safetensors"
        save_network(path, network, network=f"small {name}", config=config, classes=classes)
    save_tiny_clap(folder / "clap")
    return folder


@pytest.fixture(scope="module")
def extracted(tmp_path_factory, weights):
    """Six sounds of up to 3 s, four to learn from, and their features."""
    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(0)
    with (folder / "captions.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "caption", "split"])
        for number, text in enumerate(WORDS):
            sound = 0.1 * rng.standard_normal(RATE_HZ * (1 + number % 3))
            soundfile.write(folder / f"{number}.wav", sound, RATE_HZ)
            table.writerow([f"{number}.wav", text, "train" if number < 4 else "val"])
    out = tmp_path_factory.mktemp("extracted") / "features"
    command(extract_app, "run", folder, "--out", out, "--weights", weights, "--workers", 0,
            "--threads", 1, "--streams", "yamnet,panns,convnext,clap")  # fmt: skip
    return folder, out


def command(app, *arguments):
    app([str(argument) for argument in arguments], standalone_mode=False)


@pytest.mark.parametrize(
    ("recipe", "widths"),
    [("yamnet-panns-clap", [WavegramLogmelCnn14(width=4).fc1.out_features, CLAP_WIDTH]),
     ("yamnet-convnext", 16)],
)  # fmt: skip
def test_a_sound_gets_the_caption_of_its_features(recipe, widths, weights, extracted, tmp_path):
    sounds, features = extracted
    run = tmp_path / "run"
    small = [part for setting in settings(optim__epochs=2) for part in ("--set", setting)]
    command(train_app, "run", features, "--out", run, "--recipe", recipe, *small)
    assert json.loads((run / "config.json").read_text())["audio_width"] == widths
    learnt = load_run(run)
    clips = Features(features, "val")
    expected = caption_clips(learnt, clips)
    captioner = Captioner(run, weights=weights, device="cpu")
    for caption, clip in zip(expected, clips.ids, strict=True):
        assert captioner(sounds / f"{clip.removesuffix('.wav')}.wav").text == caption.text
    card = (run / "README.md").read_text()
    assert all(f"| {name} | " in card for name in learnt.recipe.inputs.streams)


def test_a_stream_that_the_features_lack_is_named(extracted, tmp_path):
    small = [part for setting in settings() for part in ("--set", setting)]
    for audio, said in (('["panns", "ast"]', "'ast'"), ('["panns", "yamnet"]', "'yamnet'")):
        with pytest.raises((FormatError, ConfigError), match=said):
            command(train_app, "run", extracted[1], "--out", tmp_path / "run", *small,
                    "--set", f"inputs.audio={audio}")  # fmt: skip

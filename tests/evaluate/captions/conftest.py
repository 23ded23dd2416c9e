"""Five sounds, small networks and a run that knows the sounds' captions by heart."""

import json

import numpy as np
import pytest
import soundfile
import torch

from extract.asked import Extraction
from extract.networks.panns import WavegramLogmelCnn14
from extract.networks.yamnet import YAMNet
from extract.run import extract
from extract.sound.decode import Settings
from extract.weights.state_dicts import save_network
from features.reader import Features
from tests.evaluate.conftest import CAPTIONS, TAGS, make_run

RATE_HZ = 22_050


def save_panns(folder, width):
    network, config = WavegramLogmelCnn14(width=width), {"width": width}
    path = folder / "panns.safetensors"
    save_network(path, network, network=f"PANNs of width {width}", config=config)


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """Random small networks in our own format."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    tagger = YAMNet(width=4, classes=len(TAGS))
    torch.nn.init.normal_(tagger.logits.bias)
    save_network(
        folder / "yamnet.safetensors",
        tagger,
        network="YAMNet of width 4",
        config={"width": 4, "classes": len(TAGS)},
        classes=TAGS,
    )
    save_panns(folder, 4)
    return folder


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """Five clips of 10 s, each of noise in another band."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    for number in range(5):
        noise = np.fft.rfft(rng.normal(0, 1, 10 * RATE_HZ))
        band = np.arange(len(noise)) // (len(noise) // 6) == number
        soundfile.write(folder / f"{number}.wav", np.fft.irfft(noise * band), RATE_HZ)
    return folder


@pytest.fixture(scope="session")
def run(tmp_path_factory, weights, clips):
    """A run that memorised those clips' features, extracted in the usual way."""
    out = tmp_path_factory.mktemp("extracted") / "features"
    settings = Settings(workers=0)
    streams = ("yamnet", "panns")
    extract(Extraction(dump=clips, out=out, weights=weights, streams=streams, settings=settings))
    split = next(iter(json.loads((out / "features.json").read_text())["splits"]))
    path = tmp_path_factory.mktemp("caption-run")
    features = Features(out, split)
    make_run(path, features, CAPTIONS[: len(features)])
    return path, features

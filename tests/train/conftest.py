"""Small features folders and models that several test files use."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from features.reader import Features
from tests.train.toy import random_clips, settings, stream_specs, write_features
from train.data.inputs import InputBuilder
from train.data.loader import Loader
from train.data.prompts import clean_name
from train.data.split import SplitData
from train.model.pretrained import build_model, train_tokenizer
from train.model.tagbart import TagBart
from train.recipes.config import Recipe
from train.recipes.files import load_recipe


@dataclass(frozen=True, kw_only=True)
class Toy:
    """A recipe with all that it takes to run a model by hand."""

    recipe: Recipe
    tokenizer: object
    builder: InputBuilder
    model: TagBart

    def data(self, folder: Path, split: str = "train") -> SplitData:
        """A split of a features folder, as samples."""
        return SplitData.load(Features(folder, split), self.builder, self.tokenizer)

    def loader(self, data: SplitData, **settings) -> Loader:
        """Batches of 4 made in this process, or as the settings say."""
        usual = {"batch_size": 4, "decoder_start": 2, "threads": 0}
        return Loader(data=data, builder=self.builder, **usual | settings)


@pytest.fixture(scope="session")
def toy_features(tmp_path_factory):
    """45 training clips with one caption, 6 validation clips with five, several shards."""
    splits = {"train": random_clips(45, seed=1), "val": random_clips(6, captions=5, seed=2)}
    return write_features(tmp_path_factory.mktemp("features"), splits)


@pytest.fixture(scope="session")
def toy_tokenizer(toy_features):
    texts = [". ".join(clean_name(name) for name in spec.classes) for spec in stream_specs()]
    captions = [text for clip in random_clips(45, seed=1) for text in clip.captions]
    return train_tokenizer([*texts, *captions], 400)


@pytest.fixture(scope="session")
def make_toy(toy_tokenizer):
    """A function from changed settings to a Toy with random weights."""

    def make(**changes) -> Toy:
        recipe = load_recipe("yamnet-panns", settings(**changes))
        streams = {spec.name: spec for spec in stream_specs()}
        builder = InputBuilder.create(recipe.inputs, streams, toy_tokenizer)
        torch.manual_seed(0)
        model = build_model(recipe, vocab=len(toy_tokenizer), audio_width=builder.audio_widths)
        return Toy(recipe=recipe, tokenizer=toy_tokenizer, builder=builder, model=model.eval())

    return make


@pytest.fixture(scope="session")
def toy_data(toy_features, make_toy):
    """The training split of `toy_features` as samples, for tags and PANNs."""
    return make_toy().data(toy_features)

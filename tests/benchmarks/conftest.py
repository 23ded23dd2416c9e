"""A small recipe on small shards whose tags leave no choice."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.train.toy import CLASSES, ToyClip, random_clips, settings, stream_specs, write_features
from train.data.prompts import clean_name
from train.model.pretrained import train_tokenizer
from train.recipes.config import Recipe
from train.recipes.files import load_recipe


@dataclass(frozen=True, kw_only=True)
class Toy:
    """A folder with `features`, and a recipe that trains on them."""

    folder: Path
    recipe: Recipe


@pytest.fixture(scope="session")
def toy(tmp_path_factory) -> Toy:
    """20 training clips of ten rows, each row with one tag of probability one."""
    folder = tmp_path_factory.mktemp("bench")
    rng = np.random.default_rng(0)
    certain = np.where(np.eye(len(CLASSES)), 20.0, -60.0)
    clips = [
        ToyClip(
            id=clip.id,
            captions=clip.captions,
            streams={
                "yamnet": certain[rng.integers(len(CLASSES), size=10)],
                "vggish": rng.normal(size=(10, 4)),
                "panns": rng.normal(size=(1, 6)),
            },
        )
        for clip in random_clips(24)
    ]
    write_features(folder / "features", {"train": clips[:20], "val": clips[20:]})
    texts = [". ".join(clean_name(name) for name in spec.classes) for spec in stream_specs()]
    tokenizer = train_tokenizer([*texts, *(text for clip in clips for text in clip.captions)], 400)
    tokenizer.save_pretrained(folder / "tokenizer")
    changes = {"model__tokenizer": folder / "tokenizer", "bart__max_position_embeddings": 160}
    return Toy(folder=folder, recipe=load_recipe("yamnet-panns", settings(**changes)))

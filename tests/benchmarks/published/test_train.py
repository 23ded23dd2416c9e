"""The published way computes the same loss as ours, so that speeds are compared like for like."""

from dataclasses import replace

import torch

from benchmarks.published.plain_train import random_model
from benchmarks.published.train import (
    PickledCaptions,
    PublishedModel,
    PublishedTraining,
    write_pickles,
)
from features.reader import Features
from train.data.inputs import InputBuilder
from train.data.loader import Loader
from train.data.split import SplitData
from train.model.pretrained import load_tokenizer


def published_samples(toy, folder) -> PickledCaptions:
    split = Features(toy.folder / "features", "train")
    return PickledCaptions(
        paths=write_pickles(split, folder / "pickles", 6),
        tokenizer=load_tokenizer(toy.recipe.model),
        classes=split.streams["yamnet"].classes,
    )


def published_model(toy) -> PublishedModel:
    """With the weights that our run starts from."""
    ours = random_model(toy.recipe, toy.folder / "features")
    model = PublishedModel(ours.config.bart, ours.config.audio_width)
    model.load_state_dict(ours.state_dict())
    return model


def test_both_ways_give_the_same_loss_on_the_same_captions(toy, tmp_path):
    samples = published_samples(toy, tmp_path)
    batch = {name: torch.stack([samples[index][name] for index in range(6)]) for name in samples[0]}
    split = Features(toy.folder / "features", "train")
    builder = InputBuilder.create(toy.recipe.inputs, split.streams, samples.tokenizer)
    data = SplitData.load(split, builder, samples.tokenizer)
    loader = Loader(
        data=replace(data, clip=data.clip[:6], keys=data.keys[:6]),
        builder=builder,
        batch_size=6,
        decoder_start=2,
        pad_labels_to=64,
        threads=0,
    )
    (piece,) = loader.epoch(0, 0)
    with torch.inference_mode():
        theirs = published_model(toy).eval()(**batch)
        ours = random_model(toy.recipe, toy.folder / "features").eval()(piece.batch) / piece.labels
    assert piece.labels == 6 * 64
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=0)


def test_prompts_are_padded_to_128_tokens_and_captions_to_64(toy, tmp_path):
    sample = published_samples(toy, tmp_path)[0]
    assert [len(sample[name]) for name in ("input_ids", "audio", "labels")] == [128, 128, 64]


def test_an_update_of_the_published_way_takes_eight_captions(toy, tmp_path, monkeypatch):
    samples, model = published_samples(toy, tmp_path), published_model(toy)
    read, take = [], PickledCaptions.__getitem__
    monkeypatch.setattr(
        PickledCaptions, "__getitem__", lambda self, i: read.append(i) or take(self, i)
    )
    samples.paths += samples.paths[:2]
    before = model.dense.weight.detach().clone()
    PublishedTraining(model, samples, "cpu").update()
    assert sorted(read) == list(range(8))
    assert not torch.equal(before, model.dense.weight)

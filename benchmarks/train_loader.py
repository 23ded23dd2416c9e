"""The loader: captions per second from files to ready batches."""

import time
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.published.train import PickledCaptions, loader, write_pickles
from benchmarks.simulate import real_data
from features.reader import Features
from train.data.inputs import InputBuilder
from train.data.loader import Loader
from train.data.split import SplitData
from train.model.pretrained import load_tokenizer
from train.recipes.config import InputsConfig, ModelConfig

BATCH = 8
EPOCHS = 3
TARGET_PER_S = 20_000
PUBLISHED_CAPTIONS = 400


def measure_loader(features: Path, folder: Path) -> float:
    """Print captions per second, ours and the published way's; returns ours.

    Args:
        features: simulated AudioCaps.
        folder: takes the published way's files.
    """
    batches = open_loader(features)
    captions = len(batches.data)
    inputs = [piece.batch.attention_mask.sum() / BATCH for piece in islice(batches.epoch(0, 0), 64)]
    rates = []
    for epoch in range(EPOCHS):
        start = time.perf_counter()
        for _ in batches.epoch(0, epoch):
            pass
        rates.append(captions / (time.perf_counter() - start))
    print(
        f"  {captions:,} captions; mean tokens: encoder input {np.mean(inputs):.1f} "
        f"(AudioCaps: about 40), caption {batches.data.captions.length.mean():.1f} (12)\n"
        f"  shards to batches of {BATCH}, tags drawn anew, median of {EPOCHS} epochs",
        flush=True,
    )
    theirs = _published_rate(features, folder)
    ours = median(rates)
    print(f"  ours                  {ours:10,.0f} captions/s   (target {TARGET_PER_S:,})")
    print(f"  published way         {theirs:10,.0f} captions/s")
    print(f"  ours / published way  {ours / theirs:10,.0f}")
    return ours


def open_loader(features: Path) -> Loader:
    """Training batches as the recipe yamnet-panns makes them."""
    tokenizer = load_tokenizer(ModelConfig(tokenizer=str(real_data() / "bpe")))
    split = Features(features, "train")
    builder = InputBuilder.create(InputsConfig(), split.streams, tokenizer)
    data = SplitData.load(split, builder, tokenizer)
    return Loader(data=data, builder=builder, batch_size=BATCH, decoder_start=2)


def _published_rate(features: Path, folder: Path) -> float:
    split = Features(features, "train")
    paths = write_pickles(split, folder / "loader-pickles", PUBLISHED_CAPTIONS)
    tokenizer = load_tokenizer(ModelConfig(tokenizer=str(real_data() / "bpe")))
    batches = loader(
        PickledCaptions(paths=paths, tokenizer=tokenizer, classes=split.streams["yamnet"].classes)
    )
    rates = []
    for _ in range(EPOCHS):
        start = time.perf_counter()
        for _ in batches:
            pass
        rates.append(len(paths) / (time.perf_counter() - start))
    return median(rates)

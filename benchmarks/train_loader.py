"""The loader: captions per second from files to ready batches, and its memory."""

import os
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import count, islice
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.published.train import PickledCaptions, loader, write_pickles
from benchmarks.simulate import real_data, simulate_audiocaps
from features.common.publish import write_json
from features.reader import Features
from features.spec import INDEX_NAME, Index, ShardEntry, SplitEntry, shard_name
from train.data.inputs import InputBuilder
from train.data.loader import Loader
from train.data.split import SplitData
from train.model.pretrained import load_tokenizer
from train.recipes.config import InputsConfig, ModelConfig

BATCH = 8
EPOCHS = 3
TARGET_PER_S = 20_000
PUBLISHED_CAPTIONS = 400
MEMORY_CLIPS = (100_000, 1_000_000)
SHARD_CLIPS = 2_000
Megabytes = dict[str, float]


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


def measure_memory(folder: Path) -> None:
    """Print the memory of a process that goes through 100,000 and 1,000,000 clips once.

    A shard of 2,000 clips stands there under many names, so the disk holds it once.
    """
    simulate_audiocaps(folder / "shard", f"train:{SHARD_CLIPS}")
    print("  clips        own memory   pages of shards   captions/s   (MB; one epoch)")
    own = []
    for clips in MEMORY_CLIPS:
        root = _linked(folder / "shard", folder / f"{clips}", clips // SHARD_CLIPS)
        # A new process, so that nothing measured before counts.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            found = pool.submit(_one_epoch, root).result()
        own.append(found["own"])
        print(
            f"  {clips:9,} {found['own']:13,.0f} {found['pages']:17,.0f} {found['rate']:12,.0f}",
            flush=True,
        )
    growth = (own[1] - own[0]) * 1e6 / (MEMORY_CLIPS[1] - MEMORY_CLIPS[0])
    print(
        f"  own memory grows by {growth:.0f} bytes a clip: its caption's tokens and where its rows "
        f"lie\n  (target: flat; the features themselves weigh 14,500 bytes a clip). Pages of "
        "shards are\n  the system's cache of the files, which it takes back when memory is short."
    )


def _linked(source: Path, root: Path, shards: int) -> Path:
    """A features folder with the one shard of another under many names."""
    index = Index.read(source)
    (only,) = index.splits["train"].shards
    (root / "train").mkdir(parents=True)
    entries = []
    for number in range(shards):
        file = f"train/{shard_name(number)}"
        os.link(source / only.file, root / file)
        entries.append(
            ShardEntry(file=file, clips=only.clips, bytes=only.bytes, sha256=only.sha256)
        )
    clips = shards * only.clips
    split = SplitEntry(shards=tuple(entries), clips_listed=clips, clips_missing=0, clips_failed=0)
    write_json(root / INDEX_NAME, Index(streams=index.streams, splits={"train": split}).to_json())
    return root


def _one_epoch(features: Path) -> Megabytes:
    """The most memory seen while every clip becomes part of a batch, and captions per second."""
    batches = open_loader(features)
    most = _memory()
    start = time.perf_counter()
    for number, _ in zip(count(1), batches.epoch(0, 0)):
        if number % 1_000 == 0:
            most = {name: max(most[name], value) for name, value in _memory().items()}
    return most | {"rate": len(batches.data) / (time.perf_counter() - start)}


def _memory() -> Megabytes:
    """This process's resident memory: what it owns, and what it sees of files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kilobytes = {line.partition(":")[0]: line.split()[1] for line in lines if " kB" in line}
    return {
        "own": int(kilobytes["RssAnon"]) * 1024 / 1e6,
        "pages": int(kilobytes["RssFile"]) * 1024 / 1e6,
    }

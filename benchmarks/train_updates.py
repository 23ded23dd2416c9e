"""Updates per second of ours and of the published way on a CPU, in turns in one run.

Ours is `python -m train run` itself, from shards to its own log of captions per second. Its rate is
the median of the windows logged, the first ones left out: things warm up in them. What a GPU does,
`python -m benchmarks gpu` measures.
"""

import shutil
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

import torch

from benchmarks.published.train import (
    PickledCaptions,
    PublishedModel,
    PublishedTraining,
    write_pickles,
)
from benchmarks.simulate import real_data, simulate_audiocaps
from features.reader import Features
from train.model.pretrained import bart_config, load_tokenizer
from train.recipes.config import Recipe
from train.recipes.files import load_recipe
from train.run import Job, train
from train.run_folder.metrics import read_metrics

FLOAT32, BF16 = "float32", "bf16"
TARGET = 2.8
CAPTIONS = 96  # to train on
LOGGED, WARM = 2, 1  # updates in a window that ours logs; first windows that are left out
PUBLISHED_UPDATES = 2  # in a round
ROUNDS = 3
PUBLISHED_CAPTIONS = 1_024  # files written for the published way, at most


def measure_cpu(folder: Path, rounds: int = ROUNDS) -> float:
    """Print updates per second with bart-base's shape; returns ours in float32."""
    print("  bart-base's shape, 8 captions an update, CPU", flush=True)
    features = simulate_audiocaps(folder / "features", f"train:{CAPTIONS},val:1")
    theirs = _published(features, folder / "published", bench_recipe(FLOAT32), "cpu")
    published = f"published way, {FLOAT32}"
    rates: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        rates[published].append(_their_rate(theirs, PUBLISHED_UPDATES, "cpu"))
        for precision in (FLOAT32, BF16):
            rate = _our_rate(folder / "run", features, bench_recipe(precision))
            rates[f"ours, {precision}"].append(rate)
    median_of = {name: median(found) for name, found in rates.items()}
    print(f"  {'':27} updates/s  ms an update  times the published way, float32")
    for name, rate in median_of.items():
        goal = f"   (target: {TARGET})" if name == f"ours, {FLOAT32}" else ""
        times = rate / median_of[published]
        print(f"  {name:27} {rate:9.3f} {1000 / rate:13.1f} {times:10.2f}{goal}")
    return median_of[f"ours, {FLOAT32}"]


def bench_recipe(precision: str) -> Recipe:
    """bart-base's shape from random weights, for one epoch."""
    settings = {
        "model.pretrained": "none",
        "model.tokenizer": str(real_data() / "bpe"),
        "optim.epochs": 1,
        "train.log_every": LOGGED,
        "train.sample_clips": 0,
        "train.precision": precision,
    }
    return load_recipe("yamnet-panns-base", [f"{key}={value}" for key, value in settings.items()])


def _our_rate(out: Path, features: Path, recipe: Recipe) -> float:
    try:
        train(Job(features=features, out=out, recipe=recipe, device="cpu"))
        logged = [row["captions_per_s"] for row in read_metrics(out) if "captions_per_s" in row]
    finally:
        shutil.rmtree(out, ignore_errors=True)
    return median(logged[WARM:]) / recipe.optim.batch_size


def _published(features: Path, folder: Path, recipe: Recipe, device: str) -> PublishedTraining:
    split = Features(features, "train")
    tokenizer = load_tokenizer(recipe.model)
    data = PickledCaptions(
        paths=write_pickles(split, folder, PUBLISHED_CAPTIONS),
        tokenizer=tokenizer,
        classes=split.streams["yamnet"].classes,
    )
    torch.manual_seed(recipe.train.seed)
    config = bart_config(recipe.bart, len(tokenizer))
    model = PublishedModel(config, split.streams["panns"].width)
    training = PublishedTraining(model, data, device, bf16=recipe.train.precision == BF16)
    training.update()  # warms up
    return training


def _their_rate(training: PublishedTraining, updates: int, device: str) -> float:
    torch.backends.cuda.enable_cudnn_sdp(True)  # torch's default, which our training switches off
    _wait(device)  # for what came before
    start = time.perf_counter()
    for _ in range(updates):
        training.update()
    _wait(device)
    return updates / (time.perf_counter() - start)


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()

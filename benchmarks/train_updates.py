"""Updates per second of ours and of the published way, in turns in one run.

Ours is `python -m train run` itself, from shards to its own log of captions per second; the first
logged window of every run, in which things warm up, is left out.
"""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

from benchmarks.machine import gpu
from benchmarks.plain_train import UPDATES, largest_difference, random_model
from benchmarks.published_train import (
    PickledCaptions,
    PublishedModel,
    PublishedTraining,
    write_pickles,
)
from benchmarks.simulate import real_data, simulate_audiocaps
from features.reader import Features
from train.config import Recipe
from train.metrics import read_metrics
from train.model import trainable_parameters
from train.pretrained import bart_config, load_tokenizer
from train.recipe import load_recipe
from train.run import Job, train

FLOAT32, BF16 = "float32", "bf16"
TARGET_CPU, TARGET_GPU, TARGET_LIMIT = 2.8, 10.0, 1.5
TRAFFIC_BYTES = 4 * 2 * 4  # per weight: itself, gradient, two moments; read and written; float32
PAPER_UPDATES = 24_000


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is measured: clips to train on, updates of ours and of theirs in a round."""

    recipe: str
    clips: int
    ours: int
    logged: int
    theirs: int
    rounds: int


CPU_PLAN = Plan(recipe="yamnet-panns-base", clips=96, ours=12, logged=2, theirs=2, rounds=3)
GPU_PLAN = Plan(recipe="yamnet-panns", clips=2048, ours=256, logged=32, theirs=16, rounds=3)


def measure_cpu(folder: Path) -> float:
    """Print updates per second on the CPU; returns ours in float32."""
    print("  bart-base's shape, 8 captions an update, CPU", flush=True)
    rates = _in_turns(folder, CPU_PLAN, "cpu", (FLOAT32,))
    _print(rates, TARGET_CPU, f"ours, {FLOAT32}")
    return rates[f"ours, {FLOAT32}"]


def measure_gpu(folder: Path) -> None:
    """Print updates per second on the GPU, the limit that memory sets, and whether losses agree."""
    print("  bart-large's shape, 8 captions an update, GPU", flush=True)
    if not torch.cuda.is_available():
        print(f"  {gpu()}: not measured (targets: {TARGET_GPU:.0f} times the published way, ")
        print(f"  {TARGET_LIMIT} times the time that memory traffic needs)")
        return
    rates = _in_turns(folder, GPU_PLAN, "cuda", (FLOAT32, BF16))
    _print(rates, TARGET_GPU, f"ours, {BF16}")
    equal = rates[f"ours, {BF16}"] / rates[f"published way, {BF16}"]
    print(f"  ours / published way, both in {BF16:15} {equal:8.2f}")
    recipe = bench_recipe(GPU_PLAN, BF16)
    weights = trainable_parameters(random_model(recipe, folder / "features"))
    bandwidth = _copy_bandwidth()
    update_s, least_s = 1 / rates[f"ours, {BF16}"], weights * TRAFFIC_BYTES / bandwidth
    print(f"  copy bandwidth {bandwidth / 1e9:,.0f} GB/s: {weights:,} weights, their gradients and")
    print(f"  both moments are read and written once in {1000 * least_s:.2f} ms at least")
    print(
        f"  update {1000 * update_s:.2f} ms, {update_s / least_s:.2f} times that "
        f"(target: {TARGET_LIMIT} at most); {PAPER_UPDATES:,} updates in "
        f"{PAPER_UPDATES * update_s / 60:.1f} min"
    )
    difference = largest_difference(folder, bench_recipe(GPU_PLAN, FLOAT32), "cuda")
    print(
        f"  {FLOAT32} losses of {UPDATES} updates against a plain loop: largest relative "
        f"difference {difference:.0e}"
    )


def bench_recipe(plan: Plan, precision: str) -> Recipe:
    """A recipe's shape from random weights, for a few updates."""
    settings = {
        "model.pretrained": "none",
        "model.tokenizer": str(real_data() / "bpe"),
        "optim.max_updates": plan.ours,
        "train.log_every": plan.logged,
        "train.precision": precision,
    }
    return load_recipe(plan.recipe, [f"{key}={value}" for key, value in settings.items()])


def _in_turns(folder: Path, plan: Plan, device: str, published: Sequence[str]) -> dict[str, float]:
    """Updates per second of each way, medians of the rounds."""
    features = simulate_audiocaps(folder / "features", f"train:{plan.clips},val:1")
    recipes = {precision: bench_recipe(plan, precision) for precision in (FLOAT32, BF16)}
    theirs = {
        precision: _published(features, folder / f"pickles-{precision}", recipe, device)
        for precision, recipe in recipes.items()
        if precision in published
    }
    rates: dict[str, list[float]] = {}
    for _ in range(plan.rounds):
        for precision, training in theirs.items():
            name = f"published way, {precision}"
            rates.setdefault(name, []).append(_their_rate(training, plan.theirs, device))
        for precision, recipe in recipes.items():
            rate = _our_rate(folder / "run", features, recipe, device)
            rates.setdefault(f"ours, {precision}", []).append(rate)
    return {name: median(found) for name, found in rates.items()}


def _our_rate(out: Path, features: Path, recipe: Recipe, device: str) -> float:
    train(Job(features=features, out=out, recipe=recipe, device=device))
    logged = [row["captions_per_s"] for row in read_metrics(out) if "captions_per_s" in row]
    shutil.rmtree(out)
    seconds = [recipe.optim.batch_size / rate for rate in logged[1:]]
    return len(seconds) / sum(seconds)


def _published(features: Path, folder: Path, recipe: Recipe, device: str) -> PublishedTraining:
    split = Features(features, "train")
    tokenizer = load_tokenizer(recipe.model)
    data = PickledCaptions(
        paths=write_pickles(split, folder, len(split)),
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
    start = time.perf_counter()
    for _ in range(updates):
        training.update()
    _wait(device)
    return updates / (time.perf_counter() - start)


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _print(rates: dict[str, float], target: float, wanted: str) -> None:
    for name, rate in rates.items():
        print(f"  {name:40} {rate:8.3f} updates/s, {1000 / rate:8.1f} ms")
    published = rates[f"published way, {FLOAT32}"]
    for name, rate in rates.items():
        if name.startswith("ours"):
            goal = f"   (target: {target})" if name == wanted else ""
            print(f"  {name} / published way, {FLOAT32:9} {rate / published:8.2f}{goal}")


def _copy_bandwidth() -> float:
    """Bytes per second read and written by a copy within the GPU's memory, best of 20."""
    source = torch.ones(1 << 28, device="cuda")
    target = torch.empty_like(source)
    best = 0.0
    for _ in range(20):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        target.copy_(source)
        end.record()
        end.synchronize()
        best = max(best, 2 * source.nbytes / (start.elapsed_time(end) / 1000))
    return best

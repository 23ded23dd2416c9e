"""Updates per second of ours and of the published way, in turns in one run.

Ours is `python -m train run` itself, from shards to its own log of captions per second. Its rate is
the median of the windows logged, the first ones left out: things warm up in them, and what a run
does once (compiling, recording) is no part of the rate.
"""

import gc
import shutil
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

from benchmarks.machine import gpu
from benchmarks.published.plain_train import largest_difference, random_model
from benchmarks.published.train import (
    PickledCaptions,
    PublishedModel,
    PublishedTraining,
    write_pickles,
)
from benchmarks.simulate import real_data, simulate_audiocaps
from features.common.errors import RunError
from features.reader import Features
from train.model.pretrained import bart_config, load_tokenizer
from train.model.tagbart import TagBart, trainable_parameters
from train.recipes.config import ALWAYS, Recipe
from train.recipes.files import load_recipe
from train.run import Job, train
from train.run_folder.metrics import read_metrics

FLOAT32, BF16 = "float32", "bf16"
COMPILED, GRAPHS = "compiled", "graphs"  # train.compile, train.cuda_graphs
TARGET_CPU, TARGET_GPU, TARGET_LIMIT = 2.8, 10.0, 1.5
TRAFFIC_BYTES = 4 * 2 * 4  # per weight: itself, gradient, two moments; read and written; float32
PAPER_UPDATES = 24_000
GPU_LOSSES = 200  # updates whose losses are compared there, so that shapes come again
PUBLISHED_CAPTIONS = 1_024  # files written for the published way, at most


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is measured.

    Attributes:
        recipe: whose shape.
        ours: how ours runs: a precision, then COMPILED and GRAPHS if so.
        theirs: precisions of the published way.
        captions: to train on.
        logged: updates in a window that ours logs; one epoch of windows is run.
        warm: first windows of a run that are left out.
        published: updates of the published way in a round.
        rounds: turns of each way.
    """

    recipe: str
    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    captions: int
    logged: int
    warm: int
    published: int
    rounds: int


CPU_PLAN = Plan(
    recipe="yamnet-panns-base",
    ours=(FLOAT32, BF16),
    theirs=(FLOAT32,),
    captions=96,
    logged=2,
    warm=1,
    published=2,
    rounds=3,
)
GPU_PLAN = Plan(
    recipe="yamnet-panns",
    ours=(
        FLOAT32,
        BF16,
        f"{BF16} {GRAPHS}",
        f"{BF16} {COMPILED}",
        f"{BF16} {COMPILED} {GRAPHS}",
    ),
    theirs=(FLOAT32, BF16),
    captions=8192,
    logged=32,
    warm=16,
    published=16,
    rounds=1,
)


def measure_cpu(folder: Path, plan: Plan = CPU_PLAN) -> float:
    """Print updates per second on the CPU; returns ours in float32."""
    print("  bart-base's shape, 8 captions an update, CPU", flush=True)
    rates = _in_turns(folder, plan, "cpu")
    _print(rates, TARGET_CPU, f"ours, {FLOAT32}")
    return rates[f"ours, {FLOAT32}"]


def measure_gpu(folder: Path, plan: Plan = GPU_PLAN) -> float | None:
    """Print updates per second on the GPU, the limit that memory sets, and whether losses agree.

    Returns:
        The best of ours in bf16, None without a GPU.
    """
    print("  bart-large's shape, 8 captions an update, GPU", flush=True)
    if not torch.cuda.is_available():
        print(
            f"  {gpu()}: not measured (targets: {TARGET_GPU:.0f} times the published way, "
            f"{TARGET_LIMIT} times\n  the time that memory traffic needs)"
        )
        return None
    rates = _in_turns(folder, plan, "cuda")
    ours = {name: rate for name, rate in rates.items() if name.startswith(f"ours, {BF16}")}
    best = max(ours, key=ours.__getitem__)
    _print(rates, TARGET_GPU, best)
    theirs = rates[f"published way, {BF16}"]
    print(f"  the best of ours / published way, both in bf16 {ours[best] / theirs:12.2f}")
    _print_limit(ours[best], random_model(bench_recipe(plan, BF16), folder / "features"))
    for way in (FLOAT32, f"{FLOAT32} {GRAPHS}", f"{FLOAT32} {COMPILED}"):
        if f"ours, {way.replace(FLOAT32, BF16)}" not in rates:  # failed above
            continue
        _forget_runs()
        found = largest_difference(folder, bench_recipe(plan, way), "cuda", updates=GPU_LOSSES)
        print(
            f"  losses of {GPU_LOSSES} updates, {way}, against a plain loop: largest relative "
            f"difference {found:.0e}",
            flush=True,
        )
    return ours[best]


def _print_limit(updates_per_s: float, model: TagBart) -> None:
    """An update beside the time in which its weights can be read and written at all."""
    weights, bandwidth = trainable_parameters(model), _copy_bandwidth()
    update_s, least_s = 1 / updates_per_s, weights * TRAFFIC_BYTES / bandwidth
    print(
        f"  copy bandwidth {bandwidth / 1e9:,.0f} GB/s: {weights:,} weights, their gradients and "
        f"both moments\n  are read and written once in {1000 * least_s:.2f} ms at least; our "
        f"update takes {1000 * update_s:.2f} ms, {update_s / least_s:.2f} times that\n"
        f"  (target: {TARGET_LIMIT} at most); {PAPER_UPDATES:,} updates in "
        f"{PAPER_UPDATES * update_s / 60:.1f} min (target: 6)"
    )


def bench_recipe(plan: Plan, way: str) -> Recipe:
    """A recipe's shape from random weights, for one epoch, run in one of Plan.ours' ways."""
    precision, *faster = way.split()
    settings = {
        "model.pretrained": "none",
        "model.tokenizer": str(real_data() / "bpe"),
        "optim.epochs": 1,
        "train.log_every": plan.logged,
        "train.sample_clips": 0,
        "train.precision": precision,
        "train.compile": str(COMPILED in faster).lower(),
        "train.cuda_graphs": str(GRAPHS in faster).lower(),
    }
    return load_recipe(plan.recipe, [f"{key}={value}" for key, value in settings.items()])


def _in_turns(folder: Path, plan: Plan, device: str) -> dict[str, float]:
    """Updates per second of each way, medians of the rounds."""
    features = simulate_audiocaps(folder / "features", f"train:{plan.captions},val:1")
    theirs = {
        precision: _published(features, folder / precision, bench_recipe(plan, precision), device)
        for precision in plan.theirs
    }
    rates: dict[str, list[float]] = defaultdict(list)
    for _ in range(plan.rounds):
        for precision, training in theirs.items():
            rate = _their_rate(training, plan.published, device)
            rates[f"published way, {precision}"].append(rate)
        for way in plan.ours:
            recipe = bench_recipe(plan, way)
            try:
                rate = _our_rate(folder / "run", features, recipe, device, plan.warm)
            except (RunError, RuntimeError) as error:
                if ALWAYS not in (recipe.train.compile, recipe.train.cuda_graphs):
                    raise
                # What is off by default must not cost the figures of what is on.
                print(f"  ours, {way}: FAILED: {str(error).strip().splitlines()[0]}", flush=True)
                continue
            rates[f"ours, {way}"].append(rate)
    return {name: median(found) for name, found in rates.items()}


def _our_rate(out: Path, features: Path, recipe: Recipe, device: str, warm: int) -> float:
    _forget_runs()
    try:
        train(Job(features=features, out=out, recipe=recipe, device=device))
        logged = [row["captions_per_s"] for row in read_metrics(out) if "captions_per_s" in row]
    finally:
        shutil.rmtree(out, ignore_errors=True)
    return median(logged[warm:]) / recipe.optim.batch_size


def _forget_runs() -> None:
    """Let go of what earlier runs left: memory, and compiled code, of which torch keeps little.

    With too much of it torch would compile no more, and a later way would run plainly.
    """
    torch.compiler.reset()
    gc.collect()


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


def _print(rates: dict[str, float], target: float, judged: str) -> None:
    """A line for each way; the target stands beside the one that is judged by it."""
    published = rates[f"published way, {FLOAT32}"]
    print(f"  {'':27} updates/s  ms an update  times the published way, float32")
    for name, rate in rates.items():
        goal = f"   (target: {target})" if name == judged else ""
        print(f"  {name:27} {rate:9.3f} {1000 / rate:13.1f} {rate / published:10.2f}{goal}")


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

"""The parts of `python -m benchmarks gpu`: from (work folder, tiny) to figures."""

import os
import re
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks import train_updates
from benchmarks.decode import fitted
from benchmarks.extract_gpu import measure_extraction
from benchmarks.simulate import real_data, simulate_audiocaps
from benchmarks.stand_ins import write_stand_ins
from benchmarks.tiny_networks import write_tiny_networks
from evaluate.captions.layers.precision import in_precision
from evaluate.captions.options import DecodingOptions
from evaluate.captions.search import Searcher
from features.common.errors import ConfigError
from train.loop import Trainer
from train.model.attention import do_without_cudnn_attention
from train.recipes.config import BartShape, Recipe
from train.recipes.files import load_recipe
from train.run import Job, train
from train.run_folder.saver import Saver
from train.updates import Updater

Figures = dict[str, Any]

UPDATES, PLAIN_UPDATES = 2000, 500
PROFILED = 10  # updates whose kernels are listed, just before the last
PAPER_UPDATES, PAPER_VALIDATIONS = 24_000, 24
CAPTIONS = 957
CLIPS = {False: 4000, True: 6}
SCENES = 512
SMALL = {"bart.d_model": 32, "bart.encoder_ffn_dim": 32, "bart.decoder_ffn_dim": 32,
         "bart.encoder_layers": 1, "bart.decoder_layers": 1,
         "bart.encoder_attention_heads": 2, "bart.decoder_attention_heads": 2}  # fmt: skip
ONE_LAYER = BartShape(d_model=768, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=64,
                      decoder_ffn_dim=64)  # fmt: skip
GPU_TESTS = ("tests/train/test_gpu.py", "tests/evaluate/captions/test_beam.py",
             "tests/extract/test_streams.py", "tests/extract/test_run.py",
             "tests/extract/sound", "tests/benchmarks/published")  # fmt: skip


def prepare(work: Path, tiny: bool) -> dict[str, str]:
    """Features to train on; what the parts' processes need in their environment."""
    environment = {"PYTHONUNBUFFERED": "1"}
    try:
        if tiny:
            raise ConfigError("small shapes take a small tokenizer")
        real_data()
    except ConfigError:
        print("captions of the demo's grammar, since AudioCaps' are not there", flush=True)
        sizes = {"scenes": 8, "tokens": 500} if tiny else {"scenes": SCENES}
        write_stand_ins(work / "data", **sizes)
        environment["TAGBART_REAL_DATA"] = str(work / "data")
    with patch.dict(os.environ, environment):
        simulate_audiocaps(work / "features", "train:64,val:4" if tiny else "train:4096,val")
    return environment


def tests(work: Path, tiny: bool) -> Figures:
    """The tests marked gpu."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "--tb=short", "-rA", "--no-header"]
    tail: deque[str] = deque(maxlen=5)
    with subprocess.Popen([*command, *GPU_TESTS], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            print(line, end="", flush=True)
            tail.append(line)
    found = re.findall(r"(\d+) (passed|failed|skipped|errors?)", "".join(tail))
    counts = {word: int(number) for number, word in found}
    figures: Figures = {"passed": counts.get("passed", 0), "skipped": counts.get("skipped", 0)}
    if child.returncode:
        figures["failed"] = f"pytest ended with {child.returncode}: {counts}"
    return figures


def updates(work: Path, tiny: bool) -> Figures:
    """A real run of bart-large's shape in bf16, layers compiled as in a run of 24,000 updates."""
    return _run(work / "compiled", tiny, UPDATES, "never" if tiny else "always")


def plain_updates(work: Path, tiny: bool) -> Figures:
    """The same as short runs go: layers as they are."""
    return _run(work / "plain", tiny, PLAIN_UPDATES, "never")


def _run(out: Path, tiny: bool, count: int, compiled: str) -> Figures:
    """Time every update, validation and save of `python -m train run`."""
    count = 40 if tiny else count
    recipe = _recipe(
        tiny,
        {
            "optim.max_updates": count,
            "train.validate_every": count // 2,
            "train.compile": compiled,
        },
    )
    starts: list[float] = []
    busy: dict[str, list[float]] = {"validation": [], "saving": []}
    profiler = profile(activities=[ProfilerActivity.CPU if tiny else ProfilerActivity.CUDA])
    first, graphs = count - 2 * PROFILED, []
    real = Updater.launch

    def launch(self: Updater, update: int, pieces: list) -> Any:
        if update == first:
            profiler.__enter__()
            graphs.append(self._repeated)
        elif update == first + PROFILED:
            profiler.__exit__(None, None, None)
        starts.append(time.perf_counter())
        return real(self, update, pieces)

    with (
        patch.object(Updater, "launch", launch),
        _timed(Trainer, "_validate", busy["validation"]),
        _timed(Saver, "save", busy["saving"]),
    ):
        begun = time.perf_counter()
        features = out.parent / "features"
        train(Job(features=features, out=out, recipe=recipe, device=_device(tiny)))
        whole = time.perf_counter() - begun
    between = np.diff(starts[:first])
    middle = median(between)
    # What happens once: an update that took over three times the usual, but for what waits there.
    slow = between[between > 3 * middle]
    waits = busy["validation"][:-1] + busy["saving"][:-1]
    figures = {
        "median_ms": 1e3 * middle,
        "mean_ms": 1e3 * float(between[between <= 3 * middle].mean()),
        "fastest_ms": 1e3 * float(np.quantile(between, 0.05)),
        "ready_s": max(0.0, float((slow - middle).sum()) - sum(waits)),
        "slow_updates": len(slow),
        "validation_s": min(busy["validation"]),
        "saving_s": min(busy["saving"]),
        "run_s": whole,
        "precision": recipe.train.precision,
        "compile": recipe.train.compile,
    }
    once = figures["ready_s"] + PAPER_VALIDATIONS * (figures["validation_s"] + figures["saving_s"])
    figures["once_s"] = once
    figures["paper_min"] = (PAPER_UPDATES * middle + once) / 60
    if graphs and graphs[0]:
        shapes = graphs[0].shapes
        figures |= {"shapes": len(shapes.turns), "recorded": len(shapes.recorded)}
    if not tiny:
        figures["memory_mib"] = torch.cuda.max_memory_allocated() >> 20
    for name, value in figures.items():
        print(f"  {name:14} {value:.3f}" if isinstance(value, float) else f"  {name:14} {value}")
    figures["kernels"] = kernels(profiler, PROFILED)
    return figures


def published(work: Path, tiny: bool) -> Figures:
    """The published way at the same shape, in both precisions."""
    figures = {}
    for precision in ("bf16", "float32"):
        recipe = _recipe(tiny, {"train.precision": precision})
        theirs = train_updates._published(
            work / "features", work / f"published-{precision}", recipe, _device(tiny)
        )
        rates = [train_updates._their_rate(theirs, 1 if tiny else 8, _device(tiny))
                 for _ in range(3)]  # fmt: skip
        figures[f"{precision}_ms"] = 1e3 / median(rates)
        print(f"  {precision}: {figures[f'{precision}_ms']:.1f} ms an update", flush=True)
        del theirs
    return figures


@torch.inference_mode()
def captions(work: Path, tiny: bool) -> Figures:
    """Beam search over a fitted output layer that says captions as long as AudioCaps'."""
    do_without_cudnn_attention()
    setting = fitted(np.random.default_rng(0), ONE_LAYER if tiny else BartShape())
    setting.run.model.to(_device(tiny))
    clips = [number % 48 for number in range(2 if tiny else CAPTIONS)]
    figures: Figures = {}
    for precision in ("bf16", "float32"):
        run = in_precision(setting.run, precision)
        options = DecodingOptions(precision=precision)
        searcher = Searcher(run=run, options=options, done=lambda prompts: None)
        took = []
        for _ in range(2 if tiny else 6):
            begun = time.perf_counter()
            found = searcher.search(setting.part(clips))
            took.append(time.perf_counter() - begun)
        right = np.mean([item[0].tokens == setting.captions[clip]
                         for item, clip in zip(found, clips, strict=True)])  # fmt: skip
        first, *others = took  # in the first, things are compiled and steps are recorded
        figures |= {f"{precision}_s": median(others), f"{precision}_first_s": first,
                    f"{precision}_right": float(right)}  # fmt: skip
        print(f"  {precision}: {len(clips)} captions in {median(others):.3f} s, the first time in "
              f"{first:.3f}, {right:.1%} right", flush=True)  # fmt: skip
        if not tiny and precision == "bf16":
            with profile(activities=[ProfilerActivity.CUDA]) as seen:
                searcher.search(setting.part(clips[:256]))
            figures["kernels_of_256"] = kernels(seen, 1)
    return figures


def extraction_tf32(work: Path, tiny: bool) -> Figures:
    """Files to shards in what a GPU takes by default."""
    return _extraction(work, tiny, "float32" if tiny else "tf32")  # a CPU has no TF32


def extraction_bf16(work: Path, tiny: bool) -> Figures:
    """The same in bf16."""
    return _extraction(work, tiny, "bf16")


def _extraction(work: Path, tiny: bool, precision: str) -> Figures:
    write = write_tiny_networks if tiny else None
    return measure_extraction(work / "extraction", CLIPS[tiny], precision, _device(tiny), write)


def kernels(seen: profile, times: int, rows: int = 15) -> Figures:
    """What kept the device busy, a turn: milliseconds, kernels, and the longest by name."""
    found = [item for item in seen.key_averages() if item.device_type == DeviceType.CUDA]
    found.sort(key=lambda item: -item.self_device_time_total)
    total = sum(item.self_device_time_total for item in found) / 1e3 / times
    count = sum(item.count for item in found) / times
    print(f"  device busy {total:.2f} ms, {count:.0f} kernels and copies")
    longest = []
    for item in found[:rows]:
        took = item.self_device_time_total / 1e3 / times
        longest.append([round(took, 4), item.count / times, item.key[:110]])
        print("  {:8.3f} ms x{:7.1f}  {}".format(*longest[-1]))
    return {"busy_ms": total, "count": count, "longest": longest}


@contextmanager
def _timed(owner: type, name: str, seconds: list[float]) -> Iterator[None]:
    """Note how long each call of a method takes."""
    real: Callable[..., Any] = getattr(owner, name)

    def watched(*args: Any, **kwargs: Any) -> Any:
        begun = time.perf_counter()
        try:
            return real(*args, **kwargs)
        finally:
            seconds.append(time.perf_counter() - begun)

    setattr(owner, name, watched)
    try:
        yield
    finally:
        setattr(owner, name, real)


def _recipe(tiny: bool, more: dict[str, Any]) -> Recipe:
    settings = {
        "model.pretrained": "none",
        "model.tokenizer": real_data() / "bpe",
        "optim.epochs": 99,
        "train.sample_clips": 0,
        "train.precision": "bf16",
        **(SMALL if tiny else {}),
        **more,
    }
    return load_recipe("yamnet-panns", [f"{key}={value}" for key, value in settings.items()])


def _device(tiny: bool) -> str:
    return "cpu" if tiny else "cuda"


class Part(NamedTuple):
    """One part: what measures it, and after how many seconds it is ended."""

    run: Callable[[Path, bool], Figures]
    limit_s: float


# In this order: what comes late may find no time left (gpu.LAST_S).
PARTS = {
    "updates": Part(updates, 120),
    "plain updates": Part(plain_updates, 50),
    "captions": Part(captions, 60),
    "extraction tf32": Part(extraction_tf32, 120),
    "extraction bf16": Part(extraction_bf16, 90),
    "tests": Part(tests, 150),
    "published": Part(published, 60),
}

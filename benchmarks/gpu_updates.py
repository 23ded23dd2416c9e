"""Training's parts of `python -m benchmarks gpu`, and what all parts share: see gpu_parts.py."""

import os
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks import train_updates
from benchmarks.simulate import real_data
from train.graphs import Repeated
from train.loop import Trainer
from train.model.vocabulary import summed_loss
from train.recipes.config import BartShape, Recipe
from train.recipes.files import load_recipe
from train.run import Job, train
from train.run_folder.saver import Saver
from train.updates import Updater

Figures = dict[str, Any]

UPDATES, PLAIN_UPDATES = 2000, 500
PROFILED = 10  # updates whose kernels are listed, just before the last
PAPER_UPDATES, PAPER_VALIDATIONS = 24_000, 24
LONGEST = 15  # kernels, of a list
COMPARED, TURNS = 60, 3  # updates each way and turn
# What makes updates faster, left out in turns.
WITHOUT: dict[str, dict[str, Any]] = {
    "nothing": {},
    "compiled loss": {"loss_of": summed_loss},
    "look-up apart": {"looks_up_apart": False},
    "both": {"loss_of": summed_loss, "looks_up_apart": False},
}
SMALL = {"bart.d_model": 32, "bart.encoder_ffn_dim": 32, "bart.decoder_ffn_dim": 32,
         "bart.encoder_layers": 1, "bart.decoder_layers": 1,
         "bart.encoder_attention_heads": 2, "bart.decoder_attention_heads": 2}  # fmt: skip
ONE_LAYER = BartShape(d_model=768, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=64,
                      decoder_ffn_dim=64)  # fmt: skip


def updates(work: Path, tiny: bool) -> Iterator[Figures]:
    """A real run of bart-large's shape in bf16, layers compiled as in a run of 24,000 updates."""
    compiled = "never" if tiny else "always"
    updater, pieces = yield from _run(work / "compiled", tiny, UPDATES, compiled)
    yield from _compared(updater, pieces, tiny)


def plain_updates(work: Path, tiny: bool) -> Iterator[Figures]:
    """The same as short runs go: layers as they are."""
    yield from _run(work / "plain", tiny, PLAIN_UPDATES, "never")


def _run(
    out: Path, tiny: bool, count: int, compiled: str
) -> Generator[Figures, None, tuple[Updater, list]]:
    """Time every update, validation and save of `python -m train run`; its updater and last batch.

    What comes late may not come any more: the median so far is printed twice before.
    """
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
    first, last = count - 2 * PROFILED, []
    real, without_graphs = Updater.launch, Updater._go_on_without_graphs

    def told(self: Updater, why: str) -> None:
        traceback.print_exc()
        without_graphs(self, why)

    def launch(self: Updater, update: int, pieces: list) -> Any:
        last[:] = self, pieces
        if update in (count // 4, first):
            print(f"  after {update:,} updates: {1e3 * median(np.diff(starts)):.3f} ms", flush=True)
        if update == first:
            profiler.__enter__()
        elif update == first + PROFILED:
            profiler.__exit__(None, None, None)
        starts.append(time.perf_counter())
        return real(self, update, pieces)

    with (
        patch.object(Updater, "launch", launch),
        patch.object(Updater, "_go_on_without_graphs", told),
        _timed(Trainer, "_validate", busy["validation"]),
        _timed(Saver, "save", busy["saving"]),
    ):
        begun = time.perf_counter()
        features = out.parent / "features"
        train(Job(features=features, out=out, recipe=recipe, device=device_of(tiny)))
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
    updater, pieces = last
    if updater._repeated:
        shapes = updater._repeated.shapes
        figures |= {"shapes": len(shapes.turns), "recorded": len(shapes.recorded)}
    if not tiny:
        figures["memory_mib"] = torch.cuda.max_memory_allocated() >> 20
    for name, value in figures.items():
        print(f"  {name:14} {value:.3f}" if isinstance(value, float) else f"  {name:14} {value}")
    yield figures
    yield {"kernels": kernels(profiler, PROFILED, trace="updates")}
    return updater, pieces


def _compared(updater: Updater, pieces: list, tiny: bool) -> Iterator[Figures]:
    """One batch's update without each of WITHOUT, in turns; each is recorded once."""
    own, model = updater._repeated, updater.model
    found = {name: getattr(model, name) for name in WITHOUT["both"]}

    def step() -> None:
        updater.launch(0, pieces)

    ways: dict[str, Repeated] = {}
    for turn in range(TURNS):
        for name, changes in WITHOUT.items():
            for setting, value in (found | changes).items():
                setattr(model, setting, value)
            if own and own.shapes.recorded:
                anew = Repeated(own._step, own._device, own._record)
                updater._repeated = ways.setdefault(name, anew)
            took = milliseconds(step, 1 if tiny else COMPARED)
            print(f"  without {name}: {took:.3f} ms", flush=True)
            yield {f"without {name}, {turn}": took}


def milliseconds(step: Callable[[], None], times: int) -> float:
    """What a step takes, after some to be ready, done one after the other without a wait."""
    for _ in range(3):
        step()
    _finish()
    begun = time.perf_counter()
    for _ in range(times):
        step()
    _finish()
    return 1e3 * (time.perf_counter() - begun) / times


def _finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def published(work: Path, tiny: bool) -> Iterator[Figures]:
    """The published way at the same shape, in both precisions."""
    for precision in ("bf16", "float32"):
        recipe = _recipe(tiny, {"train.precision": precision})
        theirs = train_updates._published(
            work / "features", work / f"published-{precision}", recipe, device_of(tiny)
        )
        rates = [train_updates._their_rate(theirs, 1 if tiny else 8, device_of(tiny))
                 for _ in range(3)]  # fmt: skip
        took = 1e3 / median(rates)
        print(f"  {precision}: {took:.1f} ms an update", flush=True)
        yield {f"{precision}_ms": took}
        del theirs


def kernels(seen: profile, times: int, trace: str = "") -> Figures:
    """What kept the device busy, a turn: milliseconds, kernels, and the longest by name.

    A `trace` is written beside the figures, where TAGBART_TRACES names a folder.
    """
    if trace and "TAGBART_TRACES" in os.environ:
        seen.export_chrome_trace(f"{os.environ['TAGBART_TRACES']}/{trace}.json.gz")
    found = [item for item in seen.key_averages() if item.device_type == DeviceType.CUDA]
    found.sort(key=lambda item: -item.self_device_time_total)
    total = sum(item.self_device_time_total for item in found) / 1e3 / times
    count = sum(item.count for item in found) / times
    print(f"  device busy {total:.2f} ms, {count:.0f} kernels and copies")
    longest = []
    for item in found[:LONGEST]:
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


def device_of(tiny: bool) -> str:
    return "cpu" if tiny else "cuda"

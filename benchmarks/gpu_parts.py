"""The parts of `python -m benchmarks gpu`: from (work folder, tiny) to figures, as they come.

What a part has yielded is kept, whatever becomes of the rest of it.
"""

import os
import re
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks import gpu_updates
from benchmarks.decode import VOCABULARY, fitted
from benchmarks.extract_gpu import measure_extraction, write_random_weights
from benchmarks.gpu_updates import ONE_LAYER, Figures, device_of, kernels, milliseconds
from benchmarks.simulate import real_data, simulate_audiocaps
from benchmarks.stand_ins import write_stand_ins
from benchmarks.tiny_networks import write_tiny_networks
from evaluate.captions.beams import Hypothesis
from evaluate.captions.layers.precision import in_precision
from evaluate.captions.options import DecodingOptions
from evaluate.captions.search import Searcher
from features.common.errors import ConfigError
from train import flat_adamw
from train.data.batches import Block
from train.model.attention import do_without_cudnn_attention
from train.model.pretrained import bart_config
from train.model.tagbart import TagBart, TagBartConfig
from train.recipes.config import BartShape, OptimConfig

Found = list[list[Hypothesis]]

CAPTIONS = 957
CLIPS = {False: 4000, True: 6}
TIMES = 4  # each file is extracted: what comes once, the last shard above all, is a tenth of one
SCENES = 512
GPU_TESTS = ("tests/train/test_gpu.py", "tests/evaluate/captions/test_beam.py",
             "tests/evaluate/captions/choosing/test_by_ear.py",
             "tests/extract/test_streams.py", "tests/extract/test_run.py",
             "tests/extract/running/test_gpu.py", "tests/extract/sound/test_ring.py",
             "tests/benchmarks/published")  # fmt: skip


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


def tests(work: Path, tiny: bool) -> Iterator[Figures]:
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
    yield figures


def optimiser(work: Path, tiny: bool) -> Iterator[Figures]:
    """AdamW and the norm alone, over bart-large's weights: by the kernel that reads gradients in
    place, and as it is without, gradients copied first."""
    shape, words = (ONE_LAYER, 500) if tiny else (BartShape(), VOCABULARY)
    with torch.device(device_of(tiny)):
        model = TagBart(TagBartConfig(bart=bart_config(shape, words), audio_width=2048))
    own = flat_adamw._kernel_or_none
    for name, make in (("in_place_ms", own), ("copied_ms", lambda *_: None)):
        with patch.object(flat_adamw, "_kernel_or_none", make):
            adamw = flat_adamw.FlatAdamW(model, OptimConfig(), adds_up=False)
        if not tiny and name == "in_place_ms" and adamw._kernel is None:
            continue  # a line says why
        gradients = [torch.full_like(weight, 1e-3) for weight in model.parameters()]

        def step(adamw: flat_adamw.FlatAdamW = adamw, gradients: list = gradients) -> None:
            for weight, gradient in zip(model.parameters(), gradients, strict=True):
                weight.grad = gradient
            adamw.take_gradients(add=False)
            adamw.limit_gradient(1.0)
            adamw.step()

        took = milliseconds(step, 1 if tiny else 20)
        print(f"  {name:12} {took:.3f}", flush=True)
        yield {name: took}


@torch.inference_mode()
def captions(work: Path, tiny: bool) -> Iterator[Figures]:
    """Beam search over a fitted output layer that says captions as long as AudioCaps'."""
    do_without_cudnn_attention()
    setting = fitted(np.random.default_rng(0), ONE_LAYER if tiny else BartShape())
    setting.run.model.to(device_of(tiny))
    clips = [number % 48 for number in range(2 if tiny else CAPTIONS)]
    times = 2 if tiny else 6
    for precision in ("bf16", "float32"):
        run = in_precision(setting.run, precision)
        options = DecodingOptions(precision=precision)
        searcher = Searcher(run=run, options=options, done=lambda prompts: None)
        (first, *others), found = _searches(searcher, setting.part(clips), times)
        right = np.mean([item[0].tokens == setting.captions[clip]
                         for item, clip in zip(found, clips, strict=True)])  # fmt: skip
        # In the first, things are compiled and steps are recorded.
        figures = {"": median(others), "_first": first}
        with patch("evaluate.captions.search.cuda_graphs", lambda device: None):
            plain = Searcher(run=run, options=options, done=lambda prompts: None)
            (_, *others), _ = _searches(plain, setting.part(clips), 2 if tiny else 3)
        figures["_plain"] = median(others)
        print(f"  {precision}: {len(clips)} captions in {figures['']:.3f} s, the first time in "
              f"{first:.3f}, without graphs in {figures['_plain']:.3f}, {right:.1%} right",
              flush=True)  # fmt: skip
        yield {f"{precision}{name}_s": took for name, took in figures.items()} | {
            f"{precision}_right": float(right)
        }
        if not tiny and precision == "bf16":
            with profile(activities=[ProfilerActivity.CUDA]) as seen:
                searcher.search(setting.part(clips[:256]))
            yield {"kernels_of_256": kernels(seen, 1)}


def _searches(searcher: Searcher, block: Block, times: int) -> tuple[list[float], Found]:
    """Seconds that searches of one block took, and what the last one found."""
    took, found = [], []
    for _ in range(times):
        begun = time.perf_counter()
        found = searcher.search(block)
        took.append(time.perf_counter() - begun)
    return took, found


def extraction_tf32(work: Path, tiny: bool) -> Iterator[Figures]:
    """Files to shards in what a GPU takes by default."""
    return _extraction(work, tiny, "float32" if tiny else "tf32")  # a CPU has no TF32


def extraction_bf16(work: Path, tiny: bool) -> Iterator[Figures]:
    """The same in bf16."""
    return _extraction(work, tiny, "bf16")


def _extraction(work: Path, tiny: bool, precision: str) -> Iterator[Figures]:
    write = write_tiny_networks if tiny else write_random_weights
    folder, device = work / "extraction", device_of(tiny)
    return measure_extraction(folder, CLIPS[tiny], precision, device, write, times=TIMES)


class Part(NamedTuple):
    """One part: what measures it, and after how many seconds it is ended."""

    run: Callable[[Path, bool], Iterator[Figures]]
    limit_s: float


# In this order, the three goals first: what comes late may find no time left (gpu.LAST_S).
PARTS = {
    "updates": Part(gpu_updates.updates, 150),
    "captions": Part(captions, 70),
    "extraction tf32": Part(extraction_tf32, 120),
    "extraction bf16": Part(extraction_bf16, 90),
    "optimiser": Part(optimiser, 40),
    "plain updates": Part(gpu_updates.plain_updates, 50),
    "tests": Part(tests, 150),
    "published": Part(gpu_updates.published, 60),
}

"""Stage one on a GPU: from real files to published shards, all three streams.

    python -m benchmarks.extract_gpu [--clips 20000] [--precision tf32] [--folder DIR]

Prints clips per second, the device's idle share, and how fast each stage alone would go. The files
need 1.8 MB each. The networks have random weights, which run as fast.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated
from unittest.mock import patch

import numpy as np
import soundfile
import torch
import typer
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.machine import header
from extract.dump.clips import PlannedClip
from extract.dump.plan import Plan
from extract.networks.panns import WavegramLogmelCnn14
from extract.networks.vggish import VGGish
from extract.networks.yamnet import YAMNet
from extract.pipeline import make_shards
from extract.shards import DEFAULT_SHARD_CLIPS, plan_shards
from extract.sound.decode import Settings, decoded, ring_for
from extract.streams import Encoder, load_encoders
from extract.weights.state_dicts import save_network
from features.common.console import progress
from features.common.machine import cores
from features.common.memory import keep_freed_memory
from features.spec import ShardEntry
from features.writer import ShardWriter

TARGETS = {"tf32": 1_700, "bf16": 2_200}  # clips/s on an H200; an H100 takes a tenth more time
PROFILED = 1024  # clips, after the timed ones: profiling slows down
RATE_HZ, SECONDS = 44_100, 10
STREAMS = ("yamnet", "vggish", "panns")


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What was measured of one precision.

    Attributes:
        precision: what was asked for.
        clips_per_s: from files to published shards.
        ready_s: until the first full batch was through: starting CUDA, compiling, cuDNN's tuning.
        device_ms: a clip keeps the device busy.
        main_ms: a clip keeps the main process busy, all its threads together. Above 1,000 divided
            by the rate it may be the limit, since Python runs one thread at a time.
        publishing_s: of a full shard.
        decoding_clips_per_s: into the ring alone.
    """

    precision: str
    clips_per_s: float
    ready_s: float
    device_ms: float
    main_ms: float
    publishing_s: float
    decoding_clips_per_s: float


def main(
    clips: Annotated[int, typer.Option(help="Files to make, 10 s, 44.1 kHz, stereo.")] = 20_000,
    precision: Annotated[str, typer.Option(help="float32, tf32 or bf16.")] = "tf32",
    folder: Annotated[Path | None, typer.Option(help="Where; a temporary folder if not.")] = None,
    device: Annotated[str, typer.Option(help="cpu tries the bench itself out.")] = "cuda",
    compiled: Annotated[bool, typer.Option(help="Compile, as large dumps do.")] = True,
) -> None:
    """Make the files, extract them, and print the figures."""
    print(header("extract_gpu"))
    with tempfile.TemporaryDirectory(dir=folder) as place:
        root = Path(place)
        names = write_clips(root / "dump", clips)
        write_random_weights(root / "weights")
        figures = measure(root, names, precision=precision, device=device, compiled=compiled)
    rate = figures.clips_per_s
    print(f"  {clips:,} files to shards, {precision}: {rate:,.0f} clips/s")
    if precision in TARGETS:
        print(f"  target on an H200: {TARGETS[precision]:,} clips/s")
    print(f"  ready for the first full batch in {figures.ready_s:.1f} s")
    if device != "cpu":
        busy_ms = figures.device_ms
        print(f"  device busy {busy_ms:.3f} ms a clip, idle {1 - busy_ms * rate / 1e3:.0%}")
        print(f"  the device alone would do {1e3 / busy_ms:,.0f} clips/s")
    print(f"  main process busy {figures.main_ms:.3f} ms of processor time a clip")
    print(f"  a shard of {DEFAULT_SHARD_CLIPS:,} is published in {figures.publishing_s:.3f} s")
    print(f"  decoding alone: {figures.decoding_clips_per_s:,.0f} clips/s")


def measure(
    root: Path, names: list[str], *, precision: str, device: str, compiled: bool
) -> Figures:
    """Extract ROOT/dump by the networks in ROOT/weights and say how long it took.

    Args:
        root: a folder with what `write_clips` and `write_random_weights` wrote.
        names: of the files.
        precision: float32, tf32 or bf16.
        device: `cuda`, or `cpu` to try this out.
        compiled: whether the networks are compiled.
    """
    # As `python -m extract run --device cuda` does.
    settings = Settings(device=device, workers=max(1, cores() - 2), batch_clips=64, threads=1)
    torch.set_num_threads(settings.threads)
    keep_freed_memory()
    encoders = load_encoders(
        STREAMS,
        root / "weights",
        device=device,
        precision=precision,
        dtype="float16",
        compiled=compiled,
    )
    few = names[:PROFILED]
    extract = partial(_extract, root, encoders, settings)
    ready_s = extract(few[: 2 * settings.batch_clips], f"{precision} warming")
    extract(few[:336], f"{precision} warm")  # and the batch that a shard of 2,000 ends with
    main_s = -time.process_time()
    with _publishing() as published:
        seconds = extract(names, f"{precision} timed")
    main_s += time.process_time()
    busy_s = _device_seconds(lambda: extract(few, f"{precision} profiled")) / len(few)
    return Figures(
        precision=precision,
        clips_per_s=len(names) / seconds,
        ready_s=ready_s,
        device_ms=1e3 * busy_s,
        main_ms=1e3 * main_s / len(names),
        publishing_s=max(published),
        decoding_clips_per_s=len(names) / _decoding_s(root, names, settings),
    )


def _extract(
    root: Path, encoders: dict[str, Encoder], settings: Settings, part: list[str], out: str
) -> float:
    """Seconds from files to published shards."""
    (root / out / "all").mkdir(parents=True)
    plan = Plan(kind="bench", splits={"all": [PlannedClip(name, name) for name in part]})
    tasks = plan_shards(plan)
    start = time.perf_counter()
    with progress(total=len(part), what=out, unit="clips") as bar:
        for _ in make_shards(
            tasks,
            dump=root / "dump",
            out=root / out,
            encoders=encoders,
            settings=settings,
            heard=bar.update,
        ):
            pass
    return time.perf_counter() - start


@contextmanager
def _publishing() -> Iterator[list[float]]:
    """Seconds that each shard took to be written, as they come."""
    seconds: list[float] = []
    write = ShardWriter.publish

    def timed(self: ShardWriter, path: Path) -> ShardEntry:
        start = time.perf_counter()
        try:
            return write(self, path)
        finally:
            seconds.append(time.perf_counter() - start)

    with patch.object(ShardWriter, "publish", timed):
        yield seconds


def _decoding_s(root: Path, names: list[str], settings: Settings) -> float:
    with ring_for(settings) as ring:
        start = time.perf_counter()
        for clip in decoded(root / "dump", names, settings, ring):
            ring.give_back([clip.slot])
        return time.perf_counter() - start


def write_clips(folder: Path, count: int) -> list[str]:
    """Files of noise, each its own; gives their names."""
    folder.mkdir()
    noise = np.random.default_rng(0).integers(-3000, 3000, (3 * RATE_HZ * SECONDS, 2), np.int16)
    names = []
    for number in progress(range(count), what="files", unit="files"):
        start = number * 7919 % (2 * RATE_HZ * SECONDS)
        names.append(f"{number:06d}.wav")
        soundfile.write(
            folder / names[-1], noise[start : start + RATE_HZ * SECONDS], RATE_HZ, subtype="PCM_16"
        )
    return names


def write_random_weights(folder: Path) -> None:
    """All three networks at full size."""
    torch.manual_seed(0)
    networks = {"yamnet": YAMNet(), "vggish": VGGish(), "panns": WavegramLogmelCnn14()}
    for name, network in networks.items():
        classes = [f"class {number}" for number in range(521)] if name == "yamnet" else ()
        save_network(
            folder / f"{name}.safetensors",
            network.eval(),
            network=f"random {name}",
            config={},
            classes=classes,
        )


def _device_seconds(work) -> float:
    """Seconds that kernels and copies took on the device; on a CPU, nothing."""
    if not torch.cuda.is_available():
        return 0.0
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        work()
    # What the processor did for the kernels is listed too, with their time once more.
    on_device = [event for event in seen.key_averages() if event.device_type == DeviceType.CUDA]
    return sum(event.self_device_time_total for event in on_device) / 1e6


if __name__ == "__main__":
    typer.run(main)

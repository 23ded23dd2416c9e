"""Stage one on a GPU: from real files to published shards, all three streams.

A part of `python -m benchmarks gpu`. Prints clips per second, the device's idle share, and how fast
each stage alone would go. The files need 1.8 MB each. The networks have random weights, which run
as fast.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
import soundfile
import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from extract.dump.clips import PlannedClip
from extract.dump.plan import Plan
from extract.networks.panns import WavegramLogmelCnn14
from extract.networks.vggish import VGGish
from extract.networks.yamnet import YAMNet
from extract.pipeline import make_shards
from extract.shards import plan_shards
from extract.sound.decode import Settings, decoded, ring_for
from extract.streams import load_encoders
from extract.weights.state_dicts import save_network
from features.common.console import progress
from features.common.machine import cores
from features.common.memory import keep_freed_memory
from features.spec import ShardEntry
from features.writer import ShardWriter

PROFILED = 1024  # clips, after the timed ones: profiling slows down
# Before them: full batches, and one of 16 clips, as 2,000 clips of a shard end.
WARMING = 5 * 64 + 16
RATE_HZ, SECONDS = 44_100, 10
STREAMS = ("yamnet", "vggish", "panns")


def measure_extraction(
    root: Path,
    clips: int,
    precision: str,
    device: str,
    write_weights: Callable[[Path], object],
    times: int = 1,
) -> Iterator[dict[str, float]]:
    """Make files, extract them, and print the figures, which are yielded as they come.

    Args:
        root: gets the files and the networks, which are used again if they are there.
        clips: files to make.
        precision: of the networks.
        device: "cuda"; "cpu" tries the bench itself out.
        write_weights: makes the networks.
        times: clips that are timed of each file.
    """
    # As `python -m extract run --device cuda` does.
    settings = Settings(device=device, workers=max(1, cores() - 2), batch_clips=64, threads=1)
    torch.set_num_threads(settings.threads)
    keep_freed_memory()
    names = write_clips(root / "dump", clips)
    if not (root / "weights").exists():
        write_weights(root / "weights")
    encoders = load_encoders(
        STREAMS,
        root / "weights",
        device=device,
        precision=precision,
        dtype="float16",
        compiled=device != "cpu",  # as for large dumps
    )

    def extract(part: list[str], out: str) -> tuple[float, float, float]:
        """Seconds until the first clip was heard, from there to the last, and to the end."""
        folder = root / f"{precision}-{out}"
        (folder / "all").mkdir(parents=True)
        planned = [PlannedClip(str(number), name) for number, name in enumerate(part)]
        tasks = plan_shards(Plan(kind="bench", splits={"all": planned}))
        heard_at: list[float] = []

        def heard(clips: int) -> None:
            if clips:
                now = time.perf_counter()
                heard_at[:] = [heard_at[0] if heard_at else now, now]
            bar.update(clips)

        start = time.perf_counter()
        with progress(total=len(part), what=out, unit="clips") as bar:
            for _ in make_shards(
                tasks,
                dump=root / "dump",
                out=folder,
                encoders=encoders,
                settings=settings,
                heard=heard,
            ):
                pass
        first, last = heard_at
        return first - start, last - first, time.perf_counter() - last

    few = names[:PROFILED]
    # Networks are compiled, cuDNN chooses its algorithms.
    ready_s = sum(extract(few[:WARMING], "warming"))
    count, main_s = clips * times, -time.process_time()
    with _publishing() as publishing_s:
        start_s, heard_s, tail_s = extract(names * times, "timed")
    main_s += time.process_time()
    rate = count / (heard_s + tail_s)
    print(
        f"  {count:,} clips to shards in {heard_s + tail_s:.1f} s, {precision}: {rate:,.0f} clips/s"
    )
    print(f"  of it, after the last file was heard: {tail_s:.2f} s")
    print(f"  before the first was, for slots and decoding processes: {start_s:.2f} s")
    print(f"  {min(WARMING, clips)} clips before, to be ready: {ready_s:.1f} s")
    # All its threads together; of those that run Python one runs at a time.
    print(f"  main process busy {1e3 * main_s / count:.3f} ms of processor time per clip")
    print(f"  a shard is written in {max(publishing_s):.3f} s, beside the computing", flush=True)
    yield {
        "clips_per_s": rate,
        "tail_s": tail_s,
        "start_s": start_s,
        "ready_s": ready_s,
        "main_process_ms": 1e3 * main_s / count,
        "publishing_s": max(publishing_s),
    }
    with ring_for(settings) as ring:
        sounds = decoded(root / "dump", names, settings, ring)
        ring.give_back([next(sounds).slot])
        begun = time.perf_counter()
        for clip in sounds:
            ring.give_back([clip.slot])
        decoding = (clips - 1) / (time.perf_counter() - begun)
    print(f"  decoding alone, {settings.workers} processes: {decoding:,.0f} clips/s", flush=True)
    yield {"decoding_clips_per_s": decoding}
    busy_s = _device_seconds(lambda: extract(few, "profiled")) / len(few)
    if device == "cuda":
        idle = 1 - busy_s * rate
        print(f"  device busy {1e3 * busy_s:.3f} ms per clip, idle {idle:.0%} of the time")
        print(f"  the device alone would do {1 / busy_s:,.0f} clips/s", flush=True)
    yield {"device_ms": 1e3 * busy_s}


@contextmanager
def _publishing() -> Iterator[list[float]]:
    """Seconds that each shard took to be written, as they come."""
    seconds: list[float] = []
    publish = ShardWriter.publish

    def timed(self: ShardWriter, path: Path) -> ShardEntry:
        start = time.perf_counter()
        try:
            return publish(self, path)
        finally:
            seconds.append(time.perf_counter() - start)

    with patch.object(ShardWriter, "publish", timed):
        yield seconds


def write_clips(folder: Path, count: int) -> list[str]:
    """Files of noise, each its own; gives their names. Those that are there are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(-3000, 3000, (3 * RATE_HZ * SECONDS, 2), np.int16)
    names = []
    for number in progress(range(count), what="files", unit="files"):
        start = number * 7919 % (2 * RATE_HZ * SECONDS)
        names.append(f"{number:06d}.wav")
        if (folder / names[-1]).exists():
            continue
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

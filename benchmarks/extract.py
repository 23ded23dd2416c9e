"""Stage one: our pipeline against the published way, on the same clips in one run.

    python -m benchmarks extract          (on a GPU: python -m benchmarks gpu)

Each way runs in a process of its own, in turns; medians over the rounds are printed. VGGish and
PANNs get random weights, since their values do not change the speed; YAMNet's weights and the
clips' sound are real, from the folder that TAGBART_REAL_DATA names.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import resampy
import soundfile
import torch

from benchmarks.extract_rounding import print_rounding
from benchmarks.published.extract import Stopwatch, beside_elsewhere, extract_one, tensorflow_yamnet
from benchmarks.simulate import CLASS_MAP, real_data
from features.common.machine import cores
from features.reader import Shard

GFLOP_PER_CLIP = {"vggish": 17.3, "panns": 53.5}  # multiply and add counted as two
TARGETS = {"float32": 2.8, "bf16": 4.2}
YAMNET = "weights/yamnet_weights.npz"
SHARDS = 4  # ours hears the same clips so many times
CONV_SHAPES = (
    # channels in, channels out, height, width of 3 x 3 convolutions, batch 8
    (64, 64, 64, 64),
    (128, 128, 64, 32),
    (256, 256, 32, 32),
    (512, 512, 32, 16),
    (1024, 1024, 16, 8),
)


def main(clips: int = 24, rounds: int = 3) -> None:
    """Run both ways `rounds` times over `clips` clips of 10 s, 44.1 kHz, stereo."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _write_clips(root / "clips", clips)
        write_weights(root / "weights")
        peak = conv_peak_gflops()
        found: dict[str, list[dict]] = {"published": [], "float32": [], "bf16": []}
        for number in range(rounds):
            for way, results in found.items():
                print(f"round {number + 1} of {rounds}: {way}", file=sys.stderr)
                shutil.rmtree(root / way, ignore_errors=True)  # or ours finds its shards finished
                command = [sys.executable, "-m", "benchmarks.extract", way, folder]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                results.append(json.loads(done.stdout))
        fidelity = compare_precisions(root)
    medians = {
        way: {key: statistics.median(result[key] for result in results) for key in results[0]}
        for way, results in found.items()
    }
    _print(medians, peak, clips, rounds)
    print(f"  bf16 against float32, over these clips: {fidelity}")
    print_rounding()


def _print(medians: dict[str, dict[str, float]], peak: float, clips: int, rounds: int) -> None:
    print(
        f"seconds per 10 s clip at 44.1 kHz, stereo; {clips} clips, median of {rounds} rounds, "
        f"{cores()} cores, load {os.getloadavg()[0]:.1f}"
    )
    for way, seconds in medians.items():
        stages = "  ".join(f"{name} {value:.4f}" for name, value in seconds.items())
        print(f"  {way:10} {stages}")
    for way, target in TARGETS.items():
        ratio = medians["published"]["total"] / medians[way]["total"]
        print(
            f"  ours in {way} is {ratio:.2f} times as fast as the published way (target {target})"
        )
    for line in beside_elsewhere(medians["published"]):
        print(f"  {line}")
    ours = medians["float32"]
    share = sum(GFLOP_PER_CLIP.values()) / sum(ours[name] for name in GFLOP_PER_CLIP) / peak
    each = ", ".join(
        f"{name} {gflop / ours[name] / peak:.0%}" for name, gflop in GFLOP_PER_CLIP.items()
    )
    print(f"  best float32 convolution of {len(CONV_SHAPES)} shapes: {peak:.0f} GFLOP/s")
    # By the operations of the networks as published: Winograd's form of the deep layers does fewer.
    print(f"  float32 networks, front ends included: {share:.0%} of it (target 70%); {each}")


def compare_precisions(root: Path) -> str:
    """How far the bf16 shard is from the float32 one of the same clips."""
    exact, rough = (Shard(root / way / "all" / "00001.h5") for way in ("float32", "bf16"))
    parts = []
    for name in exact.streams:
        a, b = (np.concatenate([s.rows(name, i) for i in range(len(s))]) for s in (exact, rough))
        a, b = a.astype(np.float64), b.astype(np.float64)
        if name == "yamnet":
            parts.append(f"{name} argmax equal on {np.mean(a.argmax(1) == b.argmax(1)):.1%}")
        else:
            parts.append(f"{name} relative L2 {np.linalg.norm(a - b) / np.linalg.norm(a):.2%}")
    return ", ".join(parts)


def conv_peak_gflops() -> float:
    """The fastest of a few float32 convolutions, each shape the median of five; prints the list."""
    torch.set_num_threads(cores())
    best = 0.0
    for inputs, outputs, height, width in CONV_SHAPES:
        layer = torch.nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        layer = layer.to(memory_format=torch.channels_last)
        maps = torch.randn(8, inputs, height, width).to(memory_format=torch.channels_last)
        seconds = []
        with torch.inference_mode():
            layer(maps)
            for _ in range(5):
                start = time.perf_counter()
                layer(maps)
                seconds.append(time.perf_counter() - start)
        gflops = 2 * 9 * 8 * inputs * outputs * height * width / statistics.median(seconds) / 1e9
        print(f"  convolution {inputs}→{outputs} at 8 × {height} × {width}: {gflops:.0f} GFLOP/s")
        best = max(best, gflops)
    return best


def published(root: Path) -> dict[str, float]:
    """The published way over all clips, seconds per clip and stage."""
    from extract.streams import load_weights

    weights = root / "weights"
    with np.load(weights / "yamnet_weights.npz") as file:
        yamnet = tensorflow_yamnet({name: file[name] for name in file.files})
    vggish = load_weights("vggish", weights).module
    panns = load_weights("panns", weights).module

    def on_examples(examples: torch.Tensor) -> torch.Tensor:
        maps = vggish.features(examples)
        return vggish.embeddings(maps.permute(0, 2, 3, 1).flatten(1))

    networks = yamnet, on_examples, panns
    paths = sorted((root / "clips").iterdir())
    extract_one(paths[0], networks, Stopwatch())  # compiles resampy and the graph
    watch = Stopwatch()
    start = time.perf_counter()
    for path in paths:
        extract_one(path, networks, watch)
    total = time.perf_counter() - start
    return _per_clip({**watch.seconds, "total": total}, len(paths))


def ours(root: Path, precision: str) -> dict[str, float]:
    """Our pipeline from files to a published shard, and its stages each on its own."""
    from extract.dump.clips import PlannedClip
    from extract.pipeline import make_shards
    from extract.shards import ShardTask
    from extract.sound.audio import load_audio
    from extract.sound.decode import Settings, resample_all
    from extract.streams import load_encoders
    from features.common.memory import keep_freed_memory

    threads = cores()
    torch.set_num_threads(threads)
    keep_freed_memory()
    encoders = load_encoders(("yamnet", "vggish", "panns"), root / "weights", precision=precision)
    settings = Settings(workers=1, batch_clips=8, threads=threads)
    names = sorted(path.name for path in (root / "clips").iterdir())
    clips = [PlannedClip(name, name) for name in names]
    (root / precision / "all").mkdir(parents=True)
    warming = [ShardTask("all", 0, clips[:8], 8)]
    # Several shards, since starting a worker costs as much as some clips.
    timed = [ShardTask("all", number, clips, len(clips)) for number in range(1, SHARDS + 1)]
    for tasks in (warming, timed):
        start = time.perf_counter()
        made = make_shards(
            tasks, dump=root / "clips", out=root / precision, encoders=encoders, settings=settings
        )
        for _ in made:
            pass
        total = time.perf_counter() - start
    per_clip = _per_clip({"total": total}, SHARDS * len(clips))
    start = time.perf_counter()
    heard = [load_audio(root / "clips" / name) for name in names[:8]]
    stages = {"decode": time.perf_counter() - start}
    native = [torch.from_numpy(audio.waveform) for audio in heard]
    for rate_hz in (16000, 32000):
        start = time.perf_counter()
        waveforms = resample_all(native, [audio.sample_rate_hz for audio in heard], rate_hz)
        stages[f"resample {rate_hz // 1000} kHz"] = time.perf_counter() - start
        for name, encoder in encoders.items():
            if encoder.spec.sample_rate_hz == rate_hz:
                start = time.perf_counter()
                encoder.encode(waveforms)
                stages[name] = time.perf_counter() - start
    return _per_clip(stages, 8) | per_clip


def _per_clip(seconds: dict[str, float], clips: int) -> dict[str, float]:
    return {name: value / clips for name, value in seconds.items()}


def _write_clips(folder: Path, count: int) -> None:
    """Real clips in turn, each time quieter, brought to 44.1 kHz and to a length of 10 s."""
    folder.mkdir()
    sources = sorted((real_data(YAMNET) / "audiocaps" / "clips").glob("*.wav"))
    for number in range(count):
        samples, rate_hz = soundfile.read(sources[number % len(sources)], always_2d=True)
        waveform = resampy.resample(samples.mean(axis=1), rate_hz, 44_100, filter="kaiser_fast")
        left = np.resize(waveform, 441_000) * 0.7 ** (number // len(sources))
        stereo = np.stack([left, 0.5 * left], axis=1)
        soundfile.write(folder / f"{number:03d}.wav", stereo, 44_100, subtype="PCM_16")


def write_weights(folder: Path) -> None:
    """A weights folder: YAMNet's real ones, VGGish and PANNs of random weights."""
    from extract.networks.panns import WavegramLogmelCnn14
    from extract.networks.vggish import VGGish

    folder.mkdir()
    torch.manual_seed(0)
    torch.save(VGGish().state_dict(), folder / "vggish-10086976.pth")
    state = {"model": WavegramLogmelCnn14().state_dict()}
    torch.save(state, folder / "Wavegram_Logmel_Cnn14_mAP=0.439.pth")
    for name in (YAMNET, CLASS_MAP):
        shutil.copy(real_data(YAMNET) / name, folder)


if __name__ == "__main__":
    way, place = sys.argv[1], Path(sys.argv[2])
    print(json.dumps(published(place) if way == "published" else ours(place, way)))

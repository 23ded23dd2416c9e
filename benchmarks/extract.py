"""Stage one: our pipeline against the published way, on the same clips in one run.

    python -m benchmarks extract

Each way runs in a process of its own, in turns; medians over the rounds are printed. VGGish and
PANNs get random weights, since their values do not change the speed; YAMNet's are the real ones,
from the folder that TAGBART_REAL_DATA names.
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
import soundfile
import torch

GFLOP_PER_CLIP = {"vggish": 17.3, "panns": 53.5}  # multiply and add counted as two
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
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _write_clips(root / "clips", clips)
        _write_weights(root / "weights")
        peak = conv_peak_gflops()
        found: dict[str, list[dict]] = {"published": [], "float32": [], "bf16": []}
        for number in range(rounds):
            for way, results in found.items():
                print(f"round {number + 1} of {rounds}: {way}", file=sys.stderr)
                command = [sys.executable, "-m", "benchmarks.extract", way, folder]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                results.append(json.loads(done.stdout))
    medians = {
        way: {key: statistics.median(result[key] for result in results) for key in results[0]}
        for way, results in found.items()
    }
    _print(medians, peak, clips, rounds)


def _print(medians: dict[str, dict[str, float]], peak: float, clips: int, rounds: int) -> None:
    cores = len(os.sched_getaffinity(0))
    print(
        f"extract: seconds per 10 s clip, {clips} clips, median of {rounds} rounds, {cores} cores"
    )
    for way, seconds in medians.items():
        stages = "  ".join(f"{name} {value:.4f}" for name, value in seconds.items())
        print(f"  {way:10} {stages}")
    for way in ("float32", "bf16"):
        ratio = medians["published"]["total"] / medians[way]["total"]
        print(f"  ours in {way} is {ratio:.2f} times as fast as the published way")
    ours = medians["float32"]
    gflop = sum(GFLOP_PER_CLIP.values())
    share = gflop / (ours["vggish"] + ours["panns"]) / peak
    print(f"  best float32 convolution of {len(CONV_SHAPES)} shapes: {peak:.0f} GFLOP/s")
    print(f"  VGGish and PANNs, front ends included, run at {share:.0%} of it")


def conv_peak_gflops() -> float:
    """The fastest of a few float32 convolutions, each shape the median of five; prints the list."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
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
    from benchmarks.published_extract import Stopwatch, extract_one, tensorflow_yamnet
    from extract.encoders import load_weights

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
    from extract.audio import load_audio
    from extract.clips import PlannedClip
    from extract.decode import Settings, resample_all
    from extract.encoders import load_encoders
    from extract.memory import keep_freed_memory
    from extract.pipeline import make_shards
    from extract.shards import ShardTask

    threads = len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    keep_freed_memory()
    encoders = load_encoders(
        ("yamnet", "vggish", "panns"),
        root / "weights",
        device="cpu",
        precision=precision,
        dtype="float16",
    )
    settings = Settings(workers=1, batch_clips=8, threads=threads)
    names = sorted(path.name for path in (root / "clips").iterdir())
    clips = [PlannedClip(name, name) for name in names]
    seconds: dict[str, float] = {}
    for number, part in enumerate((clips[:8], clips)):  # the first one warms up
        task = ShardTask("all", number, part, len(part))
        (root / precision / "all").mkdir(parents=True, exist_ok=True)
        start = time.perf_counter()
        list(
            make_shards(
                [task],
                dump=root / "clips",
                out=root / precision,
                encoders=encoders,
                settings=settings,
            )
        )
        seconds["total"] = time.perf_counter() - start
    per_clip = _per_clip(seconds, len(clips))
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
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        noise = rng.normal(0.0, 0.1, (441_000, 2))
        soundfile.write(folder / f"{number:03d}.wav", noise, 44_100, subtype="PCM_16")


def _write_weights(folder: Path) -> None:
    from extract.panns import WavegramLogmelCnn14
    from extract.vggish import VGGish

    folder.mkdir()
    torch.manual_seed(0)
    torch.save(VGGish().state_dict(), folder / "vggish-10086976.pth")
    state = {"model": WavegramLogmelCnn14().state_dict()}
    torch.save(state, folder / "Wavegram_Logmel_Cnn14_mAP=0.439.pth")
    real = Path(os.environ.get("TAGBART_REAL_DATA", "../shared")) / "weights"
    if not (real / "yamnet_weights.npz").is_file():
        sys.exit(f"{real}: holds no yamnet_weights.npz; set TAGBART_REAL_DATA to where it is")
    for name in ("yamnet_weights.npz", "yamnet_class_map.csv"):
        shutil.copy(real / name, folder / name)


if __name__ == "__main__":
    way, place = sys.argv[1], Path(sys.argv[2])
    print(json.dumps(published(place) if way == "published" else ours(place, way)))

"""Hours of sound an hour: ours from files to files, one window at a time, and the published way.

    python -m benchmarks.day        (or make bench ARGS=day)

The shapes are those of `yamnet-panns-base`. YAMNet's weights are real, from the folder that
TAGBART_REAL_DATA names, so that tags and prompts are as they would be; PANNs' and BART's are
random, whose values do not change the speed. The sound is the demo's: windows of 10 s at 44.1 kHz,
stereo, joined to recordings. Random weights never end a caption, so the output layer is fitted to
say one of AudioCaps' length for each window (benchmarks/decode.py has how); narrowed weights say
others, whose mean length is printed.

Ours goes through what `python -m evaluate caption … --srt --csv --out` calls. The published way
hears and captions a window after the other: resampy for each network, TensorFlow's YAMNet, PANNs,
transformers' beam search.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch

from benchmarks import decode
from benchmarks.extract import YAMNET, write_weights
from benchmarks.machine import header, rates_in_turns
from benchmarks.published.extract import Stopwatch, hear_tags_and_panns, tensorflow_yamnet
from benchmarks.simulate import real_data
from evaluate.captions.hours.places import plan
from evaluate.captions.hours.writing import write_captions
from evaluate.captions.layers.precision import in_precision
from evaluate.captions.listener import Listener
from evaluate.captions.options import Cutting, DecodingOptions
from extract.demo.write import draw_clip
from extract.sound.audio import Audio
from extract.streams import load_encoders, load_weights
from features.common.memory import keep_freed_memory
from train.data.batches import Block
from train.model.pretrained import build_model, train_tokenizer
from train.recipes.files import load_recipe
from train.run_folder.checkpoint import Run

WINDOWS = len(decode.CAPTION_TOKENS)
WINDOW_S, RATE_HZ = 10, 44_100
RECORDINGS, HEARD = 4, 64  # with so many windows in all, two full batches
ALONE = 8  # windows that the slow ways hear in a round
ROUNDS = 3
TARGETS = {"float32": 24.0, "bf16 networks, int8 captions": 38.0}
TARGET_RATIO = 3.0
STREAMS = ("yamnet", "panns")


def main(rounds: int = ROUNDS) -> None:
    """Measure in turns and print hours of sound an hour, and ratios."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_weights(root / "weights")
        sounds = write_sounds(root)
        listener, block, captions = fitted_listener(root / "weights", sounds)
        setting = decode.Setting(run=listener.run, block=block, captions=captions)
        narrow = narrowed(listener, root / "weights")
        alone = sorted((root / "windows").iterdir())[:: WINDOWS // ALONE]
        said: dict[str, list[int]] = {}
        published = published_way(root / "weights", setting)
        together_s, alone_s = HEARD * WINDOW_S, len(alone) * WINDOW_S
        ways: dict[str, tuple[Callable[[], None], int]] = {
            "float32": (lambda: ours(listener, "float32", root, said), together_s),
            "bf16 networks, int8 captions": (lambda: ours(narrow, "int8", root, said), together_s),
            "ours, one window at a time": (lambda: one_by_one(listener, alone), alone_s),
            "published way, one window at a time": (lambda: published(alone), alone_s),
        }

        def told(number: int, name: str) -> None:
            print(f"round {number} of {rounds}: {name}", file=sys.stderr)

        rates = rates_in_turns(ways, rounds, told)
    report(rates, said, captions)


def report(rates: dict[str, float], said: dict[str, list[int]], fitted: decode.Captions) -> None:
    """Print what was measured; rates are seconds of sound a second."""
    print(
        f"yamnet-panns-base's shapes, {torch.get_num_threads()} threads, {RECORDINGS} recordings "
        f"of {HEARD // RECORDINGS * WINDOW_S} s; hours of sound an hour"
    )
    for name, rate in rates.items():
        target = f"   (target: {TARGETS[name]:.0f})" if name in TARGETS else ""
        print(f"  {name:38} {rate:7.1f}, a day in {24 / rate:5.2f} h{target}")
    best, _, alone, published = rates.values()
    print(f"  ours / one window at a time, ours       {best / alone:6.2f}")
    print(
        f"  ours / one window at a time, published  {best / published:6.2f}   "
        f"(target: {TARGET_RATIO:.0f})"
    )
    lengths = ", ".join(f"{name} {np.mean(counts):.1f}" for name, counts in said.items())
    print(f"  tokens in a caption: {np.mean([len(of) for of in fitted]):.1f} fitted, {lengths}")


def write_sounds(root: Path) -> list[Audio]:
    """Write windows, each a file, and recordings of some of them; give the windows as heard."""
    (root / "windows").mkdir()
    (root / "recordings").mkdir()
    sounds, sides = [], []
    for number in range(WINDOWS):
        waves = draw_clip(0, number, split=None)[1]  # at another rate: it sounds higher or lower
        stereo = np.resize(waves, (WINDOW_S * RATE_HZ, 2))
        path = root / "windows" / f"{number:02}.wav"
        soundfile.write(path, stereo, RATE_HZ, subtype="PCM_16")
        sides.append(soundfile.read(path, dtype="float32")[0])
        sounds.append(Audio(waveform=sides[-1], sample_rate_hz=RATE_HZ))
    for number, some in enumerate(np.array_split(np.arange(HEARD) % WINDOWS, RECORDINGS)):
        joined = np.concatenate([sides[i] for i in some])
        path = root / "recordings" / f"{number}.wav"
        soundfile.write(path, joined, RATE_HZ, subtype="PCM_16")
    return sounds


def fitted_listener(
    weights: Path, sounds: Sequence[Audio]
) -> tuple[Listener, Block, decode.Captions]:
    """A captioner of random weights that has one caption for each window of sound."""
    rng = np.random.default_rng(0)
    encoders = load_encoders(STREAMS, weights)
    streams = {name: encoder.spec for name, encoder in encoders.items()}
    recipe = load_recipe("yamnet-panns-base", ["model.pretrained=none", "model.tokenizer=train"])
    tokenizer = train_tokenizer(streams["yamnet"].classes, 4_000)
    torch.manual_seed(0)
    model = build_model(recipe, vocab=decode.VOCABULARY, audio_width=streams["panns"].width).eval()
    run = Run(
        path=Path("random weights"), model=model, tokenizer=tokenizer, recipe=recipe,
        streams=streams,
    )  # fmt: skip
    listener = Listener(run=run, encoders=encoders)
    heard = [window for sound in sounds for window in listener.hear(sound, "sound")]
    tags, audio = run.builder.gather([window.streams for window in heard])
    block = run.builder.block(tags, audio, None)
    captions = [
        (decode.BOS, *rng.integers(5, len(tokenizer) - 1, count - 2).tolist(), decode.EOS)
        for count in rng.permutation(decode.CAPTION_TOKENS)
    ]
    decode.fit_head(model, block, captions)
    print(f"  prompts of {block.length.mean():.0f} tokens and embeddings", flush=True)
    return listener, block, captions


def narrowed(listener: Listener, weights: Path) -> Listener:
    """The same with bf16 networks and int8 captions."""
    encoders = load_encoders(STREAMS, weights, precision="bf16")
    return Listener(run=in_precision(listener.run, "int8"), encoders=dict(encoders))


def ours(listener: Listener, precision: str, root: Path, said: dict[str, list[int]]) -> None:
    """Recordings to subtitle files, as the command does it."""
    with tempfile.TemporaryDirectory(dir=root) as out:
        jobs = plan([root / "recordings"], ["srt", "csv"], Path(out))
        counts = said.setdefault(precision, [])

        def watch(items):
            for number, item in items:
                if isinstance(item, tuple):
                    counts.append(len(item[0].caption.n_best[0].tokens) + 2)
                yield number, item

        write_captions(
            jobs, listener, DecodingOptions(precision=precision), Cutting(), failed=print,
            watch=watch,
        )  # fmt: skip
        assert all(not job.missing for job in jobs)


def one_by_one(listener: Listener, windows: Sequence[Path]) -> None:
    """Ours with nothing ahead and nothing together: a call for each window."""
    for path in windows:
        (_,) = listener.describe_files([path], failed=print)


def published_way(weights: Path, setting: decode.Setting) -> Callable[[Sequence[Path]], None]:
    """A function that hears and captions windows as the published code does."""
    with np.load(real_data(YAMNET) / YAMNET) as file:
        yamnet = tensorflow_yamnet({name: file[name] for name in file.files})
    networks = yamnet, load_weights("panns", weights).module

    def describe(windows: Sequence[Path]) -> None:
        for path in windows:
            hear_tags_and_panns(path, networks, Stopwatch())
            decode.theirs(setting, [int(path.stem)], 1, 1)

    describe(sorted(weights.parent.glob("windows/*.wav"))[:1])  # compiles resampy and the graph
    return describe


if __name__ == "__main__":
    print(header("day"), flush=True)
    main()

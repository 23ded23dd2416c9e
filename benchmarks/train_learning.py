"""Learning at scale: AudioCaps' captions, simulated features, one epoch, the real test captions.

The small shape takes minutes on a CPU. The large one is bart-large's, for a GPU: it gives
`benchmarks.decode` a trained checkpoint.
"""

import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.simulate import real_data, simulate_audiocaps
from evaluate.captions.generate import caption_clips
from evaluate.captions.options import DecodingOptions
from evaluate.demo import commonest_caption
from evaluate.scores.layout import aligned, percent
from evaluate.scores.predictions import PredictionSets
from evaluate.scores.results import METRICS
from evaluate.scores.score import Wanted, new_scorer
from features.common.reading import read_json
from features.reader import Features
from features.spec import INDEX_NAME
from train.recipes.files import load_recipe
from train.run import Job, train
from train.run_folder.checkpoint import FINISHED_NAME, load_run

SHAPES: dict[str, dict[str, object]] = {
    "small": {
        "bart.d_model": 64,
        "bart.encoder_layers": 2,
        "bart.decoder_layers": 2,
        "bart.encoder_attention_heads": 2,
        "bart.decoder_attention_heads": 2,
        "bart.encoder_ffn_dim": 256,
        "bart.decoder_ffn_dim": 256,
        "bart.init_std": 0.12,  # about 1 / sqrt(d_model), as 0.02 is for bart-large
        "optim.batch_size": 32,
        "optim.learning_rate": 2e-3,
        "optim.warmup_updates": 100,
        "train.validate_every": 100_000,
    },
    "large": {
        "optim.batch_size": 32,
        "optim.learning_rate": 1e-4,
        "optim.warmup_updates": 1000,
        "train.precision": "bf16",
    },
}


def measure_learning(folder: Path, shape: str, device: str, changes: Sequence[str]) -> None:
    """Train, caption the test clips, and print scores beside those of the commonest caption.

    Args:
        folder: gets features/ and run/; what is finished there is used again.
        shape: "small" or "large".
        device: "cpu" or "cuda".
        changes: further settings, "optim.epochs=1".
    """
    features, run = folder / "features", folder / "run"
    if not (features / INDEX_NAME).is_file():
        simulate_audiocaps(features, "train,val,test")
    start = time.perf_counter()
    if not (run / FINISHED_NAME).is_file():
        settings = SHAPES[shape] | {
            "model.pretrained": "none",
            "model.tokenizer": str(real_data() / "bpe"),
            "train.sample_clips": 0,
        }
        named = [f"{key}={value}" for key, value in settings.items()]
        recipe = load_recipe("yamnet-panns", [*named, *changes])
        train(Job(features=features, out=run, recipe=recipe, device=device, resume=run.exists()))
    trained = time.perf_counter()
    loss = read_json(run / FINISHED_NAME)["best_loss"]
    split = Features(features, "test")
    clips = [split[index] for index in range(len(split))]
    options = DecodingOptions(batch_size=256 if device == "cuda" else 32)
    captions = [item.text for item in caption_clips(load_run(run, device), clips, options)]
    decoded = time.perf_counter()
    commonest = commonest_caption(Features(features, "train"))
    sets = PredictionSets(
        clips=tuple(clip.id for clip in clips),
        references=tuple(clip.captions for clip in clips),
        candidates=(tuple(captions), (commonest,) * len(clips)),
    )
    with new_scorer(Wanted(spice=False)) as scorer:
        ours, baseline = scorer.score(sets)
    names = list(ours.corpus)
    rows = [["", *(METRICS[name] for name in names)]]
    for label, scores in (("trained model", ours), ("commonest caption", baseline)):
        rows.append([label, *(percent(scores.corpus[name]) for name in names)])
    low, high = ours.intervals["cider_d"]
    won = "wins" if low > baseline.corpus["cider_d"] else "DOES NOT WIN"
    words = sum(len(text.split()) for text in captions) / len(captions)
    print(
        f"  AudioCaps' captions, simulated features, {shape} shape, {device}, "
        f"{', '.join(changes)}:\n  trained in {trained - start:.0f} s, validation loss {loss:.3f}, "
        f"{len(clips)} clips of the test split decoded in\n  {decoded - trained:.0f} s: "
        f"{len(set(captions))} different captions of {words:.1f} words "
        f"on average\n\n{aligned(rows)}\n\n"
        f"  commonest caption: {commonest!r}\n"
        f"  CIDEr-D {percent(ours.corpus['cider_d'])} (95 % {percent(low)} to {percent(high)}): "
        f"the trained model {won}\n  (target: above the commonest caption's)"
    )

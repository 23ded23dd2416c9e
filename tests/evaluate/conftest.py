"""A small captioner that memorised twelve clips: trained once per test session, in seconds."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from extract.sound.resample import RESAMPLER
from features.common.publish import write_json
from features.reader import Features
from features.spec import Index, SplitEntry, StreamSpec
from features.writer import ShardWriter
from tests.evaluate.clap_fixtures import clap_folder, heard_features  # noqa: F401
from tests.evaluate.scores.scoring_fixtures import (  # noqa: F401
    corenlp,
    meteor,
    shared_meteor,
    spaced_folder,
)
from train.data.batches import IGNORED
from train.model.pretrained import build_model, train_tokenizer
from train.recipes.config import BartShape, InputsConfig, ModelConfig, Recipe
from train.run_folder.checkpoint import Run, begin_run, load_run, save_weights

TAGS = ("Dog", "Siren", "Rain", "Speech", "Engine (small)", "Bee, wasp, etc.")
CAPTIONS = (
    "a dog barks",
    "a dog barks twice while rain falls on a tin roof",
    "an emergency siren wails and a man speaks over it",
    "rain falls heavily",
    "a woman speaks, then an engine starts and idles roughly for a long time",
    "bees buzz around",
    "an engine revs",
    "a siren passes by as a dog howls in the distance",
    "people speak quietly in the rain",
    "a bee flies past a barking dog",
    "a motor hums and then stops suddenly",
    "silence, then a sudden bark",
)

BY_CLIP = {f"clip_{number}": text for number, text in enumerate(CAPTIONS)}


def stream(name: str, kind: str, width: int, hop_s: float) -> StreamSpec:
    """A stream of a made-up network."""
    return StreamSpec(
        name=name,
        kind=kind,
        network="none",
        weights_sha256="0" * 64,
        sample_rate_hz=16_000,
        window_s=hop_s,
        hop_s=hop_s,
        resampler=RESAMPLER,
        precision="float32",
        width=width,
        dtype="float32",
        classes=TAGS if kind == "tag_logits" else (),
    )


SPECS = (stream("yamnet", "tag_logits", len(TAGS), 0.96), stream("panns", "embedding", 16, 10.0))


@pytest.fixture(scope="session")
def tiny_features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A features folder: split `test` of twelve clips, the last without captions."""
    root = tmp_path_factory.mktemp("features")
    write_features(root)
    return root


def write_features(
    root: Path, further: StreamSpec | None = None, rows_of: Sequence[np.ndarray] = ()
) -> None:
    """Write that folder, with a further stream if there is one: rows [T, D] by clip."""
    rng = np.random.default_rng(0)
    specs = (*SPECS, further) if further else SPECS
    writer = ShardWriter("test", specs)
    for number, text in enumerate(CAPTIONS):
        rows = {
            "yamnet": rng.normal(-4, 3, (2 + number, len(TAGS))).astype(np.float32),
            "panns": rng.normal(0, 1, (1, 16)).astype(np.float32),
        }
        if further:
            rows[further.name] = rows_of[number]
        captions = [text] if number < len(CAPTIONS) - 1 else []
        writer.add(f"clip_{number}", f"test/clip_{number}.wav", 10.0, captions, rows)
    entry = SplitEntry(
        shards=(writer.publish(root / "test" / "00000.h5"),),
        clips_listed=len(CAPTIONS),
        clips_missing=0,
        clips_failed=0,
    )
    streams = {spec.name: spec.attrs() for spec in specs}
    write_json(root / "features.json", Index(streams=streams, splits={"test": entry}).to_json())


@pytest.fixture(scope="session")
def tiny_clips(tiny_features: Path) -> Features:
    """The clips of that folder."""
    return Features(tiny_features, "test")


@pytest.fixture(scope="session")
def tiny_run_folder(tmp_path_factory: pytest.TempPathFactory, tiny_clips: Features) -> Path:
    """A run folder whose model knows CAPTIONS by heart."""
    path = tmp_path_factory.mktemp("run")
    make_run(path, tiny_clips, CAPTIONS)
    return path


@pytest.fixture(scope="session")
def tiny_run(tiny_run_folder: Path) -> Run:
    """That run, loaded."""
    return load_run(tiny_run_folder)


def make_run(path: Path, clips: Features, captions: Sequence[str]) -> None:
    """Write a run whose small model memorised one caption per clip."""
    streams = dict(clips.streams)
    recipe = Recipe(
        name="tiny",
        inputs=InputsConfig(audio_width=streams["panns"].width),
        model=ModelConfig(pretrained="none", tokenizer="train"),
        bart=BartShape(
            d_model=48,
            encoder_layers=1,
            decoder_layers=2,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            encoder_ffn_dim=96,
            decoder_ffn_dim=96,
            max_position_embeddings=128,
        ),
    )
    torch.manual_seed(0)
    tokenizer = train_tokenizer([*captions, *streams["yamnet"].classes], 400)
    model = build_model(recipe, vocab=len(tokenizer), audio_width=streams["panns"].width)
    run = Run(path=path, model=model.eval(), tokenizer=tokenizer, recipe=recipe, streams=streams)
    begin_run(run)
    _memorise(run, clips, captions)
    save_weights(run.model, path)


def _memorise(run: Run, clips: Features, captions: Sequence[str]) -> None:
    """Learn captions by the likeliest tags, without dropout, until they are certain."""
    batch = run.builder.batch([clip.streams for clip in clips])
    texts = [run.tokenizer(text)["input_ids"] for text in captions]
    labels = torch.full((len(texts), max(map(len, texts))), IGNORED)
    for row, ids in enumerate(texts):
        labels[row, : len(ids)] = torch.tensor(ids)
    inputs = labels.roll(1, dims=1).clamp(min=0)
    inputs[:, 0] = 2
    batch = replace(batch, decoder_ids=inputs, labels=labels)
    learner = torch.optim.AdamW(run.model.parameters(), lr=2e-3)
    tokens = sum(map(len, texts))
    for _ in range(2000):
        loss = run.model(batch) / tokens
        learner.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(run.model.parameters(), 1.0)
        learner.step()
        if loss < 0.003:  # no clip's first word is in doubt
            return
    raise AssertionError(f"loss {loss:.3f} after 2,000 updates: nothing was memorised")

"""Small features folders with known contents, for tests of training."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from features.common.publish import write_json
from features.spec import (
    EMBEDDING,
    INDEX_NAME,
    TAG_LOGITS,
    Index,
    SplitEntry,
    StreamSpec,
    shard_name,
)
from features.writer import ShardWriter

CLASSES = ("Dog", "Bee, wasp, etc.", "Fire engine, fire truck (siren)", "Speech", "Rain")
PANNS_WIDTH = 6
VGGISH_WIDTH = 4

# Small shapes for the command line: a fraction of a second an epoch.
SMALL = {
    "model.pretrained": "none",
    "model.tokenizer": "train",
    "bart.vocab_size": 400,
    "bart.max_position_embeddings": 128,
    "bart.d_model": 32,
    "bart.encoder_layers": 1,
    "bart.decoder_layers": 1,
    "bart.encoder_attention_heads": 2,
    "bart.decoder_attention_heads": 2,
    "bart.encoder_ffn_dim": 64,
    "bart.decoder_ffn_dim": 64,
    "optim.batch_size": 4,
    "optim.learning_rate": 1e-3,
    "train.sample_clips": 0,  # no child beside them
}
# No dropout: what `settings` takes for runs that are compared.
STILL = {f"bart__{name}": 0.0 for name in ("dropout", "attention_dropout", "activation_dropout")}


def settings(**changes: object) -> list[str]:
    """SMALL with changes as `section.key=value`; a dot is written as two underscores."""
    values = SMALL | {key.replace("__", "."): value for key, value in changes.items()}
    return [
        f"{key}={str(value).lower() if isinstance(value, bool) else value}"
        for key, value in values.items()
    ]


def stream_specs() -> list[StreamSpec]:
    common = {
        "network": "toy",
        "weights_sha256": "0" * 64,
        "sample_rate_hz": 16000,
        "resampler": "none",
        "precision": "float32",
        "dtype": "float16",
    }
    return [
        StreamSpec(
            name="yamnet",
            kind=TAG_LOGITS,
            window_s=0.96,
            hop_s=0.96,
            width=len(CLASSES),
            classes=CLASSES,
            **common,
        ),
        StreamSpec(
            name="vggish", kind=EMBEDDING, window_s=0.96, hop_s=0.96, width=VGGISH_WIDTH, **common
        ),
        StreamSpec(
            name="panns", kind=EMBEDDING, window_s=10.0, hop_s=10.0, width=PANNS_WIDTH, **common
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class ToyClip:
    """One clip to be written; rows not given are random, by its id."""

    id: str
    captions: tuple[str, ...]
    streams: dict[str, np.ndarray] = field(default_factory=dict)


def random_clips(count: int, *, captions: int = 1, seed: int = 0) -> list[ToyClip]:
    """Clips of 1 to 12 rows with captions of 2 to 9 words."""
    rng = np.random.default_rng(seed)
    words = "a dog barks loudly while rain falls on the roof near bees".split()
    return [
        ToyClip(
            id=f"clip{seed}_{number}",
            captions=tuple(
                " ".join(rng.choice(words, rng.integers(2, 10))) for _ in range(captions)
            ),
        )
        for number in range(count)
    ]


def write_features(root: Path, splits: dict[str, Sequence[ToyClip]], *, shard: int = 7) -> Path:
    """Write a finished features folder with shards of `shard` clips."""
    entries = {}
    for split, clips in splits.items():
        shards = []
        for start in range(0, len(clips), shard):
            writer = ShardWriter(split, stream_specs())
            for clip in clips[start : start + shard]:
                writer.add(clip.id, f"{clip.id}.wav", 10.0, clip.captions, rows_of(clip))
            shards.append(writer.publish(root / split / shard_name(len(shards))))
        entries[split] = SplitEntry(
            shards=tuple(shards), clips_listed=len(clips), clips_missing=0, clips_failed=0
        )
    index = Index(streams={spec.name: spec.attrs() for spec in stream_specs()}, splits=entries)
    write_json(root / INDEX_NAME, index.to_json())
    return root


def rows_of(clip: ToyClip) -> dict[str, np.ndarray]:
    """A clip's streams: those given, the others random."""
    rng = np.random.default_rng(list(clip.id.encode()))
    seconds = int(rng.integers(1, 13))
    random = {
        "yamnet": rng.normal(-1, 3, (seconds, len(CLASSES))),
        "vggish": rng.normal(0, 1, (max(1, seconds - 1), VGGISH_WIDTH)),
        "panns": rng.normal(0, 1, (1 + seconds // 11, PANNS_WIDTH)),
    }
    return {**random, **clip.streams}

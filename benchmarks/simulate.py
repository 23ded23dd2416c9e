"""Real shards with simulated features, of AudioCaps' size and wording.

Captions are real; features are made so that there is something to learn from them: each word of a
caption is planted in the tag logits (a class of its own for a stretch of rows) and enters the
embedding by a random projection, under noise.

    python -m benchmarks.simulate CAPTIONS OUT --classes yamnet_class_map.csv [--splits train,val:9]
"""

import csv
import hashlib
import os
import re
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from features.common.console import progress
from features.common.errors import ConfigError
from features.common.publish import write_json
from features.spec import (
    EMBEDDING,
    INDEX_NAME,
    TAG_LOGITS,
    Index,
    ShardEntry,
    SplitEntry,
    StreamSpec,
    shard_name,
)
from features.writer import ShardWriter

CLIPS_PER_SHARD = 2000
ROWS, WIDTH = 10, 2048
CLASS_MAP = "weights/yamnet_class_map.csv"
COMMON_WORDS = set("a an the and is are as of in on at by with to then while it its".split())


def simulate(
    captions: Annotated[Path, typer.Argument(help="Folder with <split>.csv of AudioCaps.")],
    out: Annotated[Path, typer.Argument(help="Features folder to write.")],
    classes: Annotated[Path, typer.Option(help="YAMNet's class map: index, mid, display_name.")],
    splits: Annotated[
        str, typer.Option(help="Comma-separated; `val:9` takes the first nine clips only.")
    ] = "train,val,test",
) -> None:
    """Write a features folder with the captions' clips and simulated streams."""
    specs = stream_specs(classes)
    entries = {}
    for wanted in splits.split(","):
        split, _, most = wanted.partition(":")
        rows = list(islice(_clips(captions / f"{split}.csv"), int(most) if most else None))
        shards: list[ShardEntry] = []
        for start in progress(range(0, len(rows), CLIPS_PER_SHARD), what=split, unit="shards"):
            writer = ShardWriter(split, specs)
            for clip, texts in rows[start : start + CLIPS_PER_SHARD]:
                writer.add(clip, f"{clip}.wav", 10.0, texts, features_of(clip, texts[0], specs))
            shards.append(writer.publish(out / split / shard_name(len(shards))))
        entries[split] = SplitEntry(
            shards=tuple(shards), clips_listed=len(rows), clips_missing=0, clips_failed=0
        )
    index = Index(streams={spec.name: spec.attrs() for spec in specs}, splits=entries)
    write_json(out / INDEX_NAME, index.to_json())


def real_data(*needed: str) -> Path:
    """The folder with real data that TAGBART_REAL_DATA names.

    Args:
        needed: files in it; AudioCaps' captions, a tokenizer and YAMNet's class map if none.

    Raises:
        ConfigError: if they are not there.
    """
    folder = Path(os.environ.get("TAGBART_REAL_DATA", "../shared")).resolve()
    for name in needed or ("audiocaps/captions/train.csv", "bpe/tokenizer.json", CLASS_MAP):
        if not (folder / name).is_file():
            raise ConfigError(
                f"{folder}: holds no {name}; set TAGBART_REAL_DATA to the folder that does"
            )
    return folder


def simulate_audiocaps(out: Path, splits: str) -> Path:
    """Shards of AudioCaps' real captions, from the folder with real data; returns `out`."""
    real = real_data()
    simulate(real / "audiocaps" / "captions", out, classes=real / CLASS_MAP, splits=splits)
    return out


def stream_specs(class_map: Path) -> list[StreamSpec]:
    """YAMNet's and PANNs' streams as `extract` declares them, from no network."""
    with class_map.open(encoding="utf-8") as file:
        names = tuple(row["display_name"] for row in csv.DictReader(file))
    common: dict[str, Any] = {
        "network": "simulated",
        "weights_sha256": "0" * 64,
        "resampler": "none",
        "precision": "float32",
        "dtype": "float16",
    }
    return [
        StreamSpec(name="yamnet", kind=TAG_LOGITS, sample_rate_hz=16000, window_s=0.96,
                   hop_s=0.96, width=len(names), classes=names, **common),
        StreamSpec(name="panns", kind=EMBEDDING, sample_rate_hz=32000, window_s=10.0,
                   hop_s=10.0, width=WIDTH, **common),
    ]  # fmt: skip


def features_of(clip: str, caption: str, specs: list[StreamSpec]) -> dict[str, np.ndarray]:
    """A clip's rows: logits float16 [10, C], one embedding float16 [1, 2048]."""
    rng = np.random.default_rng(_number(clip))
    words = [word for word in re.findall(r"[a-z]+", caption.lower()) if word not in COMMON_WORDS]
    logits = rng.normal(-8, 1.5, (ROWS, specs[0].width)).astype(np.float32)
    embedding = rng.normal(0, 1, (1, WIDTH)).astype(np.float32)
    for place, word in enumerate(words):
        middle = ROWS * (place + 0.5) / len(words)
        heard = np.exp(-(((np.arange(ROWS) - middle) / 2) ** 2))
        logits[:, _number(word) % specs[0].width] += 9 * heard
        embedding += _projection(word)
    return {"yamnet": logits.astype(np.float16), "panns": embedding.astype(np.float16)}


@cache
def _projection(word: str) -> np.ndarray:
    """A word's row of the random projection, float32 [2048]."""
    return np.random.default_rng(_number(word)).normal(0, 1, WIDTH).astype(np.float32)


def _clips(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Clip ids with their captions, in the file's order of clips."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    texts: dict[str, list[str]] = {}
    for row in rows:
        texts.setdefault(f"{row['youtube_id']}_{row['start_time']}", []).append(row["caption"])
    yield from texts.items()


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


if __name__ == "__main__":
    typer.run(simulate)

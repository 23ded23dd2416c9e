"""A features folder at a glance: durations, missing clips, tags, captions."""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from evaluate.scores.layout import aligned, terminal_width
from evaluate.view.timeline import tag_streams
from evaluate.view.words import words
from features.reader import Features, Shard
from features.spec import FAILURES_NAME

_ROWS_AT_ONCE = 8192


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How some numbers are spread."""

    least: float
    median: float
    mean: float
    percentile_95: float
    most: float
    total: float

    @classmethod
    def of(cls, values: np.ndarray) -> "Spread":
        """The spread of float or int [n], n at least 1."""
        return cls(
            least=float(values.min()),
            median=float(np.median(values)),
            mean=float(values.mean()),
            percentile_95=float(np.percentile(values, 95)),
            most=float(values.max()),
            total=float(values.sum()),
        )


@dataclass(frozen=True, kw_only=True)
class Tag:
    """How common a tag is.

    Attributes:
        name: display name.
        rows: in how many rows it is the likeliest.
        clips: in how many clips it is the likeliest of some row.
        share_of_draws: how often training draws it, over all rows.
    """

    name: str
    rows: int
    clips: int
    share_of_draws: float


@dataclass(frozen=True, kw_only=True)
class Overview:
    """One split. `captions_per_clip` maps a number of captions to a number of clips; `tags` are
    those of the first of `tag_streams`."""

    split: str
    clips_listed: int
    clips: int
    clips_missing: int
    clips_failed: int
    duration_s: Spread | None
    captions: int
    captions_per_clip: dict[int, int]
    words_per_caption: Spread | None
    vocabulary: int
    commonest_words: tuple[tuple[str, int], ...]
    tag_streams: tuple[str, ...]
    tags: tuple[Tag, ...]

    @property
    def whose_tags(self) -> str:
        """Which of several streams the tags are of; "" where there is no choice."""
        first, *others = self.tag_streams or ("",)
        return f"tags are those of {first}, not of {', '.join(others)}" if others else ""


def overview(features: Features, *, top: int = 20) -> Overview:
    """Sum up a split.

    Args:
        features: the split.
        top: how many of the commonest tags and words to keep.
    """
    texts = caption_texts(features)
    counts = Counter(word for text in texts for word in words(text))
    numbers = [n for shard in features.shards for n in np.diff(shard.caption_offset).tolist()]
    seconds = durations_s(features)
    return Overview(
        split=features.split,
        clips_listed=features.entry.clips_listed,
        clips=len(features),
        clips_missing=features.entry.clips_missing,
        clips_failed=features.entry.clips_failed,
        duration_s=Spread.of(seconds) if len(seconds) else None,
        captions=len(texts),
        captions_per_clip=dict(sorted(Counter(numbers).items())),
        words_per_caption=Spread.of(caption_words(texts)) if texts else None,
        vocabulary=len(counts),
        commonest_words=tuple(counts.most_common(top)),
        tag_streams=tuple(spec.name for spec in tag_streams(features.streams)),
        tags=tuple(_tags(features)[:top]),
    )


def durations_s(features: Features) -> np.ndarray:
    """float64 [clips]."""
    parts = [shard.durations_s for shard in features.shards]
    return np.concatenate(parts) if parts else np.zeros(0)


def caption_texts(features: Features) -> list[str]:
    """All captions of a split, in order."""
    return [text for shard in features.shards for text in shard.caption_texts]


def caption_words(texts: Sequence[str]) -> np.ndarray:
    """int64 [texts]: words of each."""
    return np.array([len(words(text)) for text in texts], np.int64)


def lost_clips(root: Path) -> list[dict[str, str]]:
    """The rows of failures.csv: clip, path, reason; of all splits."""
    path = root / FAILURES_NAME
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def as_text(found: Sequence[Overview], lost: Sequence[dict[str, str]]) -> str:
    """An overview for people.

    Args:
        found: one per split.
        lost: missing and failed clips.
    """
    parts = [_split_text(item) for item in found]
    if lost:
        reasons = Counter(row["reason"] for row in lost).most_common(5)
        lines = [f"  {count:,} × {reason}" for reason, count in reasons]
        some = ", ".join(row["clip"] for row in lost[:5])
        more = f" … (all in {FAILURES_NAME})" if len(lost) > 5 else ""
        parts.append("\n".join([f"clips not here: {len(lost):,}", *lines, f"  {some}{more}"]))
    return "\n\n".join(parts)


def _split_text(item: Overview) -> str:
    lines = [
        f"{item.split}: {item.clips:,} of {item.clips_listed:,} clips, "
        f"{item.clips_missing:,} missing, {item.clips_failed:,} failed"
    ]
    rows = [["", "least", "median", "mean", "95 %", "most"]]
    for name, spread, form in (
        ("seconds per clip", item.duration_s, "{:.2f}"),
        ("words per caption", item.words_per_caption, "{:.1f}"),
    ):
        if spread:
            values = (spread.least, spread.median, spread.mean, spread.percentile_95, spread.most)
            rows.append([name, *map(form.format, values)])
    lines.append(aligned(rows, terminal_width()))
    if item.duration_s:
        lines.append(f"{item.duration_s.total / 3600:.2f} hours of sound")
    each = ", ".join(f"{n} each for {c:,} clips" for n, c in item.captions_per_clip.items())
    lines.append(f"{item.captions:,} captions ({each}), {item.vocabulary:,} different words")
    if item.commonest_words:
        lines.append("commonest words: " + ", ".join(word for word, _ in item.commonest_words))
    if item.tags:
        table = [["commonest tags", "clips", "rows", "share of draws"]]
        table += [
            [tag.name, f"{tag.clips:,}", f"{tag.rows:,}", f"{tag.share_of_draws:.1%}"]
            for tag in item.tags
        ]
        lines.append(aligned(table, terminal_width()))
        lines += [item.whose_tags] if item.whose_tags else []
    return "\n".join(lines)


def _tags(features: Features) -> list[Tag]:
    """All tags that are the likeliest somewhere, those of most clips first."""
    if not features.shards:
        return []
    spec = next(iter(tag_streams(features.streams)), None)
    if spec is None:
        return []
    rows, clips, draws = (np.zeros(spec.width) for _ in range(3))
    for shard in features.shards:
        likeliest, drawn = _likeliest(shard, spec.name)
        rows += np.bincount(likeliest, minlength=spec.width)
        draws += drawn
        for start, end in pairwise(shard.offset(spec.name)):
            clips[np.unique(likeliest[start:end])] += 1
    order = sorted(np.flatnonzero(rows), key=lambda tag: (-clips[tag], -rows[tag]))
    return [
        Tag(
            name=spec.classes[tag],
            rows=int(rows[tag]),
            clips=int(clips[tag]),
            share_of_draws=float(draws[tag] / draws.sum()),
        )
        for tag in order
    ]


def _likeliest(shard: Shard, stream: str) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest tag of every row, int64 [rows], and the expected draws of each tag, [C]."""
    logits = shard.file_rows(stream)
    likeliest = np.empty(len(logits), np.int64)
    draws = np.zeros(logits.shape[1])
    for start in range(0, len(logits), _ROWS_AT_ONCE):
        part = logits[start : start + _ROWS_AT_ONCE].astype(np.float64)
        likeliest[start : start + len(part)] = part.argmax(axis=1)
        scores = 1 / (1 + np.exp(-part))
        draws += (scores / scores.sum(axis=1, keepdims=True)).sum(axis=0)
    return likeliest, draws

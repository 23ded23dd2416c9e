"""One split in compact form: captions in tokens, and the places of every clip's feature rows.

Features stay in the shards' files and are read where a batch needs them. In memory a clip
takes about 50 bytes plus 2 bytes per caption token, whatever its features weigh.
"""

import hashlib
import resource
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from features.common.errors import FormatError
from features.file_rows import FileRows
from features.reader import Features, Shard
from train.data.batches import IGNORED, AudioTables, Rows
from train.data.draws import clip_keys, sample_keys
from train.data.inputs import InputBuilder
from train.data.sources import Joined

# A shard's rows of a stream, the first row of each of its clips, and how many rows that has.
_Place = tuple[FileRows, np.ndarray, np.ndarray]
_SPARE_FILES = 64  # open files that are not shards


@dataclass(frozen=True, kw_only=True)
class StreamRows:
    """Where every clip's rows of one stream lie.

    Attributes:
        parts: each shard's values [rows, D], in its file or, for numbers of rows, in memory.
        first: int64 [n], a clip's first row in its shard.
        counts: int32 [n], how many.
    """

    parts: Sequence[FileRows | np.ndarray]
    first: np.ndarray
    counts: np.ndarray

    def gather(self, clips: np.ndarray, shards: np.ndarray, counts: np.ndarray) -> Rows:
        """The first `counts` rows of some clips, end to end.

        Args:
            clips: int [m], clip numbers.
            shards: int [m], the shard of each.
            counts: int [m], rows to take of each.
        """
        ends = np.cumsum(counts).tolist()
        values = np.empty((ends[-1], self.parts[0].shape[1]), self.parts[0].dtype)
        begin = 0
        first = self.first[clips].tolist()
        for shard, row, end in zip(shards.tolist(), first, ends, strict=True):
            values[begin:end] = self.parts[shard][row : row + end - begin]
            begin = end
        return Rows(values=values, counts=counts)


@dataclass(frozen=True, kw_only=True)
class Captions:
    """Captions in tokens: caption s is tokens[start[s]:start[s] + length[s]], BOS and EOS in."""

    tokens: np.ndarray
    start: np.ndarray
    length: np.ndarray

    def targets(
        self,
        samples: np.ndarray,
        *,
        pad: int,
        decoder_start: int,
        pad_to: int = 0,
        columns: int = 0,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What the decoder reads and shall say for some captions, padded.

        Args:
            samples: int [B].
            pad: the padding token.
            decoder_start: the token that the decoder begins with.
            pad_to: 0 pads to the longest and leaves padding out of the loss; a length pads to it
                and makes padding count, as the paper's published code does.
            columns: pad to so many at least, which counts nothing.

        Returns:
            decoder_ids and labels, int64 [B, T] each.
        """
        length = self.length[samples]
        column = np.arange(pad_to or max(columns, length.max()))
        present = column < length[:, None]
        source = np.where(present, self.start[samples][:, None] + column, 0)
        labels = np.where(present, self.tokens[source].astype(np.int64), pad if pad_to else IGNORED)
        decoder_ids = np.full_like(labels, decoder_start)
        decoder_ids[:, 1:] = np.where(labels == IGNORED, pad, labels)[:, :-1]
        return torch.from_numpy(decoder_ids), torch.from_numpy(labels)


@dataclass(frozen=True, kw_only=True)
class SplitData:
    """Every caption of a split as a training sample.

    Attributes:
        features: the split, of one folder or several.
        captions: in tokens.
        clip: int32 [S], the clip of each sample.
        keys: uint64 [S], what a sample's tag draws depend on besides seed and epoch.
        streams: feature rows by stream.
        shard_start: int64 [shards], the first clip of each shard.
        audio_tables: the audio's rows on the device, where the streams hold their numbers
            (train/data/resident.py).
        weights: float64 [S], how many times an epoch has each sample on average; None for once.
        left_out: how many clips a list has left out.
        too_long: how many captions were cut.
        unknown: how many tokens stand for words that the tokenizer does not know.
        folder: int16 [S], the number of the features folder that a sample comes from.
    """

    features: Joined
    captions: Captions
    clip: np.ndarray
    keys: np.ndarray
    streams: dict[str, StreamRows]
    shard_start: np.ndarray
    audio_tables: AudioTables | None = None
    weights: np.ndarray | None = None
    left_out: int = 0
    too_long: int = 0
    unknown: int = 0
    folder: np.ndarray

    @classmethod
    def load(
        cls,
        features: Features | Sequence[Features],
        builder: InputBuilder,
        tokenizer: Any,
        *,
        weights: Sequence[float] = (),
        numbers: Sequence[int] = (),
        without: frozenset[str] = frozenset(),
    ) -> Self:
        """Tokenise all captions once and note where the rows lie; reads no features.

        Args:
            features: a split of one folder, or of several, whose clips stay apart.
            builder: names the streams.
            tokenizer: of the captions.
            weights: of each folder: how many times an epoch has each of its captions on average.
            numbers: of each folder; () for 0, 1, 2 …
            without: ids of clips whose captions are left out.

        Raises:
            FormatError: if the split has no captions.
        """
        joined = Joined([features] if isinstance(features, Features) else features)
        _allow_open_files(len(joined.shards) * len(builder.streams))
        cut = builder.inputs.max_caption_tokens
        sizes, clips, keys, tokens, lengths, weight, folder = [], [], [], [], [], [], []
        places: dict[str, list[_Place]] = {name: [] for name in builder.streams}
        seen = left_out = 0
        for number_of_folder, shard in _numbered_shards(joined):
            per_clip = np.diff(shard.caption_offset)
            wanted = np.array([clip not in without for clip in shard.ids], bool)
            left_out += int((~wanted).sum())
            number = np.arange(per_clip.sum()) - np.repeat(shard.caption_offset[:-1], per_clip)
            clips.append((np.repeat(np.arange(len(shard)), per_clip) + seen).astype(np.int32))
            # Clips of one id in two folders get draws of their own.
            apart = f"{number_of_folder}/" if number_of_folder else ""
            ids = (f"{apart}{clip}" for clip in shard.ids)
            keys.append(sample_keys(np.repeat(clip_keys(ids), per_clip), number))
            flat, length = encode_captions(tokenizer, shard.caption_texts, cut)
            tokens.append(flat)
            lengths.append(length)
            once = weights[number_of_folder] if weights else 1.0
            weight.append(once * np.repeat(wanted, per_clip))
            number_of_part = numbers[number_of_folder] if numbers else number_of_folder
            folder.append(np.full(int(per_clip.sum()), number_of_part, np.int16))
            for name, found in places.items():
                offset = shard.offset(name)
                counts = np.diff(offset).astype(np.int32)
                found.append((shard.file_rows(name), offset[:-1], counts))
            sizes.append(len(shard))
            seen += len(shard)
        kept = np.concatenate(weight) > 0 if weight else np.zeros(0, bool)
        if not kept.any():
            part = joined.parts[0]
            but, way_out = "", "extract it with --captions DIR"
            if left_out:
                but, way_out = " but those of clips to leave out", "leave out fewer"
            raise FormatError(
                f"{part.root}: split {part.split!r} has no captions{but}, so nothing can be "
                f"learnt or measured on it; {way_out}"
            )
        whole = np.concatenate(lengths)
        length = np.minimum(whole, cut)
        start = np.cumsum(length, dtype=np.int64) - length
        return cls(
            features=joined,
            captions=Captions(
                tokens=np.concatenate(tokens), start=start[kept], length=length[kept]
            ),
            clip=np.concatenate(clips)[kept],
            keys=np.concatenate(keys)[kept],
            streams={name: _stream_rows(found) for name, found in places.items()},
            shard_start=np.cumsum([0, *sizes[:-1]]),
            weights=np.concatenate(weight)[kept] if set(weights) - {1.0} else None,
            left_out=left_out,
            too_long=int((whole[kept] > cut).sum()),
            unknown=sum(int((part == tokenizer.unk_token_id).sum()) for part in tokens),
            folder=np.concatenate(folder)[kept],
        )

    def __len__(self) -> int:
        return len(self.clip)

    @property
    def per_epoch(self) -> int:
        """How many samples a training epoch has, repeats counted."""
        return len(self) if self.weights is None else max(1, round(self.weights.sum()))

    def shared_with(self, other: Self) -> int:
        """How many clips' ids are in another split of the same folders, too."""
        here, there = ([part.root for part in data.features.parts] for data in (self, other))
        if here != there:  # draws, and so keys, go by the number of a folder
            return 0
        return len(np.unique(self.clip[np.isin(self.keys, other.keys)]))

    @property
    def fingerprint(self) -> str:
        """What tells these captions of these clips from any others, in any other order."""
        digest = hashlib.sha256()
        for part in (self.keys, self.captions.length, self.captions.tokens):
            digest.update(part.data)
        return digest.hexdigest()[:8]

    def epoch(self, random: np.random.Generator) -> np.ndarray:
        """The samples of an epoch in random order: int [per_epoch], sample + copy * len(self).

        A weight's whole part gives every sample so many copies; what the fractions leave goes to
        samples at random.
        """
        if self.weights is None:
            return random.permutation(len(self)).astype(np.int32)
        whole = np.floor(self.weights).astype(np.int64)
        left = self.per_epoch - int(whole.sum())
        # Points at equal distance along the fractions in random order: each is met by its share.
        order = random.permutation(len(self))
        ends = np.cumsum((self.weights - whole)[order])
        points = (np.arange(left) + random.random()) * (ends[-1] / max(1, left))
        np.add.at(whole, order[np.searchsorted(ends, points, side="right")], 1)
        sample = np.repeat(np.arange(len(self)), whole)
        copy = np.arange(len(sample)) - np.repeat(np.cumsum(whole) - whole, whole)
        return random.permutation(sample + copy * len(self))

    def rows(self, samples: np.ndarray, builder: InputBuilder) -> tuple[Rows | None, Rows | None]:
        """Tag logits and audio rows of some samples, tags cut to what the builder takes."""
        clips = self.clip[samples]
        shards = np.searchsorted(self.shard_start, clips, side="right") - 1
        audio = [self.streams[name] for name in builder.inputs.audio_streams]
        tags = self.streams[builder.inputs.tags] if builder.inputs.tags else None
        counts, rows = builder.aligned(
            None if tags is None else tags.counts[clips],
            [stream.gather(clips, shards, stream.counts[clips]) for stream in audio],
        )
        if tags is None or counts is None:
            return None, rows
        return tags.gather(clips, shards, counts), rows

    def clip_names(self, samples: np.ndarray) -> list[str]:
        """The clip ids behind some samples, read from the shards; for messages."""
        clips = dict.fromkeys(self.clip[samples].tolist())
        return [self.features.name(clip) for clip in clips]


def _numbered_shards(joined: Joined) -> Iterator[tuple[int, Shard]]:
    """Every shard with its folder's number; one at a time holds its tables."""
    for number, part in enumerate(joined.parts):
        for shard in part.shards:
            yield number, shard.fresh()


def encode_captions(
    tokenizer: Any, texts: list[str], max_tokens: int
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of some captions end to end, BOS and EOS in, and the captions' lengths (int32).

    A caption that is too long is cut before its EOS; its length is the one that it had.
    """
    if not texts:
        return np.zeros(0, np.uint16), np.zeros(0, np.int32)
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    cut = max_tokens - 2
    pieces = tokenizer([text.strip() for text in texts], add_special_tokens=False)["input_ids"]
    length = np.array([len(piece) + 2 for piece in pieces], np.int32)
    pieces = [[bos, *piece[:cut], eos] for piece in pieces]
    small = np.uint16 if len(tokenizer) <= 1 << 16 else np.int32
    return np.concatenate(pieces).astype(small), length


def _stream_rows(found: list[_Place]) -> StreamRows:
    parts, first, counts = zip(*found, strict=True)
    return StreamRows(parts=parts, first=np.concatenate(first), counts=np.concatenate(counts))


def _allow_open_files(wanted: int) -> None:
    """A stream of a shard holds an open file: raise this process's own limit where needed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted += _SPARE_FILES
    if wanted <= soft:
        return
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise FormatError(
            f"the split's shards need {wanted} open files, this system allows {hard}: raise it "
            "with `ulimit -Hn`, or extract with more clips in a shard"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def caption_texts(root: Path, split: str) -> Iterator[str]:
    """All captions of a split, for learning a tokenizer."""
    for shard in Features(root, split).shards:
        yield from shard.fresh().caption_texts

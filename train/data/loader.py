"""The order of training, and ready batches ahead of their use.

Everything here is a pure function of (seed, epoch, data): how many threads prepare batches, how
many processes share them and where a run was interrupted change nothing.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Self

import numpy as np
import torch

from train.data.batches import IGNORED, AudioTables, Batch, Block
from train.data.draws import copy_keys, uniforms
from train.data.inputs import InputBuilder
from train.data.split import SplitData

_EVALUATION_BATCHES = 64  # batches of similar length are cut from so many in validation


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One forward pass.

    Attributes:
        batch: this process's share of it.
        samples: int [B], all samples of it, over all processes.
        labels: how many labels count in the loss, over all processes.
        audio_tables: where the batch's audio numbers rows instead of holding them.
    """

    batch: Batch
    samples: np.ndarray
    labels: int
    audio_tables: AudioTables | None = None

    def on(self, device: torch.device | str) -> Batch:
        """The batch on a device, ready for the model."""
        return self.batch.to(device).looked_up(self.audio_tables)


@dataclass(frozen=True, kw_only=True)
class Loader:
    """Batches of one split.

    Attributes:
        data: the split.
        builder: makes the model's inputs.
        batch_size: samples in a forward pass, over all processes.
        passes: forward passes that make one update. They stay together, so 2 x 4 and 1 x 8 make
            the same updates.
        decoder_start: the token that BART's decoder begins with.
        pad_labels_to: see Captions.targets.
        bucket_batches: updates of similar length are cut from so many updates of the order.
        length_multiple: pad lengths up to multiples of this, as far as the recipe's longest.
        rank, world: this process among those that share every batch.
        threads: prepare windows of `bucket_batches` ahead; 0 prepares when asked.
    """

    data: SplitData
    builder: InputBuilder
    batch_size: int
    decoder_start: int
    passes: int = 1
    pad_labels_to: int = 0
    bucket_batches: int = 64
    length_multiple: int = 1
    rank: int = 0
    world: int = 1
    threads: int = 1

    @property
    def batches_per_epoch(self) -> int:
        return -(-self.data.per_epoch // self.batch_size)

    def of(self, data: SplitData) -> Self:
        """The same loader over another split."""
        return replace(self, data=data)

    def epoch(self, seed: int, epoch: int, *, skip: int = 0) -> Iterator[Piece]:
        """A training epoch: shuffled, tags drawn anew.

        Args:
            seed: of the run.
            epoch: counted from 0.
            skip: forward passes that are done already.
        """
        order = self.data.epoch(_generator(seed, epoch, 0))
        windows = self._windows(order)
        window = self.bucket_batches * self.passes
        whole = skip // window

        def prepare(number: int) -> list[Piece]:
            shuffle = _generator(seed, epoch, number + 1)
            return self._prepare(windows[number], shuffle=shuffle, seed_epoch=(seed, epoch))

        pieces = self._ahead(prepare, range(whole, len(windows)))
        return islice(pieces, skip - whole * window, None)

    def evaluation(self) -> Iterator[Piece]:
        """Every sample once, in no particular order, with its likeliest tags.

        Processes take whole batches in turn, so that each sample is counted exactly once.
        """
        order = np.argsort(self.data.captions.length, kind="stable").astype(np.int32)
        one = replace(self, rank=0, world=1, passes=1, bucket_batches=_EVALUATION_BATCHES)
        windows = one._windows(order)

        def prepare(number: int) -> list[Piece]:
            return one._prepare(windows[number])

        return islice(one._ahead(prepare, range(len(windows))), self.rank, None, self.world)

    def _windows(self, order: np.ndarray) -> list[np.ndarray]:
        size = self.bucket_batches * self.passes * self.batch_size
        return [order[start : start + size] for start in range(0, len(order), size)]

    def _prepare(
        self,
        samples: np.ndarray,
        *,
        shuffle: np.random.Generator | None = None,
        seed_epoch: tuple[int, int] | None = None,
    ) -> list[Piece]:
        """Draw the tags of a window's samples, pad them all at once, cut them into batches."""
        copies, samples = np.divmod(samples, len(self.data))
        tags, audio = self.data.rows(samples, self.builder)
        uniform = None
        if seed_epoch is not None and tags is not None:
            keys = copy_keys(self.data.keys[samples], copies)
            uniform = uniforms(*seed_epoch, keys, tags.counts)
        block = self.builder.block(tags, audio, uniform, self.data.folder[samples])
        order = np.arange(len(samples))
        if self.bucket_batches > 1:
            order = np.lexsort((block.length, self.data.captions.length[samples]))
        samples = samples[order]
        limits = self.builder.inputs
        longest_caption = int(self.data.captions.length[samples].max())
        decoder_ids, labels = self.data.captions.targets(
            samples,
            pad=self.builder.pad,
            decoder_start=self.decoder_start,
            pad_to=self.pad_labels_to,
            columns=self._rounded(longest_caption, limits.max_caption_tokens),
        )
        columns = self._rounded(int(block.length.max()), limits.max_prompt_tokens)
        whole = replace(block.batch(order, columns=columns), decoder_ids=decoder_ids, labels=labels)
        pieces = self._cut(whole, samples, block, order)
        if shuffle is not None and self.bucket_batches > 1:
            # An update that is not whole, which ends an epoch, stays its last.
            updates = shuffle.permutation(len(samples) // (self.batch_size * self.passes)).tolist()
            groups = [pieces[at * self.passes : (at + 1) * self.passes] for at in updates]
            rest = pieces[len(updates) * self.passes :]
            pieces = [piece for group in [*groups, rest] for piece in group]
        return pieces

    def _cut(
        self, whole: Batch, samples: np.ndarray, block: Block, order: np.ndarray
    ) -> list[Piece]:
        """Batches of a window that is in order already, each trimmed to its longest."""
        starts = np.arange(0, len(samples), self.batch_size)
        captions = self.data.captions.length[samples]
        limits = self.builder.inputs
        inputs = [
            self._rounded(length, limits.max_prompt_tokens)
            for length in np.maximum.reduceat(block.length[order], starts).tolist()
        ]
        longest = [
            self._rounded(length, limits.max_caption_tokens)
            for length in np.maximum.reduceat(captions, starts).tolist()
        ]
        counted = np.add.reduceat(captions, starts).tolist()
        rows = np.ones(len(order), int) if block.audio is None else block.audio.counts[order]
        audio = np.maximum.reduceat(rows, starts).tolist() if block.prompts else inputs
        pieces = []
        for number, start in enumerate(starts.tolist()):
            everyone = samples[start : start + self.batch_size]
            share = slice(start + self.rank, start + len(everyone), self.world)
            idle = share.start >= share.stop
            if idle:  # of a small last batch: repeat a sample, with no label that counts
                share = slice(start, start + 1)
            batch = whole.part(
                share,
                inputs=inputs[number],
                audio=audio[number],
                labels=self.pad_labels_to or longest[number],
            )
            if idle and batch.labels is not None:
                batch = replace(batch, labels=torch.full_like(batch.labels, IGNORED))
            labels = len(everyone) * self.pad_labels_to or counted[number]
            tables = self.data.audio_tables
            pieces.append(Piece(batch=batch, samples=everyone, labels=labels, audio_tables=tables))
        return pieces

    def _rounded(self, length: int, limit: int) -> int:
        """A length as it is padded: shapes that come again let a device reuse its plans."""
        rounded = -(-length // self.length_multiple) * self.length_multiple
        return max(length, min(rounded, limit))

    def _ahead(self, prepare: Callable[[int], list[Piece]], numbers: range) -> Iterator[Piece]:
        """Pieces of the windows in order, prepared by threads one window each ahead of use."""
        if not self.threads:
            for number in numbers:
                yield from prepare(number)
            return
        with ThreadPoolExecutor(self.threads, thread_name_prefix="loader") as pool:
            waiting: deque[Future[list[Piece]]] = deque()
            try:
                for number in numbers:
                    waiting.append(pool.submit(prepare, number))
                    if len(waiting) > self.threads:
                        yield from waiting.popleft().result()
                while waiting:
                    yield from waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()


def _generator(seed: int, epoch: int, part: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, epoch], counter=[0, 0, 0, part]))

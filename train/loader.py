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

from train.batches import Batch, Block, InputBuilder
from train.data import SplitData
from train.draws import uniforms

_EVALUATION_BATCHES = 64  # batches of similar length are cut from so many in validation


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One forward pass.

    Attributes:
        batch: this process's share of it.
        samples: int [B], all samples of it, over all processes.
        labels: how many labels count in the loss, over all processes.
    """

    batch: Batch
    samples: np.ndarray
    labels: int


@dataclass(frozen=True, kw_only=True)
class Loader:
    """Batches of one split.

    Attributes:
        data: the split.
        builder: makes the model's inputs.
        batch_size: samples in a forward pass, over all processes.
        decoder_start: the token that BART's decoder begins with.
        pad_labels_to: see Captions.targets.
        bucket_batches: batches of similar length are cut from so many batches of the order.
        rank, world: this process among those that share every batch.
        threads: prepare windows of `bucket_batches` ahead; 0 prepares when asked.
    """

    data: SplitData
    builder: InputBuilder
    batch_size: int
    decoder_start: int
    pad_labels_to: int = 0
    bucket_batches: int = 64
    rank: int = 0
    world: int = 1
    threads: int = 1

    @property
    def batches_per_epoch(self) -> int:
        return -(-len(self.data) // self.batch_size)

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
        order = _generator(seed, epoch, 0).permutation(len(self.data)).astype(np.int32)
        windows = self._windows(order)
        whole = skip // self.bucket_batches

        def prepare(number: int) -> list[Piece]:
            samples = windows[number]
            shuffle = _generator(seed, epoch, number + 1)
            return self._prepare(
                samples,
                lambda block: self._buckets(samples, block, shuffle),
                seed_epoch=(seed, epoch),
            )

        pieces = self._ahead(prepare, range(whole, len(windows)))
        return islice(pieces, skip - whole * self.bucket_batches, None)

    def evaluation(self) -> Iterator[Piece]:
        """Every sample once, in no particular order, with its likeliest tags.

        Processes take whole batches in turn, so that each sample is counted exactly once.
        """
        order = np.argsort(self.data.captions.length, kind="stable").astype(np.int32)
        one = replace(self, rank=0, world=1, bucket_batches=_EVALUATION_BATCHES)
        windows = one._windows(order)

        def prepare(number: int) -> list[Piece]:
            samples = windows[number]
            return one._prepare(samples, lambda block: one._buckets(samples, block, None))

        return islice(one._ahead(prepare, range(len(windows))), self.rank, None, self.world)

    def _windows(self, order: np.ndarray) -> list[np.ndarray]:
        size = self.bucket_batches * self.batch_size
        return [order[start : start + size] for start in range(0, len(order), size)]

    def _prepare(
        self,
        samples: np.ndarray,
        cut: Callable[[Block], list[np.ndarray]],
        seed_epoch: tuple[int, int] | None = None,
    ) -> list[Piece]:
        """Draw the tags of a window's samples, cut it into batches and pad each."""
        tags, audio = self.data.rows(samples, self.builder)
        uniform = None
        if seed_epoch is not None and tags is not None:
            uniform = uniforms(*seed_epoch, self.data.keys[samples], tags.counts)
        block = self.builder.block(tags, audio, uniform)
        return [self._piece(samples, block, members) for members in cut(block)]

    def _buckets(
        self, samples: np.ndarray, block: Block, shuffle: np.random.Generator | None
    ) -> list[np.ndarray]:
        """Batches of similar length, as positions in the window, in random order."""
        order = np.arange(len(samples))
        if self.bucket_batches > 1:
            order = np.lexsort((block.length, self.data.captions.length[samples]))
        batches = [
            order[start : start + self.batch_size]
            for start in range(0, len(order), self.batch_size)
        ]
        if shuffle is not None and self.bucket_batches > 1:
            batches = [batches[index] for index in shuffle.permutation(len(batches))]
        return batches

    def _piece(self, samples: np.ndarray, block: Block, members: np.ndarray) -> Piece:
        captions = self.data.captions
        mine = members[self.rank :: self.world]
        everyone = samples[members]
        # A process without a share of a small last batch repeats a sample, with no label.
        share = mine if len(mine) else members[:1]
        decoder_ids, labels = captions.targets(
            samples[share],
            pad=self.builder.pad,
            decoder_start=self.decoder_start,
            pad_to=self.pad_labels_to,
        )
        if not len(mine):
            labels.fill_(-100)
        counted = len(everyone) * self.pad_labels_to or int(captions.length[everyone].sum())
        batch = replace(block.batch(share), decoder_ids=decoder_ids, labels=labels)
        return Piece(batch=batch, samples=everyone, labels=counted)

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

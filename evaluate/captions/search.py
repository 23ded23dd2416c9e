"""Beam search over prepared prompts: batches of like length, on the run's device."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers import BartForConditionalGeneration

from evaluate.captions.beam import BeamSearch, beam_search
from evaluate.captions.beams import Hypothesis, SpecialTokens
from evaluate.captions.choosing.nucleus import draw_captions, numbers
from evaluate.captions.layers.encoder import encode
from evaluate.captions.layers.output_layer import logits_in_parts
from evaluate.captions.layers.precision import narrow
from evaluate.captions.options import DecodingOptions
from extract.running.side_by_side import part_size, side_by_side
from features.common.console import log
from features.common.errors import ConfigError, first_line
from features.common.memory import keep_freed_memory
from train.data.batches import IGNORED, Block
from train.graphs import cuda_graphs
from train.model.attention import do_without_cudnn_attention
from train.model.device import own_device
from train.run_folder.checkpoint import Run, load_run

# Prompts decoded together by default.
CPU_BATCH, GPU_BATCH = 32, 256
LEAST_BATCH = 16  # with fewer, reading the weights takes long beside what is made with them
_CPU_BATCHES = 4  # at once at most: with many cores, too, captions shall come soon


def prompts_at_once(device: torch.device) -> int:
    """Prompts that a device decodes at the same time: a batch, of a CPU one for each core."""
    if device.type != "cpu":
        return GPU_BATCH
    return CPU_BATCH * min(torch.get_num_threads(), _CPU_BATCHES)


def open_run(path: Path, device: str | None, precision: str = "float32") -> Run:
    """Load a trained run to decode with.

    Args:
        path: the run folder.
        device: None for this machine's own (train/model/device.py).
        precision: one of options.PRECISIONS; the weights are kept in it.

    Raises:
        ConfigError: if this machine has no such device, or the device no such arithmetic.
        RunError: if the folder holds no trained run.
    """
    do_without_cudnn_attention()
    keep_freed_memory()
    run = load_run(path, own_device(device))
    narrow(run.model, precision)
    return run


@dataclass(frozen=True, kw_only=True)
class Searcher:
    """A run and how to decode with it.

    Attributes:
        run: in the precision of the options (precision.in_precision).
        options: how to decode.
        done: hears how many prompts were decoded just now.
    """

    run: Run
    options: DecodingOptions
    done: Callable[[int], object]

    @property
    def batch_size(self) -> int:
        """Prompts to decode together on the run's device."""
        on_cpu = self.run.model.device.type == "cpu"
        return self.options.batch_size or (CPU_BATCH if on_cpu else GPU_BATCH)

    @cached_property
    def _beam_search(self) -> BeamSearch:
        model = self.run.model
        return BeamSearch(
            model.bart, self.options, partial(cuda_graphs, model.device), _without_graphs
        )

    def search(self, block: Block) -> list[list[Hypothesis]]:
        """The hypotheses of every sample of a block, best first."""
        found: list[list[Hypothesis]] = [[] for _ in block.length]
        size = self.batch_size
        if self.run.model.device.type == "cpu":
            size = part_size(len(block.length), size, LEAST_BATCH)
        batches = list(_batches(block.length, size))
        with self._memory_watched():
            for members, of_batch in zip(batches, self._searched(block, batches), strict=True):
                for member, hypotheses in zip(members, of_batch, strict=True):
                    found[member] = hypotheses
                self.done(len(members))
        return found

    def _searched(
        self, block: Block, batches: Sequence[np.ndarray]
    ) -> Iterator[list[list[Hypothesis]]]:
        model, options = self.run.model, self.options

        def alone(members: np.ndarray) -> list[list[Hypothesis]]:
            return beam_search(model.bart, *self._encode(block, members), options)

        def next_one(members: np.ndarray) -> list[list[Hypothesis]]:
            return self._beam_search(*self._encode(block, members))

        on_cpu = model.device.type == "cpu"
        return side_by_side(alone, batches) if on_cpu else map(next_one, batches)

    def draw(self, block: Block, member: int, key: np.uint64) -> list[Hypothesis]:
        """As many drawn captions of one clip as its candidates lack.

        It is decoded by itself: a clip's captions are the same to the last bit whatever comes with
        it.

        Args:
            block: one prompt per clip.
            member: the clip's place in it.
            key: of train.data.draws.clip_keys.
        """
        options = self.options
        with self._memory_watched():
            states, mask = self._encode(block, np.array([member]))
            draws = options.candidates - options.beams
            uniform = numbers(options.seed, key, draws, options.max_length)
            found = draw_captions(self.run.model.bart, states, mask, options, uniform)
        self.done(1)
        return found

    def judge(self, block: Block, pools: Sequence[Sequence[Hypothesis]]) -> list[list[Hypothesis]]:
        """The same captions as another prompt sees them, the likeliest first.

        Args:
            block: one prompt per clip.
            pools: captions of each clip, at least one.
        """
        owners = np.repeat(np.arange(len(pools)), [len(pool) for pool in pools])
        captions = [item.tokens for pool in pools for item in pool]
        judged: list[list[Hypothesis]] = [[] for _ in pools]
        with self._memory_watched():
            for members in _batches(block.length[owners], self.batch_size):
                clips, place = np.unique(owners[members], return_inverse=True)
                states, mask = self._encode(block, clips)
                at = torch.from_numpy(place).to(mask.device)
                texts = [captions[member] for member in members]
                found = sequence_logprobs(self.run.model.bart, states[at], mask[at], texts)
                for member, tokens, logprobs in zip(members, texts, found, strict=True):
                    judged[owners[member]].append(self._hypothesis(tokens, logprobs))
        return [sorted(pool, key=lambda item: -item.score) for pool in judged]

    def _hypothesis(self, tokens: tuple[int, ...], logprobs: list[float]) -> Hypothesis:
        score = self.options.rank(sum(logprobs), len(tokens))
        return Hypothesis(tokens=tokens, logprobs=tuple(logprobs), score=score)

    @torch.inference_mode()
    def _encode(self, block: Block, members: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        model = self.run.model
        embeds, mask = model.encoder_inputs(block.batch(members).to(model.device))
        return encode(model.bart, embeds, mask), mask

    @contextmanager
    def _memory_watched(self) -> Iterator[None]:
        try:
            yield
        except torch.OutOfMemoryError as error:
            raise ConfigError(
                f"the GPU has too little memory to decode {self.batch_size} prompts together; "
                f"lower --batch-size ({first_line(error)})"
            ) from error


@torch.inference_mode()
def sequence_logprobs(
    bart: BartForConditionalGeneration,
    encoder_states: torch.Tensor,
    attention_mask: torch.Tensor,
    captions: Sequence[Sequence[int]],
) -> list[list[float]]:
    """Log-probability of every token of given captions; BOS, which is forced, counts 0.

    Args:
        bart: in eval mode.
        encoder_states: [N, rows, d_model], one per caption.
        attention_mask: int [N, rows].
        captions: N captions' tokens, BOS first, EOS last.
    """
    labels, decoded = teacher_forced(bart, encoder_states, attention_mask, captions)
    logits = torch.cat(list(logits_in_parts(bart, decoded.last_hidden_state)), dim=-1)
    losses = functional.cross_entropy(
        logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none"
    )
    losses[:, 0] = 0.0
    return [row[: len(tokens)] for row, tokens in zip((-losses).tolist(), captions, strict=True)]


def teacher_forced(
    bart: BartForConditionalGeneration,
    encoder_states: torch.Tensor,
    attention_mask: torch.Tensor,
    captions: Sequence[Sequence[int]],
    **how: Any,
) -> tuple[torch.Tensor, Any]:
    """Let transformers' own decoder read captions.

    Args:
        bart, encoder_states, attention_mask, captions: as for `sequence_logprobs`.
        **how: further arguments of the decoder.

    Returns:
        The captions as int64 [N, T], IGNORED behind each one's end, and the decoder's output, whose
        place t is where token t of [N, T] is decided.
    """
    labels = torch.full((len(captions), max(map(len, captions))), IGNORED)
    for row, tokens in enumerate(captions):
        labels[row, : len(tokens)] = torch.tensor(tokens)
    labels = labels.to(encoder_states.device)
    # Padding follows a caption, and the decoder looks back only: any token does.
    inputs = labels.roll(1, dims=1).clamp(min=0)
    inputs[:, 0] = SpecialTokens.of(bart).start
    return labels, bart.model.decoder(
        input_ids=inputs,
        encoder_hidden_states=encoder_states,
        encoder_attention_mask=attention_mask,
        use_cache=False,
        **how,
    )


def _without_graphs(why: str) -> None:
    log(f"captions go on without CUDA graphs: {why}")


def _batches(length: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Members of batches, the longest prompts first, so that memory is short at once or never."""
    order = np.argsort(-length, kind="stable")
    for start in range(0, len(order), size):
        yield order[start : start + size]

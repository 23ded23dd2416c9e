"""Beam search with bart-base's shape: ours, one clip at a time, and the published loop.

Random weights never end a caption sensibly, and training this shape takes hours on two cores. So
the output layer alone is fitted, in closed form, to random weights: 48 clips of random prompts each
get a caption of random tokens, as long as AudioCaps' training captions are. The search then runs
one to two tokens past a caption's end, as it does with trained models, and every method must find
all 48 captions exactly.

A trained run is measured by naming it: captions per second in float32, bf16 and (on a CPU) int8,
and how many captions are equal. On a GPU, a run of bart-large's shape that says whole captions
comes from:

    python -m benchmarks.train learning --shape large --device cuda --epochs 8 --out FOLDER
    python -m benchmarks.decode FOLDER/run FOLDER/features cuda
"""

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BartForConditionalGeneration, GenerationConfig

from benchmarks.machine import header, rates_in_turns
from benchmarks.published import ctranslate2
from evaluate.captions.generate import caption_clips
from evaluate.captions.layers.precision import in_precision
from evaluate.captions.options import DecodingOptions
from evaluate.captions.search import GPU_BATCH, Searcher, open_run
from features.common.memory import keep_freed_memory
from features.reader import Features
from train.data.batches import Block
from train.data.prompts import NO_ROW, Prompts
from train.model.pretrained import bart_config
from train.model.tagbart import TagBart, TagBartConfig
from train.recipes.config import BartShape, Recipe
from train.run_folder.checkpoint import Run

# Tokens of AudioCaps' training captions with BOS and EOS, at 48 even quantiles: mean 12.1.
CAPTION_TOKENS = [
    *(5, 6, 6, 7, 7, 7, 7, 8, 8, 8, 8, 9, 9, 9, 9, 9, 10, 10, 10, 10, 10, 11, 11, 11),
    *(11, 11, 12, 12, 12, 12, 13, 13, 13, 14, 14, 14, 15, 15, 15, 16, 16, 17, 18, 19, 20, 21),
    *(23, 28),
]  # fmt: skip
PROMPT_TOKENS = (34, 47)  # ten tags are about 40
BASE = BartShape(
    d_model=768,
    encoder_layers=6,
    decoder_layers=6,
    encoder_attention_heads=12,
    decoder_attention_heads=12,
    encoder_ffn_dim=3072,
    decoder_ffn_dim=3072,
)
LARGE = BartShape()  # beside CTranslate2
VOCABULARY = 50_265
BOS, PAD, EOS = 0, 1, 2
REFERENCES = 5  # the published loop decodes a test clip once for each
ROUNDS = 3
FIXED = 14  # tokens of a beam beside CTranslate2: the start token, BOS, 11 words and EOS
TARGET = 4.0  # times the captions per second of one clip at a time
# Of a trained run on a GPU, bart-large's shape.
GPU_CLIPS, GPU_SECONDS, GPU_EQUAL, GPU_WORDS = 957, 5.0, 0.99, 8.0
INT8_EQUAL = 0.95

Captions = list[tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A model that knows one caption for each prompt of a block."""

    run: Run
    block: Block
    captions: Captions

    def part(self, clips: Sequence[int]) -> Block:
        """The prompts of some clips; a clip may stand there several times."""
        ends = np.cumsum(self.block.length)
        assert self.block.prompts is not None
        tokens = [
            self.block.prompts.tokens[ends[clip] - self.block.length[clip] : ends[clip]]
            for clip in clips
        ]
        return block_of(tokens)


def main() -> float:
    """Measure in turns, print, and return our captions per second over one clip at a time's."""
    keep_freed_memory()  # as commands that decode do
    setting = fitted(np.random.default_rng(0))
    every, some = range(48), range(1, 48, 6)  # their captions are equally long on average
    methods: dict[str, tuple[Callable[[Sequence[int]], None], Sequence[int]]] = {
        "ours, batches of 32, sorted": (lambda clips: ours(setting, clips, 32), [*every, *every]),
        "ours, one clip at a time": (lambda clips: ours(setting, clips, 1), some),
        "transformers, one clip at a time": (lambda clips: theirs(setting, clips, 1, 1), some),
        "published loop: batches of 8, once per reference": (
            lambda clips: theirs(setting, clips, 8, REFERENCES),
            some,
        ),
    }
    print(
        f"beam search, 4 beams, bart-base's shape, {torch.get_num_threads()} threads\n"
        "random weights with a fitted output layer that says captions as long as AudioCaps' "
        f"({np.mean(CAPTION_TOKENS):.1f} tokens)",
        flush=True,
    )
    ways = {name: (partial(way, clips), len(clips)) for name, (way, clips) in methods.items()}
    median = rates_in_turns(ways, ROUNDS)
    best, alone, single, published = median.values()
    for name, rate in median.items():
        print(f"  {name:50} {rate:7.2f} clips/s")
    print(f"  ours / one clip at a time, ours         {best / alone:7.2f}")
    print(
        f"  ours / one clip at a time, transformers {best / single:7.2f}   (target: {TARGET:.1f})"
    )
    print(f"  ours / published loop                   {best / published:7.2f}")
    print("  every caption as fitted, with every method", flush=True)
    beside_ctranslate2()
    return best / single


def beside_ctranslate2(shape: BartShape = LARGE, count: int = 64) -> None:
    """Print captions of equal length per second: ours in a CPU's arithmetics, and CTranslate2's.

    Args:
        shape: of the model, whose weights are random: every caption has as many words anyway.
        count: clips, of prompts of 48 tokens.
    """
    torch.manual_seed(0)
    model = TagBart(TagBartConfig(bart=bart_config(shape, VOCABULARY), tags=True)).eval()
    run = Run(path=Path("random"), model=model, tokenizer=None, recipe=Recipe(), streams={})
    rng = np.random.default_rng(0)
    prompts = [rng.integers(4, VOCABULARY, 48) for _ in range(count)]
    ways: dict[str, tuple[Callable[[], object], int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("float32", "int8"):
            try:
                decode = ctranslate2.decoder(model.bart, Path(folder) / "model", kind, FIXED - 2)
            except ImportError:
                print("  CTranslate2 is not there: make setup-bench brings it", flush=True)
                break
            ways[f"CTranslate2, {kind}"] = (partial(decode, prompts, 32), count)
        for precision in ("float32", "bf16", "int8"):
            options = DecodingOptions(
                batch_size=32, precision=precision, min_length=FIXED, max_length=FIXED
            )
            narrow = in_precision(run, precision)
            searcher = Searcher(run=narrow, options=options, done=lambda prompts: None)
            ways[f"ours, {precision}"] = (partial(searcher.search, block_of(prompts)), count)
        rates = rates_in_turns(ways, ROUNDS)
    print(f"  {count} captions of 11 words, prompts of 48 tokens, d_model {shape.d_model}:")
    for name, rate in rates.items():
        print(f"  {name:50} {rate:7.2f} clips/s", flush=True)


def ours(setting: Setting, clips: Sequence[int], batch_size: int) -> None:
    """Decode as `python -m evaluate run` does."""
    options = DecodingOptions(batch_size=batch_size)
    searcher = Searcher(run=setting.run, options=options, done=lambda prompts: None)
    found = searcher.search(setting.part(clips))
    check([hypotheses[0].tokens for hypotheses in found], clips, setting)


@torch.inference_mode()
def theirs(setting: Setting, clips: Sequence[int], batch_size: int, times: int) -> None:
    """Decode with transformers' generate, every clip `times` times, in the given order."""
    model: Any = setting.run.model
    model.bart.generation_config = GenerationConfig(
        num_beams=4,
        max_length=64,
        forced_bos_token_id=BOS,
        forced_eos_token_id=EOS,
        bos_token_id=BOS,
        pad_token_id=PAD,
        eos_token_id=EOS,
        decoder_start_token_id=EOS,
    )
    rows = [clip for clip in clips for _ in range(times)]
    found: Captions = []
    for start in range(0, len(rows), batch_size):
        members = np.array(rows[start : start + batch_size])
        embeds, mask = model.encoder_inputs(setting.block.batch(members))
        sequences = model.bart.generate(inputs_embeds=embeds, attention_mask=mask).tolist()
        found += [tuple(tokens[1 : tokens.index(EOS, 1) + 1]) for tokens in sequences]
    check(found, rows, setting)


def check(found: Captions, clips: Sequence[int], setting: Setting) -> None:
    """Every method must find every caption."""
    wrong = sum(tokens != setting.captions[clip] for tokens, clip in zip(found, clips, strict=True))
    assert not wrong, f"{wrong} of {len(found)} captions are not the fitted ones"


def fitted(rng: np.random.Generator, shape: BartShape = BASE) -> Setting:
    """Random weights and an output layer that says one random caption for each random prompt."""
    torch.manual_seed(0)
    model = TagBart(TagBartConfig(bart=bart_config(shape, VOCABULARY), tags=True)).eval()
    counts = rng.permutation(CAPTION_TOKENS)
    captions: Captions = [
        (BOS, *rng.integers(3, VOCABULARY, count - 2).tolist(), EOS) for count in counts
    ]
    block = block_of(
        [rng.integers(3, VOCABULARY, count) for count in rng.integers(*PROMPT_TOKENS, len(counts))]
    )
    fit_head(model, block, captions)
    run = Run(path=Path("fitted"), model=model, tokenizer=None, recipe=Recipe(), streams={})
    return Setting(run=run, block=block, captions=captions)


def block_of(prompts: Sequence[np.ndarray]) -> Block:
    """Prompts of plain tokens without audio."""
    tokens = np.concatenate(prompts)
    return Block(
        prompts=Prompts(
            tokens=tokens.astype(np.int32),
            tag_row=np.full(len(tokens), NO_ROW, np.int32),
            length=np.array([len(prompt) for prompt in prompts]),
        ),
        audio=None,
        ratio=1,
        pad=PAD,
    )


def fit_head(model: TagBart, block: Block, captions: Captions) -> None:
    """Give a model an output layer that says these captions for the prompts of a block."""
    _fill_head(model.bart, *_states(model, block, captions))


@torch.inference_mode()
def _states(model: TagBart, block: Block, captions: Captions) -> tuple[torch.Tensor, torch.Tensor]:
    """The decoder's output before each token of the captions [N, d_model], and those tokens [N]."""
    embeds, mask = model.encoder_inputs(block.batch(np.arange(len(captions))))
    longest = max(map(len, captions))
    labels = torch.tensor([[*tokens, *[PAD] * (longest - len(tokens))] for tokens in captions])
    inputs = labels.roll(1, dims=1)
    inputs[:, 0] = EOS
    hidden = model.bart.model(
        inputs_embeds=embeds, attention_mask=mask, decoder_input_ids=inputs, use_cache=False
    ).last_hidden_state
    wanted = labels != PAD
    return hidden[wanted], labels[wanted]


@torch.inference_mode()
def _fill_head(
    bart: BartForConditionalGeneration, states: torch.Tensor, tokens: torch.Tensor
) -> None:
    """An output layer of its own, the least one that says each token with certainty.

    Off the captions' path all logits are near 0 but EOS's bias: a beam that took a wrong token
    ends soon, as it would in a trained model.
    """
    certain, eos_bias = 27.0, 12.0
    assert len(states) <= states.shape[1], "more tokens than the layer can be fitted to"
    inverse = torch.linalg.pinv(states.double())  # [d_model, N]
    weight = torch.zeros(VOCABULARY, states.shape[1], dtype=torch.float64)
    weight.index_add_(0, tokens, certain * inverse.T)
    bart.lm_head.weight = torch.nn.Parameter(weight.float())
    bart.final_logits_bias[0, EOS] = eos_bias


def compare_precisions(run_folder: Path, features: Path, device: str) -> None:
    """Print captions per second of a trained run in each precision, and how many are float32's."""
    split = Features(features, "test")
    clips = [split[index] for index in range(min(len(split), GPU_CLIPS))]
    print(f"  {len(clips)} clips, {device}")
    texts: list[list[str]] = []
    for precision in ("float32", "bf16", "int8") if device == "cpu" else ("float32", "bf16"):
        run = open_run(run_folder, device, precision)
        options = DecodingOptions(precision=precision)
        caption_clips(run, clips[:GPU_BATCH], options)  # warms up
        start = time.perf_counter()
        texts.append([caption.text for caption in caption_clips(run, clips, options)])
        seconds = time.perf_counter() - start
        equal = np.mean([one == other for one, other in zip(texts[0], texts[-1], strict=True)])
        print(
            f"  {precision:8} {seconds:8.2f} s {len(clips) / seconds:10,.1f} clips/s, "
            f"{equal:.1%} of the captions are float32's",
            flush=True,
        )
    print(f"  target: {GPU_EQUAL:.0%} in bf16, {INT8_EQUAL:.0%} in int8")
    words = np.mean([len(text.split()) for text in texts[0]])
    print(f"  words in a caption    {words:8.1f}   (target: {GPU_WORDS:.0f})")
    print(
        f"  target with bart-large's shape on an H100: {GPU_CLIPS} clips in bf16 in less than "
        f"{GPU_SECONDS:.0f} s"
    )


if __name__ == "__main__":
    print(header("decode"), flush=True)
    if len(sys.argv) == 1:
        main()
    elif len(sys.argv) in (3, 4):
        compare_precisions(
            Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] if len(sys.argv) == 4 else "cpu"
        )
    else:
        sys.exit("error: expected no arguments, or RUN FEATURES [DEVICE]")

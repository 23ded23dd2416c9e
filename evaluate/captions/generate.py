"""Captions for clips.

The features come from a shard, from audio just encoded (caption.py), or from anywhere else that
gives clips with an id and streams. Streams become prompts (train/data/inputs.py), prompts become
hypotheses (search.py), hypotheses become captions here.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import exp
from typing import Any, Protocol

import numpy as np

from evaluate.captions.beam import Hypothesis
from evaluate.captions.consensus import expected_agreement
from evaluate.captions.options import LIKELIHOOD, DecodingOptions
from evaluate.captions.precision import in_precision
from evaluate.captions.search import Searcher
from features.common.errors import ConfigError
from train.data.batches import Block, Rows
from train.data.draws import clip_keys, uniforms
from train.run_folder.checkpoint import Run

# So many batches of clips are taken in at a time and sorted by the length of their prompts.
_SORTED_BATCHES = 64


class ClipLike(Protocol):
    """What is captioned; features.reader.Clip is one. `streams` holds rows [T, D] by name."""

    @property
    def id(self) -> str: ...

    @property
    def streams(self) -> Mapping[str, np.ndarray]: ...


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A caption that the search found.

    Attributes:
        text: without special tokens.
        logprob: natural logarithm of its probability under its prompt, EOS included.
        score: what captions are ranked by, logprob / tokens ** length_penalty.
        tokens: pieces of the text, in order, without special tokens.
        token_logprobs: of each piece.
    """

    text: str
    logprob: float
    score: float
    tokens: tuple[str, ...]
    token_logprobs: tuple[float, ...]

    @property
    def probability(self) -> float:
        return exp(self.logprob)

    def as_json(self) -> dict[str, Any]:
        """The same with probabilities, for files."""
        return {
            "text": self.text,
            "probability": self.probability,
            "logprob": self.logprob,
            "score": self.score,
            "tokens": list(self.tokens),
            "token_probabilities": [exp(logprob) for logprob in self.token_logprobs],
        }


@dataclass(frozen=True, kw_only=True)
class Caption:
    """What a clip was called; `n_best[0]` is the caption, `tags` the likeliest tag of each row."""

    clip: str
    tags: tuple[str, ...]
    n_best: tuple[Candidate, ...]

    @property
    def text(self) -> str:
        return self.n_best[0].text

    @property
    def logprob(self) -> float:
        return self.n_best[0].logprob


def caption_clips(
    run: Run,
    clips: Iterable[ClipLike],
    options: DecodingOptions | None = None,
    *,
    done: Callable[[int], object] = lambda prompts: None,
) -> list[Caption]:
    """Caption clips, in their order.

    Args:
        run: a trained run on the device to use (search.open_run). One in float32 is copied where
            the options ask for another precision; open it in that to spare this.
        clips: with an id and the streams that the run reads.
        options: None for the paper's decoding.
        done: called with the number of prompts decoded just now, for progress: one prompt per
            clip, and `tag_draws` more.

    Raises:
        ConfigError: if the model has fewer positions than `max_length`, or cannot compute in the
            precision asked for.
    """
    options = options or DecodingOptions()
    positions = run.model.config.bart.max_position_embeddings
    if options.max_length > positions:
        raise ConfigError(
            f"max_length is {options.max_length}, but {run.path} has {positions} positions"
        )
    searcher = Searcher(run=in_precision(run, options.precision), options=options, done=done)
    clips = iter(clips)
    captions: list[Caption] = []
    while group := list(islice(clips, _SORTED_BATCHES * searcher.batch_size)):
        captions += _captions(searcher, group)
    run.builder.say_dropped()
    return captions


def _captions(searcher: Searcher, clips: Sequence[ClipLike]) -> list[Caption]:
    run, options = searcher.run, searcher.options
    tags, audio = run.builder.gather([clip.streams for clip in clips])
    likeliest = run.builder.block(tags, audio, None)
    pools = searcher.search(likeliest)
    if options.tag_draws and tags is not None:
        blocks = drawn_blocks(searcher, clips, tags, audio)
        pools = _choose(searcher, likeliest, [pools, *map(searcher.search, blocks)])
    return [
        Caption(
            clip=clip.id,
            tags=tuple(run.builder.tag_names(clip.streams)),
            n_best=tuple(_candidates(run, pool)[: options.n_best]),
        )
        for clip, pool in zip(clips, pools, strict=True)
    ]


def drawn_blocks(
    searcher: Searcher, clips: Sequence[ClipLike], tags: Rows, audio: Rows | None
) -> list[Block]:
    """Prompts of tags drawn as in training, a function of (seed, draw, clip)."""
    keys = clip_keys(clip.id for clip in clips)
    options = searcher.options
    return [
        searcher.run.builder.block(tags, audio, uniforms(options.seed, draw, keys, tags.counts))
        for draw in range(options.tag_draws)
    ]


def _choose(
    searcher: Searcher, likeliest: Block, found: Sequence[Sequence[Sequence[Hypothesis]]]
) -> list[list[Hypothesis]]:
    """Rank the best captions of several prompts.

    Args:
        searcher: knows how to choose.
        likeliest: the clips' prompts of their likeliest tags.
        found: per prompt, then per clip, the hypotheses; the first prompt is the likeliest.

    Returns:
        Per clip its different captions, the chosen one first.
    """
    pools = [[of_prompt[0] for of_prompt in of_clip] for of_clip in zip(*found, strict=True)]
    if searcher.options.choose == LIKELIHOOD:
        return searcher.judge(likeliest, [_distinct(pool) for pool in pools])
    return [_by_agreement(searcher.run, pool) for pool in pools]


def _by_agreement(run: Run, pool: Sequence[Hypothesis]) -> list[Hypothesis]:
    values = expected_agreement([_text(run, item) for item in pool])
    # Among equals the caption of the likeliest tags, which stands first, stays first.
    order = sorted(range(len(pool)), key=lambda i: -values[i])
    return _distinct([pool[i] for i in order])


def _distinct(pool: Sequence[Hypothesis]) -> list[Hypothesis]:
    """The first of each caption, in order."""
    return list({item.tokens: item for item in reversed(pool)}.values())[::-1]


def _candidates(run: Run, pool: Sequence[Hypothesis]) -> list[Candidate]:
    """Texts in order; the best of those that differ in nothing but special tokens."""
    found: dict[str, Candidate] = {}
    for hypothesis in pool:
        candidate = _candidate(run, hypothesis)
        found.setdefault(candidate.text, candidate)
    return list(found.values())


def _candidate(run: Run, hypothesis: Hypothesis) -> Candidate:
    special = set(run.tokenizer.all_special_ids)
    said = [
        (token, logprob)
        for token, logprob in zip(hypothesis.tokens, hypothesis.logprobs, strict=True)
        if token not in special
    ]
    return Candidate(
        text=_text(run, hypothesis),
        logprob=hypothesis.logprob,
        score=hypothesis.score,
        tokens=tuple(run.tokenizer.decode([token]) for token, _ in said),
        token_logprobs=tuple(logprob for _, logprob in said),
    )


def _text(run: Run, hypothesis: Hypothesis) -> str:
    text = run.tokenizer.decode(
        hypothesis.tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    return text.strip()

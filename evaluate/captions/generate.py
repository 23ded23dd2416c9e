"""Captions for clips.

The features come from a shard, from audio just encoded (caption.py), or from anywhere else that
gives clips with an id and streams. Streams become prompts (train/data/inputs.py), prompts become
hypotheses (search.py), hypotheses become captions here.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import islice

from evaluate.captions.beams import Hypothesis
from evaluate.captions.candidate import Caption, ClipLike, candidates_of, distinct, text_of
from evaluate.captions.choosing.by_ear import Ear, rank_by_ear
from evaluate.captions.choosing.consensus import expected_agreement
from evaluate.captions.layers.precision import in_precision
from evaluate.captions.options import CLAP, LIKELIHOOD, DecodingOptions, refuse_by_ear
from evaluate.captions.search import Searcher
from features.common.errors import ConfigError
from train.data.batches import Block, Rows
from train.data.draws import clip_keys, uniforms
from train.run_folder.checkpoint import Run

# So many batches of clips are taken in at a time and sorted by the length of their prompts.
_SORTED_BATCHES = 64


def caption_clips(
    run: Run,
    clips: Iterable[ClipLike],
    options: DecodingOptions | None = None,
    *,
    ear: Ear | None = None,
    done: Callable[[int], object] = lambda prompts: None,
) -> list[Caption]:
    """Caption clips, in their order.

    Args:
        run: a trained run on the device to use (search.open_run). One in float32 is copied where
            the options ask for another precision; open it in that to spare this.
        clips: with an id and the streams that the run reads.
        options: None for the paper's decoding.
        ear: what hears, to choose by "clap"; clips then need the stream of that name.
        done: called with the number of prompts decoded just now, for progress: `options.passes`
            per clip.

    Raises:
        ConfigError: if the model has fewer positions than `max_length`, cannot compute in the
            precision asked for, or there is nothing to choose by ear with.
    """
    options = options or DecodingOptions()
    if ear is None:
        refuse_by_ear(options)
    positions = run.model.config.bart.max_position_embeddings
    if options.max_length > positions:
        raise ConfigError(
            f"max_length is {options.max_length}, but {run.path} has {positions} positions"
        )
    if options.task:
        run = replace(run, task=options.task)
    searcher = Searcher(run=in_precision(run, options.precision), options=options, done=done)
    clips = iter(clips)
    captions: list[Caption] = []
    while group := list(islice(clips, _SORTED_BATCHES * searcher.batch_size)):
        captions += _captions(searcher, group, ear)
    run.builder.say_dropped()
    return captions


def _captions(searcher: Searcher, clips: Sequence[ClipLike], ear: Ear | None) -> list[Caption]:
    run, options = searcher.run, searcher.options
    tags, audio = run.builder.gather([clip.streams for clip in clips])
    likeliest = run.builder.block(tags, audio, None)
    pools = searcher.search(likeliest)
    if options.tag_draws and tags is not None:
        blocks = drawn_blocks(searcher, clips, tags, audio)
        pools = _choose(searcher, likeliest, [pools, *map(searcher.search, blocks)])
    if options.choose == CLAP and ear is not None:
        ranked = rank_by_ear(searcher, clips, likeliest, pools, ear)
    else:
        ranked = [candidates_of(run, pool) for pool in pools]
    return [
        Caption(
            clip=clip.id,
            tags=tuple(run.builder.tag_names(clip.streams)),
            n_best=tuple(candidates[: options.n_best]),
        )
        for clip, candidates in zip(clips, ranked, strict=True)
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
        return searcher.judge(likeliest, [distinct(pool) for pool in pools])
    return [_by_agreement(searcher.run, pool) for pool in pools]


def _by_agreement(run: Run, pool: Sequence[Hypothesis]) -> list[Hypothesis]:
    values = expected_agreement([text_of(run, item) for item in pool])
    # Among equals the caption of the likeliest tags, which stands first, stays first.
    order = sorted(range(len(pool)), key=lambda i: -values[i])
    return distinct([pool[i] for i in order])

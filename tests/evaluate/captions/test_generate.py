"""Captions of a model that memorised its clips."""

from dataclasses import dataclass, replace
from math import exp
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from evaluate.captions import search
from evaluate.captions.generate import caption_clips, drawn_blocks
from evaluate.captions.options import DecodingOptions
from evaluate.captions.search import Searcher
from features.common.errors import ConfigError
from tests.evaluate.conftest import CAPTIONS, TAGS


@dataclass
class Heard:
    """A clip from elsewhere than a shard: all that is needed is an id and streams."""

    id: str
    streams: dict[str, np.ndarray]


def test_captions_come_back_word_for_word_in_the_order_of_the_clips(tiny_run, tiny_clips):
    captions = caption_clips(tiny_run, tiny_clips)
    assert [caption.text for caption in captions] == list(CAPTIONS)
    assert [caption.clip for caption in captions] == tiny_clips.ids


@pytest.mark.parametrize("size", [1, 5, 32])
def test_captions_and_probabilities_do_not_depend_on_the_batch(tiny_run, tiny_clips, size):
    options = DecodingOptions(batch_size=size, n_best=4)
    expected = caption_clips(tiny_run, tiny_clips, DecodingOptions(batch_size=12, n_best=4))
    for one, other in zip(caption_clips(tiny_run, tiny_clips, options), expected, strict=True):
        assert [item.text for item in one.n_best] == [item.text for item in other.n_best]
        assert one.logprob == pytest.approx(other.logprob, abs=1e-4)


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize("precision", ["float32", "bf16", "int8"])
def test_batches_searched_side_by_side_give_each_clip_its_own(
    tiny_run, tiny_clips, precision, monkeypatch
):
    monkeypatch.setattr(search, "LEAST_BATCH", 1)
    options, sizes = DecodingOptions(precision=precision), []
    found = caption_clips(tiny_run, tiny_clips, options, done=sizes.append)
    assert sizes == [3, 3, 3, 3]
    assert [caption.text for caption in found] == list(CAPTIONS)


def test_swapped_streams_give_the_other_clips_captions(tiny_run, tiny_clips):
    clips = [Heard(clip.id, dict(clip.streams)) for clip in tiny_clips]
    swapped = [
        Heard(clip.id, other.streams) for clip, other in zip(clips, reversed(clips), strict=True)
    ]
    found = caption_clips(tiny_run, swapped)
    assert [caption.text for caption in found] == list(reversed(CAPTIONS))
    assert [caption.clip for caption in found] == tiny_clips.ids


def test_tags_are_the_likeliest_of_each_row(tiny_run, tiny_clips):
    names = [name.split(" (")[0].removesuffix(", etc.") for name in TAGS]
    for clip, caption in zip(tiny_clips, caption_clips(tiny_run, tiny_clips), strict=True):
        rows = clip.streams["yamnet"].argmax(1)
        assert list(caption.tags) == [names[row] for row in rows]


def test_n_best_captions_differ_and_fall_in_score(tiny_run, tiny_clips):
    options = DecodingOptions(n_best=3)
    for caption in caption_clips(tiny_run, tiny_clips, options):
        texts = [item.text for item in caption.n_best]
        assert len(set(texts)) == len(texts) <= 3
        scores = [item.score for item in caption.n_best]
        assert scores == sorted(scores, reverse=True)
        assert sum(item.probability for item in caption.n_best) <= 1 + 1e-6


def test_pieces_join_to_the_text_and_bound_its_probability(tiny_run, tiny_clips):
    for caption in caption_clips(tiny_run, tiny_clips):
        best = caption.n_best[0]
        assert "".join(best.tokens) == caption.text
        # EOS, which has a probability too, is no piece of the text.
        assert best.probability <= exp(sum(best.token_logprobs)) + 1e-9
        assert len(best.as_json()["token_probabilities"]) == len(best.tokens)


@pytest.mark.parametrize(("device", "size"), [("cpu", 32), ("cuda", 256)])
def test_as_many_prompts_are_decoded_together_as_suits_the_device(device, size):
    run = SimpleNamespace(model=SimpleNamespace(device=torch.device(device)))
    assert Searcher(run=run, options=DecodingOptions(), done=id).batch_size == size
    assert Searcher(run=run, options=DecodingOptions(batch_size=7), done=id).batch_size == 7


def test_a_gpu_with_too_little_memory_is_said_with_the_option_that_helps(
    tiny_run, tiny_clips, monkeypatch
):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nMore words")

    monkeypatch.setattr(search.BeamSearch, "__call__", full)
    with pytest.raises(ConfigError, match=r"32 prompts together; lower --batch-size \(CUDA out"):
        caption_clips(tiny_run, tiny_clips)


def test_decoding_does_without_cudnns_attention(tiny_run_folder):
    torch.backends.cuda.enable_cudnn_sdp(True)
    search.open_run(tiny_run_folder, "cpu")
    assert not torch.backends.cuda.cudnn_sdp_enabled()


def test_more_tokens_than_the_model_has_positions_is_refused(tiny_run, tiny_clips):
    with pytest.raises(ConfigError, match="has 128 positions"):
        caption_clips(tiny_run, tiny_clips, DecodingOptions(max_length=129))


def test_no_clips_give_no_captions(tiny_run):
    assert caption_clips(tiny_run, []) == []


def test_progress_counts_every_prompt_once(tiny_run, tiny_clips):
    counted: list[int] = []
    options = DecodingOptions(batch_size=5, tag_draws=2)
    caption_clips(tiny_run, tiny_clips, options, done=counted.append)
    assert sum(counted) == 3 * len(CAPTIONS)


def certain(clip, scale=50.0):
    """A clip whose drawn tags are all but surely its likeliest ones."""
    logits = clip.streams["yamnet"]
    sure = np.where(logits == logits.max(1, keepdims=True), scale, -scale).astype(np.float32)
    return Heard(clip.id, {**clip.streams, "yamnet": sure})


@pytest.mark.parametrize("choose", ["consensus", "likelihood"])
def test_drawn_tags_that_are_the_likeliest_change_nothing(tiny_run, tiny_clips, choose):
    clips = [certain(clip) for clip in tiny_clips]
    options = DecodingOptions(tag_draws=3, choose=choose)
    captions = caption_clips(tiny_run, clips, options)
    assert [caption.text for caption in captions] == list(CAPTIONS)


def drawn_prompts(run, clips, seed, draws=3):
    """The drawn prompts' tokens of every clip, by id."""
    searcher = Searcher(run=run, options=DecodingOptions(tag_draws=draws, seed=seed), done=id)
    tags, audio = run.builder.gather([clip.streams for clip in clips])
    prompts = [block.prompts for block in drawn_blocks(searcher, clips, tags, audio)]
    assert len(prompts) == draws
    cut = [np.split(item.tokens, np.cumsum(item.length)[:-1]) for item in prompts]
    return {clip.id: [part[i].tolist() for part in cut] for i, clip in enumerate(clips)}


def test_draws_are_a_function_of_the_seed_and_the_clip_alone(tiny_run, tiny_clips):
    clips = list(tiny_clips)
    whole = drawn_prompts(tiny_run, clips, seed=3)
    assert drawn_prompts(tiny_run, clips[8:4:-1], seed=3) == {
        clip.id: whole[clip.id] for clip in clips[5:9]
    }
    assert drawn_prompts(tiny_run, clips, seed=4) != whole
    assert len({tuple(tokens) for tokens in whole["clip_9"]}) == 3  # eleven rows: no two alike


def test_likelihood_picks_what_the_likeliest_tags_like_best(tiny_run, tiny_clips):
    # The argmax prompt's own best caption cannot lose to captions it finds less likely, and the
    # search's scores are those that judging gives.
    plain = caption_clips(tiny_run, tiny_clips)
    options = DecodingOptions(tag_draws=4, choose="likelihood", n_best=4)
    for one, chosen in zip(plain, caption_clips(tiny_run, tiny_clips, options), strict=True):
        assert chosen.n_best[0].score >= one.n_best[0].score - 1e-5
        scores = [item.score for item in chosen.n_best]
        assert scores == sorted(scores, reverse=True)


def test_judging_a_found_caption_gives_the_scores_of_the_search(tiny_run, tiny_clips):
    clips = list(tiny_clips)
    options = DecodingOptions(batch_size=5)
    searcher = Searcher(run=tiny_run, options=options, done=lambda prompts: None)
    tags, audio = tiny_run.builder.gather([clip.streams for clip in clips])
    block = tiny_run.builder.block(tags, audio, None)
    found = searcher.search(block)
    judged = searcher.judge(block, [list(reversed(pool)) for pool in found])
    for pool, again in zip(found, judged, strict=True):
        # Of one that is cut at its limit, EOS cost the search nothing.
        pool = [item for item in pool if len(item.tokens) < options.max_length - 1]
        again = [item for item in again if len(item.tokens) < options.max_length - 1]
        assert [item.tokens for item in again] == [item.tokens for item in pool]
        for item, other in zip(pool, again, strict=True):
            assert other.logprobs == pytest.approx(item.logprobs, abs=1e-4)
            assert other.score == pytest.approx(item.score, abs=1e-5)


def test_a_run_speaks_as_the_task_that_is_asked_for(tiny_run, tiny_clips):
    inputs = replace(tiny_run.recipe.inputs, tasks=("usual", "other"))
    run = replace(tiny_run, recipe=replace(tiny_run.recipe, inputs=inputs))
    clips = [Heard(clip.id, dict(clip.streams)) for clip in tiny_clips]
    first, usual, other = (
        [caption.logprob for caption in caption_clips(run, clips, DecodingOptions(task=task))]
        for task in ("", "usual", "other")
    )
    assert first == usual and first != other
    with pytest.raises(ConfigError, match=r"--task is 'x'"):
        caption_clips(run, clips, DecodingOptions(task="x"))

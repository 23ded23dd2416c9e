"""Candidates ranked by likelihood and CLAP's cosine: the formula, the pool, independence."""

import copy
from dataclasses import replace

import pytest
import torch

from evaluate.captions import Captioner
from evaluate.captions.beams import Hypothesis
from evaluate.captions.choosing.by_ear import Ear, likelihood
from evaluate.captions.generate import caption_clips
from evaluate.captions.layers import int8
from evaluate.captions.options import DecodingOptions
from evaluate.cli import app
from evaluate.metrics.clap import combined
from features.common.errors import ConfigError
from features.reader import Features
from train.run_folder.checkpoint import load_run

OPTIONS = DecodingOptions(choose="clap", candidates=24, n_best=24, max_length=24)


@pytest.fixture(scope="module")
def heard(heard_features):
    return Features(heard_features, "test")


@pytest.fixture(scope="module")
def ear(clap_folder, heard):
    return Ear.load(clap_folder, heard, "cpu")


@pytest.fixture(scope="module")
def unsure(tiny_run):
    """The run that knows its captions by heart, made so unsure that draws differ."""
    run = replace(tiny_run, model=copy.deepcopy(tiny_run.model))
    last = run.model.bart.model.decoder.layers[-1].final_layer_norm
    with torch.no_grad():
        last.weight.mul_(0.35)
        last.bias.mul_(0.35)
    return run


@pytest.fixture(scope="module")
def found(unsure, heard, ear):
    return caption_clips(unsure, heard, OPTIONS, ear=ear)


def test_likelihood_is_the_mean_log_probability_of_a_token_that_was_not_forced():
    # BOS was forced; three tokens, EOS among them, of -1, -0.5 and -0.3.
    item = Hypothesis(tokens=(0, 7, 8, 2), logprobs=(0.0, -1.0, -0.5, -0.3), score=-0.45)
    assert likelihood(item) == pytest.approx(-0.6)
    # 0.3 x -0.6 + 0.7 x 0.4
    assert combined(-0.6, 0.4, 0.3) == pytest.approx(0.1)


def test_candidates_fall_in_the_combined_number_and_differ_in_text(found):
    for caption in found:
        order = [item.heard.combined for item in caption.n_best]
        assert order == sorted(order, reverse=True)
        for item in caption.n_best:
            assert item.heard.combined == pytest.approx(
                0.3 * item.heard.likelihood + 0.7 * item.heard.cosine
            )
            assert item.heard.likelihood <= 0 and -1 <= item.heard.cosine <= 1
        texts = [item.text for item in caption.n_best]
        assert len(set(texts)) == len(texts) <= 24
    assert max(len(caption.n_best) for caption in found) > 4  # more than the beams


def test_the_searchs_own_captions_are_among_the_candidates(found, unsure, heard):
    searched = caption_clips(unsure, heard, DecodingOptions(n_best=4, max_length=24))
    for caption, before in zip(found, searched, strict=True):
        by_text = {item.text: item for item in caption.n_best}
        for item in before.n_best:
            assert by_text[item.text].logprob >= item.logprob - 1e-4
    assert [one.text for one in found] != [one.text for one in searched]  # it does choose


def test_captions_do_not_depend_on_the_batch_or_the_order_of_the_clips(found, unsure, heard, ear):
    some = [heard[number] for number in (9, 2, 5, 0)]
    again = caption_clips(unsure, some, replace(OPTIONS, batch_size=3), ear=ear)
    before = {caption.clip: caption for caption in found}
    for caption in again:
        expected = before[caption.clip].n_best
        assert [item.text for item in caption.n_best] == [item.text for item in expected]
        for item, other in zip(caption.n_best, expected, strict=True):
            assert item.heard.combined == pytest.approx(other.heard.combined, abs=1e-5)


def test_another_seed_draws_others(found, unsure, heard, ear):
    other = caption_clips(unsure, heard, replace(OPTIONS, seed=1), ear=ear)
    assert [{i.text for i in one.n_best} for one in other] != [
        {i.text for i in one.n_best} for one in found
    ]


@pytest.mark.parametrize(("weight", "key"), [(1.0, "likelihood"), (0.0, "cosine")])
def test_a_weight_of_one_is_likelihood_alone_and_of_none_the_cosine_alone(
    unsure, heard, ear, weight, key
):
    options = replace(OPTIONS, choose_weight=weight)
    for caption in caption_clips(unsure, [heard[1], heard[8]], options, ear=ear):
        values = [getattr(item.heard, key) for item in caption.n_best]
        assert values == sorted(values, reverse=True)


def test_as_many_candidates_as_beams_are_those_of_the_search_alone(unsure, heard, ear):
    options = replace(OPTIONS, candidates=4, n_best=4)
    searched = caption_clips(unsure, heard, DecodingOptions(n_best=4, max_length=24))
    chosen = caption_clips(unsure, heard, options, ear=ear)
    for one, other in zip(chosen, searched, strict=True):
        assert {item.text for item in one.n_best} == {item.text for item in other.n_best}


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_it_works_in_other_precisions(tiny_run, heard, ear, precision):
    if precision == "int8":
        try:
            int8.require_int8(torch.device("cpu"))
        except ConfigError as error:
            pytest.skip(str(error))
    options = replace(OPTIONS, precision=precision, candidates=8, n_best=8, choose_weight=1.0)
    captions = caption_clips(tiny_run, heard, options, ear=ear)
    plain = caption_clips(tiny_run, heard, DecodingOptions(precision=precision, max_length=24))
    # The model is sure of its captions: likelihood alone chooses what the search does.
    assert [one.text for one in captions] == [one.text for one in plain]


def test_progress_counts_two_passes_a_clip(tiny_run, heard, ear):
    counted = []
    options = replace(OPTIONS, candidates=6, n_best=1)
    caption_clips(tiny_run, heard, options, ear=ear, done=counted.append)
    assert sum(counted) == options.passes * len(heard.ids) == 24


def test_where_there_is_no_ear_it_is_refused_before_anything_is_loaded(tiny_run, heard, tmp_path):
    said = "evaluate run RUN FEATURES --choose clap"
    with pytest.raises(ConfigError, match=said):
        caption_clips(tiny_run, heard, OPTIONS)
    with pytest.raises(ConfigError, match=said):
        Captioner(tmp_path / "no run", choose="clap")
    with pytest.raises(ConfigError, match=said):
        app(["caption", "no-run", "no.wav", "--choose", "clap"], standalone_mode=False)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_gpu_hears_what_the_cpu_hears(tiny_run_folder, tiny_run, heard, clap_folder, precision):
    options = replace(OPTIONS, candidates=8, n_best=8, choose_weight=1.0)
    near = caption_clips(tiny_run, heard, options, ear=Ear.load(clap_folder, heard, "cpu"))
    far = caption_clips(
        load_run(tiny_run_folder, "cuda"),
        heard,
        replace(options, precision=precision),
        ear=Ear.load(clap_folder, heard, "cuda"),
    )
    for one, other in zip(near, far, strict=True):
        assert one.text == other.text
        assert one.n_best[0].heard.cosine == pytest.approx(other.n_best[0].heard.cosine, abs=1e-4)

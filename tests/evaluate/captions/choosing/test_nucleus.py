"""Which tokens may be drawn, how often, and that captions are drawn as transformers would."""

import math

import numpy as np
import pytest
import torch
from transformers import (
    MinLengthLogitsProcessor,
    NoRepeatNGramLogitsProcessor,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)
from transformers.modeling_outputs import BaseModelOutput

from evaluate.captions.choosing.nucleus import (
    TEMPERATURE,
    TOP_P,
    draw,
    draw_captions,
    nucleus,
    numbers,
)
from evaluate.captions.options import DecodingOptions
from evaluate.captions.search import sequence_logprobs
from tests.tiny_bart import tiny_bart
from train.data.draws import clip_keys

START, BOS, EOS = 2, 0, 2


def test_the_published_temperature_and_mass():
    assert (TEMPERATURE, TOP_P) == (0.5, 0.95)


def test_the_nucleus_is_the_smallest_set_of_the_likeliest_that_reaches_p():
    # A temperature of 0.5 squares: 0.25, 0.09, 0.0225, 0.0025 of 0.365.
    logits = torch.tensor([[0.15, 0.5, 0.05, 0.3]]).log()
    chances, tokens = nucleus(logits, temperature=0.5, p=0.95)
    kept = dict(zip(tokens[0].tolist(), chances[0].tolist(), strict=True))
    # 0.25 and 0.09 make 0.9315, so the third is needed; the fourth is not.
    assert {token for token, chance in kept.items() if chance > 0} == {1, 3, 0}
    for token, square in ((1, 0.25), (3, 0.09), (0, 0.0225)):
        assert kept[token] == pytest.approx(square / 0.365, rel=1e-5)
    chances, tokens = nucleus(logits, temperature=0.5, p=0.9)
    assert tokens[0, (chances > 0)[0]].tolist() == [1, 3]
    chances, tokens = nucleus(logits, temperature=0.5, p=0.5)
    assert tokens[0, (chances > 0)[0]].tolist() == [1]


@pytest.mark.parametrize(("temperature", "p"), [(0.5, 0.95), (1.0, 0.6), (2.0, 0.99)])
def test_nuclei_are_those_of_transformers(temperature, p):
    torch.manual_seed(0)
    logits = 3 * torch.randn(40, 500, dtype=torch.float64)
    theirs = TopPLogitsWarper(p)(None, TemperatureLogitsWarper(temperature)(None, logits))
    chances, tokens = nucleus(logits, temperature=temperature, p=p)
    ours = torch.zeros_like(logits).scatter(1, tokens, chances / chances.sum(1, keepdim=True))
    torch.testing.assert_close(ours, theirs.softmax(dim=-1), rtol=0, atol=1e-12)


def test_tokens_come_as_often_as_their_chances_say():
    shares = np.array([0.25, 0.09, 0.0225]) / 0.3625
    logits = torch.tensor([0.15, 0.5, 0.05, 0.3]).log().expand(20_000, -1)
    [key] = clip_keys(["a clip"])
    uniform = torch.from_numpy(numbers(0, key, 2_000, 10).reshape(-1))
    drawn = draw(*nucleus(logits, temperature=0.5, p=0.95), uniform).numpy()
    counts = np.array([(drawn == token).sum() for token in (1, 3, 0)])
    assert counts.sum() == 20_000  # never the token outside
    expected = 20_000 * shares
    # 13.816: what chi-square of two degrees of freedom exceeds once in a thousand times.
    assert ((counts - expected) ** 2 / expected).sum() < 13.816


def test_the_smallest_number_draws_the_likeliest_and_the_largest_the_last_of_the_nucleus():
    logits = torch.tensor([[0.15, 0.5, 0.05, 0.3]]).log().expand(2, -1)
    chances = nucleus(logits, temperature=0.5, p=0.95)
    uniform = torch.tensor([2.0**-54, 1 - 2.0**-54], dtype=torch.float64)
    assert draw(*chances, uniform).tolist() == [1, 0]


def test_numbers_are_a_function_of_seed_clip_and_draw():
    first, second = clip_keys(["one", "two"])
    some = numbers(3, first, 8, 20)
    np.testing.assert_array_equal(numbers(3, first, 5, 20), some[:5])
    np.testing.assert_array_equal(numbers(3, first, 8, 11), some[:, :11])
    for other in (numbers(3, second, 8, 20), numbers(4, first, 8, 20)):
        assert not np.intersect1d(other, some).size
    assert len(np.unique(some)) == some.size


@pytest.fixture(scope="module")
def bart():
    """Random and small, in double precision so that rounding decides no draw."""
    return tiny_bart(vocab_size=40, init_std=0.3).double()


@torch.inference_mode()
def as_transformers_would(bart, states, mask, options, uniform):
    """One caption, token by token, from whole forward passes and transformers' processors."""
    steps = [MinLengthLogitsProcessor(options.min_length, EOS)] if options.min_length else []
    if options.no_repeat_ngram:
        steps.append(NoRepeatNGramLogitsProcessor(options.no_repeat_ngram))
    steps += [TemperatureLogitsWarper(0.5), TopPLogitsWarper(0.95)]
    ids = [START, BOS]
    while len(ids) < options.max_length - 1 and not (len(ids) > 2 and ids[-1] == EOS):
        scores = bart(
            encoder_outputs=BaseModelOutput(last_hidden_state=states),
            attention_mask=mask,
            decoder_input_ids=torch.tensor([ids]),
        ).logits[:, -1]
        for step in steps:
            scores = step(torch.tensor([ids]), scores)
        chances = scores[0].softmax(dim=0).numpy()
        order = np.argsort(-chances, kind="stable")
        mass = chances[order].cumsum()
        ids.append(int(order[np.searchsorted(mass, uniform[len(ids)] * mass[-1])]))
    return ids[1:] if len(ids) > 2 and ids[-1] == EOS else [*ids[1:], EOS]


@pytest.mark.parametrize(
    "options",
    [
        DecodingOptions(max_length=14),
        DecodingOptions(max_length=14, min_length=8),
        DecodingOptions(max_length=20, no_repeat_ngram=2),
    ],
    ids=["plain", "minimum length", "no bigram twice"],
)
def test_drawn_captions_are_those_of_transformers_by_the_same_numbers(bart, options):
    torch.manual_seed(1)
    states = torch.randn(1, 6, 32, dtype=torch.float64)
    mask = torch.ones(1, 6, dtype=torch.int64)
    [key] = clip_keys(["a clip"])
    uniform = numbers(5, key, 12, options.max_length)
    found = draw_captions(bart, states, mask, options, uniform)
    expected = [as_transformers_would(bart, states, mask, options, row) for row in uniform]
    assert [list(item.tokens) for item in found] == expected
    assert len({item.tokens for item in found}) > 6
    # Their probabilities are the model's own, of before the temperature.
    judged = sequence_logprobs(bart, states.expand(12, -1, -1), mask.expand(12, -1), expected)
    for item, logprobs in zip(found, judged, strict=True):
        forced = len(item.tokens) == options.max_length - 1
        assert item.logprobs[: -1 if forced else None] == pytest.approx(
            logprobs[: -1 if forced else None]
        )
        assert item.score == pytest.approx(item.logprob / len(item.tokens))
        assert math.isfinite(item.score)


def test_no_draws_are_no_captions(bart):
    states = torch.zeros(1, 6, 32, dtype=torch.float64)
    mask = torch.ones(1, 6, dtype=torch.int64)
    assert draw_captions(bart, states, mask, DecodingOptions(), np.zeros((0, 64))) == []

"""What bf16 and int8 do to weights, products and captions."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers.models.bart.modeling_bart import BartScaledWordEmbedding

from evaluate.captions.generate import caption_clips
from evaluate.captions.layers import int8
from evaluate.captions.layers.int8 import Bf16Embedding, Int8Linear, require_int8
from evaluate.captions.layers.output_layer import likeliest_tokens, logits_in_parts
from evaluate.captions.layers.precision import bf16_head, in_precision, precision_of
from evaluate.captions.options import DecodingOptions
from evaluate.captions.search import open_run
from features.common.errors import ConfigError
from tests.evaluate.conftest import CAPTIONS

CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def arithmetic_is_there():
    try:
        require_int8(CPU)
    except ConfigError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("bias", [True, False])
def test_an_int8_layer_is_the_sum_of_rounded_products(bias):
    rng = np.random.default_rng(0)
    weight, rows = rng.normal(size=(7, 33)), rng.normal(size=(2, 5, 33))
    added = rng.normal(size=7) if bias else None
    layer = Int8Linear(
        torch.tensor(weight, dtype=torch.float32),
        None if added is None else torch.tensor(added, dtype=torch.float32),
    )

    def rounded(values):
        step = np.abs(values).max(-1, keepdims=True) / 127
        return np.round(values / step) * step

    expected = rounded(rows) @ rounded(weight).T + (0 if added is None else added)
    found = layer(torch.tensor(rows, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_a_row_of_an_int8_layer_is_the_same_alone_and_among_larger_ones():
    torch.manual_seed(0)
    # More rows than go through it at a time.
    layer, rows = Int8Linear(torch.randn(40, 24), torch.randn(40)), torch.randn(300, 24)
    together = layer(torch.cat([rows, 100 * rows]))[:300]
    assert torch.equal(together, torch.cat([layer(row[None]) for row in rows]))


def test_a_row_of_zeros_gives_the_bias():
    layer = Int8Linear(torch.ones(3, 4), torch.tensor([1.0, 2.0, 3.0]))
    assert layer(torch.zeros(1, 4)).tolist() == [[1.0, 2.0, 3.0]]


def test_embeddings_in_bf16_are_within_half_a_step_of_their_own_scaled_as_barts():
    torch.manual_seed(0)
    embedding = BartScaledWordEmbedding(11, 16, 1, embed_scale=4.0)
    tokens = torch.tensor([[3, 1], [10, 3]])
    expected = embedding(tokens)
    # 8 bits of a significand between 1 and 2, the first of them always 1.
    assert ((Bf16Embedding(embedding)(tokens) - expected).abs() <= expected.abs() * 2**-8).all()


@pytest.mark.parametrize("count", [8, None])
def test_the_likeliest_tokens_in_int8_have_the_logits_of_weights_in_bf16(tiny_run, count):
    torch.manual_seed(0)
    run = replace(tiny_run, model=copy.deepcopy(tiny_run.model))
    bart = run.model.bart
    bart.final_logits_bias.normal_()
    hidden = torch.randn(3, 2, bart.config.d_model)
    with torch.inference_mode():
        weight = bart.lm_head.weight.bfloat16().double()
        logits = hidden.double() @ weight.T + bart.final_logits_bias.double()
        own = in_precision(run, "int8").model.bart
        found, tokens = likeliest_tokens(own, hidden, count or logits.shape[-1])
    expected = logits.gather(-1, tokens)
    differences = (found - found[..., :1]).double()
    torch.testing.assert_close(differences, expected - expected[..., :1], rtol=0, atol=1e-4)
    assert (found.diff() <= 0).all()
    # What all others add to the sum is of rounded weights, unless there are no others.
    expected -= logits.logsumexp(-1, keepdim=True)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=0.02 if count else 1e-4)


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_a_run_opened_narrow_finds_the_captions_that_its_model_is_sure_of(
    tiny_run_folder, tiny_run, tiny_clips, precision
):
    run = open_run(tiny_run_folder, "cpu", precision)
    assert precision_of(run.model) == precision and precision_of(tiny_run.model) == "float32"
    options = DecodingOptions(precision=precision, n_best=4)
    found = caption_clips(run, tiny_clips, options)
    assert [caption.text for caption in found] == list(CAPTIONS)
    # A run in float32 is copied and says the same.
    assert caption_clips(tiny_run, tiny_clips, options) == found
    assert precision_of(tiny_run.model) == "float32"
    # Rounded it is: the probabilities are not those of float32.
    exact = caption_clips(tiny_run, tiny_clips, DecodingOptions(n_best=4))
    assert [caption.logprob for caption in exact] != [caption.logprob for caption in found]


def test_int8_captions_and_probabilities_do_not_depend_on_the_batch(tiny_run_folder, tiny_clips):
    run = open_run(tiny_run_folder, "cpu", "int8")
    ways = [
        caption_clips(run, tiny_clips, DecodingOptions(precision="int8", batch_size=size))
        for size in (1, 5, 12)
    ]
    for found in ways[1:]:
        assert [item.text for item in found] == [item.text for item in ways[0]]
        logprobs = [item.logprob for item in ways[0]]
        assert [item.logprob for item in found] == pytest.approx(logprobs, abs=0.02)


@pytest.mark.parametrize("precision", ["float32", "bf16", "int8"])
def test_logits_are_float32_and_near_those_of_the_output_layer(tiny_run, precision):
    torch.manual_seed(0)
    bart = tiny_run.model.bart
    hidden = torch.randn(3, 2, bart.config.d_model)
    with torch.inference_mode():
        expected = bart.lm_head(hidden) + bart.final_logits_bias
        own = in_precision(tiny_run, precision).model.bart
        found = torch.cat([*logits_in_parts(own, hidden)], dim=-1)
    assert found.dtype == torch.float32
    error = (found - expected).norm() / expected.norm()
    assert error < {"float32": 1e-6, "bf16": 1e-3, "int8": 0.03}[precision]


def test_the_rows_that_fill_up_a_gpus_output_layer_are_no_tokens(tiny_run):
    torch.manual_seed(0)
    bart = copy.deepcopy(tiny_run.model.bart)
    tokens = bart.config.vocab_size
    assert tokens % 64
    hidden = torch.randn(3, 2, bart.config.d_model)
    with torch.inference_mode():
        expected = (bart.lm_head(hidden) + bart.final_logits_bias).softmax(-1)
        bf16_head(bart)
        found = torch.cat([*logits_in_parts(bart, hidden)], dim=-1).float().softmax(-1)
        _, every = likeliest_tokens(bart, hidden, found.shape[-1])
    assert every.max() < tokens  # asked for more than there are
    assert found.shape[-1] % 64 == 0 and not found[..., tokens:].any()
    torch.testing.assert_close(found[..., :tokens], expected, rtol=0.05, atol=1e-4)


def test_a_narrow_run_takes_less_than_half_of_the_memory(tiny_run):
    def bytes_of(model):
        return sum(
            value.nbytes
            for module in model.modules()
            for value in {**module._parameters, **vars(module)}.values()
            if isinstance(value, torch.Tensor)
        )

    narrow = in_precision(tiny_run, "int8").model
    layers = [module for module in narrow.modules() if isinstance(module, Int8Linear)]
    assert layers and not [
        weight
        for name, weight in narrow.named_parameters()
        if weight.ndim > 1 and "dense" not in name and "embed_positions" not in name
    ]
    # The two matrices that stay are small in a large model, not in this one.
    kept = sum(w.nbytes for n, w in narrow.named_parameters() if "dense" in n or "positions" in n)
    assert bytes_of(narrow) - kept < 0.5 * (bytes_of(tiny_run.model) - kept)


def test_a_narrow_run_does_not_decode_in_another_precision(tiny_run_folder, tiny_clips):
    run = open_run(tiny_run_folder, "cpu", "bf16")
    with pytest.raises(ConfigError, match=r"was opened in bf16 and cannot decode in float32"):
        caption_clips(run, tiny_clips)


def test_where_there_is_no_int8_one_line_says_what_to_use(monkeypatch):
    with pytest.raises(ConfigError, match="int8 is for a CPU; on cuda use bf16"):
        require_int8(torch.device("cuda"))
    real = int8._product
    # A CPU whose sums saturate.
    monkeypatch.setattr(int8, "_product", lambda *args: real(*args).clamp(max=32767))
    with pytest.raises(ConfigError, match="use bf16 or float32 here"):
        require_int8(CPU)

"""Layers in fewer operations are transformers' own; joined weights are views of one."""

import pytest
import torch

from evaluate.captions.layers.encoder import encode
from evaluate.captions.layers.int8 import Int8Linear, int8_joined
from evaluate.captions.layers.joined import Bf16Linear, join, projected
from evaluate.captions.layers.output_layer import likeliest_tokens
from tests.tiny_bart import tiny_bart
from train.model.tagbart import TagBart, TagBartConfig


@pytest.fixture
def bart():
    bart = tiny_bart(vocab_size=768, encoder_layers=2, tie_word_embeddings=False)
    for parameter in bart.parameters():  # biases and norms that matter, too
        torch.nn.init.normal_(parameter, std=0.3)
    return bart


def attention_of(bart):
    return bart.model.encoder.layers[0].self_attn


@pytest.mark.parametrize("joined", [True, False])
def test_the_encoder_is_transformers(bart, joined):
    embeds = torch.randn(70, 5, 32)  # more rows than go through a layer at a time
    mask = (torch.arange(5) < torch.randint(1, 6, (70, 1))).long()
    with torch.inference_mode():
        expected = bart.model.encoder(inputs_embeds=embeds, attention_mask=mask).last_hidden_state
    if joined:
        for layer in bart.model.encoder.layers:
            join(layer.self_attn, of_itself=True)
    found = encode(bart, embeds, mask)
    torch.testing.assert_close(found[mask.bool()], expected[mask.bool()], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("of_itself", [True, False])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_joined_projections_are_one_product_of_the_same_numbers(bart, kind, of_itself, monkeypatch):
    attention, rows = attention_of(bart), torch.randn(3, 4, 32)
    names = ["q_proj", "k_proj", "v_proj"][not of_itself :]
    if kind == torch.bfloat16:
        for name in names:
            setattr(attention, name, Bf16Linear(getattr(attention, name)))
    before = {name: getattr(attention, name).weight.clone() for name in names}
    expected = [getattr(attention, name)(rows) for name in names]
    join(attention, of_itself=of_itself)
    assert all(torch.equal(getattr(attention, name).weight, before[name]) for name in names)
    products, real = [], torch.nn.functional.linear
    monkeypatch.setattr(
        torch.nn.functional, "linear", lambda *args: products.append(1) or real(*args)
    )
    found = projected(attention, rows, of_itself=of_itself)
    assert len(products) == 1 and found.dtype == kind
    for one, own in zip(found.transpose(2, 3).flatten(3), expected, strict=True):
        torch.testing.assert_close(one, own)


def test_weights_that_moved_apart_since_are_not_taken_for_joined(bart):
    attention, rows = attention_of(bart), torch.randn(1, 2, 32)
    join(attention, of_itself=True)
    attention.k_proj.weight = torch.nn.Parameter(torch.randn(32, 32))
    expected = attention.k_proj(rows)
    found = projected(attention, rows, of_itself=True)[1].transpose(1, 2).flatten(2)
    torch.testing.assert_close(found, expected)


def test_int8_layers_of_one_input_give_together_what_each_gives_alone():
    torch.manual_seed(0)
    layers = [torch.nn.Linear(24, 16) for _ in range(3)]
    rows = torch.randn(5, 24)
    for part, layer in zip(int8_joined(layers), layers, strict=True):
        assert torch.equal(part(rows), Int8Linear(layer.weight, layer.bias)(rows))


@pytest.mark.parametrize("count", [1, 9, 400])
def test_the_likeliest_tokens_are_those_of_all(bart, count, monkeypatch):
    """Whole groups and a rest, parts of the vocabulary and one part."""
    model = TagBart(TagBartConfig(bart=bart.config, tags=True)).eval()
    model.bart.lm_head, hidden = bart.lm_head, torch.randn(3, 2, 32)
    model.bart.final_logits_bias = torch.randn(1, 768)
    with torch.inference_mode():
        every = (model.bart.lm_head(hidden) + model.bart.final_logits_bias).log_softmax(-1)
    for size in (512, 640, 700, 768):
        monkeypatch.setattr("evaluate.captions.layers.output_layer._CPU_TOKENS", size)
        found, tokens = likeliest_tokens(model.bart, hidden, count)
        torch.testing.assert_close(found, every.topk(count).values)
        torch.testing.assert_close(every.gather(-1, tokens), found)

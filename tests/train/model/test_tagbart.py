"""The encoder's input, the loss and the parameter counts, worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.train.toy import CLASSES, PANNS_WIDTH, VGGISH_WIDTH, stream_specs
from train.data.inputs import InputBuilder
from train.data.prompts import clean_name
from train.model.pretrained import meta_model
from train.model.tagbart import TagBart, TagBartConfig, trainable_parameters
from train.recipes.config import BartShape, InputsConfig
from train.recipes.files import load_recipe


def logits_for(*tags: str) -> np.ndarray:
    """Rows whose likeliest tags are the given ones."""
    rows = np.full((len(tags), len(CLASSES)), -8.0, np.float16)
    for row, tag in enumerate(tags):
        rows[row, CLASSES.index(tag)] = 2.0
    return rows


def encoder_sum(model: TagBart, batch) -> torch.Tensor:
    """What the encoder's first layer norm reads: the input with its positions."""
    seen = []
    norm = model.bart.model.encoder.layernorm_embedding
    handle = norm.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    embeds, mask = model.encoder_inputs(batch)
    model.bart.model.encoder(inputs_embeds=embeds, attention_mask=mask)
    handle.remove()
    return seen[0]


# Counted by hand from bart-large's 406,291,456 and bart-base's 139,420,416 (paper.md), the dense
# layer (width + 1) x d_model, and 1,024 for the entry that -cnn's and -xsum's vocabularies lack.
TRAINABLE = {
    "panns": 406_291_456 + 2049 * 1024,
    "vggish": 406_291_456 + 129 * 1024,
    "yamnet": 406_291_456,
    "yamnet-vggish": 406_291_456 + 129 * 1024,
    "yamnet-panns": 408_389_632,
    "yamnet-panns-scratch": 408_389_632,
    "yamnet-panns-frozen-decoder": 257_284_096,
    "yamnet-panns-xsum": 408_389_632 - 1024,
    "yamnet-panns-cnn": 408_389_632 - 1024,
    "yamnet-panns-cnn-frozen-decoder": 257_284_096 - 1024,
    "yamnet-panns-base": 140_994_048,
}
# Issue 18's, counted in the same way: CLAP's audio vectors have 512 columns, ConvNeXt's 768.
MORE_EARS = {
    "yamnet-panns-clap": 408_389_632 + 513 * 1024,
    "yamnet-convnext": 406_291_456 + 769 * 1024,
    "pannstags-panns": 408_389_632,
}


@pytest.mark.parametrize(("name", "count"), (TRAINABLE | MORE_EARS).items())
def test_each_of_the_models_has_its_number_of_trainable_parameters(name, count):
    assert trainable_parameters(meta_model(load_recipe(name))) == count


def test_a_frozen_decoder_keeps_cross_attention_and_layer_norms_free():
    model = meta_model(load_recipe("yamnet-panns-frozen-decoder"))
    layer = model.bart.model.decoder.layers[0]
    assert layer.encoder_attn.k_proj.weight.requires_grad
    assert layer.self_attn_layer_norm.weight.requires_grad
    assert not layer.self_attn.k_proj.weight.requires_grad
    assert not layer.fc1.weight.requires_grad


def test_the_encoder_input_of_one_clip_equals_the_one_built_by_hand(make_toy):
    toy = make_toy(bart__scale_embedding=True)
    model, tokenizer = toy.model, toy.tokenizer
    names = ["Rain", "Dog", "Bee, wasp, etc."] + ["Dog"] * 8  # 11 rows: two windows of PANNs
    audio = np.random.default_rng(0).normal(size=(2, PANNS_WIDTH)).astype(np.float16)
    batch = toy.builder.batch([{"yamnet": logits_for(*names), "panns": audio}])

    # The prompt, its tokens one by one, and the audio window behind each (None: zero audio).
    pieces = [("<s>", None)]
    for row, name in enumerate(names):
        text = clean_name(name) if row == 0 else f" {clean_name(name)}"
        for token in tokenizer.tokenize(text):
            pieces.append((token, audio[min(row // 10, 1)]))
        pieces.append((".", None))
    pieces.append(("</s>", None))

    shared = model.bart.model.shared.weight
    positions = model.bart.model.encoder.embed_positions.weight
    weight, bias = model.dense.weight, model.dense.bias
    rows = []
    for place, (token, vector) in enumerate(pieces):
        zero = torch.zeros(PANNS_WIDTH)
        heard = zero if vector is None else torch.from_numpy(vector).float()
        word = shared[tokenizer.convert_tokens_to_ids(token)] * 32**0.5  # d_model is 32
        # BART's table of positions begins with two rows that stand for none.
        rows.append(word + weight @ heard + bias + positions[place + 2])
    expected = torch.stack(rows)

    torch.testing.assert_close(encoder_sum(model, batch)[0], expected, rtol=1e-5, atol=1e-5)
    assert batch.attention_mask.tolist() == [[1] * len(pieces)]


def test_several_audio_streams_are_summed_each_through_a_layer_of_its_own(toy_tokenizer, make_toy):
    # A fast stream, three rows a tag; a slow one, a row for ten tags; one as fast as the tags.
    streams = {spec.name: spec for spec in stream_specs()}
    streams["quick"] = replace(streams["panns"], name="quick", hop_s=0.32, width=2)
    inputs = InputsConfig(audio=("quick", "panns", "vggish"), max_prompt_tokens=1000)
    builder = InputBuilder.create(inputs, streams, toy_tokenizer)
    torch.manual_seed(0)
    widths = (2, PANNS_WIDTH, VGGISH_WIDTH)
    model = TagBart(TagBartConfig(bart=make_toy().model.config.bart, audio_width=widths))
    rng = np.random.default_rng(0)
    clip = {"yamnet": logits_for(*["Dog", "Rain"] * 6),
            "quick": rng.normal(size=(34, 2)).astype(np.float16),
            "panns": rng.normal(size=(2, PANNS_WIDTH)).astype(np.float16),
            "vggish": rng.normal(size=(11, VGGISH_WIDTH)).astype(np.float16)}  # fmt: skip
    batch = builder.batch([clip])
    embeds, _ = model.encoder_inputs(batch)

    # 12 rows of tags, 34 / 3 = 12 of the fast stream, 11 of VGGish: the shortest wins.
    names = ["Dog", "Rain"] * 6
    state = {name: weight.detach().double() for name, weight in model.named_parameters()}
    words = state["bart.model.shared.weight"]

    def spoken(text: str) -> list[torch.Tensor]:
        ids = toy_tokenizer(text, add_special_tokens=False)["input_ids"]
        return [words[token] for token in ids]

    silent = sum(state[f"dense.{i}.bias"] for i in range(3))
    expected = [words[0] + silent]
    for row, name in enumerate(names[:11]):
        fast = torch.from_numpy(clip["quick"][3 * row : 3 * row + 3]).double().mean(dim=0)
        slow = torch.from_numpy(clip["panns"][row // 10]).double()
        same = torch.from_numpy(clip["vggish"][row]).double()
        heard = silent + sum(
            state[f"dense.{i}.weight"] @ vector for i, vector in enumerate((fast, slow, same))
        )
        expected += [word + heard for word in spoken(name if row == 0 else f" {name}")]
        expected += [word + silent for word in spoken(".")]
    expected.append(words[2] + silent)
    torch.testing.assert_close(embeds[0].double(), torch.stack(expected), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("audio", "width", "deviation"), [("panns", 2048, 0.0128), ("vggish", 128, 0.0510)]
)
def test_the_dense_layer_starts_as_nn_linear_does(make_toy, audio, width, deviation):
    # nn.Linear's own start: uniform within ±1/sqrt(width), so a deviation of that by sqrt(3).
    config = TagBartConfig(bart=make_toy().model.config.bart, audio_width=width)
    torch.manual_seed(0)
    dense = TagBart(config).dense
    own = nn.Linear(width, 32)
    for ours, theirs in ((dense.weight, own.weight), (dense.bias, own.bias)):
        sizes, expected = ours.detach().abs(), theirs.detach().abs()
        assert sizes.max() <= width**-0.5
        assert sizes.mean().item() == pytest.approx(expected.mean().item(), rel=0.4)
    assert dense.weight.detach().std().item() == pytest.approx(deviation, rel=0.02)


def test_without_scaling_the_token_embedding_enters_as_it_is(make_toy):
    toy = make_toy(inputs__audio='""')
    batch = toy.builder.batch([{"yamnet": logits_for("Dog")}])
    assert toy.model.dense is None and batch.audio is None
    embeds, _ = toy.model.encoder_inputs(batch)
    ids = toy.tokenizer("Dog.")["input_ids"]
    torch.testing.assert_close(embeds[0], toy.model.bart.model.shared.weight[ids])


def test_audio_alone_feeds_the_projected_rows_and_no_tokens(make_toy):
    toy = make_toy(inputs__tags='""', inputs__audio="vggish")
    rng = np.random.default_rng(0)
    long, short = rng.normal(size=(3, 4)).astype(np.float16), np.ones((1, 4), np.float16)
    batch = toy.builder.batch([{"vggish": long}, {"vggish": short}])
    embeds, mask = toy.model.encoder_inputs(batch)
    assert batch.input_ids is None
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    expected = toy.model.dense(torch.from_numpy(long).float())
    torch.testing.assert_close(embeds[0], expected)


def test_padding_changes_neither_encoder_nor_loss_of_a_sample(make_toy, toy_data):
    toy = make_toy()
    piece = next(iter(toy.loader(toy_data, batch_size=9).epoch(0, 0)))
    alone = toy.loader(toy_data, batch_size=1)
    wanted = set(piece.samples.tolist())
    with torch.inference_mode():
        together = toy.model(piece.batch).item()
        one_by_one = sum(
            toy.model(single.batch).item()
            for single in alone.epoch(0, 0)
            if single.samples[0] in wanted
        )
    assert together == pytest.approx(one_by_one, rel=1e-5)


def loss_by_hand(model: TagBart, batch, captions: list[list[int]], pad_to: int) -> float:
    """Sum over captions and tokens of -log softmax, the decoder one step behind.

    transformers' own mask of padding, two-dimensional, is the published code's: the tokenizer's.
    """
    embeds, mask = model.encoder_inputs(batch)
    total = 0.0
    for row, tokens in enumerate(captions):
        padded = tokens + [1] * (pad_to - len(tokens))
        read = torch.tensor([[2, *padded[:-1]]])
        length = int(mask[row].sum())
        logits = model.bart(
            inputs_embeds=embeds[row : row + 1, :length],
            decoder_input_ids=read,
            decoder_attention_mask=torch.tensor([[1] * len(tokens) + [0] * (pad_to - len(tokens))]),
        ).logits[0]
        for place, token in enumerate(padded):
            scores = logits[place].double()
            total -= (scores[token] - torch.logsumexp(scores, 0)).item()
    return total


@pytest.mark.parametrize("on_padding", [False, True])
def test_the_loss_equals_the_one_worked_out_by_hand(make_toy, toy_data, on_padding):
    pad_to = 20 if on_padding else 0
    toy = make_toy(bart__init_std=0.3)  # so that it matters where attention goes
    loader = toy.loader(toy_data, batch_size=3, pad_labels_to=pad_to, bucket_batches=1)
    piece = next(iter(loader.epoch(0, 0)))
    starts, lengths = toy_data.captions.start, toy_data.captions.length
    captions = [
        toy_data.captions.tokens[starts[s] : starts[s] + lengths[s]].tolist() for s in piece.samples
    ]
    assert len(set(map(len, captions))) > 1, "the test needs captions of different lengths"
    with torch.inference_mode():
        expected = loss_by_hand(toy.model, piece.batch, captions, pad_to)
        found = toy.model(piece.batch, on_padding=on_padding).item()
        causal = toy.model(piece.batch).item()
    assert found == pytest.approx(expected, rel=1e-5)
    assert (causal != pytest.approx(expected, rel=1e-5)) == on_padding
    assert piece.labels == (3 * 20 if on_padding else sum(map(len, captions)))


def test_label_smoothing_mixes_in_the_mean_over_all_tokens(make_toy, toy_data):
    toy = make_toy()
    batch = next(iter(toy.loader(toy_data).epoch(0, 0))).batch
    with torch.inference_mode():
        embeds, mask = toy.model.encoder_inputs(batch)
        logits = toy.model.bart(
            inputs_embeds=embeds, attention_mask=mask, decoder_input_ids=batch.decoder_ids
        ).logits
        log_softmax = logits.double().log_softmax(-1)[batch.labels >= 0]
        plain, uniform = toy.model(batch).item(), -log_softmax.mean(-1).sum().item()
        smoothed = toy.model(batch, 0.1).item()
    assert smoothed == pytest.approx(0.9 * plain + 0.1 * uniform, rel=1e-5)


def test_gradients_of_embeddings_looked_up_apart_are_the_same(make_toy, toy_data, monkeypatch):
    toy = make_toy(bart__dropout=0.0, bart__attention_dropout=0.0, bart__scale_embedding=True)
    batch = next(iter(toy.loader(toy_data).epoch(0, 0))).batch
    padding = toy.model.config.bart.pad_token_id
    assert (batch.input_ids == padding).any()
    assert len(batch.input_ids.unique()) < batch.input_ids.numel()
    found = []
    for apart in (False, True):
        toy.model.looks_up_apart = apart
        toy.model.zero_grad()
        toy.model(batch, 0.1).backward()
        found.append(toy.model.bart.get_input_embeddings().weight.grad.clone())
    torch.testing.assert_close(found[1], found[0], rtol=1e-5, atol=1e-6)
    # Padding learns from the output layer alone.
    assert found[1][padding].equal(found[0][padding])
    # Many are not: each would be compared with each.
    monkeypatch.setattr(
        "train.model.tagbart.APART", batch.input_ids.numel() + batch.decoder_ids.numel() - 1
    )
    monkeypatch.setattr("train.model.tagbart.looked_up_apart", None)
    toy.model(batch).backward()


def test_a_model_saved_and_loaded_is_equal_and_stores_tied_weights_once(make_toy, tmp_path):
    from safetensors import safe_open

    model = make_toy().model
    model.save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        names = set(file.keys())
    assert "bart.model.shared.weight" in names
    assert not names & {"bart.lm_head.weight", "bart.model.encoder.embed_tokens.weight"}
    loaded = TagBart.from_pretrained(tmp_path)
    for name, value in model.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name]), name
    assert loaded.bart.lm_head.weight is loaded.bart.model.shared.weight


def test_every_bart_setting_of_a_recipe_reaches_the_model():
    from train.model.pretrained import bart_config

    shape = BartShape(d_model=48, encoder_attention_heads=4, decoder_attention_heads=3,
                      attention_dropout=0.25, init_std=0.5)  # fmt: skip
    config = bart_config(shape, 77)
    for name, value in vars(shape).items():
        assert getattr(config, name) == (77 if name == "vocab_size" else value), name

"""Where weights and tokenizers come from, and what is said when they cannot be had."""

import json
import shutil
from types import SimpleNamespace

import pytest
import torch
from transformers import BartConfig, BartForConditionalGeneration

from features.common.errors import ConfigError
from train.model.config_file import read_tagbart_config
from train.model.hub import model_folder
from train.model.pretrained import build_model, load_tokenizer
from train.recipes.config import BartShape, ModelConfig, Recipe

TINY = {
    "vocab_size": 300,
    "max_position_embeddings": 130,
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
}


@pytest.fixture(scope="module")
def half_precision_bart(tmp_path_factory):
    """A folder with a small BART saved in float16, as bart-large's is."""
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("bart")
    BartForConditionalGeneration(BartConfig(**TINY, dropout=0.3)).half().save_pretrained(folder)
    return folder


def recipe_for(folder, **shape) -> Recipe:
    model = ModelConfig(pretrained=str(folder))
    return Recipe(model=model, bart=BartShape(**{**TINY, **shape}))


def test_half_precision_weights_are_loaded_in_float32_and_equal(half_precision_bart):
    model = build_model(recipe_for(half_precision_bart), vocab=300, audio_width=4)
    wanted = BartForConditionalGeneration.from_pretrained(half_precision_bart).state_dict()
    for name, value in model.bart.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, wanted[name].float()), name
    assert model.bart.lm_head.weight is model.bart.model.shared.weight


def test_dropouts_are_the_recipes_not_the_checkpoints(half_precision_bart):
    recipe = recipe_for(half_precision_bart, dropout=0.05, activation_dropout=0.02)
    model = build_model(recipe, vocab=300, audio_width=0)
    assert model.bart.model.encoder.dropout == 0.05
    assert model.bart.model.decoder.layers[0].activation_dropout == 0.02


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
def test_a_checkpoints_own_decoding_is_noted_in_the_runs_config(
    half_precision_bart, tmp_path, name
):
    folder, run = tmp_path / "bart", tmp_path / "run"
    shutil.copytree(half_precision_bart, folder)
    says = {"max_length": 142, "min_length": 56, "length_penalty": 2.0, "num_beams": 6,
            "no_repeat_ngram_size": 2, "early_stopping": True}  # fmt: skip
    (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | says))
    model = build_model(recipe_for(folder), vocab=300, audio_width=4)
    model.config.save_pretrained(run)
    # Beams and shortest length are the published code's own.
    own = {key: value for key, value in says.items() if key not in ("min_length", "num_beams")}
    assert read_tagbart_config(run).decoding == own


@pytest.mark.parametrize(
    ("says", "refused"),
    [
        ('"max_length": "142"', "max_length is '142', expected a whole number"),
        ('"max_length": -1', "max_length is -1, expected a whole number of 0 or more"),
        ('"length_penalty": NaN', "length_penalty is nan, expected a number"),
        ('"early_stopping": "never"', "early_stopping is 'never', expected true or false"),
    ],
)
def test_a_checkpoints_decoding_that_no_search_can_do_is_refused(
    says, refused, half_precision_bart, tmp_path
):
    folder = tmp_path / "bart"
    shutil.copytree(half_precision_bart, folder)
    (folder / "generation_config.json").write_text(f"{{{says}}}")
    with pytest.raises(ConfigError, match=rf"generation_config\.json: {refused}"):
        build_model(recipe_for(folder), vocab=300, audio_width=4)


def test_a_checkpoint_of_another_shape_is_refused(half_precision_bart):
    recipe = recipe_for(half_precision_bart, d_model=32)
    with pytest.raises(ConfigError, match=r"has d_model 16, the recipe's bart\.d_model is 32"):
        build_model(recipe, vocab=300, audio_width=0)


def test_a_tokenizer_with_more_entries_than_the_model_is_refused(half_precision_bart):
    with pytest.raises(ConfigError, match="tokenizer has 302 entries, BART 300"):
        build_model(recipe_for(half_precision_bart), vocab=302, audio_width=0)


def test_bart_large_cnn_has_no_entry_for_its_tokenizers_mask(half_precision_bart):
    model = build_model(recipe_for(half_precision_bart), vocab=301, audio_width=0)
    assert model.config.bart.vocab_size == 300


def test_prompts_longer_than_the_positions_are_refused(half_precision_bart):
    recipe = recipe_for(half_precision_bart, max_position_embeddings=64)
    small = Recipe(model=ModelConfig(pretrained="none", tokenizer="x"), bart=recipe.bart)
    with pytest.raises(ConfigError, match=r"max_prompt_tokens is 128, BART has 64 positions"):
        build_model(small, vocab=300, audio_width=0)


def test_a_hub_name_without_a_network_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for load in (
        lambda: load_tokenizer(ModelConfig(pretrained="facebook/bart-large")),
        lambda: build_model(Recipe(), vocab=50265, audio_width=0),
    ):
        with pytest.raises(ConfigError) as caught:
            load()
        message = str(caught.value)
        assert "facebook/bart-large" in message and "\n" not in message
        assert "model.pretrained=none" in message


def test_how_a_checkpoint_asks_to_be_decoded_is_fetched_with_its_weights(monkeypatch, tmp_path):
    asked = []

    def snapshot_download(name, *, revision, local_files_only=False, allow_patterns=()):
        if local_files_only:
            raise FileNotFoundError(name)
        asked.extend(allow_patterns)
        return tmp_path

    there = [SimpleNamespace(rfilename=name) for name in ("pytorch_model.bin", "rust_model.ot")]
    hub = SimpleNamespace(model_info=lambda *_, **__: SimpleNamespace(siblings=there))
    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: hub)
    assert model_folder("model.pretrained", "someone/bart", "", weights=True) == tmp_path
    assert set(asked) == {
        "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
        "vocab.json", "merges.txt", "pytorch_model.bin",
    }  # fmt: skip


def test_what_is_neither_a_folder_nor_a_hub_name_is_not_looked_for_on_a_hub(tmp_path):
    (tmp_path / "model.safetensors").touch()
    for name, found in (
        (tmp_path / "model.safetensors", "a file"),
        (tmp_path / "absent", "no folder here"),
        ("../absent", "no folder here"),
        ("runs/first/again", "no folder here"),
    ):
        with pytest.raises(ConfigError, match=rf"model\.pretrained: .*: is {found}, expected"):
            load_tokenizer(ModelConfig(pretrained=str(name)))


def test_a_folder_without_a_model_is_refused_by_name(tmp_path):
    with pytest.raises(ConfigError, match=r"^model.pretrained: [^:]*: no config.json$"):
        build_model(recipe_for(tmp_path), vocab=300, audio_width=0)


def test_a_learnt_tokenizer_has_barts_special_ids_and_loses_no_text(toy_tokenizer):
    tokens = toy_tokenizer.convert_ids_to_tokens([0, 1, 2, 3, len(toy_tokenizer) - 1])
    assert tokens == ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    text = "Bees – über 20 °C!"
    ids = toy_tokenizer(text)["input_ids"]
    assert (ids[0], ids[-1]) == (0, 2)
    assert toy_tokenizer.decode(ids, skip_special_tokens=True) == text

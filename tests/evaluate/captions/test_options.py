"""Options that exist are valid."""

from dataclasses import replace

import pytest

from evaluate.captions.cli_options import decoding_options
from evaluate.captions.options import Cutting, DecodingOptions
from features.common.errors import ConfigError
from train.model.tagbart import TagBartConfig
from train.recipes.config import ModelConfig, Recipe
from train.recipes.files import write_resolved


def test_the_defaults_are_the_papers_decoding():
    options = DecodingOptions()
    assert (options.beams, options.length_penalty, options.max_length) == (4, 1.0, 64)
    assert (options.min_length, options.no_repeat_ngram, options.tag_draws) == (0, 0, 0)
    assert not options.early_stopping


def test_published_decoding_is_what_the_papers_code_does():
    options = DecodingOptions.published(batch_size=8)
    assert (options.beams, options.min_length, options.max_length) == (4, 5, 20)
    assert (options.no_repeat_ngram, options.early_stopping, options.batch_size) == (3, True, 8)


@pytest.mark.parametrize(
    ("checkpoint", "most", "penalty"),
    [
        ("facebook/bart-large", 20, 1.0),
        ("facebook/bart-base", 20, 1.0),
        ("facebook/bart-large-cnn", 142, 2.0),
        ("facebook/bart-large-xsum", 62, 2.0),
    ],
)
@pytest.mark.parametrize("noted", [True, False])
def test_published_decoding_follows_the_checkpoint(tmp_path, checkpoint, most, penalty, noted):
    recipe = replace(Recipe(), model=ModelConfig(pretrained=checkpoint))
    write_resolved(recipe, tmp_path / "recipe.toml")
    # A run notes what its checkpoint says; one of before knows its checkpoint's name.
    says = {"max_length": most, "length_penalty": penalty} if noted and most != 20 else {}
    TagBartConfig(audio_width=2, decoding=says).save_pretrained(tmp_path)
    options = decoding_options({"beams": None}, published=tmp_path, batch_size=8)
    assert (options.max_length, options.length_penalty) == (most, penalty)
    assert (options.beams, options.min_length, options.no_repeat_ngram) == (4, 5, 3)
    assert decoding_options({}).max_length == 64


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"beams": 0}, "beams is 0"),
        ({"max_length": 2}, "max_length is 2"),
        ({"min_length": -1}, "min_length is -1"),
        ({"min_length": 65}, "more than max_length = 64"),
        ({"n_best": 5}, "more than beams = 4"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"length_penalty": 400.0}, "64 tokens to that power are no number"),
        ({"length_penalty": -400.0}, "64 tokens to that power are no number"),
        ({"seed": 2**64}, "seed is 18446744073709551616, expected at most"),
        ({"max_length": 2**31}, "max_length is 2147483648, expected at most"),
        ({"tag_draws": -1}, "tag_draws is -1"),
        ({"no_repeat_ngram": -1}, "no_repeat_ngram is -1"),
        ({"precision": "float16"}, "expected one of float32, bf16, int8"),
        ({"choose": "luck"}, "expected one of consensus, likelihood, clap"),
        ({"length_penalty": float("nan")}, "length_penalty is nan"),
        ({"choose": "clap", "candidates": 3}, "beams is 4, more than candidates = 3"),
        ({"choose": "clap", "n_best": 51}, "n_best is 51, more than candidates = 50"),
        ({"choose": "clap", "tag_draws": 2}, "has candidates of its own; leave out tag_draws"),
        ({"choose_weight": 1.1}, "choose_weight is 1.1, expected 0 to 1"),
        ({"choose_weight": float("nan")}, "choose_weight is nan"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(setting, said):
    with pytest.raises(ConfigError, match=said):
        DecodingOptions(**setting)


@pytest.mark.parametrize("hop_s", [1e-9, 0.0, -1.0, float("nan"), float("inf"), 10.5])
def test_a_hop_that_makes_no_windows_or_one_of_every_sample_is_refused(hop_s):
    with pytest.raises(ConfigError, match=f"hop is {hop_s} s, expected 0.1 to 10"):
        Cutting(hop_s=hop_s)

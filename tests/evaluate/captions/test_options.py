"""Options that exist are valid."""

import pytest

from evaluate.captions.options import DecodingOptions
from features.common.errors import ConfigError


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
    ("setting", "said"),
    [
        ({"beams": 0}, "beams is 0"),
        ({"max_length": 2}, "max_length is 2"),
        ({"min_length": -1}, "min_length is -1"),
        ({"min_length": 65}, "more than max_length = 64"),
        ({"n_best": 5}, "more than beams = 4"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"tag_draws": -1}, "tag_draws is -1"),
        ({"no_repeat_ngram": -1}, "no_repeat_ngram is -1"),
        ({"precision": "float16"}, "expected one of float32, bf16, int8"),
        ({"choose": "luck"}, "expected one of consensus, likelihood"),
        ({"length_penalty": float("nan")}, "length_penalty is nan"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(setting, said):
    with pytest.raises(ConfigError, match=said):
        DecodingOptions(**setting)

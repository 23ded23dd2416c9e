"""Prompts put together from encoded tags equal the text tokenised whole."""

import csv

import numpy as np
import pytest
from transformers import AutoTokenizer

from train.data.prompts import NO_ROW, TagTokens, clean_name


@pytest.fixture(scope="module")
def tokenizer(real_data):
    return AutoTokenizer.from_pretrained(real_data / "bpe")


@pytest.fixture(scope="module")
def classes(real_data):
    with (real_data / "weights/yamnet_class_map.csv").open() as file:
        return [row["display_name"] for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    ("display", "prompt"),
    [
        ("Ambulance (siren)", "Ambulance"),
        ("Bee, wasp, etc.", "Bee, wasp"),
        ("Roaring cats (lions, tigers)", "Roaring cats"),
        ("Crowing, cock-a-doodle-doo", "Crowing, cock-a-doodle-doo"),
        ("Dog", "Dog"),
    ],
)
def test_a_name_is_cut_before_its_bracket_and_loses_etc(display, prompt):
    assert clean_name(display) == prompt


@pytest.mark.real_data
def test_all_classes_in_random_sequences_equal_the_text_tokenised_whole(tokenizer, classes):
    tags = TagTokens.encode(tokenizer, classes)
    assert len(tags.names) == 521
    rng = np.random.default_rng(0)
    order = np.concatenate([rng.permutation(521) for _ in range(4)])
    rows = []
    while sum(rows) < len(order):
        rows.append(min(int(rng.integers(1, 12)), len(order) - sum(rows)))
    prompts = tags.prompts(order, np.array(rows), max_tokens=1000)
    ends = np.cumsum(rows)
    texts = [
        ". ".join(tags.names[tag] for tag in order[end - count : end]) + "."
        for end, count in zip(ends, rows, strict=True)
    ]
    expected = tokenizer(texts)["input_ids"]
    found = np.split(prompts.tokens, np.cumsum(prompts.length)[:-1])
    assert [list(map(int, tokens)) for tokens in found] == expected


@pytest.mark.real_data
def test_clips_without_a_tag_have_a_prompt_of_bos_and_eos_wherever_they_stand(tokenizer, classes):
    tags = TagTokens.encode(tokenizer, classes)
    some = tags.prompts(np.array([3, 7, 9]), np.array([2, 1]), max_tokens=128)
    between = tags.prompts(np.array([3, 7, 9]), np.array([0, 2, 0, 1, 0]), max_tokens=128)
    first, second = some.length
    assert between.length.tolist() == [2, first, 2, second, 2]
    kept = [*range(2, 2 + first), *range(4 + first, 4 + first + second)]
    np.testing.assert_array_equal(between.tokens[kept], some.tokens)
    np.testing.assert_array_equal(between.tag_row[kept], some.tag_row)
    ends = [tokenizer.bos_token_id, tokenizer.eos_token_id]
    assert between.tokens[:2].tolist() == between.tokens[-2:].tolist() == ends
    none = tags.prompts(np.array([], np.int64), np.array([0, 0]), max_tokens=128)
    assert none.tokens.tolist() == ends * 2


@pytest.mark.real_data
def test_each_token_knows_its_row_and_separators_know_none(tokenizer, classes):
    tags = TagTokens.encode(tokenizer, classes)
    dog, fire = classes.index("Dog"), classes.index("Fire engine, fire truck (siren)")
    prompts = tags.prompts(np.array([fire, dog]), np.array([2]), max_tokens=128)
    words = tokenizer.convert_ids_to_tokens(prompts.tokens.tolist())
    assert words == ["<s>", "Fire", "Ġengine", ",", "Ġfire", "Ġtruck", ".", "ĠDog", ".", "</s>"]
    none = NO_ROW
    assert prompts.tag_row.tolist() == [none, 0, 0, 0, 0, 0, none, 1, none, none]


@pytest.mark.real_data
def test_a_prompt_that_is_too_long_loses_whole_tags_and_keeps_bos_and_eos(tokenizer, classes):
    tags = TagTokens.encode(tokenizer, classes)
    dog, fire = classes.index("Dog"), classes.index("Fire engine, fire truck (siren)")
    # BOS + 6 + 2 + EOS = 10 tokens fit; a third tag of 6 does not, and the last, though short
    # enough by itself, must not take its place.
    rows = np.array([4, 1])
    prompts = tags.prompts(np.array([fire, dog, fire, dog, dog]), rows, max_tokens=12)
    assert prompts.length.tolist() == [10, 4]
    expected = tokenizer(["Fire engine, fire truck. Dog.", "Dog."])["input_ids"]
    assert prompts.tokens.tolist() == [*expected[0], *expected[1]]
    assert prompts.dropped == 2


def test_tags_that_find_no_room_are_counted_and_said_once(make_toy, capsys):
    long = make_toy(inputs__max_prompt_tokens=100).builder
    logits = np.zeros((6, 5), np.float32)
    logits[:, 0] = 9.0  # six times "Dog"
    clip = {"yamnet": logits, "panns": np.zeros((1, 6), np.float32)}
    whole = long.batch([clip]).attention_mask.sum()
    long.say_dropped()
    assert capsys.readouterr().err == ""
    # One token less than six tags need leaves five of them, of each of two clips.
    short = make_toy(inputs__max_prompt_tokens=int(whole) - 1).builder
    short.batch([clip, clip])
    short.say_dropped()
    assert "2 of 12 tags (16.7%) were dropped" in capsys.readouterr().err
    short.say_dropped()
    assert capsys.readouterr().err == ""


def test_clothos_recipe_has_room_for_prompts_of_31_tags():
    from train.recipes.files import load_recipe

    recipe = load_recipe("yamnet-panns-clotho")
    assert recipe.inputs.max_prompt_tokens == 256
    assert load_recipe("yamnet-panns").inputs.max_prompt_tokens == 128

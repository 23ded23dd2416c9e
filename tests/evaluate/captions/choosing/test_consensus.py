"""Agreement between captions, by hand."""

import pytest

from evaluate.captions.choosing.consensus import expected_agreement


def agreement(first: str, second: str) -> float:
    """Of two captions, each one's expected agreement is that with the other."""
    one, other = expected_agreement([first, second])
    assert one == other
    return one


def test_equal_captions_agree_wholly_whatever_their_case_and_full_stop():
    assert agreement("A dog barks.", "a dog barks") == 1


def test_captions_without_a_common_word_do_not_agree():
    assert agreement("a dog barks", "rain falls heavily") == 0


def test_agreement_is_the_mean_f1_of_one_to_four_grams():
    # Unigrams: 4 of 5 and 4 shared, F1 8/9. Bigrams: a-dog, dog-barks; 2 of 4 and 3, F1 4/7.
    # Trigrams: a-dog-barks; 1 of 3 and 2, F1 2/5. 4-grams: none of 2 and 1.
    found = agreement("a dog barks in rain", "a dog barks rain")
    assert found == pytest.approx((8 / 9 + 4 / 7 + 2 / 5 + 0) / 4)


def test_orders_that_both_captions_are_too_short_for_are_left_out():
    # Unigrams: 1 of 2 and 2 shared, F1 1/2. Bigrams: none of 1 and 1. No longer ones.
    assert agreement("dog barks", "dog howls") == pytest.approx(1 / 4)


def test_captions_without_words_agree():
    assert agreement("", " . ") == 1


def test_a_repeated_word_counts_as_often_as_both_have_it():
    # Unigrams: one "dog" shared of 2 and 1, F1 2/3. Bigrams: none of 1 and 0, F1 0.
    assert agreement("dog dog", "dog") == pytest.approx((2 / 3 + 0) / 2)


def test_the_caption_found_twice_wins_over_one_that_resembles_none():
    texts = ["rain falls heavily", "a dog barks", "a dog barks"]
    assert expected_agreement(texts) == pytest.approx([0, 1 / 2, 1 / 2])


def test_a_single_caption_has_none_to_agree_with():
    assert expected_agreement(["a dog barks"]) == [0]

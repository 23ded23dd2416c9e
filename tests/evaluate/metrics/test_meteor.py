"""METEOR's process: from a path with spaces, in any locale (see `meteor`), for any text."""

import numpy as np
import pytest

from evaluate.metrics.meteor import additive


def test_a_word_for_word_caption_scores_1_and_a_foreign_one_0(meteor):
    references = [["a dog barks loudly at night"], ["a dog barks"]]
    statistics = meteor.statistics(["a dog barks loudly at night", "xylophone"], references)
    clips, corpus = meteor.scores(statistics)
    assert clips == pytest.approx([1.0, 0.0])
    assert 0 < corpus < 1


def test_captions_without_words_have_a_score_and_shift_nothing(meteor):
    candidates = ["", "a dog", "a dog", ""]
    references = [["a dog"], ["", "a dog"], [""], [""]]
    clips, _ = meteor.scores(meteor.statistics(candidates, references))
    assert clips[0] == clips[2] == clips[3] == 0
    assert clips[1] == meteor.scores(meteor.statistics(["a dog"], [["a dog"]]))[0][0] > 0


def test_the_separator_inside_a_caption_makes_no_reference_of_its_own(meteor):
    plain = meteor.statistics(["a dog barks"], [["a cat sleeps"]])
    dirty = meteor.statistics(["a dog ||| barks"], [["a cat ||| sleeps"]])
    np.testing.assert_array_equal(plain, dirty)


def test_letters_beyond_ascii_are_words_like_any_other(meteor):
    clips, _ = meteor.scores(meteor.statistics(["café naïve 你好"], [["café naïve 你好"]]))
    assert clips == pytest.approx([1.0])


# The first caption is its reference word for word, the last one by its stems.
CANDIDATES = ["a dog barks", "rain falls on a roof", "someone speaks", "dogs barking"]
REFERENCES = [["a dog barks"], ["rain on the roof"], ["a man speaks", "people talk"], ["dog barks"]]


def test_the_corpus_score_is_that_of_the_added_statistics(meteor):
    statistics = meteor.statistics(CANDIDATES, REFERENCES)
    _, corpus = meteor.scores(statistics)
    [added], _ = meteor.scores(additive(statistics).sum(axis=0, keepdims=True))
    assert added == pytest.approx(corpus, abs=1e-15)


def test_a_clip_drawn_twice_counts_as_if_it_were_listed_twice(meteor):
    statistics = meteor.statistics(CANDIDATES, REFERENCES)
    _, listed = meteor.scores(statistics[[0, 0, 1, 3]])
    [weighted], _ = meteor.scores(np.array([[2.0, 1.0, 0.0, 1.0]]) @ additive(statistics))
    assert weighted == pytest.approx(listed, abs=1e-15)

"""Words on a clip's page: pieces put together, marks beside references, what changes."""

import pytest

from evaluate.view.words import diff, from_pieces, from_text, marked, said_by_all, stems


def test_a_words_probability_is_its_pieces_product_and_punctuation_stands_apart():
    pieces = ("A", " fr", "og", " cro", "aks", ",", " then", " rain")
    words = from_pieces(pieces, (0.9, 0.5, 0.8, 1.0, 0.5, 0.7, 0.6, 0.3))
    assert [word.text for word in words] == ["A", "frog", "croaks", ",", "then", "rain"]
    assert [word.probability for word in words] == pytest.approx([0.9, 0.4, 0.5, 0.7, 0.6, 0.3])
    assert [word.doubtful for word in words] == [False, True, False, False, False, True]
    assert words[1].pieces == (1, 2)


def test_endings_do_not_tell_words_apart_and_beginnings_do():
    assert stems("barks barking barked bark") == {"bark"}
    assert stems("running runs run") == {"run"}
    assert stems("buzzes buzzing") == stems("buzz")
    assert stems("Rain, rain.") == {"rain"} and "rain" not in stems("a train passes")
    assert stems("the of and is") == set()


def test_words_that_no_reference_has_are_marked():
    words = from_text("A dog barks at the moon", ["Dogs barking", "A dog howls"])
    assert [word.text for word in words if word.unheard] == ["moon"]
    assert not any(word.unheard for word in from_text("anything goes"))  # nobody said anything


def test_what_all_references_have_is_marked_and_what_the_caption_lacks_of_it_stands_out():
    references = ["A bird chirps while a clock ticks", "Birds and a ticking clock"]
    shared = said_by_all(references)
    assert shared == {"bird", "clock", "tick"}
    marks = dict(marked(references[1], shared, "A clock ticks"))
    assert marks == {"Birds": "missed", "and": "", "a": "", "ticking": "shared", "clock": "shared"}
    assert said_by_all(["A bird"]) == set()  # one person is not all people


def test_a_diff_keeps_what_stays_and_names_what_goes_and_comes():
    assert diff("A dog barks loudly", "A small dog barks") == [
        ("same", "A"),
        ("new", "small"),
        ("same", "dog barks"),
        ("gone", "loudly"),
    ]

"""Vocabulary, diversity and length: by hand, and as published for 1,045 captions."""

import json

import numpy as np
import pytest

from evaluate.metrics.tokenizer import tokenize
from evaluate.metrics.wording import (
    OF_REFERENCES,
    WORDING,
    intervals,
    jackknife,
    without_each,
    wording,
)


def test_values_worked_out_by_hand():
    values = wording(["a dog barks a dog", "rain"], [["a dog barks"], ["it rains", "water"]])
    assert {name: values[name] for name in WORDING} == {
        "vocab_len": 4,  # a dog barks rain
        "vocab_in_ref_len": 3,
        "new_words": 1,  # rain
        "sent_len": 3,  # (5 + 1) / 2
        "sents_div1": pytest.approx((3 / 5 + 1) / 2),
        "corpus_div1": 4 / 6,
        "sents_div2": (3 / 4 + 0) / 2,  # "a dog" stands twice; "rain" has no pair
        "corpus_div2": 3 / 4,
        "sents_div3": (3 / 3 + 0) / 2,
        "corpus_div3": 3 / 3,
    }
    assert {name: values[name] for name in OF_REFERENCES} == {
        "ref_vocab_len": 6,  # a dog barks it rains water
        "vocab_coverage": 3 / 6,  # a, dog, barks of as many words
        "ref_sent_len": 2,
        "ref_sents_div1": 1,
        "ref_corpus_div1": (5 / 5 + 1 / 1) / 2,  # first references, then second ones
        "ref_sents_div2": pytest.approx((2 / 2 + 1 / 1 + 0) / 3),
        "ref_corpus_div2": (3 / 3 + 0) / 2,
        "ref_sents_div3": pytest.approx((1 + 0 + 0) / 3),
        "ref_corpus_div3": (1 / 1 + 0) / 2,
    }


def test_captions_without_words_have_no_diversity():
    assert wording([""], [["a dog"]])["corpus_div1"] == 0


def test_values_without_each_clip_are_those_of_the_others_alone():
    candidates = ["a dog barks a dog", "rain", "rain falls", "", "a cat", "snow falls on a dog"]
    references = [["a dog barks"], ["it rains", "rain"], ["rain"], ["wind"], ["snow"], ["dog"]]
    found = without_each(candidates, references)
    assert list(found) and found.keys() == WORDING.keys()
    for clip in range(len(candidates)):
        rest = wording(
            [*candidates[:clip], *candidates[clip + 1 :]],
            [*references[:clip], *references[clip + 1 :]],
        )
        for name, values in found.items():
            assert values[clip] == pytest.approx(rest[name]), (name, clip)
    assert without_each(["a dog"], [["a cat"]]) == {}


def test_the_jackknifes_interval_of_a_mean_is_the_textbooks():
    values = np.array([1.0, 2.0, 4.0, 9.0])
    without = (values.sum() - values) / 3
    half = 1.959964 * values.std(ddof=1) / 2  # standard error: s / sqrt(4)
    assert jackknife(4.0, without) == pytest.approx((4 - half, 4 + half))


@pytest.mark.real_data
def test_they_are_the_published_ones_of_1045_captions(real_data):
    lines = (real_data / "scores" / "clotho_published_outputs.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    published = json.loads((real_data / "scores" / "clotho_published_corpus.json").read_text())
    flat = iter(tokenize([t for row in rows for t in (row["candidate"], *row["references"])]))
    candidates, references = [], []
    for row in rows:
        candidates.append(next(flat))
        references.append([next(flat) for _ in row["references"]])
    values = wording(candidates, references)
    assert values["vocab_in_ref_len"] == published["vocab_in_ref_len"]
    # Words new to the references; what is published under new_words is something else.
    assert values["new_words"] == published["vocab_len.cands"] - published["vocab_in_ref_len"]
    names = ["vocab_len", "sent_len"]
    names += [f"{kind}_div{order}" for kind in ("sents", "corpus") for order in (1, 2, 3)]
    for name in names:
        assert values[name] == pytest.approx(published[f"{name}.cands"], abs=1e-9), name
    theirs = {"ref_vocab_len": "vocab_len.mrefs_full", "vocab_coverage": "vocab_coverage"}
    theirs |= {"ref_sent_len": "sent_len.mrefs"}
    theirs |= {f"ref_sents_div{order}": f"sents_div{order}.mrefs" for order in (1, 2, 3)}
    for name, key in theirs.items():
        assert values[name] == pytest.approx(published[key], abs=1e-9), name


def test_an_interval_holds_no_share_above_the_whole_and_no_count_below_none():
    texts, people = ["a dog", "", "rain"], [["a dog"], ["wind"], ["rain"]]
    found = intervals(wording(texts, people), without_each(texts, people))
    # Three shares of which one differs by 1: their mean is known to 1 / 3 (standard error).
    assert found["sents_div2"] == (0, pytest.approx(1 / 3 + 1.959964 / 3))
    assert found["sents_div1"] == (pytest.approx(2 / 3 - 1.959964 / 3), 1)

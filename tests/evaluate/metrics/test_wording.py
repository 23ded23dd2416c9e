"""Vocabulary, diversity and length: by hand, and as published for 1,045 captions."""

import json

import pytest

from evaluate.metrics.tokenizer import tokenize
from evaluate.metrics.wording import wording


def test_values_worked_out_by_hand():
    values = wording(["a dog barks a dog", "rain"], [["a dog barks"], ["it rains", "water"]])
    assert values == {
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


def test_captions_without_words_have_no_diversity():
    assert wording([""], [["a dog"]])["corpus_div1"] == 0


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

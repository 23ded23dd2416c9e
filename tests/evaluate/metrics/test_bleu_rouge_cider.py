"""BLEU, ROUGE-L and CIDEr-D: values by hand, and pycocoevalcap's own classes beside ours."""

import math

import numpy as np
import pytest
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from evaluate.metrics.bleu_rouge_cider import ReferenceMetrics, corpus_bleu

REFERENCES = [
    ["a dog barks loudly", "the dog is barking"],
    ["rain falls on a metal roof", "it is raining"],
    ["a man speaks", "someone is speaking in a room"],
]
FILES = [
    ["a dog barks", "rain falls on a roof", "a man is speaking"],
    ["a cat meows loudly", "", "a man speaks"],
]


def test_bleu_by_hand():
    corpus, clips, _ = ReferenceMetrics(REFERENCES).bleu(FILES[0])
    # Clip 0: 3 of 3 words, 2 of 2 pairs; 3 words against 4, so exp(1 - 4/3).
    assert clips[0, :2] == pytest.approx([math.exp(1 - 4 / 3)] * 2, rel=1e-8)
    # All: 3 + 5 + 4 of 12 words; lengths 3 + 5 + 4 against the nearest 4 + 6 + 3 = 13.
    assert corpus[0] == pytest.approx(math.exp(1 - 13 / 12), rel=1e-8)


def test_rouge_l_by_hand():
    # LCS with "a dog barks loudly" is 3: P = 1, R = 3/4, beta = 1.2.
    expected = (1 + 1.44) * 1 * 0.75 / (0.75 + 1.44 * 1)
    assert ReferenceMetrics(REFERENCES).rouge_l(FILES[0])[0] == pytest.approx(expected)


def test_cider_d_of_the_only_reference_is_10_and_of_other_words_0():
    # Tf-idf vectors equal in all four orders: cosine 1, no length penalty, times 10.
    references = [["a dog barks loudly"], ["rain falls on roofs"]]
    values = ReferenceMetrics(references).cider_d(["a dog barks loudly", "cars pass"])
    assert values == pytest.approx([10.0, 0.0])


def test_several_files_get_the_numbers_of_pycocoevalcaps_classes():
    metrics = ReferenceMetrics(REFERENCES)
    gts = dict(enumerate(REFERENCES))
    for candidates in FILES:
        res = {clip: [text] for clip, text in enumerate(candidates)}
        bleu, bleu_clips = Bleu(4).compute_score(gts, res, verbose=0)
        corpus, clips, _ = metrics.bleu(candidates)
        np.testing.assert_allclose(corpus, bleu, atol=1e-12)
        np.testing.assert_allclose(clips.T, bleu_clips, atol=1e-12)
        _, rouge = Rouge().compute_score(gts, res)
        np.testing.assert_allclose(metrics.rouge_l(candidates), rouge, atol=1e-12)
        _, cider = Cider().compute_score(gts, res)
        np.testing.assert_allclose(metrics.cider_d(candidates), cider, atol=1e-12)


def test_a_candidate_without_words_scores_0_even_against_a_blank_reference():
    metrics = ReferenceMetrics([["", ""], ["a dog", ""]])
    for values in (metrics.bleu(["", ""])[1], metrics.rouge_l(["", ""]), metrics.cider_d(["", ""])):
        assert (values == 0).all()


def test_references_without_any_word_give_0_not_an_error():
    metrics = ReferenceMetrics([[""]])
    assert metrics.cider_d(["a dog"]) == [0.0]
    assert metrics.rouge_l(["a dog"]) == [0.0]


def test_corpus_bleu_from_statistics_is_bleu_scorers_own():
    metrics = ReferenceMetrics(REFERENCES)
    for candidates in FILES:
        corpus, _, statistics = metrics.bleu(candidates)
        [ours] = corpus_bleu(statistics, np.ones((1, 3)))
        np.testing.assert_allclose(ours, corpus, rtol=1e-12)


def test_corpus_bleu_of_a_clip_counted_twice_is_that_of_the_clip_listed_twice():
    _, _, statistics = ReferenceMetrics(REFERENCES).bleu(FILES[0])
    [weighted] = corpus_bleu(statistics, np.array([[2.0, 0.0, 1.0]]))
    listed = [0, 0, 2]
    expected, _, _ = ReferenceMetrics([REFERENCES[i] for i in listed]).bleu(
        [FILES[0][i] for i in listed]
    )
    np.testing.assert_allclose(weighted, expected, rtol=1e-12)

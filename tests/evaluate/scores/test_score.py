"""Scores of whole files: the published values, several files at once, edge cases."""

import json
from pathlib import Path

import numpy as np
import pytest

from evaluate.metrics.spice import Spice
from evaluate.scores.predictions import PredictionSets, read_predictions, read_sets
from evaluate.scores.score import Scorer
from tests.evaluate.metrics.test_spice import STAND_IN, stand_in_class_path

WITHOUT_SPICE = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "meteor", "rouge_l", "cider_d")


@pytest.fixture
def scorer(shared_meteor: None) -> Scorer:
    """A scorer on the shared METEOR, without SPICE."""
    return Scorer(spice=None, why_no_spice="get them with: python -m evaluate fetch")


@pytest.fixture(scope="session")
def published(real_data: Path) -> Path:
    return real_data / "scores" / "clotho_published_outputs.jsonl"


@pytest.mark.real_data
def test_per_clip_values_equal_the_published_ones_within_1e_9(scorer, published):
    [scores] = scorer.score(read_sets([published]))
    rows = [json.loads(line) for line in published.open(encoding="utf-8")]
    assert [row["clip"] for row in rows] == list(scores.clips)
    for name in WITHOUT_SPICE:
        expected = np.array([row[name] for row in rows])
        np.testing.assert_allclose(scores.per_clip[name], expected, rtol=0, atol=1e-9)
    for name in ("rouge_l", "cider_d"):
        assert scores.corpus[name] == pytest.approx(np.mean([row[name] for row in rows]), abs=1e-9)
    for name in WITHOUT_SPICE:
        low, high = scores.intervals[name]
        assert low < scores.corpus[name] < high


@pytest.mark.real_data
def test_shuffled_lines_change_no_clips_score(scorer, published):
    items = list(read_predictions(published).values())[:60]
    shuffled = [items[i] for i in np.random.default_rng(0).permutation(len(items))]
    both = []
    for order in (items, shuffled):
        sets = PredictionSets(
            clips=tuple(item.clip for item in order),
            references=tuple(item.references for item in order),
            candidates=(tuple(item.candidate for item in order),),
        )
        [scores] = scorer.score(sets)
        both.append(scores)
    for name in WITHOUT_SPICE:
        first, second = (
            dict(zip(scores.clips, scores.per_clip[name], strict=True)) for scores in both
        )
        assert first == pytest.approx(second, abs=1e-12)


EDGES = PredictionSets(
    clips=("plain", "blank", "break", "foreign", "blank reference"),
    references=(
        ("a dog barks", "the dog is barking"),
        ("rain falls on a roof", "it rains"),
        ("a man speaks\nin a room", "someone talks"),
        ("une café naïve 你好 plays", "music plays"),
        ("", "a car passes by"),
    ),
    candidates=(
        ("a dog barks", "", "a man speaks\r\nin\u2028a room", "une café naïve 你好 plays", "a car"),
        ("a dog", "rain falls", "...", "music", "a car passes by"),
    ),
)


def test_blank_texts_line_breaks_and_foreign_letters_have_scores_in_their_own_rows(scorer, capsys):
    first, second = scorer.score(EDGES)
    rouge = dict(zip(first.clips, first.per_clip["rouge_l"], strict=True))
    assert rouge["blank"] == 0
    assert [rouge[clip] for clip in ("plain", "break", "foreign")] == pytest.approx([1, 1, 1])
    assert second.per_clip["rouge_l"][2] == 0
    for scores in (first, second):
        assert list(scores.corpus) == list(WITHOUT_SPICE)
        for values in scores.per_clip.values():
            assert values.shape == (5,) and np.isfinite(values).all()
    assert "'blank reference'; it counts as a reference" in capsys.readouterr().err


def test_several_files_at_once_score_as_each_does_alone(scorer):
    together = scorer.score(EDGES)
    for candidates, scores in zip(EDGES.candidates, together, strict=True):
        [alone] = scorer.score(
            PredictionSets(clips=EDGES.clips, references=EDGES.references, candidates=(candidates,))
        )
        assert alone.corpus == scores.corpus
        assert alone.intervals == scores.intervals


def test_a_set_of_one_clip_has_scores(scorer):
    [scores] = scorer.score(
        PredictionSets(clips=("a",), references=(("a dog barks",),), candidates=(("a dog barks",),))
    )
    assert scores.corpus["bleu_1"] == pytest.approx(1)
    assert scores.corpus["cider_d"] == 0  # a word in every clip (all one of them) weighs nothing


def test_without_the_jars_spice_and_spider_are_absent_and_say_why(scorer):
    [scores, _] = scorer.score(EDGES)
    assert scores.not_available == {
        "spice": "get them with: python -m evaluate fetch",
        "spider": "needs SPICE",
    }
    assert not {"spice", "spider"} & scores.per_clip.keys()


def test_spider_is_the_mean_of_cider_d_and_spice_per_clip(shared_meteor):
    with Spice(stand_in_class_path(), command=STAND_IN, timeout_s=600) as spice:
        first, second = Scorer(spice=spice).score(EDGES)
    for scores in (first, second):
        clips = scores.per_clip
        np.testing.assert_array_equal(clips["spider"], (clips["cider_d"] + clips["spice"]) / 2)
        assert scores.corpus["spider"] == pytest.approx(clips["spider"].mean())
        assert scores.not_available == {}
    assert first.per_clip["spice"][1] == 0  # the blank candidate
    assert first.per_clip["spice"][0] == pytest.approx(3 / 4)  # 3 of 3 words, 3 of 5 references'


def test_a_clip_without_a_spice_value_is_left_out_of_the_mean_and_counted(shared_meteor, capsys):
    class Undecided:
        def scores(self, references, candidates):
            return [np.array([np.nan, 0.5, 0.25, 0.0, 0.25]) for _ in candidates]

    scores, _ = Scorer(spice=Undecided()).score(EDGES)
    assert scores.corpus["spice"] == 0.25
    assert np.isnan(scores.per_clip["spider"][0])
    assert "SPICE gave no number for 2 captions" in capsys.readouterr().err

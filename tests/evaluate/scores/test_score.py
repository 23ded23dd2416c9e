"""Scores of whole files: the published values, several files at once, edge cases."""

import json
from pathlib import Path

import numpy as np
import pytest

from evaluate.metrics.spice import jars
from evaluate.metrics.spice.client import Spice
from evaluate.metrics.tokenizer import tokenize
from evaluate.scores.predictions import PredictionSets, read_sets
from evaluate.scores.results import Without
from evaluate.scores.score import Scorer, Wanted, new_scorer
from tests.evaluate.metrics.spice.conftest import graph_classes, hand_parsed

WITHOUT_SPICE = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "meteor", "rouge_l", "cider_d")


@pytest.fixture
def scorer(shared_meteor: None) -> Scorer:
    """A scorer on the shared METEOR, without SPICE."""
    return Scorer(Wanted(), spice=None)


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


def test_without_the_jars_spice_and_spider_are_absent_and_say_why(shared_meteor, monkeypatch):
    monkeypatch.setattr(jars, "missing", lambda: "get them with: make setup-spice")
    scorer = new_scorer(Wanted(fense=False))
    [scores, _] = scorer.score(EDGES)
    assert scores.not_available == {
        "spice": "get them with: make setup-spice",
        "spider": "needs SPICE",
        "fense": "left out as asked",
    }
    assert not {"spice", "spider"} & scores.per_clip.keys()


def test_spider_is_the_mean_of_cider_d_and_spice_per_clip(shared_meteor, tmp_path):
    texts = [text for some in (*EDGES.references, *EDGES.candidates) for text in some]
    cache = hand_parsed(tmp_path / "parses.sqlite", tokenize(texts))
    with Spice(graph_classes(), cache=cache, versions="1", timeout_s=600) as spice:
        first, second = Scorer(Wanted(), spice=spice).score(EDGES)
    for scores in (first, second):
        clips = scores.per_clip
        np.testing.assert_array_equal(clips["spider"], (clips["cider_d"] + clips["spice"]) / 2)
        assert scores.corpus["spider"] == pytest.approx(clips["spider"].mean())
        assert scores.not_available == {}
    assert first.per_clip["spice"][1] == 0  # the blank candidate
    assert first.per_clip["spice"][0] == pytest.approx(3 / 4)  # 3 of 3 words, 3 of 5 references'


class HalfEach:
    """SPICE that gives every clip 1/2, and NaN for the text "odd"; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list = []

    def scores(self, references, candidates):
        self.asked = [references, candidates]
        return [np.array([np.nan if t == "odd" else 0.5 for t in file]) for file in candidates]

    def close(self) -> None: ...


def test_a_metric_that_a_clip_lacks_is_never_the_value_of_the_whole(shared_meteor):
    sets = PredictionSets(
        clips=("a", "b", "c"),
        references=(("a dog",), ("rain",), ("a cat",)),
        candidates=(("odd", "rain", "a cat"), ("a dog", "rain", "a cat")),
    )
    first, second = Scorer(Wanted(), spice=HalfEach()).score(sets)
    assert not {"spice", "spider"} & (first.corpus.keys() | first.intervals.keys())
    assert first.without["spice"] == Without(clips=1, value=0.5, interval=(0.5, 0.5))
    rest = first.per_clip["cider_d"][1:]
    assert first.without["spider"].value == pytest.approx((rest.mean() + 0.5) / 2)
    assert first.not_available["spice"] == "for all clips; without 1 clip: 50.0, 95 % 50.0–50.0"
    assert np.isnan(first.per_clip["spice"]).tolist() == [True, False, False]
    assert second.corpus["spice"] == 0.5
    assert second.without == {}


class FirstWord:
    """SPICE that gives a caption the number that it begins with."""

    def scores(self, references, candidates):
        return [np.array([float(text.split()[0]) for text in file]) for file in candidates]

    def close(self) -> None: ...


# CIDEr-D of captions that share no word with their references is 0: SPIDEr is half of SPICE.
NO_WORD_SHARED = {"clips": ("a", "b"), "references": (("rain",), ("wind",))}


def test_spider_max_is_the_mean_of_each_clips_best_candidate(shared_meteor):
    sets = PredictionSets(
        **NO_WORD_SHARED,
        candidates=(("2 dogs", "4 cats"), ("6 dogs", "8 cats")),
        n_best=(
            (("2 dogs", "6 owls", "4 owls"), ("4 cats", "3 owls")),
            (("6 dogs",), ("8 cats",)),
        ),
    )
    several, single = Scorer(Wanted(), spice=FirstWord()).score(sets)
    assert several.per_clip["spider"].tolist() == [1, 2]
    assert several.per_clip["spider_max"].tolist() == [3, 2]
    assert several.corpus["spider_max"] == 2.5
    assert several.intervals["spider_max"] == (2, 3)
    assert single.per_clip["spider_max"].tolist() == single.per_clip["spider"].tolist() == [3, 4]


def test_spider_max_needs_a_list_of_every_clip_and_spice(shared_meteor):
    lists = (("2 dogs", "6 owls"), ())
    sets = PredictionSets(**NO_WORD_SHARED, candidates=(("2 dogs", "4 cats"),), n_best=(lists,))
    [scores] = Scorer(Wanted(), spice=FirstWord()).score(sets)
    assert scores.not_available == {"spider_max": "1 of 2 clips have no n-best list"}
    [scores] = Scorer(Wanted(), spice=None).score(sets)
    assert scores.not_available == {"spider_max": "needs SPICE"}
    [scores] = Scorer(Wanted(spider_max=False), spice=FirstWord()).score(sets)
    assert "spider_max" not in scores.per_clip and scores.not_available == {}


LONG = " ".join(["rain"] * 201)


@pytest.mark.parametrize("long_captions", [False, True])
def test_clips_of_captions_beyond_200_words_are_named_and_get_spice_if_asked_for(
    shared_meteor, capsys, long_captions
):
    sets = PredictionSets(
        clips=("long reference", "long candidate", "200 words", "plain"),
        references=(("rain", LONG), ("rain",), ("rain",), ("a cat",)),
        candidates=(
            ("rain", LONG, " ".join(["rain"] * 200), "a cat"),
            ("rain", "rain", "rain", "a cat"),
        ),
    )
    spice = HalfEach()
    first, second = Scorer(Wanted(long_captions=long_captions), spice=spice).score(sets)
    told = capsys.readouterr().err
    if long_captions:
        assert first.corpus["spice"] == second.corpus["spice"] == 0.5
        assert "words" not in told
        return
    assert "2 of 4 clips, 'long reference', 'long candidate'" in told
    assert (first.without["spice"].clips, second.without["spice"].clips) == (2, 1)
    references, candidates = spice.asked
    assert references[0] == []  # no file has a value of this clip: nothing of it is parsed
    assert candidates == [["", "", sets.candidates[0][2], "a cat"], ["", "rain", "rain", "a cat"]]

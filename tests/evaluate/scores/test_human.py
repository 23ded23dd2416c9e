"""Captions files, and the paper's human row."""

import json
import os

import numpy as np
import pytest

from evaluate.metrics.spice.client import Spice
from evaluate.metrics.tokenizer import tokenize
from evaluate.scores.human import leave_one_out, read_captions
from evaluate.scores.tables_cli import human_command
from features.common.errors import DumpError

CLOTHO = "file_name,caption_1,caption_2,caption_3,caption_4,caption_5\n"


def test_each_caption_is_scored_against_the_clips_others(tmp_path):
    sets = leave_one_out({"x": ["a", "b", "c"], "y": ["d", "e", "f"]}, tmp_path)
    assert [item.candidates for item in sets] == [(("a", "d"),), (("b", "e"),), (("c", "f"),)]
    assert [item.references for item in sets] == [
        (("b", "c"), ("e", "f")),
        (("a", "c"), ("d", "f")),
        (("a", "b"), ("d", "e")),
    ]
    assert all(item.clips == ("x", "y") for item in sets)


def test_audiocaps_rows_are_gathered_by_clip_wherever_they_stand(tmp_path):
    path = tmp_path / "any name.csv"
    path.write_text(
        "audiocap_id,youtube_id,start_time,caption\n"
        '1,-a_b,30,"one, two"\n2,c,0,three\n3,-a_b,30,"four\nfive"\n',
        encoding="utf-8",
    )
    assert read_captions(path) == {"-a_b_30": ("one, two", "four five"), "c_0": ("three",)}


def test_a_file_that_is_no_captions_file_is_named(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("clip,text\nx,y\n")
    for name, words in (("x.csv", "found the columns"), ("absent.csv", "cannot be read")):
        with pytest.raises(DumpError, match=words) as caught:
            read_captions(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize(
    ("captions", "words"),
    [
        ({}, "holds no captions"),
        ({"x": ["a"]}, "clip 'x' has one caption; at least two are needed"),
        ({"x": ["a", "b"], "y": ["c"]}, "clip 'y' has 1 captions, 'x' has 2"),
    ],
)
def test_clips_that_cannot_be_compared_are_named(tmp_path, captions, words):
    with pytest.raises(DumpError, match=words):
        leave_one_out(captions, tmp_path)


@pytest.mark.real_data
def test_the_papers_human_row(real_data, shared_meteor, capsys):
    """65.4, 48.8, 37.3, 29.1, 28.8, 49.5, 90.8 were noted to a tenth; BLEU-4 is 29.048 by
    pycocoevalcap's own classes, so its tenth came from 29.05: 0.005 more is allowed for that."""
    path = real_data / "audiocaps" / "captions" / "test.csv"
    human_command(path, spice=False, as_json=True)
    mean = json.loads(capsys.readouterr().out)["mean"]
    expected = {
        "bleu_1": 65.4,
        "bleu_2": 48.8,
        "bleu_3": 37.3,
        "bleu_4": 29.1,
        "meteor": 28.8,
        "rouge_l": 49.5,
        "cider_d": 90.8,
    }
    assert {name: 100 * value for name, value in mean.items()} == pytest.approx(expected, abs=0.055)


@pytest.mark.real_data
@pytest.mark.skipif(
    not os.environ.get("TAGBART_ALL_SPICE"), reason="two minutes of two cores: TAGBART_ALL_SPICE=1"
)
def test_the_papers_human_row_has_spice_21_6(real_data, corenlp):
    path = real_data / "audiocaps" / "captions" / "test.csv"
    captions = read_captions(path)
    texts = [text for five in captions.values() for text in five]
    tokens = dict(zip(texts, tokenize(texts), strict=True))
    means = []
    with Spice(corenlp) as process:
        for sets in leave_one_out(captions, path):
            references = [[tokens[text] for text in four] for four in sets.references]
            [values] = process.scores(references, [[tokens[text] for text in sets.candidates[0]]])
            means.append(values.mean())
    assert 100 * np.mean(means) == pytest.approx(21.6, abs=0.055)


def test_the_table_puts_the_papers_row_below(tmp_path, shared_meteor, capsys):
    path = tmp_path / "clotho.csv"
    path.write_text(
        f"{CLOTHO}7fmOlUlwoNg_20,a dog barks,the dog barks,dogs,a dog,barking\n"
        "_YS5uKWoB6g_30,rain,it rains,rains,wet,drops\n"  # both of AudioCaps' test split
    )
    human_command(path, spice=False)
    heading, names, ours, papers, *notes = capsys.readouterr().out.splitlines()
    assert heading.startswith("2 clips, each of 5 captions against the others")
    assert names.split()[-1] == "CIDEr-D"
    assert ours.startswith("clotho.csv") and papers.split()[-7:] == [
        "65.4", "48.9", "37.3", "29.1", "28.8", "49.6", "91.3"
    ]  # fmt: skip
    assert notes[0].startswith("SPICE: not available")

"""The dataset's numbers are those of its clips."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from evaluate.cli import app
from evaluate.report.dataset import as_text, lost_clips, overview
from evaluate.report.dataset_page import named_share, shared, tag_shares
from evaluate.report.material import Sources, gather
from features.reader import Features
from tests.train import toy
from tests.train.toy import CLASSES, ToyClip, write_features

DOG, BEE, RAIN = (CLASSES.index(name) for name in ("Dog", "Bee, wasp, etc.", "Rain"))


def rows(*tags):
    """Logits with one likely tag per row."""
    logits = np.full((len(tags), len(CLASSES)), -40.0)
    logits[np.arange(len(tags)), tags] = 3.0
    return {"yamnet": logits}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    clips = [
        ToyClip(id="a", captions=("A dog barks.", "a dog"), streams=rows(DOG, DOG, RAIN)),
        ToyClip(id="b", captions=("Rain, rain",), streams=rows(RAIN)),
        ToyClip(id="c", captions=(), streams=rows(BEE, DOG)),
    ]
    folder = tmp_path_factory.mktemp("features")
    write_features(folder, {"test": clips}, shard=2)
    (folder / "failures.csv").write_text("clip,path,reason\nx,,no audio found\n")
    return folder


def test_durations_captions_and_words_are_counted(root):
    found = overview(Features(root, "test"))
    assert found.duration_s is not None and found.duration_s.total == 30.0
    assert found.captions == 3 and found.captions_per_clip == {0: 1, 1: 1, 2: 1}
    assert found.words_per_caption is not None
    assert (found.words_per_caption.least, found.words_per_caption.most) == (2, 3)
    assert found.words_per_caption.mean == pytest.approx(7 / 3)
    assert found.vocabulary == 4  # a, dog, barks, rain
    assert dict(found.commonest_words) == {"a": 2, "dog": 2, "rain": 2, "barks": 1}


def test_a_tag_counts_where_it_is_the_likeliest(root):
    tags = {tag.name: tag for tag in overview(Features(root, "test")).tags}
    assert (tags["Dog"].clips, tags["Dog"].rows) == (2, 3)
    assert (tags["Rain"].clips, tags["Rain"].rows) == (2, 2)
    # One tag per row is all but certain: Dog is drawn in 3 of 6 rows.
    assert tags["Dog"].share_of_draws == pytest.approx(0.5, abs=1e-6)
    assert "Speech" not in tags


def test_what_is_not_here_is_named(root):
    text = as_text([overview(Features(root, "test"))], lost_clips(root))
    assert "clips not here: 1" in text and "no audio found" in text and "x" in text


def test_the_command_prints_json_for_programs_and_writes_a_page(root, tmp_path):
    page = tmp_path / "page"
    done = CliRunner().invoke(
        app, ["dataset", str(root), "--json", "--out", str(page), "--audio", str(tmp_path)]
    )
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert record["splits"][0]["captions"] == 3 and record["lost"][0]["clip"] == "x"
    text = (page / "index.html").read_text("utf-8")
    assert "A dog barks." in text and 'href="?tag=Dog#clips"' in text and "data-sound=" in text
    assert not re.search(r"https?://", text)


def test_tags_that_no_caption_names_are_counted():
    assert named_share(["Train horn", "Rain"], ["A train passes by"]) == 0.5
    assert named_share(["Bee, wasp, etc."], ["wasps buzz around"]) == 1
    assert named_share(["Tick-tock"], ["A clock tick-tocks"]) == 1
    assert named_share(["Rain"], ["A train passes"]) == 0


def test_what_another_split_has_too_is_counted(root):
    features = Features(root, "test")
    whole = shared(features, features)
    assert (whole.clips, whole.captions, whole.captions_too) == (3, 3, 3)
    assert (whole.vocabulary, whole.unknown_words) == (4, 0)


def test_shares_are_of_the_splits_clips(root):
    rows = {row["tag"]: row for row in tag_shares([overview(Features(root, "test"))])}
    assert rows["Dog"]["clips"] == [pytest.approx(2 / 3)]


def test_of_two_streams_of_tags_it_is_said_whose_are_shown(root, tmp_path, monkeypatch):
    assert "tags are" not in as_text([overview(Features(root, "test"))], [])
    yamnet, *others = toy.stream_specs()
    specs = [yamnet, replace(yamnet, name="panns_tags"), *others]
    monkeypatch.setattr(toy, "stream_specs", lambda: specs)
    logits = rows(DOG)["yamnet"]
    clip = ToyClip(id="a", captions=("a dog",), streams={"yamnet": logits, "panns_tags": logits})
    write_features(tmp_path / "f", {"test": [clip]})
    page = ["--out", str(tmp_path / "page")]
    done = CliRunner().invoke(app, ["dataset", str(tmp_path / "f"), *page])
    said = "tags are those of yamnet, not of panns_tags"
    assert said in done.stdout
    assert f"These {said}." in (tmp_path / "page" / "index.html").read_text("utf-8")
    system = SimpleNamespace(result=None, made=None, label="")
    study = SimpleNamespace(systems=[system], left_out=(), clips=["a"])
    reported = gather(study, Sources(features=tmp_path / "f"), {})
    assert "tags of panns_tags: those of yamnet are shown" in reported.left_out

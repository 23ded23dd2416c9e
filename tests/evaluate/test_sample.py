"""`python -m evaluate sample`, as training asks it."""

import json
from types import SimpleNamespace

import pytest
from pycocoevalcap.cider.cider import Cider

from evaluate.sample import CiderD, Sample, clips_of
from evaluate.sample_cli import sample_command
from features.common.errors import ConfigError, FormatError
from tests.evaluate.command import evaluate
from tests.evaluate.conftest import CAPTIONS

IDS = ["clip_7", "clip_2", "clip_4", "clip_11"]  # the last has no caption


@pytest.fixture
def ids(tmp_path):
    path = tmp_path / "ids.txt"
    path.write_text("\n".join(IDS))
    return path


def test_each_line_is_answered_with_captions_and_cider_d_where_there_is_time(
    tiny_run_folder, tiny_features, ids
):
    options = ["--ids", ids, "--split", "test", "--show", 3, "--device", "cpu", "--ask"]
    done = evaluate("sample", tiny_run_folder, tiny_features, *options, stdin="\n0\n")
    assert done.returncode == 0, done.stderr
    full, short = map(json.loads, done.stdout.splitlines())
    expected = [
        {"clip": clip, "caption": CAPTIONS[int(clip[5:])], "references": [CAPTIONS[int(clip[5:])]]}
        for clip in IDS[:3]
    ]
    assert full["captions"] == short["captions"] == expected
    assert full["clips"] == short["clips"] == 4
    # Every word as its one reference has it; no n-gram is in more than one of three clips.
    assert full["cider_d"] == pytest.approx(10, rel=0.1) and short["cider_d"] is None
    assert 0 < short["processor_s"] < full["processor_s"]


def test_each_clip_is_captioned_as_the_task_and_from_the_folder_that_its_line_names(
    tiny_features, tmp_path, monkeypatch
):
    (tmp_path / "again").symlink_to(tiny_features)
    lines = [
        "clip_3",
        '{"clip": "clip_3", "features": 1, "task": "other"}',
        '{"clip": "clip_1", "features": 0, "task": "usual"}',
        '{"clip": "clip_2", "task": "other"}',
    ]
    (tmp_path / "ids.txt").write_text("\n".join(lines))
    asked = clips_of([tiny_features, tmp_path / "again"], "test", tmp_path / "ids.txt")
    assert [(one.clip.id, one.task) for one in asked] == [
        ("clip_3", ""), ("clip_3", "other"), ("clip_1", "usual"), ("clip_2", "other"),
    ]  # fmt: skip

    def said(run, clips, options):
        return [SimpleNamespace(text=f"{clip.id} as {options.task}") for clip in clips]

    monkeypatch.setattr("evaluate.captions.search.open_run", lambda *_: None)
    monkeypatch.setattr("evaluate.captions.generate.caption_clips", said)
    answer = Sample(run=tmp_path, device="cpu", asked=asked, show=3).answer(0.0)
    assert [(one["caption"], one.get("task")) for one in answer["captions"]] == [
        ("clip_3 as ", None), ("clip_3 as other", "other"), ("clip_1 as usual", "usual"),
    ]  # fmt: skip


def test_a_folder_that_a_line_names_must_have_the_clip(tiny_features, tmp_path):
    (tmp_path / "ids.txt").write_text('{"clip": "clip_3", "features": 1}')
    with pytest.raises(FormatError, match="no clip 'clip_3'"):
        clips_of([tiny_features], "test", tmp_path / "ids.txt")


def test_cider_d_is_that_of_the_reference_implementation():
    """Words that its tokenizer leaves as they are, so that both read the same."""
    references = [["a dog barks loudly", "one dog barks"], ["rain falls on a tin roof"], []]
    candidates = ["a dog barks", "rain falls", "no one asks"]
    own = CiderD(references).score(candidates)
    pairs = {place: [text] for place, text in enumerate(candidates[:2])}
    expected, _ = Cider().compute_score(dict(enumerate(references[:2])), pairs)
    assert own == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [("", ConfigError, "names no clip"), ("clip_99", FormatError, "no clip 'clip_99'")],
)
def test_a_list_that_cannot_be_used_is_named(
    tiny_run_folder, tiny_features, tmp_path, text, error, said
):
    path = tmp_path / "ids.txt"
    path.write_text(text)
    with pytest.raises(error, match=said):
        sample_command(tiny_run_folder, [tiny_features], ids=path, split="test", show=1)

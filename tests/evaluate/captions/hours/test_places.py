"""Where files go, and what is refused before the work begins."""

import re
from pathlib import Path

import pytest

from evaluate.captions.hours.places import plan
from features.common.errors import ConfigError, DumpError
from features.common.publish import published


def recordings(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def outputs(jobs, root: Path) -> list[str]:
    return [str(path.relative_to(root)) for job in jobs for path in job.outputs.values()]


def test_files_lie_beside_their_recordings_and_under_out_as_in_the_folder(tmp_path):
    found = recordings(tmp_path / "in", "b/dog.wav", "a.2.flac")
    forms = ["srt", "vtt", "labels", "jsonl", "csv"]
    assert outputs(plan([found], forms, None), found) == [
        "a.2.srt", "a.2.vtt", "a.2.labels.txt", "a.2.jsonl", "a.2.csv",
        "b/dog.srt", "b/dog.vtt", "b/dog.labels.txt", "b/dog.jsonl", "b/dog.csv",
    ]  # fmt: skip
    out = tmp_path / "out"
    assert outputs(plan([found], ["srt"], out), out) == ["a.2.srt", "b/dog.srt"]
    assert outputs(plan([found / "b" / "dog.wav"], ["srt"], out), out) == ["dog.srt"]


def test_recordings_of_one_name_keep_their_endings_and_one_named_twice_is_one(tmp_path):
    found = recordings(tmp_path, "dog.wav", "dog.flac", "cat.wav")
    jobs = plan([found, found / "cat.wav"], ["srt"], None)
    assert outputs(jobs, tmp_path) == ["cat.srt", "dog.flac.srt", "dog.wav.srt"]


def test_two_recordings_for_one_file_are_refused_by_their_names(tmp_path):
    found = recordings(tmp_path, "x/dog.wav", "y/dog.wav")
    expected = re.escape(f"{found}/x/dog.wav and {found}/y/dog.wav would both have")
    with pytest.raises(ConfigError, match=expected):
        plan([found / "x", found / "y"], ["csv"], tmp_path / "out")


def test_what_exists_is_not_missing(tmp_path):
    found = recordings(tmp_path, "dog.wav", "dog.srt")
    (job,) = plan([found], ["srt", "vtt"], None)
    assert job.missing == {"vtt": tmp_path / "dog.vtt"}


def test_an_out_that_is_a_file_and_a_folder_without_sound_are_refused(tmp_path):
    found = recordings(tmp_path, "dog.wav", "notes.txt")
    with pytest.raises(ConfigError, match=r"notes\.txt: is no folder"):
        plan([found], ["srt"], tmp_path / "notes.txt" / "deeper")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DumpError, match="holds no audio"):
        plan([tmp_path / "empty"], ["srt"], None)


def test_a_name_too_long_for_its_files_is_refused_before_the_work(tmp_path):
    found = recordings(tmp_path, "x" * 240 + ".wav")
    with pytest.raises(ConfigError, match=r"name is too long for \.labels\.txt behind it"):
        plan([found], ["srt", "labels"], None)
    (job,) = plan([found], ["srt"], None)
    with published(job.outputs["srt"]) as draft:
        draft.write_text("1")
    assert job.missing == {}

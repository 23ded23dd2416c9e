"""From dump folders to plans: every layout, every kind, and what cannot be planned."""

import os
import pickle
import tracemalloc
from pathlib import Path

import pytest

from extract.dump import audio_files
from extract.dump.clips import PlannedClip
from extract.dump.find import KINDS
from extract.dump.plan import read_dump
from features.common.errors import ConfigError, DumpError
from tests.extract.dump.dumps import audiocaps, clotho, put, write_csv

AWKWARD_IDS = (
    "r1nicOVtvkQ",
    "-0Gj8-vB1q4",
    "_YS5uKWoB6g",
    "a_b_30_c_d_",
    "Y_30.000_x-",
    "-_-_-_-_-_-",
)


def only_path(dump: Path, split: str = "train") -> str | None:
    (clip,) = read_dump(dump).splits[split]
    return clip.path


@pytest.mark.parametrize("youtube_id", AWKWARD_IDS)
@pytest.mark.parametrize(
    "layout",
    [
        "train/Y{id}_30.000_40.000.wav",
        "{id}_30.flac",
        "{id}_30.wav",
        "clips/{id}_30.wav",
        "train/Y{id}.wav",
        "{id}.mp3",
        "waveforms/train/{id}_000030.wav",
        "audio_32000Hz/train/{id}_30.0-40.0.wav",
        "audio/{id}_30_40.ogg",
        "train/{id}_30.000_40.000.m4a",
        "Y{id}_30.WAV",
        "91139.wav",
        "train/91139.flac",
    ],
)
def test_a_clip_is_found_under_every_layout(tmp_path, layout, youtube_id):
    audiocaps(tmp_path, (91139, youtube_id, 30))
    name = layout.format(id=youtube_id)
    put(tmp_path, name, f"train/{youtube_id}_3.wav", f"train/x{youtube_id}_30.wav", "train/30.wav")
    (clip,) = read_dump(tmp_path).splits["train"]
    assert clip == PlannedClip(f"{youtube_id}_30", name, ("caption 91139",))


def test_a_missing_clip_is_planned_without_a_path(tmp_path):
    audiocaps(tmp_path, (1, "aaaaaaaaaaa", 0), (2, "bbbbbbbbbbb", 10))
    put(tmp_path, "bbbbbbbbbbb_10.wav", "aaaaaaaaaaa_10.wav")
    clips = read_dump(tmp_path).splits["train"]
    assert [clip.path for clip in clips] == [None, "bbbbbbbbbbb_10.wav"]


def test_rows_of_a_clip_are_gathered_wherever_they_stand(tmp_path):
    audiocaps(tmp_path, (1, "b", 0), (2, "a", 10), (3, "b", 0), (4, "b", 20), (5, "a", 10))
    clips = read_dump(tmp_path).splits["train"]
    assert [(clip.id, clip.captions) for clip in clips] == [
        ("b_0", ("caption 1", "caption 3")),
        ("a_10", ("caption 2", "caption 5")),
        ("b_20", ("caption 4",)),
    ]


def test_of_one_file_per_caption_the_first_in_the_csv_is_taken(tmp_path):
    audiocaps(tmp_path, (9, "a", 0), (3, "a", 0), (5, "a", 0), split="test")
    put(tmp_path, "test/3.wav", "test/5.wav")
    assert only_path(tmp_path, "test") == "test/3.wav"
    put(tmp_path, "test/9.wav")
    assert only_path(tmp_path, "test") == "test/9.wav"


def test_a_name_with_a_start_time_comes_before_a_bare_one(tmp_path):
    audiocaps(tmp_path, (1, "a", 0))
    put(tmp_path, "a.wav", "1.wav", "Ya_0.wav")
    assert only_path(tmp_path) == "Ya_0.wav"


def test_a_bare_name_is_refused_where_one_video_has_several_clips(tmp_path):
    audiocaps(tmp_path, (1, "a", 0), (2, "b", 0))
    audiocaps(tmp_path, (3, "a", 30), split="val")
    put(tmp_path, "a.wav", "b.wav")
    plan = read_dump(tmp_path)
    a, b = plan.splits["train"]
    assert (a.path, b.path) == (None, "b.wav")
    assert a.reason.startswith("missing: a.wav has no start time")
    # The other splits are known even when they are not asked for.
    (a, _) = read_dump(tmp_path, splits=["train"]).splits["train"]
    assert a.path is None


def test_one_clip_in_two_splits_has_one_file(tmp_path):
    audiocaps(tmp_path, (1, "a", 0), split="train")
    audiocaps(tmp_path, (1, "a", 0), split="val")
    put(tmp_path, "a.wav")
    assert [only_path(tmp_path, split) for split in ("train", "val")] == ["a.wav", "a.wav"]


def test_no_file_goes_to_two_clips(tmp_path):
    audiocaps(tmp_path, (1, "a", 0), (1, "b", 0), (2, "Yc", 0), (3, "c", 0))
    put(tmp_path, "1.wav", "Yc_0.wav")
    clips = read_dump(tmp_path).splits["train"]
    assert [clip.path for clip in clips] == ["1.wav", None, "Yc_0.wav", None]
    assert clips[1].reason == "missing: 1.wav fits an earlier clip too"


@pytest.mark.parametrize("name", ["-YS5uKWoB6g_30.wav", "Y-YS5uKWoB6g.wav", "-YS5uKWoB6g.wav"])
def test_a_dash_is_taken_for_a_leading_underscore_where_nothing_else_fits(tmp_path, name):
    audiocaps(tmp_path, (1, "_YS5uKWoB6g", 30))
    put(tmp_path, name)
    assert only_path(tmp_path) == name
    put(tmp_path, "_YS5uKWoB6g.wav")
    assert only_path(tmp_path) == "_YS5uKWoB6g.wav"


@pytest.mark.parametrize("name", ["-YS5uKWoB6g_30.wav", "-YS5uKWoB6g.wav"])
def test_a_dash_is_not_taken_for_an_underscore_where_its_clip_is_listed(tmp_path, name):
    audiocaps(tmp_path, (1, "_YS5uKWoB6g", 30), (2, "-YS5uKWoB6g", 30))
    put(tmp_path, name)
    assert [clip.path for clip in read_dump(tmp_path).splits["train"]] == [None, name]


def test_of_several_files_the_one_of_the_split_comes_first_then_one_that_can_be_decoded(tmp_path):
    audiocaps(tmp_path, (1, "a", 0), split="val")
    put(tmp_path, "test/a_0.flac", "test/a_0.m4a", "b/a_0.m4a")
    assert only_path(tmp_path, "val") == "test/a_0.flac"
    put(tmp_path, "waveforms/val/a_0.m4a")
    assert only_path(tmp_path, "val") == "waveforms/val/a_0.m4a"
    put(tmp_path, "waveforms/val/a_0.wav")
    assert only_path(tmp_path, "val") == "waveforms/val/a_0.wav"


@pytest.mark.parametrize("youtube_id", ["../secret", "/etc/secret", "..", ".", "../../dump/a"])
def test_an_id_never_makes_a_path_outside_the_dump(tmp_path, youtube_id):
    put(tmp_path, "secret_0.wav", "secret.wav", "dump/other.wav", "dump/a/b.wav")
    audiocaps(tmp_path / "dump", ("../secret", youtube_id, 0))
    assert only_path(tmp_path / "dump") is None


def test_line_breaks_and_runs_of_spaces_in_captions_become_single_spaces(tmp_path):
    audiocaps(tmp_path, (1, "a", 0, "A dog barks\r\nand  a man\n\n speaks\t "))
    (clip,) = read_dump(tmp_path).splits["train"]
    assert clip.captions == ("A dog barks and a man speaks",)


def test_an_empty_caption_is_left_out_and_said_and_its_clip_stays(tmp_path, capsys):
    audiocaps(tmp_path, (1, "a", 0, " "), (2, "b", 0, ""), (3, "b", 0, "birds"))
    clips = read_dump(tmp_path).splits["train"]
    assert [(clip.id, clip.captions) for clip in clips] == [("a_0", ()), ("b_0", ("birds",))]
    assert "2 empty captions" in capsys.readouterr().err


def test_a_start_of_30_and_of_30_point_0_are_one(tmp_path):
    audiocaps(tmp_path, (1, "a", "30"), (2, "a", "30.0"), (3, "a", "30.5"))
    assert [clip.id for clip in read_dump(tmp_path).splits["train"]] == ["a_30", "a_30.5"]


@pytest.mark.parametrize("folder", [".", "captions", "dataset"])
def test_captions_are_found_in_the_dumps_usual_folders(tmp_path, folder):
    audiocaps(tmp_path / folder, (1, "a", 0))
    put(tmp_path, "a_0.wav")
    plan = read_dump(tmp_path)
    assert plan.kind == "audiocaps"
    assert plan.splits["train"][0].path == "a_0.wav"


def test_captions_may_lie_elsewhere(tmp_path):
    audiocaps(tmp_path / "elsewhere", (1, "a", 0), split="test")
    put(tmp_path, "dump/a_0.wav")
    plan = read_dump(tmp_path / "dump", captions=tmp_path / "elsewhere")
    assert (plan.kind, plan.splits["test"][0].path) == ("audiocaps", "a_0.wav")


def test_clotho_is_recognised_and_ids_are_file_names(tmp_path):
    names = ["Rain, hard.wav", "Birds - 01.v2.wav"]
    clotho(tmp_path, names)
    clotho(tmp_path, ["Rain, hard.wav", "gone.wav"], split="evaluation")
    put(tmp_path, *(f"development/{name}" for name in names), "evaluation/Rain, hard.wav")
    plan = read_dump(tmp_path)
    assert plan.kind == "clotho"
    assert list(plan.splits) == ["train", "test"]
    assert plan.originals == {"train": "development", "test": "evaluation"}
    first, second = plan.splits["train"]
    assert first.captions == tuple(f"Rain, hard.wav {number}" for number in range(1, 6))
    assert (second.id, second.path) == ("Birds - 01.v2.wav", "development/Birds - 01.v2.wav")
    assert [clip.path for clip in plan.splits["test"]] == ["evaluation/Rain, hard.wav", None]


def test_clothos_names_mean_their_endings_too(tmp_path):
    clotho(tmp_path, ["a.wav", "a.flac"])
    put(tmp_path, "development/a.wav", "development/a.flac")
    paths = [clip.path for clip in read_dump(tmp_path).splits["train"]]
    assert paths == ["development/a.wav", "development/a.flac"]


def test_a_clotho_file_name_never_leaves_the_dump(tmp_path):
    clotho(tmp_path / "dump", ["../secret.wav"])
    put(tmp_path, "secret.wav", "dump/b.wav")
    assert only_path(tmp_path / "dump") is None


def test_a_plain_folder_is_one_split_named_all(tmp_path):
    put(tmp_path, "b.wav", "deep/er/a.flac", "c.M4A", "notes.txt", ".hidden.wav", ".git/d.wav")
    plan = read_dump(tmp_path)
    assert plan.kind == "folder"
    expected = [PlannedClip(name, name) for name in ("b.wav", "c.M4A", "deep/er/a.flac")]
    assert list(plan.splits["all"]) == expected


def test_a_kind_can_be_named_and_must_fit(tmp_path):
    audiocaps(tmp_path, (1, "a", 0))
    put(tmp_path, "a_0.wav")
    assert read_dump(tmp_path, kind="audiocaps").kind == "audiocaps"
    assert read_dump(tmp_path, kind="folder").splits["all"][0].id == "a_0.wav"
    with pytest.raises(DumpError, match="holds audiocaps captions"):
        read_dump(tmp_path, kind="clotho")
    with pytest.raises(ConfigError, match=", ".join(KINDS)):
        read_dump(tmp_path, kind="youtube")


def test_only_the_splits_asked_for_are_planned(tmp_path):
    for split in ("train", "val", "test"):
        audiocaps(tmp_path, (1, split, 0), split=split)
    assert list(read_dump(tmp_path).splits) == ["train", "val", "test"]
    assert list(read_dump(tmp_path, splits=["test", "train"]).splits) == ["train", "test"]
    with pytest.raises(DumpError, match="no split 'dev'; it has train, val, test"):
        read_dump(tmp_path, splits=["dev"])


def test_folders_that_link_in_circles_are_walked_once(tmp_path):
    put(tmp_path, "in/a.wav")
    (tmp_path / "in" / "out").symlink_to(tmp_path)
    (tmp_path / "again").symlink_to(tmp_path / "in")
    (tmp_path / "loop").symlink_to("loop")
    (clip,) = read_dump(tmp_path).splits["all"]
    assert clip.id.endswith("a.wav")


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read every folder")
def test_a_folder_that_cannot_be_read_is_said(tmp_path, capsys):
    put(tmp_path, "a.wav", "locked/b.wav")
    (tmp_path / "locked").chmod(0)
    assert only_path(tmp_path, "all") == "a.wav"
    assert "locked/: cannot be read (Permission denied)" in capsys.readouterr().err


def error_of(dump: Path, **options) -> str:
    with pytest.raises(DumpError) as error:
        read_dump(dump, **options)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_a_dump_that_is_no_folder_is_said(tmp_path):
    assert "found nothing" in error_of(tmp_path / "absent")
    put(tmp_path, "a.wav")
    assert "expected a folder of audio, found a file" in error_of(tmp_path / "a.wav")


def test_a_folder_without_captions_or_audio_is_said(tmp_path):
    assert "found neither captions" in error_of(tmp_path)
    assert "name their folder with --captions" in error_of(tmp_path, kind="audiocaps")
    assert "found no captions; expected" in error_of(tmp_path, captions=tmp_path / "absent")


def test_a_csv_without_the_needed_columns_names_both(tmp_path):
    path = write_csv(tmp_path / "train.csv", ["id", "start_time", "caption"], [[1, 2, 3]])
    message = error_of(tmp_path)
    assert str(path) in message
    assert "lacks columns ['youtube_id']; found ['id', 'start_time', 'caption']" in message


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "lacks columns"),
        (b"audiocap_id,youtube_id,start_time,caption\n", "lists no clips"),
        (b"audiocap_id,youtube_id,start_time,caption\n1,a,0,\xff\xfe\n", "is not UTF-8"),
        (
            b"audiocap_id,youtube_id,start_time,caption\n1,a,0,rain, hard\n",
            "line 2: 5 values for 4",
        ),
        (b"audiocap_id,youtube_id,start_time,caption\n1,a\n", "line 2: 2 values for 4"),
        (b"audiocap_id,youtube_id,start_time,caption\n1,a,ten,b\n", "start_time 'ten'"),
        (b"audiocap_id,youtube_id,start_time,caption\n1,,10,b\n", "youtube_id is ''"),
        (b'audiocap_id,youtube_id,start_time,caption\n1,a,0,"' + b"x\n" * 100_000, "not a CSV"),
    ],
)
def test_a_csv_that_cannot_be_used_is_said(tmp_path, content, what):
    (tmp_path / "val.csv").write_bytes(content)
    message = error_of(tmp_path)
    assert what in message
    assert str(tmp_path / "val.csv") in message


def test_clotho_names_must_be_told_apart(tmp_path):
    clotho(tmp_path, ["a.wav", "a.wav"])
    assert "line 3: file_name is 'a.wav', stands in the file already" in error_of(tmp_path)


def test_a_byte_order_mark_and_columns_in_another_order_do_no_harm(tmp_path):
    content = "\ufeffcaption,start_time,youtube_id,note\nrain,7,a,x\n\n"
    (tmp_path / "train.csv").write_text(content, encoding="utf-8")
    (clip,) = read_dump(tmp_path).splits["train"]
    assert (clip.id, clip.captions) == ("a_7", ("rain",))


def test_a_slice_of_a_plan_holds_its_clips_and_travels_alone(tmp_path):
    audiocaps(tmp_path, *((number, f"id{number}", 0) for number in range(100)))
    put(tmp_path, *(f"id{number}_0.wav" for number in range(0, 100, 2)))
    clips = read_dump(tmp_path).splits["train"]
    part = clips[10:14]
    assert [clip.id for clip in part] == ["id10_0", "id11_0", "id12_0", "id13_0"]
    assert part[-1] == clips[13] == list(clips)[13]
    assert [clip.path for clip in part[::-2]] == [None, None]
    sent = pickle.dumps(part)
    assert pickle.loads(sent) == list(part)
    assert len(sent) < len(pickle.dumps(clips)) / 10


def test_two_million_clips_are_planned_within_a_gigabyte(tmp_path, monkeypatch):
    clips = 20_000
    caption = "A man speaks while water runs and then a dog barks in the distance"
    ids = [f"{number:011d}" for number in range(clips)]
    audiocaps(tmp_path, *((number, ids[number], 30, caption) for number in range(clips)))
    names = [("train/", f"Y{youtube_id}_30.000_40.000.wav") for youtube_id in ids]
    names.append(("", "train.csv"))
    monkeypatch.setattr(audio_files, "_walk", lambda root: iter(names))
    tracemalloc.start()
    plan = read_dump(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(clip.path is not None for clip in plan.splits["train"]) == clips
    assert peak * 2_000_000 / clips < 1e9


@pytest.mark.real_data
def test_the_real_dump_holds_8_of_975_test_clips(real_data):
    plan = read_dump(real_data / "audiocaps")
    assert plan.kind == "audiocaps"
    assert {split: len(clips) for split, clips in plan.splits.items()} == {
        "train": 49_838,
        "val": 495,
        "test": 975,
    }
    found = [clip for clip in plan.splits["test"] if clip.path]
    files = {f"clips/{path.name}" for path in (real_data / "audiocaps" / "clips").iterdir()}
    assert {clip.path for clip in found} == files
    assert "_YS5uKWoB6g_30" in {clip.id for clip in found}
    for split, captions in (("train", 1), ("val", 5), ("test", 5)):
        assert {len(clip.captions) for clip in plan.splits[split]} == {captions}

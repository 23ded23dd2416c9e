"""One file of captions beside own sounds: its forms, and how its clips are divided."""

import hashlib
import json

import pytest

from extract.dump.plan import read_dump
from extract.dump.splits import SplitRule
from features.common.errors import ConfigError, DumpError
from tests.extract.dump.dumps import AUDIOCAPS, put, write_csv


def clips_of(plan) -> dict:
    """Path and captions by id, over all splits."""
    return {clip.id: (clip.path, clip.captions) for clips in plan.splits.values() for clip in clips}


@pytest.mark.parametrize("column", ["file", "file_name", "audio", "path", "filename"])
def test_a_row_per_caption_or_a_column_per_caption(tmp_path, column):
    put(tmp_path, "a.wav", "deep/b.flac")
    write_csv(
        tmp_path / "captions.csv",
        [column, "caption"],
        [("a.wav", "one"), ("deep/b.flac", "two"), ("a.wav", "three")],
    )
    expected = {"a.wav": ("a.wav", ("one", "three")), "deep/b.flac": ("deep/b.flac", ("two",))}
    assert clips_of(read_dump(tmp_path)) == expected
    write_csv(
        tmp_path / "captions.csv",
        [column, "caption_1", "caption_2"],
        [("a.wav", "one", "three"), ("deep/b.flac", "two", "")],
    )
    assert clips_of(read_dump(tmp_path)) == expected


@pytest.mark.parametrize("name", ["captions.jsonl", "metadata.jsonl", "captions.json"])
def test_objects_a_line_or_in_a_list_with_captions_in_lists(tmp_path, name):
    put(tmp_path, "a.wav", "b.wav")
    records = [
        {"file": "a.wav", "caption": ["one", "two"]},
        {"file": "b.wav", "caption": "three"},
        {"file": "a.wav", "caption": None},
    ]
    lines = "\n".join(map(json.dumps, records)) if name.endswith("l") else json.dumps(records)
    (tmp_path / name).write_text(lines)
    assert clips_of(read_dump(tmp_path)) == {
        "a.wav": ("a.wav", ("one", "two")),
        "b.wav": ("b.wav", ("three",)),
    }


def test_a_column_split_divides_under_any_of_its_names(tmp_path, capsys):
    put(tmp_path, "a.wav", "b.wav", "c.wav")
    rows = [("a.wav", "x", "train"), ("b.wav", "y", "Validation"), ("c.wav", "z", "eval")]
    write_csv(tmp_path / "captions.csv", ["file", "caption", "split"], rows)
    plan = read_dump(tmp_path)
    assert {split: [clip.id for clip in clips] for split, clips in plan.splits.items()} == {
        "train": ["a.wav"],
        "val": ["b.wav"],
        "test": ["c.wav"],
    }
    assert plan.originals == {"val": "Validation", "test": "eval"}


@pytest.mark.parametrize(
    ("splits", "what"),
    [
        (("train", "fold1"), "a split 'fold1'"),
        (("train", ""), "rows without a split"),
        (("val", "valid"), "'val' and 'valid' mean the one split val"),
    ],
)
def test_a_column_split_that_leaves_a_question_is_refused(tmp_path, splits, what):
    put(tmp_path, "a.wav", "b.wav")
    rows = [("a.wav", "x", splits[0]), ("b.wav", "y", splits[1])]
    write_csv(tmp_path / "captions.csv", ["file", "caption", "split"], rows)
    with pytest.raises(DumpError, match=what):
        read_dump(tmp_path)


def share(name: str) -> float:
    """Where a name stands from 0 to 1, worked out here: sha256's first 8 bytes over 2^64."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:16], 16) / 2**64


def test_without_splits_the_names_decide_and_nothing_else(tmp_path):
    names = [f"sound {number}.wav" for number in range(300)]
    put(tmp_path, *names)
    write_csv(tmp_path / "captions.csv", ["file", "caption"], [(name, "x") for name in names])

    def divided(**shares) -> dict[str, str]:
        plan = read_dump(tmp_path, rule=SplitRule(**shares))
        return {clip.id: split for split, clips in plan.splits.items() for clip in clips}

    by_default = divided()
    assert by_default == {
        name: "test" if share(name) < 0.05 else "val" if share(name) < 0.1 else "train"
        for name in names
    }
    assert divided(val=0.05, test=0.05) == by_default
    assert set(divided(val=0, test=0).values()) == {"train"}
    assert set(divided(val=0.3, test=0).values()) == {"train", "val"}
    # What comes or goes moves no other clip.
    kept = names[100:][::-1]
    write_csv(tmp_path / "captions.csv", ["file", "caption"], [(name, "x") for name in kept])
    assert divided() == {name: by_default[name] for name in kept}


def test_where_a_rule_divides_a_folder_named_train_is_one_of_railways(tmp_path):
    names = [f"{number}.wav" for number in range(40)]
    put(tmp_path, *(f"train/{name}" for name in names))
    write_csv(tmp_path / "captions.csv", ["file", "caption"], [(name, "x") for name in names])
    plan = read_dump(tmp_path, rule=SplitRule(val=0.2, test=0.2))
    assert set(plan.splits) == {"train", "val", "test"}
    assert all(clip.path for clips in plan.splits.values() for clip in clips)


@pytest.mark.parametrize("shares", [{"val": 1.0}, {"test": -0.1}, {"val": 0.6, "test": 0.4}])
def test_shares_that_leave_nothing_are_refused(shares):
    with pytest.raises(ConfigError, match=r"--val|--test"):
        SplitRule(**shares)


def test_shares_are_refused_where_the_captions_name_splits(tmp_path):
    put(tmp_path, "a_0.wav", "b_0.wav")
    write_csv(tmp_path / "train.csv", AUDIOCAPS, [(1, "a", 0, "x")])
    write_csv(tmp_path / "test.csv", AUDIOCAPS, [(1, "b", 0, "x")])
    with pytest.raises(ConfigError, match="leave them out"):
        read_dump(tmp_path, rule=SplitRule(val=0.5))
    # A training set alone can be divided.
    (tmp_path / "test.csv").unlink()
    plan = read_dump(tmp_path, rule=SplitRule(val=0.9, test=0.05))
    assert sum(map(len, plan.splits.values())) == 1


@pytest.mark.parametrize("place", ["", "data/"])
def test_an_audiofolder_is_divided_by_its_folders(tmp_path, place):
    put(tmp_path, f"{place}train/x.wav", f"{place}test/x.wav")
    rows = [(f"{place}train/x.wav", "one"), (f"{place}test/x.wav", "two")]
    write_csv(tmp_path / "metadata.csv", ["file_name", "caption"], rows)
    plan = read_dump(tmp_path)
    assert {split: clips[0].path for split, clips in plan.splits.items()} == {
        "train": f"{place}train/x.wav",
        "test": f"{place}test/x.wav",
    }


def test_an_audiofolder_with_metadata_in_each_folder(tmp_path):
    put(tmp_path, "train/x.wav", "validation/x.wav")
    for folder in ("train", "validation"):
        write_csv(tmp_path / folder / "metadata.csv", ["file_name", "text"], [("x.wav", folder)])
    plan = read_dump(tmp_path)
    assert {split: (clips[0].path, clips[0].captions) for split, clips in plan.splits.items()} == {
        "train": ("train/x.wav", ("train",)),
        "val": ("validation/x.wav", ("validation",)),
    }


def test_a_name_with_folders_is_that_file_and_no_other(tmp_path):
    put(tmp_path, "audio/s1/x.wav", "audio/s2/x.wav", "audio/s3/y.wav", "z.wav")
    names = ["s1/x.wav", "audio/s2/x.wav", "s4/y.wav", "/data/mine/z.wav", "audio\\s3\\y.wav"]
    write_csv(tmp_path / "captions.csv", ["file", "caption"], [(name, "c") for name in names])
    assert {id_: path for id_, (path, _) in clips_of(read_dump(tmp_path)).items()} == {
        "s1/x.wav": "audio/s1/x.wav",
        "audio/s2/x.wav": "audio/s2/x.wav",
        "s4/y.wav": None,
        "/data/mine/z.wav": "z.wav",
        "audio\\s3\\y.wav": "audio/s3/y.wav",
    }


@pytest.mark.parametrize("name", ["../secret.wav", "/etc/passwd.wav", "a/../../secret.wav"])
def test_a_name_never_leaves_the_dump(tmp_path, name):
    put(tmp_path, "secret.wav", "passwd.wav", "dump/b.wav", "dump/a/c.wav")
    rows = [(name, "x"), ("b.wav", "y")]
    write_csv(tmp_path / "dump" / "captions.csv", ["file", "caption"], rows)
    assert clips_of(read_dump(tmp_path / "dump"))[name][0] is None


def test_macs_has_its_sentences(tmp_path):
    put(tmp_path, "audio/airport-a.wav", "audio/park-b.wav")
    (tmp_path / "MACS.yaml").write_text(
        "files:\n- filename: airport-a.wav\n  annotations:\n"
        "  - identifier: 17\n    sentence: people talk\n    tags: [a, b]\n"
        "  - identifier: 23\n    sentence: steps\n    tags: []\n"
        "- filename: park-b.wav\n  annotations:\n  - identifier: 17\n    sentence: birds sing\n"
    )
    plan = read_dump(tmp_path)
    assert plan.kind == "macs"
    assert clips_of(plan) == {
        "airport-a.wav": ("audio/airport-a.wav", ("people talk", "steps")),
        "park-b.wav": ("audio/park-b.wav", ("birds sing",)),
    }


def test_wavcaps_files_are_called_by_their_ids(tmp_path):
    put(tmp_path, "FreeSound_flac/1234.flac", "BBC_flac/NHU5.flac", "AudioSet/Yabc.flac")
    for folder, id_ in (("FreeSound", "1234"), ("BBC", "NHU5"), ("AudioSet", "Yabc.wav")):
        record = {"title": "t", "description": "long", "caption": f"of {id_}", "id": id_}
        path = tmp_path / "json_files" / folder / f"{folder.lower()}_final.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"num_captions_per_audio": 1, "data": [record]}, indent=1))
    plan = read_dump(tmp_path)
    assert plan.kind == "wavcaps"
    assert {path for path, _ in clips_of(plan).values()} == {
        "FreeSound_flac/1234.flac", "BBC_flac/NHU5.flac", "AudioSet/Yabc.flac",
    }  # fmt: skip
    assert clips_of(plan)["1234"][1] == ("of 1234",)


def test_one_id_in_two_sets_of_wavcaps_is_two_clips(tmp_path):
    put(tmp_path, "FreeSound_flac/1234.flac", "SoundBible_flac/1234.flac")
    for name in ("FreeSound", "SoundBible"):
        path = tmp_path / "json_files" / name / "final.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"data": [{"caption": name, "id": "1234"}]}))
    assert clips_of(read_dump(tmp_path)) == {
        "1234": ("FreeSound_flac/1234.flac", ("FreeSound",)),
        "SoundBible/1234": ("SoundBible_flac/1234.flac", ("SoundBible",)),
    }
    put(tmp_path, "FreeSound_flac/old/1234.flac")
    assert clips_of(read_dump(tmp_path))["1234"][0] is None


@pytest.mark.parametrize("broken", ['{"data": [{"id": "a", "caption": "b"}', '{"data": [{"id": 1,'])
def test_a_cut_json_is_refused(tmp_path, broken):
    put(tmp_path, "a.flac")
    (tmp_path / "fsd_final.json").write_text(broken)
    with pytest.raises(DumpError, match=r"fsd_final.json"):
        read_dump(tmp_path)

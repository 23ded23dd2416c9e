"""Captions under every name and in every place that dumps are known to have them."""

import pytest

from extract.dump.plan import read_dump
from features.common.errors import DumpError
from tests.extract.dump.dumps import AUDIOCAPS, CLOTHO, audiocaps, clotho, put, write_csv

ONE = [(1, "aaaaaaaaaaa", 30, "a dog barks")]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train.csv", "train"),
        ("train_v2.csv", "train"),
        ("csv_files_v1/val.csv", "val"),
        ("csv_files_v2/test.csv", "test"),
        ("dataset2.0/train.csv", "train"),
        ("validation.csv", "val"),
        ("valid.csv", "val"),
        ("dev.csv", "val"),
        ("eval.csv", "test"),
        ("evaluation.csv", "test"),
        ("captions/AudioCaps_captions_valid.csv", "val"),
        ("AUDIOCAPS/annotations/audiocaps-train.csv", "train"),
        ("train/metadata.csv", "train"),
        ("Validation/captions.csv", "val"),
    ],
)
def test_captions_are_found_under_the_names_that_people_give_them(tmp_path, name, split):
    write_csv(tmp_path / name, AUDIOCAPS, ONE)
    put(tmp_path, "aaaaaaaaaaa_30.wav")
    plan = read_dump(tmp_path)
    assert plan.kind == "audiocaps" and list(plan.splits) == [split]
    (clip,) = plan.splits[split]
    assert (clip.path, clip.captions) == ("aaaaaaaaaaa_30.wav", ("a dog barks",))


@pytest.mark.parametrize("folder", ["clotho_csv_files", "csv", "CLOTHO_v2.1/clotho_csv_files"])
def test_clothos_captions_are_found_where_its_tools_put_them(tmp_path, folder):
    clotho(tmp_path / folder, ["a dog.wav"])
    put(tmp_path, "clotho_audio_files/development/a dog.wav")
    plan = read_dump(tmp_path)
    assert plan.kind == "clotho" and plan.originals == {"train": "development"}
    assert plan.splits["train"][0].path == "clotho_audio_files/development/a dog.wav"


@pytest.mark.parametrize(
    ("names", "meant"),
    [
        (("train", "eval"), {"train": "train", "test": "eval"}),
        (("train", "eval", "test"), {"train": "train", "val": "eval", "test": "test"}),
        (("train", "evaluation", "test"), {"train": "train", "val": "evaluation", "test": "test"}),
        (("train", "valid", "eval"), {"train": "train", "val": "valid", "test": "eval"}),
        (("development", "eval"), {"train": "development", "test": "eval"}),
        (("train", "dev", "test"), {"train": "train", "val": "dev", "test": "test"}),
        (("train", "development"), {"train": "train", "val": "development"}),
        (("dev", "eval"), {"train": "dev", "test": "eval"}),
        (("dev", "test"), {"val": "dev", "test": "test"}),
    ],
)
def test_what_eval_and_development_mean_depends_on_what_stands_beside(
    tmp_path, capsys, names, meant
):
    for number, name in enumerate(names):
        audiocaps(tmp_path, (number, f"video{number}", 0), split=name)
        put(tmp_path, f"video{number}_0.wav")
    plan = read_dump(tmp_path)
    assert {split: plan.originals.get(split, split) for split in plan.splits} == meant
    said = capsys.readouterr().err
    assert all(f"{name} is {split}" in said for split, name in meant.items() if name != split)
    # Both names are accepted.
    for split, name in meant.items():
        assert list(read_dump(tmp_path, splits=[name]).splits) == [split]


def test_every_file_that_could_hold_captions_and_is_not_used_is_named(tmp_path, capsys):
    audiocaps(tmp_path, (1, "a", 0))
    put(tmp_path, "a_0.wav", "extra.csv", "deep/er/notes.json", "info.yaml", "readme.txt")
    audiocaps(tmp_path / "dataset2.0", (1, "a", 0))
    write_csv(tmp_path / "train_v2.csv", AUDIOCAPS, ONE)
    read_dump(tmp_path)
    (line,) = [row for row in capsys.readouterr().err.splitlines() if row.startswith("not used")]
    assert line == (
        "not used: dataset2.0/train.csv, deep/er/notes.json, extra.csv, info.yaml, train_v2.csv"
    )


def test_the_parts_of_one_file_stay_together(tmp_path):
    for part in range(2):
        rows = [(part, f"video{part}", 0, "x")]
        write_csv(tmp_path / f"train-0000{part}-of-00002.csv", AUDIOCAPS, rows)
    write_csv(tmp_path / "val-00000-of-00001.csv", AUDIOCAPS, [(9, "video9", 0, "x")])
    put(tmp_path, "video0_0.wav", "video1_0.wav", "video9_0.wav")
    plan = read_dump(tmp_path)
    assert {split: len(clips) for split, clips in plan.splits.items()} == {"train": 2, "val": 1}


def test_a_plain_folder_by_request_names_what_it_leaves_too(tmp_path, capsys):
    put(tmp_path, "a.wav", "labels.csv")
    read_dump(tmp_path, kind="folder")
    assert "not used: labels.csv" in capsys.readouterr().err


def test_beyond_ten_unused_files_are_summed(tmp_path, capsys):
    audiocaps(tmp_path, (1, "a", 0))
    put(tmp_path, "a_0.wav", *(f"{number:02d}.json" for number in range(13)))
    read_dump(tmp_path)
    assert "09.json and 3 more" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name",
    ["labels.csv", "words.json", "list.jsonl", "train_old.csv", "annotation/x.tsv", "a.xlsx"],
)
def test_a_dump_with_unknown_captions_is_no_plain_folder_unless_it_is_said(tmp_path, name):
    put(tmp_path, "a.wav", name)
    with pytest.raises(DumpError) as error:
        read_dump(tmp_path)
    message = str(error.value)
    assert name in message and "--captions" in message and "--kind folder" in message
    assert [clip.id for clip in read_dump(tmp_path, kind="folder").splits["all"]] == ["a.wav"]


def test_a_csv_of_a_split_that_holds_no_captions_is_refused_by_its_columns(tmp_path):
    audiocaps(tmp_path, (1, "a", 0))
    put(tmp_path, "a_0.wav")
    write_csv(tmp_path / "val.csv", ["id", "text"], [(1, "x")])
    with pytest.raises(DumpError, match=r"val.csv: lacks columns .*found \['id', 'text'\]"):
        read_dump(tmp_path)


def test_clothos_metadata_beside_its_captions_does_no_harm(tmp_path, capsys):
    clotho(tmp_path, ["a.wav"])
    write_csv(tmp_path / "clotho_metadata_evaluation.csv", ["file_name", "keywords"], [("b", "c")])
    put(tmp_path, "a.wav")
    assert list(read_dump(tmp_path).splits) == ["train"]
    assert "not used: clotho_metadata_evaluation.csv" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("listed", "file"),
    [
        (" lead.wav", "lead.wav"),
        ("lead.wav", " lead.wav"),
        ("trail .wav", "trail.wav"),
        ("two  spaces.wav", "two spaces.wav"),
        ("Caf\u00e9.wav", "Cafe\u0301.wav"),
        ("Cafe\u0301.wav", "Caf\u00e9.wav"),
        ("a:b.wav", "a_b.wav"),
        ("what?.wav", "what\uff1f.wav"),
        ("a|b*.wav", "a_b_.wav"),
        ("Rain Falls.wav", "rain_falls.WAV"),
    ],
)
def test_a_name_that_tools_changed_is_found(tmp_path, capsys, listed, file):
    clotho(tmp_path, [listed, "other.wav"])
    put(tmp_path, f"development/{file}", "other.wav")
    (clip, _) = read_dump(tmp_path).splits["train"]
    assert (clip.id, clip.path) == (listed, f"development/{file}")
    assert "1 clips found under names that differ" in capsys.readouterr().err


def test_spaces_behind_an_ending_do_no_harm(tmp_path):
    clotho(tmp_path, ["rain.wav ", "wind.wav\r"])
    put(tmp_path, "rain.wav", "wind.flac")
    clips = read_dump(tmp_path).splits["train"]
    assert [clip.path for clip in clips] == ["rain.wav", "wind.flac"]


def test_a_near_miss_must_be_the_only_one_and_nobodys(tmp_path):
    clotho(tmp_path, ["a:b.wav", "c:d.wav", "c_d.wav", "e:f.wav", "e?f.wav"])
    put(tmp_path, "a_b.wav", "development/a|b.wav", "c_d.wav", "e_f.wav")
    paths = [clip.path for clip in read_dump(tmp_path).splits["train"]]
    assert paths == [None, None, "c_d.wav", None, None]


def test_a_name_in_two_splits_never_has_the_other_splits_sound(tmp_path):
    clotho(tmp_path, ["DOOR.wav", "rain.wav"])
    clotho(tmp_path, ["DOOR.wav", "bell.wav"], split="evaluation")
    put(tmp_path, "development/DOOR.wav", "development/rain.wav", "evaluation/bell.wav")
    plan = read_dump(tmp_path)
    door, _ = plan.splits["test"]
    assert door.path is None and "another split's" in door.reason
    put(tmp_path, "clotho_audio_evaluation/DOOR.wav")
    paths = [read_dump(tmp_path).splits[split][0].path for split in ("train", "test")]
    assert paths == ["development/DOOR.wav", "clotho_audio_evaluation/DOOR.wav"]


@pytest.mark.parametrize(("folder", "other"), [("wave_dev", "eval_sounds"), ("dev", "eval")])
def test_folders_may_cut_the_captions_words_for_splits_short(tmp_path, folder, other):
    clotho(tmp_path, ["DOOR.wav"])
    clotho(tmp_path, ["DOOR.wav", "bell.wav"], split="evaluation")
    put(tmp_path, f"{folder}/DOOR.wav", f"{other}/bell.wav")
    plan = read_dump(tmp_path)
    assert [clip.path for clip in plan.splits["train"]] == [f"{folder}/DOOR.wav"]
    assert [clip.path for clip in plan.splits["test"]] == [None, f"{other}/bell.wav"]


def test_unknown_columns_are_named(tmp_path):
    write_csv(tmp_path / "captions.csv", ["File", "Says"], [("a.wav", "rain")])
    put(tmp_path, "a.wav")
    with pytest.raises(DumpError, match=r"captions.csv has \['file', 'Says'\]"):
        read_dump(tmp_path)


def test_numbers_as_names_are_of_their_own_split_only(tmp_path):
    audiocaps(tmp_path, (7, "aaaaaaaaaaa", 0), split="train")
    audiocaps(tmp_path, (7, "bbbbbbbbbbb", 0), split="test")
    put(tmp_path, "train/7.wav")
    plan = read_dump(tmp_path)
    assert [plan.splits[split][0].path for split in ("train", "test")] == ["train/7.wav", None]


@pytest.mark.parametrize(
    "file",
    [
        "{id}_30000_40000",
        "Y{id}_30000_40000",
        "{id}_30000_37000",
        "Y{id}_30.000_37.500",
        "{id}_30_37",
        "{id}_30.0-37.2",
        "{id}_30.0_40.0",
        "{id}_000030_000040",
        "{id}-30-40",
    ],
)
def test_milliseconds_and_ends_that_come_early_are_known(tmp_path, file):
    audiocaps(tmp_path, (1, "-a_b", 30))
    name = f"train/{file.format(id='-a_b')}.wav"
    put(tmp_path, name, "train/-a_b_3000_13000.wav", "train/-a_b_30_50.wav", "train/-a_b_3_9.wav")
    assert read_dump(tmp_path).splits["train"][0].path == name


def test_the_file_of_an_empty_caption_is_found_by_its_number(tmp_path, capsys):
    audiocaps(tmp_path, (91139, "a", 30, " "), (91140, "b", 10, "rain"))
    put(tmp_path, "91139.wav", "91140.wav")
    first, _ = read_dump(tmp_path).splits["train"]
    assert (first.path, first.captions) == ("91139.wav", ())
    assert "1 empty captions" in capsys.readouterr().err


def test_a_file_name_beside_audiocaps_columns_is_one_more_name(tmp_path):
    header = (*AUDIOCAPS, "file_name")
    write_csv(tmp_path / "train.csv", header, [(1, "aaaaaaaaaaa", 30, "rain", "x.wav")])
    put(tmp_path, "x.wav")
    (clip,) = read_dump(tmp_path).splits["train"]
    assert (clip.id, clip.path) == ("aaaaaaaaaaa_30", "x.wav")


def test_captions_may_be_one_file_of_any_name(tmp_path):
    path = write_csv(tmp_path / "mine" / "words I wrote.csv", CLOTHO[:2], [("a.wav", "rain")])
    put(tmp_path, "dump/a.wav", "dump/other.json")
    plan = read_dump(tmp_path / "dump", captions=path)
    assert sum(len(clips) for clips in plan.splits.values()) == 1


def test_captions_come_before_a_second_download_of_them(tmp_path, capsys):
    for name, caption in (("captions.csv", "rain"), ("captions (1).csv", "wind")):
        write_csv(tmp_path / name, ["file", "caption"], [("a.wav", caption)])
    (clip,) = read_dump(tmp_path).splits["train"]
    assert clip.captions == ("rain",)
    assert "not used: captions (1).csv" in capsys.readouterr().err


def test_a_dataset_saved_in_arrow_files_is_told_its_way_out(tmp_path):
    put(tmp_path, "train/data-00000-of-00001.arrow", "train/state.json", "dataset_dict.json")
    with pytest.raises(DumpError, match=r"train/data-00000-of-00001.arrow.*to_parquet"):
        read_dump(tmp_path)


@pytest.mark.parametrize("named", [False, True])
def test_a_spreadsheet_is_told_its_way_out_where_it_lies_or_is_named(named, tmp_path):
    put(tmp_path, "labels.xlsx", "a.wav")
    with pytest.raises(DumpError, match=r"found labels.xlsx; a spreadsheet is not read, save it"):
        read_dump(tmp_path, captions=tmp_path / "labels.xlsx" if named else None)

"""The same clips as files, in parquet and in tars: the same shards, value for value."""

import io
import json
import os
import tarfile

import numpy as np
import pytest
import soundfile

from extract.dump.plan import read_dump
from extract.sound import parquet as sound_parquet
from extract.sound.contained import load_clip
from features.common.errors import ClipError, DumpError
from features.reader import Features
from features.verify import verify
from tests.extract.command import RATE_HZ, contents, extract, only_error, options
from tests.extract.dump.dumps import AUDIOCAPS, write_csv

pa = pytest.importorskip("pyarrow", reason="needs the lock's datasets part")
pq = pytest.importorskip("pyarrow.parquet")

CLIPS, SHARD_CLIPS = 7, 3


def sound_of(number: int) -> bytes:
    """A FLAC file of 0.3 s and a bit."""
    rng = np.random.default_rng(number)
    file = io.BytesIO()
    noise = rng.normal(0, 0.1, int(0.3 * RATE_HZ) + 10 * number)
    soundfile.write(file, noise, RATE_HZ, format="FLAC")
    return file.getvalue()


SOUNDS = [(f"s{number}.flac", sound_of(number)) for number in range(CLIPS)]
SAID = {name: [f"{name} one", f"{name} two"] for name, _ in SOUNDS}


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def as_folder(dump) -> None:
    dump.mkdir()
    for name, content in SOUNDS:
        (dump / name).write_bytes(content)
    rows = [(name, text, "test") for name, texts in SAID.items() for text in texts]
    write_csv(dump / "captions.csv", ["file", "caption", "split"], rows)


def as_parquet(dump, *, group: int = 5) -> None:
    """As Hugging Face has it: a row per caption, each with the sound; several row groups."""
    (dump / "data").mkdir(parents=True)
    for part in range(2):
        rows = [
            {"audio": {"bytes": content, "path": name}, "caption": text}
            for name, content in SOUNDS[part * 4 : part * 4 + 4]
            for text in SAID[name]
        ]
        name = f"test-0000{part}-of-00002.parquet"
        pq.write_table(pa.Table.from_pylist(rows), dump / "data" / name, row_group_size=group)


def as_tars(dump, *, text: bool = False) -> None:
    """As LAION has it."""
    (dump / "test").mkdir(parents=True)
    for part in range(2):
        with tarfile.open(dump / "test" / f"{part}.tar", "w") as tar:
            for name, content in SOUNDS[part * 4 : part * 4 + 4]:
                add(tar, name, content)
                if text:
                    add(tar, name.replace("flac", "txt"), SAID[name][0].encode())
                else:
                    record = json.dumps({"text": SAID[name], "tag": ["a"]}).encode()
                    add(tar, name.replace("flac", "json"), record)


def without_paths(out) -> dict:
    """All that the features say of each clip but where its sound lay."""
    return {
        clip: {key: value for key, value in said.items() if key != "path"}
        for clip, said in contents(out, "test").items()
    }


@pytest.fixture(scope="module")
def from_files(tiny_weights, tmp_path_factory):
    place = tmp_path_factory.mktemp("files")
    as_folder(place / "dump")
    done = extract(
        "run", place / "dump", *options(place / "out", tiny_weights, shard_clips=SHARD_CLIPS)
    )
    assert done.code == 0, done.stderr
    return without_paths(place / "out")


@pytest.mark.parametrize(("make", "kind"), [(as_parquet, "parquet"), (as_tars, "webdataset")])
@pytest.mark.parametrize("workers", [0, 2])
def test_the_same_clips_give_the_same_shards(
    make, kind, workers, from_files, tiny_weights, tmp_path
):
    make(tmp_path / "dump")
    out = tmp_path / "out"
    arguments = options(out, tiny_weights, shard_clips=SHARD_CLIPS, workers=workers)
    done = extract("run", tmp_path / "dump", *arguments)
    assert done.code == 0, done.stderr
    assert f"7 of 7 clips have audio  ({kind})" in done.stderr
    assert without_paths(out) == from_files and list(without_paths(out)) == list(from_files)
    assert verify(out) == []
    # Going on: a shard that is lost is made again, and only that.
    (out / "test" / "00001.h5").unlink()
    again = extract("run", tmp_path / "dump", *arguments)
    assert again.code == 0 and "3 shards, 2 of them finished before" in again.stderr
    assert without_paths(out) == from_files


def test_text_files_in_a_tar_are_captions(tmp_path):
    as_tars(tmp_path / "dump", text=True)
    clips = read_dump(tmp_path / "dump").splits["test"]
    assert [clip.captions for clip in clips] == [(SAID[name][0],) for name, _ in SOUNDS]


def test_audiocaps_in_parquet_has_audiocaps_ids_and_a_split_by_its_name(tmp_path):
    rows = [
        {
            "youtube_id": "-a_b", "start_time": 30, "caption": text, "audiocap_id": number,
            "audio": {"bytes": SOUNDS[0][1], "path": None},
        }
        for number, text in enumerate(("rain falls", "it rains"))
    ]  # fmt: skip
    (tmp_path / "default" / "validation").mkdir(parents=True)
    path = tmp_path / "default" / "validation" / "0000.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    plan = read_dump(tmp_path)
    (clip,) = plan.splits["val"]
    assert (plan.kind, clip.id, clip.captions) == ("parquet", "-a_b_30", ("rain falls", "it rains"))
    sound = load_clip(tmp_path, clip.path or "")
    expected, rate_hz = soundfile.read(io.BytesIO(SOUNDS[0][1]), dtype="float32")
    assert sound.sample_rate_hz == rate_hz
    np.testing.assert_array_equal(sound.waveform, expected)


def test_parquet_without_captions_or_names_is_told_by_its_rows(tmp_path):
    table = pa.table({"audio": pa.array([content for _, content in SOUNDS[:2]], pa.binary())})
    pq.write_table(table, tmp_path / "train.parquet")
    clips = read_dump(tmp_path).splits["train"]
    assert [clip.id for clip in clips] == ["train.parquet#1", "train.parquet#2"]
    assert len(load_clip(tmp_path, clips[1].path or "").waveform) == int(0.3 * RATE_HZ) + 10


def test_metadata_in_parquet_is_a_captions_file(tmp_path):
    as_folder(tmp_path / "dump")
    (tmp_path / "dump" / "captions.csv").unlink()
    rows = [{"file_name": name, "caption": SAID[name][0]} for name, _ in SOUNDS]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "dump" / "metadata.parquet")
    plan = read_dump(tmp_path / "dump")
    assert plan.kind == "captions"
    assert sum(clip.path == clip.id for clips in plan.splits.values() for clip in clips) == CLIPS


def test_the_rows_of_a_parquet_file_may_be_asked_for_in_any_order(tmp_path):
    as_parquet(tmp_path / "dump", group=3)
    path = tmp_path / "dump" / "data" / "test-00000-of-00002.parquet"
    sounds = sound_parquet.ParquetSounds(path)
    rows = [row for name, _ in SOUNDS[:4] for row in [name, name]]
    for row in (0, 1, 5, 2, 7, 7, 6, 3):
        assert sounds[row] == dict(SOUNDS)[rows[row]]
    with pytest.raises(ClipError, match="row 9"):
        sounds[8]


def test_a_row_without_sound_and_a_damaged_sound_are_failures_of_their_clips(
    tiny_weights, tmp_path
):
    rows = [
        {"audio": {"bytes": SOUNDS[0][1], "path": "good.flac"}, "caption": "x"},
        {"audio": {"bytes": None, "path": "none.flac"}, "caption": "x"},
        {"audio": {"bytes": b"no sound at all", "path": "text.flac"}, "caption": "x"},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "test.parquet")
    out = tmp_path / "out"
    done = extract("run", tmp_path, *options(out, tiny_weights, streams="yamnet"))
    assert done.code == 1
    assert Features(out, "test").ids == ["good.flac"]
    lost = (out / "failures.csv").read_text()
    assert "none.flac" in lost and "holds no sound" in lost and "is text, not audio" in lost


@pytest.mark.parametrize("cut", [100, 3000])
def test_a_container_that_is_cut_off_is_refused(tmp_path, cut):
    as_tars(tmp_path / "tars")
    as_parquet(tmp_path / "parquet")
    for path in (
        tmp_path / "tars/test/1.tar",
        tmp_path / "parquet/data/test-00001-of-00002.parquet",
    ):
        path.write_bytes(path.read_bytes().rstrip(b"\0")[:-cut])
        with pytest.raises(DumpError, match="get it again"):
            read_dump(tmp_path / path.relative_to(tmp_path).parts[0])


def test_a_tar_without_its_end_is_read_and_said(tmp_path, capsys):
    as_tars(tmp_path)
    path = tmp_path / "test" / "1.tar"
    with tarfile.open(path) as tar:
        end = max(member.offset_data + 512 for member in tar if member.name.endswith("json"))
    os.truncate(path, end)
    assert len(read_dump(tmp_path).splits["test"]) == CLIPS
    assert "1.tar: ends without the mark" in capsys.readouterr().err


def test_a_tar_that_is_cut_after_it_was_planned_fails_its_clip_only(tmp_path):
    as_tars(tmp_path)
    clips = read_dump(tmp_path).splits["test"]
    os.truncate(tmp_path / "test" / "1.tar", 1000)
    assert len(load_clip(tmp_path, clips[0].path or "").waveform)
    with pytest.raises(ClipError, match="truncated"):
        load_clip(tmp_path, clips[-1].path or "")


def test_keys_that_two_tars_share_are_two_clips(tmp_path):
    for part in range(2):
        with tarfile.open(tmp_path / f"train-{part}.tar", "w") as tar:
            add(tar, "0.flac", SOUNDS[part][1])
            add(tar, "0.txt", f"of {part}".encode())
    clips = read_dump(tmp_path).splits["train"]
    assert [(clip.id, clip.captions) for clip in clips] == [
        ("0.flac", ("of 0",)),
        ("train-1.tar/0.flac", ("of 1",)),
    ]
    lengths = [len(load_clip(tmp_path, clip.path or "").waveform) for clip in clips]
    assert lengths[1] - lengths[0] == 10


def test_captions_in_a_tar_are_found_wherever_they_stand(tmp_path, capsys):
    with tarfile.open(tmp_path / "train.tar", "w") as tar:
        add(tar, "v1.0 rain.flac", SOUNDS[0][1])
        add(tar, "v1.5 rain.flac", SOUNDS[1][1])
        add(tar, "alone.flac", SOUNDS[0][1])
        add(tar, "v1.5 rain.txt", b"it pours")
        add(tar, "v1.0 rain.json", b'{"caption": "it rains"}')
        add(tar, "nothing.txt", b"silence")
    found = {clip.id: clip.captions for clip in read_dump(tmp_path).splits["train"]}
    assert found == {
        "v1.0 rain.flac": ("it rains",),
        "v1.5 rain.flac": ("it pours",),
        "alone.flac": (),
    }
    said = capsys.readouterr().err
    assert "1 sounds without captions" in said and "1 texts without a sound" in said


def test_a_parquet_file_that_git_lfs_has_not_fetched_is_said(tmp_path):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 1\n"
    (tmp_path / "train-00000-of-00001.parquet").write_text(pointer)
    with pytest.raises(DumpError, match=r"is a Git LFS pointer .*git lfs pull"):
        read_dump(tmp_path)


def test_links_and_devices_in_a_tar_are_no_clips(tmp_path):
    with tarfile.open(tmp_path / "train.tar", "w") as tar:
        for name, kind in (("a.flac", tarfile.SYMTYPE), ("b.flac", tarfile.FIFOTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
        add(tar, "c.flac", SOUNDS[0][1])
    assert [clip.id for clip in read_dump(tmp_path).splits["train"]] == ["c.flac"]


@pytest.mark.parametrize("repeats", [2, 5])  # of each sound, one after the other
def test_one_name_for_two_sounds_of_a_parquet_set_is_refused(repeats, tmp_path):
    rows = [
        {"audio": {"bytes": bytes([row // repeats]), "path": "audio.wav"}, "caption": "x"}
        for row in range(101)
    ]
    for part in range(2):
        path = tmp_path / f"train-{part}.parquet"
        pq.write_table(pa.Table.from_pylist(rows[part::2]), path)
    with pytest.raises(DumpError, match=r"'audio.wav' is the name of several sounds, train-0"):
        read_dump(tmp_path)


def test_two_sounds_of_one_name_in_a_tar_are_two_clips_and_one_sound_is_one(tmp_path, capsys):
    with tarfile.open(tmp_path / "train.tar", "w") as tar:
        for number, text in enumerate((b"of 0", b"of 1", b"of 1 too")):
            add(tar, "a.flac", SOUNDS[0 if number == 0 else 1][1])
            add(tar, "a.txt", text)
            add(tar, "b.flac", SOUNDS[2][1])
            add(tar, "b.txt", text)
    clips = read_dump(tmp_path).splits["train"]
    assert {clip.id: clip.captions for clip in clips} == {
        "a.flac": ("of 0",),
        "b.flac": ("of 0", "of 1", "of 1 too"),
        "a.flac#2": ("of 1",),
        "a.flac#4": ("of 1 too",),
    }
    assert "2 sounds have another one's name" in capsys.readouterr().err


def test_sounds_in_a_tar_that_cannot_be_told_apart_are_refused_or_counted(tmp_path, capsys):
    names = ["a.flac", "a.wav", "a.txt", "b.flac", "c.flac", "b.flac", "b.txt"]
    for count in (3, 7):
        with tarfile.open(tmp_path / "train.tar", "w") as tar:
            for name in names[:count]:
                add(tar, name, b"content")
        if count == 3:
            assert [clip.id for clip in read_dump(tmp_path).splits["train"]] == ["a.flac"]
    assert "1 sounds differ from another one only in their ending, such as a.wav" in (
        capsys.readouterr().err
    )
    with pytest.raises(DumpError, match="two sounds in it are called 'b', and their captions do"):
        read_dump(tmp_path)


def test_two_configurations_side_by_side_are_refused(tmp_path, tiny_weights):
    for name in ("v1", "v2"):
        as_parquet(tmp_path / name)
    done = extract("run", tmp_path, *options(tmp_path / "out", tiny_weights))
    assert "name the folder of one as DUMP" in only_error(done)


def test_without_pyarrow_the_command_that_brings_it_is_named(tmp_path, monkeypatch, tiny_weights):
    (tmp_path / "train.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    done = extract("run", tmp_path, *options(tmp_path / "out", tiny_weights))
    assert "make setup-datasets" in only_error(done)


def test_sounds_in_files_and_in_tars_are_a_question(tmp_path):
    as_tars(tmp_path / "tars")
    (tmp_path / "a.flac").write_bytes(SOUNDS[0][1])
    with pytest.raises(DumpError, match=r"--kind webdataset or --kind folder"):
        read_dump(tmp_path)
    assert len(read_dump(tmp_path, kind="webdataset").splits["test"]) == CLIPS
    assert len(read_dump(tmp_path, kind="folder").splits["all"]) == 1


def test_captions_beside_files_come_before_containers(tmp_path):
    as_folder(tmp_path / "dump")
    as_tars(tmp_path / "dump" / "tars")
    assert read_dump(tmp_path / "dump").kind == "captions"
    assert read_dump(tmp_path / "dump", kind="webdataset").kind == "webdataset"


def test_audiocaps_ids_in_a_tars_json(tmp_path):
    with tarfile.open(tmp_path / "train.tar", "w") as tar:
        add(tar, "0.flac", SOUNDS[0][1])
        record = dict(zip(AUDIOCAPS, (1, "-a_b", 30, "rain"), strict=True))
        add(tar, "0.json", json.dumps(record).encode())
    (clip,) = read_dump(tmp_path).splits["train"]
    assert (clip.id, clip.captions) == ("-a_b_30", ("rain",))


def test_a_container_under_whose_columns_no_caption_stands_is_said(tmp_path, capsys):
    rows = [{"audio": {"bytes": b"x", "path": "a.wav"}, "raw_text": "rain"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "train.parquet")
    (clip,) = read_dump(tmp_path).splits["train"]
    assert clip.captions == ()
    assert "not one clip has a caption; they are looked for as caption," in capsys.readouterr().err


def test_pages_of_a_parquet_file_that_are_damaged_are_one_line(tmp_path):
    rows = [{"audio": {"bytes": b"x" * 999, "path": "a.wav"}, "caption": "rain"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "train.parquet")
    whole = (tmp_path / "train.parquet").read_bytes()
    footer = int.from_bytes(whole[-8:-4], "little") + 8
    (tmp_path / "train.parquet").write_bytes(
        b"PAR1" + bytes(len(whole) - footer - 4) + whole[-footer:]
    )
    with pytest.raises(DumpError, match=r"train.parquet: is damaged behind row 0 .*get it again"):
        read_dump(tmp_path)

"""A features folder: what is written is what is read, and damage is found and named."""

import json
import multiprocessing
import os
import pickle
from hashlib import sha256
from pathlib import Path

import h5py
import numpy as np
import pytest

from features.common.errors import ClipError, FormatError
from features.common.publish import published, write_json
from features.reader import Features, Shard
from features.spec import Index, SplitEntry, StreamSpec
from features.verify import verify
from features.writer import ShardWriter

TAGS = StreamSpec(
    name="yamnet",
    kind="tag_logits",
    network="tiny",
    weights_sha256="0" * 64,
    sample_rate_hz=16000,
    window_s=0.96,
    hop_s=0.96,
    resampler="none",
    precision="float32",
    width=3,
    dtype="float16",
    classes=("Dog", "Bee, wasp, etc.", "Männergesang"),
)
AUDIO = StreamSpec(
    name="panns",
    kind="embedding",
    network="tiny",
    weights_sha256="1" * 64,
    sample_rate_hz=32000,
    window_s=10.0,
    hop_s=10.0,
    resampler="none",
    precision="float32",
    width=2,
    dtype="float32",
)


def clip_values(number: int) -> dict[str, np.ndarray]:
    """Clip `number` has number + 1 tag rows and one audio row, all values telling the number."""
    return {
        "yamnet": np.full((number + 1, 3), number, np.float32),
        "panns": np.array([[number, -number]], np.float32),
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two shards of two and one clips; clip names and captions as odd as AudioCaps has them."""
    entries = []
    for shard, clips in enumerate([["-a_b_30", "_YS5uKWoB6g_30"], ["c"]]):
        writer = ShardWriter("test", [TAGS, AUDIO])
        for clip in clips:
            number = ["-a_b_30", "_YS5uKWoB6g_30", "c"].index(clip)
            captions = ["a dog", "ein Männerchor"][:number]
            writer.add(clip, f"test/{clip}.wav", 10.0 - number, captions, clip_values(number))
        entries.append(writer.publish(tmp_path / "test" / f"{shard:05d}.h5"))
    split = SplitEntry(shards=tuple(entries), clips_listed=5, clips_missing=1, clips_failed=1)
    streams = {"yamnet": TAGS.attrs(), "panns": AUDIO.attrs()}
    write_json(tmp_path / "features.json", Index(streams=streams, splits={"test": split}).to_json())
    return tmp_path


def test_a_clip_is_read_as_it_was_written_by_index_and_by_id(folder):
    clips = Features(folder, "test")
    assert len(clips) == 3
    assert clips.ids == ["-a_b_30", "_YS5uKWoB6g_30", "c"]
    for number, clip in enumerate([clips[0], clips["_YS5uKWoB6g_30"], clips[2]]):
        assert clip.duration_s == 10.0 - number
        assert clip.captions == ("a dog", "ein Männerchor")[:number]
        for name, values in clip_values(number).items():
            np.testing.assert_array_equal(clip.streams[name], values)
    assert clips["c"].streams["yamnet"].dtype == np.float16
    assert clips.streams["yamnet"] == TAGS
    assert clips.streams["panns"] == AUDIO


def test_an_index_beyond_the_last_clip_or_an_unknown_id_is_an_error(folder):
    clips = Features(folder, "test")
    with pytest.raises(IndexError):
        clips[3]
    with pytest.raises(KeyError):
        clips["nobody"]


def test_a_shard_is_mapped_from_its_file_and_not_copied(folder):
    values = Shard(folder / "test" / "00000.h5").values("yamnet")
    assert isinstance(values, np.memmap)
    assert values.shape == (3, 3)
    assert not values.flags.writeable


def test_rows_of_a_shard_that_is_shortened_in_use_are_refused_by_name(folder):
    clips = Features(folder, "test")
    rows = clips.shards[0].file_rows("panns")
    path, expected = clips.shards[0].path, clips[1].streams["panns"]
    os.truncate(path, 1000)
    for read in (lambda: clips[0], lambda: rows[:], lambda: clips.shards[0].rows("panns", 1)):
        with pytest.raises(FormatError, match=rf"{path}: was shortened .* .now 1,000 bytes"):
            read()
    assert np.isfinite(expected).all()  # what was read stays


def test_a_reader_that_was_used_can_be_pickled_without_what_it_read(folder):
    clips = Features(folder, "test")
    clips[0]
    assert len(pickle.dumps(clips)) < 10_000
    assert pickle.loads(pickle.dumps(clips))["c"].id == "c"


def test_a_forked_worker_reads_what_its_parent_reads(folder):
    clips = Features(folder, "test")
    expected = [clips[i].streams["panns"].tolist() for i in range(3)]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(_panns_of, [(clips, i) for i in range(3)]) == expected


def _panns_of(item: tuple[Features, int]) -> list:
    clips, index = item
    return clips[index].streams["panns"].tolist()


def test_values_are_contiguous_and_uncompressed_and_the_attributes_say_what_they_are(folder):
    with h5py.File(folder / "test" / "00000.h5") as file:
        assert dict(file.attrs) == {"format": "tagbart-features", "version": 1, "split": "test"}
        group = file["streams/yamnet"]
        assert group["values"].chunks is None and group["values"].compression is None
        assert group["offset"][:].tolist() == [0, 1, 3]
        assert group["classes"].asstr()[1] == "Bee, wasp, etc."
        for key in ("kind", "network", "weights_sha256", "sample_rate_hz", "window_s", "hop_s"):
            assert group.attrs[key] == getattr(TAGS, key)
        assert file["captions/text"].asstr()[:].tolist() == ["a dog"]
        assert file["captions/offset"][:].tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"yamnet": np.zeros((1, 3))}, "streams"),
        ({"yamnet": np.zeros((0, 3)), "panns": np.zeros((1, 2))}, "shape"),
        ({"yamnet": np.zeros((1, 4)), "panns": np.zeros((1, 2))}, "shape"),
        ({"yamnet": np.full((1, 3), 1e9), "panns": np.zeros((1, 2))}, "cannot hold"),
        ({"yamnet": np.zeros((1, 3)), "panns": np.full((1, 2), np.nan)}, "cannot hold"),
    ],
)
def test_the_writer_refuses_what_the_format_cannot_say(values, what):
    writer = ShardWriter("test", [TAGS, AUDIO])
    with pytest.raises((ValueError, ClipError), match=what):
        writer.add("a", "a.wav", 1.0, [], values)
    assert len(writer) == 0


def test_a_sound_folder_has_no_problems(folder):
    assert verify(folder) == []


def flip_a_byte(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[-5] ^= 1
    path.write_bytes(raw)


def set_version_2(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file.attrs["version"] = 2


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (flip_a_byte, "damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "truncated"),
        (lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec"), "git lfs pull"),
        (lambda path: path.unlink(), "missing"),
        (set_version_2, "version is 2"),
    ],
)
def test_damage_is_found_and_the_shard_named(folder, damage, word):
    shard = folder / "test" / "00001.h5"
    damage(shard)
    problems = verify(folder)
    assert {problem.file for problem in problems} == {shard}
    assert any(word in str(problem) for problem in problems)


def test_an_unknown_version_of_the_index_is_refused_by_name(folder):
    raw = json.loads((folder / "features.json").read_text())
    (folder / "features.json").write_text(json.dumps(raw | {"version": 7}))
    with pytest.raises(FormatError, match="version is 7"):
        Features(folder, "test")


def test_a_shard_of_an_unknown_version_is_refused_by_name(folder):
    set_version_2(folder / "test" / "00000.h5")
    with pytest.raises(FormatError, match=r"00000.h5: format version is 2"):
        Features(folder, "test")[0]


def test_an_unfinished_folder_says_how_to_finish_it(tmp_path):
    with pytest.raises(FormatError, match="python -m extract run"):
        Features(tmp_path, "test")


def test_a_missing_stream_names_those_present_and_the_command(folder):
    with pytest.raises(FormatError, match="--streams vggish"):
        Features(folder, "test").stream("vggish", "embedding")
    with pytest.raises(FormatError, match="kind embedding"):
        Features(folder, "test").stream("panns", "tag_logits")


def test_a_failed_block_leaves_neither_a_draft_nor_a_change(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), published(target) as draft:
        draft.write_text("half")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert target.read_text() == "old"


def test_an_older_folder_says_unknown_of_what_its_networks_have_heard(folder):
    index = json.loads((folder / "features.json").read_text())
    for split in index["splits"].values():
        for entry in split["shards"]:
            path = folder / entry["file"]
            with h5py.File(path, "r+") as file:
                for group in file["streams"].values():
                    del group.attrs["heard_audiocaps"]
            content = path.read_bytes()
            entry |= {"bytes": len(content), "sha256": sha256(content).hexdigest()}
    for attrs in index["streams"].values():
        del attrs["heard_audiocaps"]
    (folder / "features.json").write_text(json.dumps(index))
    assert verify(folder) == []
    for split in index["splits"]:
        heard = {spec.heard_audiocaps for spec in Features(folder, split).streams.values()}
        assert heard == {"unknown"}

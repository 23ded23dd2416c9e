"""What counts as finished, and the index over it."""

import json

import pytest

from extract.dump.clips import PlannedClip
from extract.index import publish_index, withdraw_index
from extract.shards import DoneMark, Failure, ShardTask
from features.spec import ShardEntry


def task(*clips: PlannedClip, number: int = 0, split: str = "test") -> ShardTask:
    return ShardTask(split, number, list(clips), 2)


STREAM = {
    "kind": "embedding",
    "network": "none",
    "weights_sha256": "ab",
    "sample_rate_hz": 16_000,
    "window_s": 1.0,
    "hop_s": 1.0,
    "resampler": "none",
    "precision": "float32",
    "width": 2,
    "dtype": "float16",
}


def finish(shard: ShardTask, out, *, streams=("yamnet",), failures=()) -> DoneMark:
    """Put a shard of 9 bytes and its done-mark there."""
    path = shard.path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"not HDF5\n")
    clips = len(shard.clips) - len(failures)
    mark = DoneMark(
        planned=shard.digest,
        shard_clips=shard.shard_clips,
        listed=len(shard.clips),
        entry=ShardEntry(file=f"{shard.split}/{path.name}", clips=clips, bytes=9, sha256="ab"),
        streams={name: STREAM | {"name": name} for name in streams},
        failures=tuple(failures),
    )
    mark.write(shard.mark_path(out))
    return mark


A, B = PlannedClip("a", "a.wav", ("one",)), PlannedClip("b", None)


def test_a_done_mark_reads_back_as_it_was_written(tmp_path):
    failure = Failure(clip="b\udcff", path="line\nbreak\udcff.wav", reason="empty file")
    mark = finish(task(A, B), tmp_path, failures=[failure])
    assert DoneMark.read(task(A, B).mark_path(tmp_path)) == mark
    assert task(A, B).done(tmp_path) == mark


@pytest.mark.parametrize(
    "changed",
    [
        PlannedClip("a", "a.flac", ("one",)),
        PlannedClip("a", None, ("one",)),
        PlannedClip("a", "a.wav", ("another",)),
        PlannedClip("A", "a.wav", ("one",)),
    ],
)
def test_a_shard_of_other_files_captions_or_ids_is_not_finished(tmp_path, changed):
    finish(task(A, B), tmp_path)
    assert task(changed, B).done(tmp_path) is None


def test_a_shard_that_is_gone_or_of_another_size_is_not_finished(tmp_path):
    shard = task(A, B)
    finish(shard, tmp_path)
    shard.path(tmp_path).write_bytes(b"short")
    assert shard.done(tmp_path) is None
    shard.path(tmp_path).unlink()
    assert shard.done(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": "other", "version": 1}'])
def test_a_done_mark_that_is_not_ours_counts_as_none(tmp_path, text):
    shard = task(A, B)
    finish(shard, tmp_path)
    shard.mark_path(tmp_path).write_text(text)
    assert shard.done(tmp_path) is None


def test_the_index_waits_for_every_shard_and_counts_every_loss(tmp_path):
    first, second = task(A, B), task(PlannedClip("c", "c.wav"), number=1)
    finish(first, tmp_path, failures=[Failure(clip="b", path="", reason="missing")])
    assert publish_index(tmp_path, [first, second]) is None
    assert not (tmp_path / "features.json").exists()
    finish(second, tmp_path, streams=("yamnet", "panns"))
    index = publish_index(tmp_path, [first, second])
    entry = index.splits["test"]
    assert (entry.clips_listed, entry.clips, entry.clips_missing, entry.clips_failed) == (
        3,
        2,
        1,
        0,
    )
    # A stream counts once every shard has it.
    assert set(index.streams) == {"yamnet"}
    assert json.loads((tmp_path / "features.json").read_text()) == json.loads(
        json.dumps(index.to_json())
    )
    assert (tmp_path / "failures.csv").read_text().splitlines() == [
        "clip,path,reason",
        "b,,missing",
    ]


def test_splits_finished_earlier_stay_in_the_index(tmp_path):
    first = task(A, split="val")
    finish(first, tmp_path)
    publish_index(tmp_path, [first])
    other = task(A, split="test")
    finish(other, tmp_path)
    assert set(publish_index(tmp_path, [other]).splits) == {"val", "test"}


def test_and_when_the_index_was_withdrawn_for_a_stream_that_one_split_gets(tmp_path, capsys):
    train, val = task(A, split="train"), task(A, split="val")
    for shard in (train, val):
        finish(shard, tmp_path)
    publish_index(tmp_path, [train, val])
    for _ in range(2):  # killed once on the way
        withdraw_index(tmp_path)
        assert not (tmp_path / "features.json").exists()
    finish(val, tmp_path, streams=("yamnet", "panns"))
    index = publish_index(tmp_path, [val])
    assert set(index.splits) == {"train", "val"}
    assert set(index.streams) == {"yamnet"}  # train has no other
    assert [path.name for path in tmp_path.glob(".features*")] == []
    assert "not finished" not in capsys.readouterr().err


@pytest.mark.parametrize("gone", ["00001.h5", "00001.json"])
def test_a_split_that_is_not_whole_any_more_leaves_the_index_by_name(tmp_path, capsys, gone):
    train = [task(A, split="train"), task(A, number=1, split="train")]
    for shard in train:
        finish(shard, tmp_path)
    publish_index(tmp_path, train)
    (tmp_path / "train" / gone).unlink()
    val = task(A, split="val")
    finish(val, tmp_path)
    assert set(publish_index(tmp_path, [val]).splits) == {"val"}
    said = capsys.readouterr().err
    assert f"{tmp_path / 'train'}: is not finished any more" in said
    assert "--split train" in said


def test_drafts_of_a_shard_are_deleted_before_it_is_made_those_of_others_stay(tmp_path):
    (tmp_path / "test").mkdir()
    names = [f".0000{number}.{kind}.host.7.part" for number in (0, 1) for kind in ("h5", "json")]
    for name in names:
        (tmp_path / "test" / name).touch()
    task(A, number=0).make_room(tmp_path)
    assert sorted(path.name for path in (tmp_path / "test").iterdir()) == names[2:]

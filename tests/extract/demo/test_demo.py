"""The synthetic dump: its layout, its splits, its determinism, and what it refuses."""

import csv
import hashlib
from collections import Counter, defaultdict
from itertools import combinations

import numpy as np
import pytest
import soundfile

from extract.demo.scenes import held_out_pairs
from extract.demo.write import CAPTIONS, write_demo_dump
from features.common.errors import ConfigError, DumpError

CLIPS = 125  # more than 100, so that two processes share the work


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "dump"
    write_demo_dump(folder, clips=CLIPS, seed=3)
    return folder


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def kinds_by_clip(dump):
    kinds = defaultdict(set)
    for row in rows_of(dump / "events.csv"):
        kinds[row["path"]].add(row["event"])
    return kinds


def test_splits_are_80_8_and_12_percent_with_one_or_five_captions_a_clip(dump):
    for split, clips, captions in (("train", 100, 1), ("val", 10, 5), ("test", 15, 5)):
        rows = rows_of(dump / f"{split}.csv")
        per_clip = Counter((row["youtube_id"], row["start_time"]) for row in rows)
        assert len(per_clip) == clips
        assert set(per_clip.values()) == {captions}


def test_columns_and_file_names_are_those_of_audiocaps(dump):
    for split in CAPTIONS:
        rows = rows_of(dump / f"{split}.csv")
        assert list(rows[0]) == ["audiocap_id", "youtube_id", "start_time", "caption"]
        named = {f"{row['youtube_id']}_{row['start_time']}.wav" for row in rows}
        assert named == {path.name for path in (dump / split).iterdir()}
        assert all(len(row["youtube_id"]) == 11 for row in rows)
    numbers = [row["audiocap_id"] for split in CAPTIONS for row in rows_of(dump / f"{split}.csv")]
    assert len(set(numbers)) == len(numbers)


def test_no_training_or_validation_clip_combines_two_sounds_that_a_test_clip_combines(dump):
    seen, unseen = set(), []
    for path, kinds in kinds_by_clip(dump).items():
        pairs = {frozenset(pair) for pair in combinations(sorted(kinds), 2)}
        if path.startswith("test/"):
            unseen.append((kinds, pairs))
        else:
            seen |= pairs
    assert len(unseen) == 15
    for kinds, pairs in unseen:
        assert len(kinds) >= 2
        assert pairs <= held_out_pairs()
        assert not pairs & seen
    assert not seen & held_out_pairs()


def test_every_clip_is_16_bit_about_10_s_and_never_silent(dump):
    for path in dump.glob("*/*.wav"):
        info = soundfile.info(path)
        assert info.subtype == "PCM_16"
        assert 9.0 <= info.duration <= 10.0
        sound = soundfile.read(path, always_2d=True)[0].mean(axis=1)
        seconds = sound[: len(sound) // 1000 * 1000].reshape(-1, 1000)
        assert 0.1 < np.abs(sound).max() < 1
        assert (seconds.std(axis=1) > 0).all()


def test_clips_differ_in_sample_rate_and_channels(dump):
    infos = [soundfile.info(path) for path in dump.glob("*/*.wav")]
    assert {info.channels for info in infos} == {1, 2}
    assert {16000, 32000, 22050} <= {info.samplerate for info in infos}


def test_events_lie_within_their_clip(dump):
    for row in rows_of(dump / "events.csv"):
        length_s = soundfile.info(dump / row["path"]).duration
        assert 0 <= float(row["start_s"]) < float(row["end_s"]) <= length_s + 0.001


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_the_same_clips_and_seed_give_the_same_bytes_and_another_seed_others(tmp_path):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        write_demo_dump(tmp_path / name, clips=25, seed=seed)
    a, b, c = (digests(tmp_path / name) for name in "abc")
    assert a == b
    assert not set(a.values()) & set(c.values())


def test_one_process_and_two_give_the_same_clips(dump, monkeypatch, tmp_path):
    monkeypatch.setattr("extract.demo.write.cores", lambda: 1)
    write_demo_dump(tmp_path / "alone", clips=CLIPS, seed=3)
    assert digests(tmp_path / "alone") == digests(dump)


def test_a_finished_dump_is_left_as_it_is(tmp_path):
    write_demo_dump(tmp_path / "dump", clips=25, seed=0)
    before = (tmp_path / "dump").stat().st_mtime_ns
    write_demo_dump(tmp_path / "dump", clips=25, seed=0)
    assert (tmp_path / "dump").stat().st_mtime_ns == before


def test_a_folder_with_other_contents_is_refused_and_kept(tmp_path):
    write_demo_dump(tmp_path / "dump", clips=25, seed=0)
    with pytest.raises(DumpError, match="is not the demo dump of these clips and this seed"):
        write_demo_dump(tmp_path / "dump", clips=26, seed=0)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(DumpError):
        write_demo_dump(tmp_path / "mine", clips=25, seed=0)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_a_stopped_run_leaves_no_folder_of_that_name(tmp_path, monkeypatch):
    def stop(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr("extract.demo.write._write_events", stop)
    with pytest.raises(KeyboardInterrupt):
        write_demo_dump(tmp_path / "dump", clips=25, seed=0)
    assert not (tmp_path / "dump").exists()
    monkeypatch.undo()
    write_demo_dump(tmp_path / "dump", clips=25, seed=0)
    assert (tmp_path / "dump" / "test.csv").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["dump"]


@pytest.mark.parametrize(("clips", "seed"), [(24, 0), (100, -1)])
def test_too_few_clips_and_a_negative_seed_are_refused(tmp_path, clips, seed):
    with pytest.raises(ConfigError, match="expected at least 25 and 0"):
        write_demo_dump(tmp_path / "dump", clips=clips, seed=seed)


def test_the_dump_says_that_it_is_no_real_data(dump):
    assert "NOT AudioCaps" in (dump / "README.txt").read_text(encoding="utf-8")

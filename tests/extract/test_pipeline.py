"""Shards are made one after the other, whatever the batches; encoders see each clip once."""

import pytest
import torch

import extract.pipeline
from extract.dump.plan import read_dump
from extract.gathering import OpenShard
from extract.pipeline import make_shards
from extract.shards import plan_shards
from extract.sound.decode import Settings
from extract.sound.ring import Ring
from features.reader import Shard
from features.spec import EMBEDDING, StreamSpec
from tests.extract.command import RATE_HZ, write_clips


class Listening:
    """An encoder whose row is a clip's length, and that calls `heard` with every batch."""

    def __init__(self, heard):
        self.heard = heard
        self.spec = StreamSpec(
            name="length",
            kind=EMBEDDING,
            network="a ruler",
            weights_sha256="",
            sample_rate_hz=RATE_HZ,
            window_s=1.0,
            hop_s=1.0,
            resampler="none",
            precision="float32",
            width=1,
            dtype="float32",
        )

    def encode(self, waveforms):
        lengths = [len(waveform) for waveform in waveforms]
        self.heard(lengths)
        return [torch.tensor([[float(length)]]) for length in lengths]


def run(folder, *, clips, shard_clips, batch_clips, heard, workers=0):
    write_clips(folder / "dump", clips, seconds=0.01)
    tasks = plan_shards(read_dump(folder / "dump"), shard_clips)
    (folder / "out" / "all").mkdir(parents=True)
    encoders = {"length": Listening(heard)}
    settings = Settings(workers=workers, batch_clips=batch_clips)
    yield from make_shards(
        tasks, dump=folder / "dump", out=folder / "out", encoders=encoders, settings=settings
    )


def test_a_shard_is_written_while_the_next_is_computed_and_stands_before_the_one_after(tmp_path):
    seen = []

    def heard(lengths):
        seen.append((len(lengths), len(list((tmp_path / "out/all").glob("*.json")))))

    marks = list(run(tmp_path, clips=14, shard_clips=4, batch_clips=2, heard=heard))
    assert [mark.entry.clips for mark in marks] == [4, 4, 4, 2]
    batches = [batch for batch in seen if batch[0]]
    # Batches of two, cut where a shard ends.
    assert [clips for clips, _ in batches] == [2] * 7
    for number, (_, standing) in enumerate(batches):
        # A shard's second batch is computed when the last but one stands: a kill costs two at most.
        assert number // 2 - 1 - (number % 2 == 0) <= standing <= number // 2


def test_a_shard_that_cannot_be_written_ends_the_run_and_the_next_leaves_a_draft(
    tmp_path, monkeypatch
):
    publish = OpenShard.publish

    def full(self, out):
        if self.task.number == 1:
            raise OSError(28, "No space left on device")
        return publish(self, out)

    monkeypatch.setattr(OpenShard, "publish", full)
    made = run(tmp_path, clips=12, shard_clips=4, batch_clips=2, heard=lambda lengths: None)
    with pytest.raises(OSError, match="No space left"):
        list(made)
    names = {path.name for path in (tmp_path / "out/all").iterdir()}
    assert {"00000.h5", "00000.json", ".00001.h5.draft", ".00001.json.draft"} <= names
    assert "00001.h5" not in names and "00002.h5" not in names


def test_every_row_belongs_to_its_clip_whatever_the_batches(tmp_path):
    for batch_clips in (1, 3, 50):
        folder = tmp_path / str(batch_clips)
        for mark in run(
            folder, clips=10, shard_clips=4, batch_clips=batch_clips, heard=lambda lengths: None
        ):
            shard = Shard(folder / "out" / mark.entry.file)
            for i, clip in enumerate(shard.ids):
                # write_clips makes clip number n 10 n samples longer.
                assert shard.rows("length", i)[0, 0] == 160 + 10 * int(clip[1:4])


@pytest.mark.parametrize("slots", [0, 2])
def test_a_ring_smaller_than_a_batch_loses_and_doubles_nothing(tmp_path, monkeypatch, slots):
    monkeypatch.setattr(extract.pipeline, "ring_for", lambda settings: Ring(slots))
    made = run(
        tmp_path, clips=23, shard_clips=12, batch_clips=5, heard=lambda lengths: None, workers=1
    )
    for mark in made:
        shard = Shard(tmp_path / "out" / mark.entry.file)
        assert [int(shard.rows("length", i)[0, 0]) for i in range(len(shard))] == [
            160 + 10 * int(clip[1:4]) for clip in shard.ids
        ]
        assert len(shard) == (12 if mark.entry.file.endswith("00000.h5") else 11)


def test_a_value_that_the_shard_cannot_hold_costs_its_clip_alone(tmp_path):
    class Overflowing(Listening):
        def encode(self, waveforms):
            rows = super().encode(waveforms)
            return [
                row * (torch.inf if len(w) == 170 else 1)
                for row, w in zip(rows, waveforms, strict=True)
            ]

    write_clips(tmp_path / "dump", 3, seconds=0.01)
    (task,) = plan_shards(read_dump(tmp_path / "dump"))
    (tmp_path / "out" / "all").mkdir(parents=True)
    (mark,) = make_shards(
        [task],
        dump=tmp_path / "dump",
        out=tmp_path / "out",
        encoders={"length": Overflowing(lambda lengths: None)},
        settings=Settings(workers=0),
    )
    assert mark.entry.clips == 2
    assert [(item.clip, item.missing) for item in mark.failures] == [("c001.wav", False)]
    assert "float32 cannot hold" in mark.failures[0].reason

"""`python -m extract run`: what it makes, from what, and what it goes on with."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile
import torch

from extract.asked import Extraction, own_device
from extract.networks.log_mel import cut
from extract.sound.decode import Settings
from extract.streams import STREAMS, Stream
from extract.weights.state_dicts import Loaded
from features.common.checksum import sha256_of
from features.common.errors import ConfigError
from features.reader import Features
from features.spec import CLOTHO_SPLITS, EMBEDDING, Index
from features.verify import verify
from tests.extract.command import (
    RATE_HZ,
    contents,
    extract,
    only_error,
    options,
    run_small,
    write_clips,
)
from tests.extract.dump.dumps import clotho

CLIPS, SHARD_CLIPS = 12, 3


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dump")
    write_clips(folder, CLIPS)
    return folder


@pytest.fixture(scope="module")
def made(dump, tiny_weights, tmp_path_factory):
    """A finished features folder with all three streams. Tests that change it take a copy."""
    out = tmp_path_factory.mktemp("made")
    done = run_small(dump, out, tiny_weights, shard_clips=SHARD_CLIPS)
    assert done.code == 0, done.stderr
    assert done.stdout == ""
    return out


@pytest.fixture
def two_streams(dump, tiny_weights, tmp_path):
    """A folder that lacks VGGish."""
    out = tmp_path / "two"
    arguments = options(out, tiny_weights, shard_clips=SHARD_CLIPS, streams="yamnet,panns")
    assert extract("run", dump, *arguments).code == 0
    return out


def shards(out: Path) -> dict[str, tuple[int, int]]:
    """What would change if a shard were written again."""
    return {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in out.glob("*/*.h5")}


# --- going on


def test_a_finished_output_is_left_as_it_is(dump, made, tiny_weights):
    before = shards(made)
    done = run_small(dump, made, tiny_weights, shard_clips=SHARD_CLIPS)
    assert done.code == 0 and shards(made) == before
    assert "4 shards, 4 of them finished before" in done.stderr


def test_what_is_stored_does_not_depend_on_workers_and_shards(dump, made, tiny_weights, tmp_path):
    out = tmp_path / "out"
    assert run_small(dump, out, tiny_weights, workers=0, shard_clips=5).code == 0
    found, expected = Features(out, "all"), Features(made, "all")
    assert found.ids == expected.ids
    for name in ("yamnet", "vggish", "panns"):
        for clip in found.ids:
            # Batches are cut otherwise, so sums are rounded otherwise: half precision apart.
            np.testing.assert_allclose(
                found[clip].streams[name], expected[clip].streams[name], rtol=2e-3, atol=1e-3
            )


def test_new_audio_makes_only_its_shard_again(dump, tiny_weights, tmp_path):
    mine = tmp_path / "dump"
    shutil.copytree(dump, mine)
    clotho(mine / "captions", [f"c{i:03d}.wav" for i in range(CLIPS)], split="evaluation")
    late = mine / "c004.wav"
    hidden = late.rename(tmp_path / "c004.wav")
    arguments = options(tmp_path / "out", tiny_weights, shard_clips=SHARD_CLIPS, streams="yamnet")
    first = extract("run", mine, *arguments)
    assert first.code == 0 and "11 of 12 clips have audio, 1 missing" in first.stderr
    before = shards(tmp_path / "out")
    hidden.rename(late)
    assert extract("run", mine, *arguments).code == 0
    after = shards(tmp_path / "out")
    assert {name for name in after if after[name] != before[name]} == {"00001.h5"}
    entry = Index.read(tmp_path / "out").splits["test"]
    assert (entry.clips, entry.clips_missing) == (12, 0)
    assert verify(tmp_path / "out") == []


# --- adding a stream


def test_a_stream_added_later_leaves_the_others_as_they_were(
    dump, made, two_streams, tiny_weights, tmp_path
):
    before = contents(two_streams)
    # Nothing of the other networks is there, so they cannot have been computed again.
    only = tmp_path / "only"
    only.mkdir()
    shutil.copy(tiny_weights / "vggish.safetensors", only)
    done = run_small(dump, two_streams, only, shard_clips=SHARD_CLIPS, streams="vggish")
    assert done.code == 0, done.stderr
    assert verify(two_streams) == []
    assert set(Index.read(two_streams).streams) == {"yamnet", "vggish", "panns"}
    after = contents(two_streams)
    for clip, values in before.items():
        assert values.items() <= after[clip].items()
    assert after == contents(made)


class Loudness(torch.nn.Module):
    """Windows → their root mean square."""

    def forward(self, windows):
        return windows.square().mean(dim=1, keepdim=True).sqrt()


def test_a_network_of_ones_own_is_an_entry_among_the_streams(
    dump, two_streams, monkeypatch, tmp_path
):
    def read(path):
        return Loaded(module=Loudness(), network=path.read_text(), classes=(), sha256="0")

    stream = Stream(
        kind=EMBEDDING,
        sample_rate_hz=RATE_HZ,
        window_s=0.1,
        hop_s=0.1,
        cut=lambda waveform: cut(waveform, RATE_HZ // 10, RATE_HZ // 10, keep_tail=True),
        sources={"loudness.txt": read},
        batch_windows=4,
    )
    monkeypatch.setitem(STREAMS, "loudness", stream)
    (tmp_path / "loudness.txt").write_text("a meter")
    chosen = {"shard_clips": SHARD_CLIPS, "streams": "loudness", "dtype": "float32"}
    done = run_small(dump, two_streams, tmp_path, **chosen)
    assert done.code == 0, done.stderr
    assert verify(two_streams) == []
    assert set(Index.read(two_streams).streams) == {"yamnet", "panns", "loudness"}
    for clip in Features(two_streams, "all"):
        samples, _ = soundfile.read(dump / clip.path)
        samples = np.pad(samples, (0, -len(samples) % 1600)).reshape(-1, 1600)
        expected = np.sqrt(np.square(samples).mean(axis=1, keepdims=True))
        np.testing.assert_allclose(clip.streams["loudness"], expected, rtol=1e-5)


def test_other_weights_are_refused(dump, two_streams, tiny_weights, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(tiny_weights, other)
    changed = (other / "yamnet.safetensors").read_bytes()
    (other / "yamnet.safetensors").write_bytes(changed[:-1] + bytes([changed[-1] ^ 1]))
    before = shards(two_streams)
    line = only_error(run_small(dump, two_streams, other, shard_clips=SHARD_CLIPS))
    assert "yamnet" in line and "weights_sha256" in line
    assert shards(two_streams) == before and verify(two_streams) == []


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [("precision", "bf16", "precision"), ("dtype", "float32", "dtype"), ("shard_clips", 4, "3")],
)
def test_other_settings_are_refused(dump, two_streams, tiny_weights, option, value, named):
    before = shards(two_streams)
    arguments = {"shard_clips": SHARD_CLIPS, "streams": "yamnet,panns", option: value}
    line = only_error(run_small(dump, two_streams, tiny_weights, **arguments))
    assert named in line and "another --out" in line
    assert shards(two_streams) == before and verify(two_streams) == []


@pytest.mark.parametrize("asked", ["yamnet,panns", "vggish"])
def test_a_folder_resampled_by_another_filter_is_refused(dump, two_streams, tiny_weights, asked):
    for path in [*two_streams.glob("all/*.json"), two_streams / "features.json"]:
        older = path.read_text().replace("resampy 0.2.2", "resampy 0.4.3")
        path.write_text(older)
    before = shards(two_streams)
    arguments = {"shard_clips": SHARD_CLIPS, "streams": asked}
    line = only_error(run_small(dump, two_streams, tiny_weights, **arguments))
    assert "'resampy 0.4.3 kaiser_best'" in line and "'resampy 0.2.2 kaiser_best'" in line
    assert "another --out" in line and shards(two_streams) == before


def test_a_stream_is_not_added_to_an_unfinished_output(dump, two_streams, tiny_weights):
    (two_streams / "all" / "00002.json").unlink()
    line = only_error(
        run_small(dump, two_streams, tiny_weights, shard_clips=SHARD_CLIPS, streams="vggish")
    )
    assert "1 shards are still to make" in line and "--streams panns,yamnet,vggish" in line


# --- devices


@pytest.mark.parametrize(("there", "chosen"), [(True, "cuda"), (False, "cpu")])
def test_a_gpu_is_taken_where_there_is_one_but_for_a_cluster(monkeypatch, there, chosen):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert own_device("local") == chosen
    assert own_device("ray") == "cpu"


def test_a_machine_without_a_gpu_may_start_a_cluster_that_has_them(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    folders = {"dump": tmp_path, "out": tmp_path, "weights": tmp_path}
    Extraction(**folders, engine="ray", settings=Settings(device="cuda"))
    with pytest.raises(ConfigError, match="finds no CUDA device"):
        Extraction(**folders, settings=Settings(device="cuda"))


@pytest.mark.parametrize(("able", "said"), [(True, 0), (False, 1)])
def test_bf16_on_a_processor_without_its_instructions_is_said(
    dump, tiny_weights, tmp_path, monkeypatch, able, said
):
    found = {"cpu_name": "some bf16", "avx2": True, "avx512_bf16": able, "amx_bf16": False}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    chosen = {"precision": "bf16", "streams": "vggish"}
    done = run_small(dump, tmp_path / "out", tiny_weights, **chosen)
    assert done.code == 0 and done.stderr.count("no bf16 instructions") == said


@pytest.mark.gpu
@pytest.mark.parametrize("workers", [0, 2])
def test_a_gpu_makes_the_shards_of_the_cpu(dump, made, tiny_weights, tmp_path, workers):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    arguments = options(tmp_path / "out", tiny_weights, device="cuda", workers=workers)
    done = extract("run", dump, *arguments, "--batch-clips", "5")
    assert done.code == 0, done.stderr
    found, expected = Features(tmp_path / "out", "all"), Features(made, "all")
    assert found.ids == expected.ids
    for clip in found:
        for name, rows in clip.streams.items():
            wanted = expected[clip.id].streams[name]
            np.testing.assert_allclose(rows, wanted, rtol=5e-3, atol=2e-3)


# --- parts


def test_the_parts_of_a_run_equal_the_whole_and_the_last_publishes(
    dump, made, tiny_weights, tmp_path
):
    out = tmp_path / "out"
    for part in ("2/3", "3/3", "1/3"):
        assert not (out / "features.json").exists()
        arguments = options(out, tiny_weights, shard_clips=SHARD_CLIPS, part=part)
        assert extract("run", dump, *arguments).code == 0
    assert contents(out) == contents(made)
    assert verify(out) == []


# --- datasets


def test_clotho_has_five_captions_and_a_panns_window_for_each_10_s(tiny_weights, tmp_path):
    splits = {
        "development": ("short.wav", 15.0),
        "validation": ("long one.wav", 30.0),
        "evaluation": ("odd.wav", 20.1),
    }
    for split, (name, seconds) in splits.items():
        clotho(tmp_path / "dump", [name], split)
        (tmp_path / "dump" / split).mkdir()
        noise = np.random.default_rng(0).normal(0, 0.1, int(seconds * RATE_HZ))
        soundfile.write(tmp_path / "dump" / split / name, noise, RATE_HZ)
    out = tmp_path / "out"
    done = run_small(tmp_path / "dump", out, tiny_weights)
    assert done.code == 0, done.stderr
    assert "(clotho)" in done.stderr
    rows = {}
    for split, (name, _) in splits.items():
        (clip,) = Features(out, split)
        assert clip.captions == tuple(f"{name} {n}" for n in range(1, 6))
        rows[clip.id] = [len(clip.streams[name]) for name in ("yamnet", "vggish", "panns")]
    # PANNs: ceil(s / 10). VGGish: 1 + (s - 0.975) // 0.96. YAMNet: every second one of
    # 1 + ceil((s - 0.975) / 0.48).
    assert rows == {
        "short.wav": [16, 15, 2],
        "long one.wav": [31, 31, 3],
        "odd.wav": [21, 20, 3],
    }


def as_made_before_splits_had_our_names(out: Path) -> None:
    """Give a features folder of Clotho the names that earlier versions gave it."""
    index = json.loads((out / "features.json").read_text())
    for new, old in CLOTHO_SPLITS.items():
        (out / new).rename(out / old)
        path = out / old / "00000.h5"
        with h5py.File(path, "r+") as file:
            file.attrs["split"] = old
        entry = {"file": f"{old}/00000.h5", "clips": 1}
        entry |= {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        mark = json.loads(path.with_suffix(".json").read_text())
        path.with_suffix(".json").write_text(json.dumps(mark | {"entry": entry}))
        index["splits"][old] = index["splits"].pop(new) | {"shards": [entry]}
        del index["splits"][old]["original"]
    (out / "features.json").write_text(json.dumps(index))


def test_features_under_clothos_own_names_are_read_as_ours_and_never_made_again(
    tiny_weights, tmp_path
):
    dump, out = tmp_path / "dump", tmp_path / "out"
    for split in CLOTHO_SPLITS.values():
        write_clips(dump / split, 1)
        (dump / f"clotho_captions_{split}.csv").write_text(
            "file_name,caption_1,caption_2,caption_3,caption_4,caption_5\n"
            f"c000.wav,{split},b,c,d,e\n"
        )
    arguments = options(out, tiny_weights, streams="yamnet")
    assert extract("run", dump, *arguments).code == 0
    as_made_before_splits_had_our_names(out)
    before = shards(out)
    done = extract("run", dump, *arguments)
    assert done.code == 0 and "3 shards, 3 of them finished before" in done.stderr
    assert shards(out) == before and not (out / "train").exists()
    # One that is lost is made where the others are.
    (out / "evaluation" / "00000.h5").unlink()
    assert extract("run", dump, *arguments).code == 0
    assert verify(out) == [] and not (out / "test").exists()
    for new, old in CLOTHO_SPLITS.items():
        for name in (new, old):
            features = Features(out, name)
            assert (features.split, features[0].captions[0]) == (new, old)


def test_a_plain_folder_needs_no_captions(made):
    features = Features(made, "all")
    assert features.ids == [f"c{i:03d}.wav" for i in range(CLIPS)]
    assert all(features[i].captions == () for i in range(CLIPS))

"""Recordings to captions, through real networks of small width."""

import csv
import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import resampy
import soundfile
import torch

from evaluate.captions.caption import find_audio, load_listener
from evaluate.captions.cli import clock, counted
from evaluate.captions.generate import caption_clips
from evaluate.cli import app
from extract.sound.audio import Audio
from extract.sound.resample import kaiser_best_2021
from features.common.errors import ConfigError, DumpError, FormatError, RunError, WeightsError
from tests.evaluate.captions.conftest import RATE_HZ, save_panns
from tests.evaluate.conftest import CAPTIONS
from train.run_folder.checkpoint import check_streams, load_run


@pytest.fixture(scope="module")
def listener(run, weights):
    return load_listener(run[0], weights)


def test_a_files_caption_and_tags_are_those_of_its_shard(run, listener, clips):
    expected = caption_clips(listener.run, run[1])
    assert [caption.text for caption in expected] == list(CAPTIONS[:5])
    said = list(listener.describe_files(find_audio([clips]), failed=pytest.fail))
    assert [item.caption.text for item in said] == list(CAPTIONS[:5])
    assert [item.caption.tags for item in said] == [caption.tags for caption in expected]
    assert [(item.start_s, item.end_s) for item in said] == [(0, 10)] * 5


@pytest.mark.parametrize(
    ("resampler", "filter_"),
    [
        ("resampy 0.2.2 kaiser_best", kaiser_best_2021),
        ("resampy 0.4.3 kaiser_best", "kaiser_best"),
    ],
)
def test_sound_is_resampled_as_the_run_names_it(run, weights, tmp_path, resampler, filter_):
    older = tmp_path / "run"
    shutil.copytree(run[0], older)
    streams = json.loads((older / "streams.json").read_text())
    for spec in streams.values():
        spec["resampler"] = resampler
    (older / "streams.json").write_text(json.dumps(streams))
    sound = np.random.default_rng(0).uniform(-1, 1, 2 * RATE_HZ).astype(np.float32)
    listener = load_listener(older, weights)
    (window,) = listener.hear(Audio(waveform=sound, sample_rate_hz=RATE_HZ), "noise")
    for name, encoder in listener.encoders.items():
        rate_hz = encoder.spec.sample_rate_hz
        heard = resampy.resample(sound, RATE_HZ, rate_hz, filter=filter_)
        (rows,) = encoder.encode([torch.from_numpy(heard)])
        np.testing.assert_allclose(window.streams[name], rows, rtol=1e-3, atol=1e-3)


def test_a_run_with_a_filter_that_is_not_known_here_is_refused(run, weights, tmp_path):
    older = tmp_path / "run"
    shutil.copytree(run[0], older)
    text = (older / "streams.json").read_text()
    (older / "streams.json").write_text(text.replace("resampy 0.2.2 kaiser_best", "soxr HQ"))
    with pytest.raises(RunError, match=r"resampled by 'soxr HQ'.* it has resampy 0\.2\.2"):
        load_listener(older, weights)


def test_features_of_another_filter_than_the_runs_are_refused(run):
    trained, features = load_run(run[0]), run[1]
    others = {
        name: replace(spec, resampler="resampy 0.4.3 kaiser_best")
        for name, spec in features.streams.items()
    }
    with pytest.raises(FormatError, match=r"has resampler resampy 0\.4\.3 .*resampy 0\.2\.2"):
        check_streams(trained, others, features.root)


def test_a_tenth_of_a_second_has_a_caption(listener, tmp_path):
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 1600)
    soundfile.write(tmp_path / "short.wav", noise, 16_000)
    [said] = listener.describe_files([tmp_path / "short.wav"], failed=pytest.fail)
    assert said.end_s == pytest.approx(0.1)
    assert len(said.caption.tags) == 1


def test_a_file_that_is_no_audio_is_told_and_the_others_go_on(listener, clips, tmp_path):
    (tmp_path / "a.wav").write_text("hello")
    lost = []
    said = list(
        listener.describe_files(
            [tmp_path / "a.wav", clips / "1.wav"], failed=lambda *told: lost.append(told)
        )
    )
    assert [item.caption.text for item in said] == [CAPTIONS[1]]
    [(path, reason)] = lost
    assert path == tmp_path / "a.wav" and "text, not audio" in reason


def test_audio_is_found_in_folders_and_nothing_else_is(tmp_path):
    for name in ("b/2.flac", "b/1.wav", "a.mp3", "notes.txt", ".hidden/x.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_audio([tmp_path, tmp_path / "notes.txt"])
    names = [str(path.relative_to(tmp_path)) for path in found]
    assert names == ["a.mp3", "b/1.wav", "b/2.flac", "notes.txt"]  # a file that is named is tried


def test_linked_folders_are_looked_into_and_a_link_to_nothing_is_not_passed_over(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "1.wav").touch()
    (tmp_path / "sounds").mkdir()
    (tmp_path / "sounds" / "2025").symlink_to("../disk")
    (tmp_path / "sounds" / "round").symlink_to(".")
    (tmp_path / "sounds" / "gone.wav").symlink_to("nothing")
    found = find_audio([tmp_path / "sounds"])
    names = [str(path.relative_to(tmp_path / "sounds")) for path in found]
    assert names == ["2025/1.wav", "gone.wav"]


def test_a_path_that_is_absent_or_holds_no_audio_is_named(tmp_path):
    with pytest.raises(DumpError, match=r"gone\.wav: no such file"):
        find_audio([tmp_path / "gone.wav"])
    with pytest.raises(DumpError, match="holds no audio file"):
        find_audio([tmp_path])


def test_a_task_that_the_run_does_not_know_is_refused_before_networks_are_loaded(run, tmp_path):
    with pytest.raises(ConfigError, match=r"--task is 'x'; .* inputs.tasks: none"):
        load_listener(run[0], tmp_path, task="x")


def test_all_weights_that_are_missing_are_named_at_once(run, tmp_path):
    with pytest.raises(WeightsError, match="reads yamnet and panns") as error:
        load_listener(run[0], tmp_path)
    for name in ("yamnet", "panns"):
        assert f"no weights for {name}" in str(error.value)
        assert f"python -m extract fetch {name}" in str(error.value)


def test_other_weights_of_the_same_network_are_warned_of(run, weights, tmp_path, capsys):
    shutil.copytree(weights, tmp_path, dirs_exist_ok=True)
    torch.manual_seed(1)
    save_panns(tmp_path, 4)
    load_listener(run[0], tmp_path)
    said = capsys.readouterr().err
    assert "weights for panns have sha256" in said and "yamnet" not in said


def test_another_network_than_in_training_is_refused(run, weights, tmp_path):
    shutil.copytree(weights, tmp_path, dirs_exist_ok=True)
    save_panns(tmp_path, 8)
    with pytest.raises(WeightsError, match="'panns' has network PANNs of width 8"):
        load_listener(run[0], tmp_path)


def caption(run, weights, *arguments, capsys):
    """What the command prints, and its exit code."""
    parts = ["caption", str(run[0]), "--weights", str(weights), *map(str, arguments)]
    code = app(parts, standalone_mode=False)
    return capsys.readouterr(), code


def test_text_names_file_time_caption_and_tags(run, weights, clips, capsys):
    said, code = caption(run, weights, clips / "2.wav", capsys=capsys)
    tags = counted(caption_clips(load_listener(*(run[0], weights)).run, run[1])[2].tags)
    assert said.out.splitlines() == [
        f"{clips / '2.wav'}",
        f"  0:00–0:10    {CAPTIONS[2]}",
        f"               heard: {tags}",
    ]
    assert not code


def test_json_and_csv_hold_the_same(run, weights, clips, capsys):
    said, _ = caption(run, weights, clips, "--json", "--n-best", 2, capsys=capsys)
    records = json.loads(said.out)
    said, _ = caption(run, weights, clips, "--csv", capsys=capsys)
    rows = list(csv.DictReader(io.StringIO(said.out)))
    assert [record["caption"] for record in records] == list(CAPTIONS[:5])
    for record, row in zip(records, rows, strict=True):
        assert (row["file"], row["caption"]) == (record["file"], record["caption"])
        assert float(row["probability"]) == pytest.approx(record["probability"])
        assert row["tags"] == "; ".join(record["tags"])
        assert record["n_best"][0]["text"] == record["caption"]


def test_a_file_lost_on_the_way_makes_exit_code_1(run, weights, clips, tmp_path, capsys):
    (tmp_path / "empty.wav").touch()
    said, code = caption(run, weights, tmp_path / "empty.wav", clips / "0.wav", capsys=capsys)
    assert code == 1
    assert CAPTIONS[0] in said.out and "empty file" in said.err


def test_repeats_in_a_row_are_counted():
    # A comma is part of some names: it parts none.
    assert counted(["Bee, wasp, etc.", "Dog"]) == "Bee, wasp, etc. · Dog"
    assert counted(["Dog", "Dog", "Siren", "Dog"]) == "Dog ×2 · Siren · Dog"


def test_times_are_minutes_and_seconds():
    assert [clock(seconds) for seconds in (0, 10, 62.46, 3600)] == [
        "0:00", "0:10", "1:02.5", "60:00"
    ]  # fmt: skip

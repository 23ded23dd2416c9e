"""What is wrong with a dump, a clip, the weights or an option is said in one line, or listed."""

import csv
import os

import numpy as np
import pytest
import soundfile

from features.reader import Features
from tests.extract.command import RATE_HZ, extract, only_error, options, run_small, write_clips


def test_a_tenth_of_a_second_is_zero_padded(tiny_weights, tmp_path):
    noise = np.random.default_rng(0).normal(0, 0.1, RATE_HZ // 10).astype(np.float32)
    padded = np.concatenate([noise, np.zeros(15_600 - len(noise), np.float32)])
    for name, samples in (("short", noise), ("padded", padded)):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "clip.wav", samples, RATE_HZ)
        arguments = options(tmp_path / f"{name}-out", tiny_weights, streams="yamnet,vggish")
        assert extract("run", tmp_path / name, *arguments).code == 0
    short, long = (Features(tmp_path / f"{name}-out", "all")[0] for name in ("short", "padded"))
    assert short.duration_s == pytest.approx(0.1)
    for name in ("yamnet", "vggish"):
        np.testing.assert_array_equal(short.streams[name], long.streams[name])


def test_clips_that_cannot_be_used_are_listed_and_end_in_exit_code_1(tiny_weights, tmp_path):
    dump, out = tmp_path / "dump", tmp_path / "out"
    write_clips(dump, 2)
    (dump / "empty.wav").touch()
    whole = (dump / "c000.wav").read_bytes()
    (dump / "half.wav").write_bytes(whole[: len(whole) // 2])
    soundfile.write(dump / "nan.wav", np.full(1000, np.nan, np.float32), RATE_HZ, "FLOAT")
    done = run_small(dump, out, tiny_weights, streams="vggish")
    assert done.code == 1 and "Traceback" not in done.stderr
    with (out / "failures.csv").open(newline="") as file:
        reasons = {row["clip"]: row["reason"] for row in csv.DictReader(file)}
    assert reasons.keys() == {"empty.wav", "half.wav", "nan.wav"}
    assert reasons["empty.wav"] == "empty file"
    assert reasons["half.wav"].startswith("truncated")
    assert "1,000 of 1,000 samples are NaN" in reasons["nan.wav"]
    assert Features(out, "all").ids == ["c000.wav", "c001.wav"]
    # Said again by a run that finds everything done.
    assert run_small(dump, out, tiny_weights, streams="vggish").code == 1


@pytest.mark.parametrize(
    ("files", "arguments", "named"),
    [
        ({}, [], "found neither captions"),
        ({"train.csv": "id,text\n1,a\n"}, [], "lacks columns"),
        ({"train.csv": "audiocap_id,youtube_id,start_time,caption\n"}, [], "lists no clips"),
        ({"train.csv": "youtube_id,start_time,caption\na,1,b\n"}, [], "no clip of the captions"),
        ({"a.wav": ""}, ["--streams", "loudness"], "--streams is 'loudness'"),
        ({"a.wav": ""}, ["--precision", "int4"], "--precision is 'int4'"),
        ({"a.wav": ""}, ["--dtype", "int8"], "--dtype is 'int8'"),
        ({"a.wav": ""}, ["--part", "3/2"], "--part is 3/2"),
        ({"a.wav": ""}, ["--part", "half"], "--part is 'half'"),
        ({"a.wav": ""}, ["--workers", "-1"], "--workers is -1"),
        ({"a.wav": ""}, ["--threads", "9" * 20], "expected at most 4,096"),
        ({"a.wav": ""}, ["--batch-clips", "0"], "--batch-clips is 0"),
        ({"a.wav": ""}, ["--shard-clips", "0"], "--shard-clips is 0"),
        ({"a.wav": ""}, ["--kind", "clotho"], "found no clotho captions"),
        ({"a.wav": ""}, ["--split", "test"], "has no split 'test'"),
        ({"a.wav": ""}, ["--captions", "nowhere"], "nowhere: found no captions"),
        ({"a.wav": ""}, ["--engine", "spark"], "--engine is 'spark'"),
        ({"a.wav": ""}, ["--device", "tpu"], "--device is 'tpu'"),
        ({"a.wav": ""}, ["--device", "cuda:9999"], "--device is cuda:9999, but"),
        ({"a.wav": ""}, ["--device", "cuda:1", "--engine", "ray"], "Ray chooses which"),
        ({"a.wav": ""}, ["--weights", "nowhere"], "nowhere: holds no weights for yamnet"),
    ],
)
def test_what_cannot_run_ends_in_one_line(files, arguments, named, tiny_weights, tmp_path):
    dump = tmp_path / "dump"
    dump.mkdir()
    for name, text in files.items():
        (dump / name).write_text(text)
    done = extract("run", dump, *options(tmp_path / "out", tiny_weights), *arguments)
    assert named in only_error(done)


def test_an_output_that_is_a_file_ends_in_one_line(tiny_weights, tmp_path):
    write_clips(tmp_path / "dump", 1)
    (tmp_path / "out").touch()
    assert "is no folder, so nothing can be written into it" in only_error(
        run_small(tmp_path / "dump", tmp_path / "out", tiny_weights)
    )


def test_an_output_that_holds_a_run_ends_in_one_line(tiny_weights, tmp_path):
    write_clips(tmp_path / "dump", 1)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.toml").touch()
    done = run_small(tmp_path / "dump", tmp_path / "run", tiny_weights)
    assert "run: holds a run (recipe.toml), with which features would be mixed" in only_error(done)


def test_what_needs_ffmpeg_is_said_at_once_and_tried_again_when_there_is_one(
    tiny_weights, tmp_path, ffmpeg, ffmpeg_folder, without_ffmpeg, monkeypatch
):
    dump, out = tmp_path / "dump", tmp_path / "out"
    write_clips(dump, 1)
    for name in ("a.wv", "b.m4a", "c.m4a"):
        ffmpeg("-i", dump / "c000.wav", dump / name)
    arguments = ("run", dump, *options(out, tiny_weights, streams="vggish"))
    done = extract(*arguments)
    assert done.code == 1
    assert "3 files need ffmpeg, which is not on the PATH (.m4a 2, .wv 1)" in done.stderr
    assert Features(out, "all").ids == ["c000.wav"]
    monkeypatch.setenv("PATH", f"{ffmpeg_folder}{os.pathsep}{os.environ['PATH']}")
    done = extract(*arguments)
    assert done.code == 0 and "need ffmpeg" not in done.stderr
    assert Features(out, "all").ids == ["a.wv", "b.m4a", "c.m4a", "c000.wav"]


def test_an_extraction_without_a_single_clip_could_not_run(tiny_weights, tmp_path):
    dump, out = tmp_path / "dump", tmp_path / "out"
    dump.mkdir()
    (dump / "empty.wav").touch()
    arguments = ("run", dump, *options(out, tiny_weights, streams="vggish"))
    for _ in range(2):  # found finished, too
        assert "not one clip could be extracted" in only_error(extract(*arguments))
    assert "empty file" in (out / "failures.csv").read_text()
    write_clips(dump, 1)
    assert extract(*arguments).code == 1


def test_too_small_an_address_space_is_refused_before_a_library_waits_for_more(
    tiny_weights, tmp_path, monkeypatch
):
    write_clips(tmp_path / "dump", 1)
    monkeypatch.setattr("resource.getrlimit", lambda which: (3_800_000_000, -1))
    arguments = options(tmp_path / "out", tiny_weights, streams="vggish")
    line = only_error(extract("run", tmp_path / "dump", *arguments))
    assert "3.8 GB only" in line and "ulimit -v 4394531" in line

"""`python -m evaluate caption` into files: what is written, kept, passed over and marked."""

import csv
import json
import tracemalloc

import numpy as np
import pytest
import soundfile
import torch

from evaluate.captions import caption
from evaluate.captions.hours.places import plan
from evaluate.captions.hours.writing import write_captions
from evaluate.captions.options import Cutting, DecodingOptions
from evaluate.cli import app
from features.common.errors import ConfigError
from tests.evaluate.page.listening import listener_of
from train.run_folder.checkpoint import load_run

RATE_HZ = 8_000
LOUD, LOW, NONE = 0.5, 0.05, 0.0


def write(path, *levels: float, seconds: float = 10) -> None:
    """So many seconds of the same tone at each level, so that equal levels sound equal."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tone = np.sin(2 * np.pi * 100 / RATE_HZ * np.arange(round(seconds * RATE_HZ)))
    soundfile.write(path, np.concatenate([level * tone for level in levels]), RATE_HZ)


@pytest.fixture(scope="module")
def listener(tiny_run):
    return listener_of(tiny_run)


@pytest.fixture
def command(tiny_run_folder, monkeypatch, capsys):
    """The command on the tiny run with made-up encoders: exit code, stdout, stderr."""
    monkeypatch.setattr(caption, "load_listener", lambda run, *_: listener_of(load_run(run)))

    def call(*arguments):
        code = app(["caption", str(tiny_run_folder), *map(str, arguments)], standalone_mode=False)
        said = capsys.readouterr()
        return code or 0, said.out, said.err

    return call


def spans(path) -> list[tuple[float, float]]:
    return [(item["start_s"], item["end_s"]) for item in lines(path)]


def names(folder, ending: str = "") -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.endswith(ending))


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_equal_neighbours_are_one_and_silence_is_marked(command, tmp_path):
    write(tmp_path / "in" / "a.wav", LOUD, LOUD, NONE, NONE, LOUD, LOW)
    code, out, err = command(tmp_path / "in", "--jsonl", "--srt", "--out", tmp_path / "out")
    assert (code, out) == (0, "")
    assert "0.02 h of sound" in err  # 60 s
    found = lines(tmp_path / "out" / "a.jsonl")
    assert found[0]["caption"] == found[2]["caption"]
    if found[2]["caption"] == found[-1]["caption"]:  # whatever the model thinks of the low one
        assert spans(tmp_path / "out" / "a.jsonl") == [(0, 20), (20, 40), (40, 60)]
    else:
        assert spans(tmp_path / "out" / "a.jsonl") == [(0, 20), (20, 40), (40, 50), (50, 60)]
    assert found[1]["caption"] == "[silence]" and found[1]["probability"] is None
    assert "00:00:20,000 --> 00:00:40,000\n[silence]" in (tmp_path / "out/a.srt").read_text()
    assert names(tmp_path / "out") == ["a.jsonl", "a.srt"]  # no drafts


def test_the_level_of_silence_can_be_chosen(command, tmp_path):
    write(tmp_path / "a.wav", 0.0009, 0.0011)  # -60.9 and -59.2 dB
    for level, silent in (
        ("-60", [True, False]),
        ("-58.5", [True, True]),
        ("-inf", [False, False]),
    ):
        _, out, _ = command(tmp_path / "a.wav", "--json", "--silence", level)
        assert [item["caption"] == "[silence]" for item in json.loads(out)] == silent
    with pytest.raises(ConfigError, match="silence is 3"):
        command(tmp_path / "a.wav", "--silence", "3")


def test_windows_overlap_by_the_hop(command, tmp_path):
    write(tmp_path / "a.wav", LOUD, LOW)
    _, out, _ = command(tmp_path / "a.wav", "--json", "--hop", "5")
    spans = [(item["start_s"], item["end_s"]) for item in json.loads(out)]
    assert spans == [(0, 10), (5, 15), (10, 20)]
    with pytest.raises(ConfigError, match="hop is"):
        command(tmp_path / "a.wav", "--hop", "10.5")


def test_finished_recordings_are_passed_over_and_their_files_left(command, tmp_path):
    write(tmp_path / "a.wav", LOUD)
    write(tmp_path / "b.wav", LOW)
    (tmp_path / "a.srt").write_text("my own")
    code, _, err = command(tmp_path, "--srt", "--beside")
    assert code == 0 and "1 of 2 recordings have their files already" in err
    assert (tmp_path / "a.srt").read_text() == "my own"
    assert (tmp_path / "b.srt").read_text().startswith("1\n00:00:00,000 --> 00:00:10,000\n")
    before = (tmp_path / "b.srt").stat().st_mtime_ns
    code, _, err = command(tmp_path, "--srt", "--beside")
    assert code == 0 and "2 of 2" in err
    assert (tmp_path / "b.srt").stat().st_mtime_ns == before
    command(tmp_path, "--srt", "--csv", "--beside")  # what is new is added
    assert (tmp_path / "a.srt").read_text() == "my own" and (tmp_path / "a.csv").exists()


def test_a_damaged_recording_keeps_what_stands_before_under_a_name_that_is_not_finished(
    command, tmp_path
):
    rng = np.random.default_rng(0)
    path = tmp_path / "a.flac"
    soundfile.write(path, rng.uniform(-0.5, 0.5, 150 * 44_100), 44_100)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 4 // 5])
    write(tmp_path / "b.wav", LOUD)
    code, _, err = command(tmp_path, "--labels", "--beside")
    assert code == 1 and "damaged" in err and ".incomplete" in err
    assert names(tmp_path, ".txt") == ["a.incomplete.labels.txt", "b.labels.txt"]
    starts = [
        float(line.split("\t")[0])
        for line in (tmp_path / "a.incomplete.labels.txt").read_text().splitlines()
    ]
    assert starts and all(start % 10 == 0 for start in starts)
    path.write_bytes(whole)
    code, _, _ = command(tmp_path, "--labels", "--beside")
    assert code == 0
    assert names(tmp_path, ".txt") == ["a.labels.txt", "b.labels.txt"]
    last = (tmp_path / "a.labels.txt").read_text().splitlines()[-1]
    assert last.split("\t")[1] == "150.000000"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--srt"], "--srt writes files; say where"),
        (["--beside"], "nothing to write"),
        (["--csv", "--json"], "two forms"),
        (["--srt", "--beside", "--out", "x"], "two places"),
        (["--json", "--srt", "--beside"], "--jsonl"),
    ],
)
def test_output_that_means_nothing_is_refused(command, tmp_path, options, says):
    write(tmp_path / "a.wav", LOUD)
    with pytest.raises(ConfigError, match=says):
        command(tmp_path, *options)


def test_ctrl_c_loses_the_recording_in_work_only(listener, tmp_path):
    for name in ("a", "b", "c"):
        write(tmp_path / f"{name}.wav", *([LOUD] * 40), seconds=1)  # 4 windows each
    jobs = plan([tmp_path], ["csv"], None)
    taken = []

    def until_b(items):
        for number, item in items:
            taken.append(number)
            if taken.count(1) == 2:
                raise KeyboardInterrupt
            yield number, item

    with pytest.raises(KeyboardInterrupt):
        write_captions(jobs, listener, DecodingOptions(), Cutting(), failed=pytest.fail,
                       watch=until_b)  # fmt: skip
    assert names(tmp_path) == ["a.csv", "a.wav", "b.wav", "c.wav"]
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    assert (rows[0]["start_s"], rows[-1]["end_s"]) == ("0.0", "40.0")


def test_windows_of_many_recordings_share_batches(listener, tmp_path, monkeypatch):
    for number in range(12):
        write(tmp_path / f"{number:02}.wav", LOUD if number % 3 else LOW, seconds=0.5)
    batches = []
    monkeypatch.setattr(
        type(listener), "say",
        lambda self, windows, options, say=type(listener).say: (
            batches.append(len(windows)) or say(self, windows, options)
        ),
    )  # fmt: skip
    options = DecodingOptions(batch_size=5)
    together = list(
        listener.describe_files(sorted(tmp_path.iterdir()), options, failed=pytest.fail)
    )
    assert batches == [5, 5, 2]
    alone = [
        said
        for path in sorted(tmp_path.iterdir())
        for said in listener.describe_files([path], options, failed=pytest.fail)
    ]
    assert [(said.file, said.text) for said in together] == [
        (said.file, said.text) for said in alone
    ]


@pytest.mark.usefixtures("four_threads")
def test_cores_that_hear_some_windows_each_change_nothing(listener, tmp_path):
    write(tmp_path / "a.wav", *[LOUD, LOW, LOUD, LOUD, LOW, LOUD, LOUD])
    path = tmp_path / "a.wav"
    shared = list(listener.describe_files([path], failed=pytest.fail))
    torch.set_num_threads(1)
    alone = list(listener.describe_files([path], failed=pytest.fail))
    assert [(item.start_s, item.text) for item in shared] == [
        (item.start_s, item.text) for item in alone
    ]
    assert len(shared) == 7


def test_an_hour_takes_no_more_memory_than_half_an_hour(listener, tmp_path):
    def peak(minutes: int) -> int:
        path = tmp_path / f"{minutes}.flac"
        tone = (LOUD * np.sin(2 * np.pi * 100 / RATE_HZ * np.arange(10 * RATE_HZ))).astype("f4")
        silence = np.zeros(50 * RATE_HZ, np.float32)
        with soundfile.SoundFile(path, "w", RATE_HZ, 1) as file:
            for _ in range(minutes):
                file.write(tone)
                file.write(silence)
        jobs = plan([path], ["csv"], None)
        tracemalloc.start()
        write_captions(jobs, listener, DecodingOptions(), Cutting(), failed=pytest.fail)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        rows = list(csv.DictReader(jobs[0].outputs["csv"].read_text().splitlines()))
        assert len(rows) == 2 * minutes and float(rows[-1]["end_s"]) == 60 * minutes
        return found

    peak(1)
    assert peak(60) < peak(30) + 1_000_000  # a line and some numbers of each window, no sound

"""kill -9 at any moment: nothing is lost, doubled or half-written, and one shard at most is redone.

Processes of the real command are killed together with all that they started. The waits here are
for another process's progress; nothing is asserted about time.
"""

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from features.common.errors import FormatError
from features.reader import Shard
from features.spec import Index
from features.verify import verify
from tests.extract.command import (
    contents,
    options,
    run_small,
    start_warm,
    start_warm_and_die,
    write_clips,
)
from tests.forking import ROOT

SHARDS, SHARD_CLIPS, KILLS = 40, 2, 30
STREAMS = "yamnet,vggish"
FRESH = range(3, KILLS, 6)  # of an interpreter started afresh; the others fork from a warm one
SPREAD_OVER = 24  # shards
MOST = SHARDS - 8  # once so many are finished a kill comes at once, or the last would miss the end
LONGEST_WAIT_S = 600.0


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dump")
    write_clips(folder, SHARDS * SHARD_CLIPS)
    return folder


@pytest.fixture(scope="module")
def undisturbed(dump, tiny_weights, tmp_path_factory):
    """Contents of an extraction that nobody killed, and the seconds from a shard to the next."""
    out = tmp_path_factory.mktemp("undisturbed")
    assert run_small(dump, out, tiny_weights, shard_clips=SHARD_CLIPS, streams=STREAMS).code == 0
    done_s = [mark.stat().st_mtime for mark in out.glob("all/0*.json")]
    return contents(out), (max(done_s) - min(done_s)) / (SHARDS - 1)


def start(log: Path, arguments: list[object], *, fresh: bool) -> tuple[int, Callable[[], int]]:
    """Start the command; its process id, and what waits for its end."""
    if fresh:
        with log.open("a") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "extract", *map(str, arguments)],
                cwd=ROOT,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        return process.pid, process.wait
    warm = start_warm(log, *arguments)

    def ended() -> int:
        warm.join()
        return warm.exitcode

    return warm.pid, ended


def kill(pid: int) -> None:
    """SIGKILL to the process and all that it started."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:  # so early that it has no group of its own yet
        os.kill(pid, signal.SIGKILL)


def finished(out: Path) -> dict[str, int]:
    """Finished shards, those with a done-mark, and which file each is."""
    return {mark.stem: mark.with_suffix(".h5").stat().st_ino for mark in out.glob("all/0*.json")}


def drafts(out: Path) -> list[Path]:
    return [*out.glob(".*.part"), *out.glob("*/.*.part")]


def test_thirty_kills_change_nothing_and_cost_one_shard_each(
    dump, undisturbed, tiny_weights, tmp_path
):
    expected, shard_s = undisturbed
    out, log = tmp_path / "out", tmp_path / "log"
    arguments = ["run", dump, *options(out, tiny_weights, shard_clips=SHARD_CLIPS, streams=STREAMS)]
    draw = random.Random(7)
    before: dict[str, int] = {}
    told = []
    for number in range(KILLS):
        pid, ended = start(log, arguments, fresh=number in FRESH)
        deadline = time.monotonic() + LONGEST_WAIT_S
        # Importing takes a fresh one longer than many shards: it is killed after one of its own.
        one_more = min(len(before) + 1, MOST) if number in FRESH else 0
        least = max(number * SPREAD_OVER // KILLS, one_more)
        while len(finished(out)) < least:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.002)
        # Where enough was finished before, this is somewhere in the start.
        moment = time.monotonic() + draw.uniform(0, 4 * shard_s)
        while time.monotonic() < moment and len(finished(out)) < MOST:
            time.sleep(0.002)
        kill(pid)
        assert ended() == -signal.SIGKILL, f"kill {number} came too late:\n{log.read_text()}"
        now = finished(out)
        assert before.items() <= now.items(), "a finished shard was made again or lost"
        assert len(list(out.glob("all/*.h5"))) - len(now) <= 1
        assert len(drafts(out)) <= 1
        assert all(len(Shard(path)) == SHARD_CLIPS for path in out.glob("all/*.h5"))
        before = now
        told.append(len(now))
    assert not (out / "features.json").exists()
    last = run_small(dump, out, tiny_weights, shard_clips=SHARD_CLIPS, streams=STREAMS)
    assert last.code == 0
    # Every start went on from all that was finished when the one before was killed.
    found = [int(text) for text in re.findall(r"shards, (\d+) of them", log.read_text())]
    assert set(found) <= {0, *told}
    assert f"{told[-1]} of them finished before" in last.stderr
    assert contents(out) == expected
    assert verify(out) == [] and drafts(out) == []


def test_dying_at_any_step_of_writing_leaves_whole_files_only(
    dump, undisturbed, tiny_weights, tmp_path
):
    clips = tmp_path / "clips"
    clips.mkdir()
    for number in range(3):
        (clips / f"c{number:03d}.wav").symlink_to(dump / f"c{number:03d}.wav")
    everything = undisturbed[0]
    first = options(tmp_path / "out", tiny_weights, shard_clips=2, streams="yamnet", workers=0)
    more = options(tmp_path / "out", tiny_weights, shard_clips=2, streams="vggish", workers=0)
    steps = 0
    for arguments, streams in ((first, {"yamnet"}), (more, {"yamnet", "vggish"})):
        for step in range(1, 200):
            child = start_warm_and_die(
                tmp_path / "log", tmp_path / "out", step, "run", clips, *arguments
            )
            child.join()
            for path in tmp_path.glob("out/all/*.h5"):
                assert set(Shard(path).streams) <= streams
            try:
                # An index is there only when all that it lists is.
                Index.read(tmp_path / "out")
                assert verify(tmp_path / "out") == []
            except FormatError:
                pass
            if child.exitcode == 0:
                break
            assert child.exitcode == -signal.SIGKILL, (tmp_path / "log").read_text()
            steps += 1
        found = contents(tmp_path / "out")
        assert found.keys() == {"c000.wav", "c001.wav", "c002.wav"}
        for clip, values in found.items():
            assert values == {
                key: everything[clip][key] for key in (*sorted(streams), "captions", "path")
            }
    assert steps > 20

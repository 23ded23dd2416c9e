"""Runs that meet another one, or that a machine fails: one clear line, finished shards intact."""

import os
import resource
import shutil
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

import extract.pipeline as extract_pipeline
from extract.sound.endings import plain_endings
from extract.sound.ring import Ring
from features.common.errors import TagbartError
from features.verify import verify
from tests.extract.command import only_error, options, run_small, start_warm, write_clips

LONGEST_WAIT_S = 600.0


def wait_for(condition, what: str) -> None:
    deadline = time.monotonic() + LONGEST_WAIT_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.002)


@pytest.fixture
def running(tiny_weights, tmp_path):
    """A run of many shards in a process of its own that has finished at least one of them."""
    many = tmp_path / "many"
    write_clips(many, 480, seconds=0.2)
    log, out = tmp_path / "log", tmp_path / "out"
    process = start_warm(
        log, "run", many, *options(out, tiny_weights, shard_clips=8, streams="vggish")
    )
    chosen = {"shard_clips": 8, "streams": "vggish"}
    process.again = lambda **others: run_small(many, out, tiny_weights, **chosen, **others)
    process.out, process.log = out, log
    wait_for(lambda: list(out.glob("all/*.json")) or not process.is_alive(), "no shard in time")
    yield process
    if process.is_alive():
        os.killpg(process.pid, signal.SIGKILL)
    process.join()


def ended(process) -> tuple[int, str]:
    process.join()
    text = process.log.read_text()
    assert "Traceback" not in text, text
    return process.exitcode, text


def test_a_second_run_on_one_output_is_refused(running):
    os.killpg(running.pid, signal.SIGSTOP)  # it keeps its lock, and does not end meanwhile
    line = only_error(running.again())
    assert "another extraction is writing there" in line
    assert "another extraction is writing there" in only_error(running.again(part="1/2"))
    os.killpg(running.pid, signal.SIGCONT)
    code, _ = ended(running)
    assert code == 0


def test_a_killed_run_leaves_no_lock_and_its_workers_end(running):
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    assert children
    os.kill(running.pid, signal.SIGKILL)  # the main process alone
    running.join()
    assert running.again().code == 0
    # They look for their parent every few seconds.
    wait_for(lambda: not any(Path(f"/proc/{child}").exists() for child in children), "an orphan")


def test_ctrl_c_ends_it_with_130_and_what_is_finished_stays(running):
    os.killpg(running.pid, signal.SIGINT)
    code, text = ended(running)
    assert code == 130 and "interrupted: what was finished is kept" in text
    finished = len(list(running.out.glob("all/*.json")))
    assert 0 < finished < 60
    done = running.again()
    assert done.code == 0 and f"{finished} of them finished before" in done.stderr
    assert verify(running.out) == []


def test_a_decoding_process_killed_by_the_kernel_is_one_clear_line(running):
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
    code, text = ended(running)
    assert code == 2
    assert "error: a decoding process was ended from outside" in text
    assert "finished shards are intact" in text
    assert running.again().code == 0 and verify(running.out) == []


def test_an_output_folder_taken_away_is_one_clear_line(running):
    moved = running.out.with_name("moved")
    running.out.rename(moved)
    code, text = ended(running)
    assert code == 2 and "the output folder is gone" in text
    shutil.rmtree(running.out, ignore_errors=True)  # a shard that was being written just then
    moved.rename(running.out)
    assert running.again().code == 0 and verify(running.out) == []


def test_a_full_disk_is_one_clear_line_and_a_rerun_completes(tiny_weights, tmp_path, monkeypatch):
    dump, out = tmp_path / "dump", tmp_path / "out"
    write_clips(dump, 12)
    chosen = {"shard_clips": 6, "streams": "vggish"}
    with largest_file(2_000):  # a shard needs more
        line = only_error(run_small(dump, out, tiny_weights, workers=0, **chosen))
    assert "File too large; make room" in line
    assert list(out.glob("*/*")) == []
    # The sound of a clip that finds no slot comes from the workers through files in memory.
    with largest_file(2_000), monkeypatch.context() as patch:
        patch.setattr(extract_pipeline, "ring_for", lambda settings: Ring(0))
        line = only_error(run_small(dump, out, tiny_weights, workers=1, **chosen))
    assert "/dev/shm is full" in line
    done = run_small(dump, out, tiny_weights, **chosen)
    assert done.code == 0 and verify(out) == []


def test_a_full_gpu_is_one_clear_line(tmp_path):
    said = "the GPU's memory is full; .*, with fewer --batch-clips"
    with pytest.raises(TagbartError, match=said), plain_endings(tmp_path):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@contextmanager
def largest_file(size: int):
    """Let files grow to `size` bytes and no further, as on a disk with so much room."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

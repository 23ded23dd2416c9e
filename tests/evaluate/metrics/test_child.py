"""Child processes cannot hang us, and their own words reach the user."""

import sys

import pytest

from evaluate.metrics.child import LineProcess, ScoreError
from evaluate.metrics.meteor import Meteor
from evaluate.metrics.spice.client import Spice

HANGS = "import sys; sys.stdin.read()"  # for good: its stdin stays open


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_lines_go_in_and_come_out_in_order():
    code = "import sys\nfor line in sys.stdin: print(line.strip().upper(), flush=True)"
    with LineProcess(python(code), name="echo", timeout_s=30) as process:
        process.send(["a", "bé"])
        assert [process.receive(), process.receive()] == ["A", "BÉ"]


def test_more_lines_than_a_pipe_holds_block_neither_side():
    lines = ["x" * 1000] * 1000  # 1 MB each way; a pipe holds 64 kB
    code = "import sys\nfor line in sys.stdin: print(line.strip(), flush=True)"
    with LineProcess(python(code), name="echo", timeout_s=30) as process:
        process.send(lines)
        assert [process.receive() for _ in lines] == lines


def test_a_silent_child_is_ended_and_its_words_are_shown():
    code = "import sys; print('loading', file=sys.stderr, flush=True); sys.stdin.read()"
    with LineProcess(python(code), name="METEOR", timeout_s=0.5) as process:
        with pytest.raises(ScoreError, match=r"METEOR: no answer for 0.5 s, ended it"):
            process.receive()
        assert process._child.wait(timeout=30) != 0


def test_a_silent_child_leaves_time_to_show_that_we_live():
    waited = []
    with (
        LineProcess(python(HANGS), name="SPICE", timeout_s=1) as process,
        pytest.raises(ScoreError, match=r"SPICE: no answer for 1 s, ended it"),
    ):
        process.receive(wait=lambda: waited.append(1), every_s=0.05)
    assert waited


def test_a_child_that_dies_is_reported_with_its_own_words_every_time():
    code = "import sys; print('java.lang.Error: broken', file=sys.stderr); sys.exit(3)"
    with LineProcess(python(code), name="METEOR", timeout_s=30) as process:
        process.send(["x" * 1_000_000])  # nobody reads: a broken pipe
        for _ in range(2):
            with pytest.raises(ScoreError, match=r"exit code 3; .*java.lang.Error: broken"):
                process.receive()


def test_a_child_that_the_system_killed_is_said_to_have_lacked_memory():
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with (
        LineProcess(python(code), name="METEOR", timeout_s=30) as process,
        pytest.raises(
            ScoreError, match=r"exit code -9 \(SIGKILL, which the system sends when memory"
        ),
    ):
        process.receive()


def test_a_program_that_cannot_start_is_named():
    with pytest.raises(ScoreError, match="METEOR: cannot start /nowhere/java"):
        LineProcess(["/nowhere/java"], name="METEOR", timeout_s=1)


def test_meteor_that_hangs_dies_or_talks_nonsense_is_a_clear_error():
    cases = (
        (HANGS, "no answer for 0.3 s", 0.3),
        ("raise SystemExit('Error: Could not reserve memory')", "Could not reserve memory", 30),
        ("print('1,0 2,0', flush=True)\ninput()", "answered '1,0 2,0', expected 23 numbers", 30),
    )
    for code, words, timeout_s in cases:
        with (
            Meteor(command=python(code), timeout_s=timeout_s) as meteor,
            pytest.raises(ScoreError, match=words),
        ):
            meteor.statistics(["a dog"], [["a dog"]])


def test_spice_that_hangs_dies_or_talks_nonsense_is_a_clear_error():
    loud = "import json; print(json.dumps({'error': 'OutOfMemoryError: heap'}), flush=True)"
    cases = (
        (HANGS, "SPICE: no answer for 0.3 s, ended it", 0.3),
        ("raise SystemExit('no JVM here')", "exit code 1; its own words: no JVM here", 30),
        ("print('loading models', flush=True)\ninput()", "answered 'loading models'", 30),
        (loud, "OutOfMemoryError: heap; Java was allowed .* MB", 30),
        ("print('{\"values\": [[0.5]]}', flush=True)", r"answered \[1\] values, not \[2\]", 30),
    )
    for code, words, timeout_s in cases:
        with (
            Spice([], command=python(code), timeout_s=timeout_s) as spice,
            pytest.raises(ScoreError, match=words),
        ):
            spice.scores([["a"], ["b"]], [["a", "b"]])

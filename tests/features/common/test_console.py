"""What a person sees who types something wrong, or nothing."""

import subprocess
import sys

import pytest

from features.common.console import progress


def features(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "features", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("inof",), ("Did you mean 'info'?", "See: python -m features --help")),
        (("info",), ("Missing argument 'FEATURES'", "See: python -m features info --help")),
        (("info", "x", "--jsno"), ("--jsno", "--json", "See: python -m features info --help")),
    ],
)
def test_what_is_typed_wrong_ends_in_one_line_that_names_the_help(arguments, words):
    done = features(*arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert all(word in done.stderr for word in words), done.stderr


def test_a_group_alone_shows_its_help():
    done = features()
    assert done.returncode == 0 and done.stderr == ""
    assert "info" in done.stdout and "--version" in done.stdout


def test_a_training_bar_can_be_seen_at_80_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    bar = progress(total=16_000, what="train", unit="captions")
    bar.set_postfix_str("loss 3.428, best val 3.144", refresh=False)
    bar.close()
    values = {**bar.format_dict, "n": 16_000, "elapsed": 150.0, "rate": 105.1, "ncols": 80}
    line = bar.format_meter(**values)
    assert len(line) <= 80 and line.count("█") >= 8
    assert "105.10 captions/s, loss 3.428" in line

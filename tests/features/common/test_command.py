"""How commands end: one line and a documented code, whatever happens in them."""

import errno
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from features.common.command import POLITE, run_app
from features.common.console import harmless, json_text, new_app
from features.common.errors import RunError, first_line
from features.common.publish import published


@pytest.fixture
def ending(monkeypatch, tmp_path, capfd):
    """Runs a command that raises something; exit code and stderr."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["x", "go"])

    def run(error: BaseException | None):
        app = new_app("A test.")

        @app.command("go")
        def go() -> int:
            """Go."""
            if error is not None:
                raise error
            return 1

        with pytest.raises(SystemExit) as end:
            run_app(app, "test")
        return end.value.code, capfd.readouterr().err

    return run


@pytest.mark.parametrize(
    "error",
    [
        ValueError("embedded null\nbyte"),
        RecursionError("too deep"),
        MemoryError(),
        OSError("no number at all"),
        ConnectionResetError(errno.ECONNRESET, "reset"),
        EOFError("a worker is gone"),  # which typer takes for Ctrl-C
        AssertionError(),
    ],
)
def test_what_nobody_foresaw_is_one_line_code_2_and_a_traceback_in_the_file_named(error, ending):
    code, told = ending(error)
    assert code == 2
    assert told.startswith("error: ") and told.count("\n") == 1
    assert type(error).__name__ in told
    log = Path(re.search(r"traceback, (\S+)$", told.strip()).group(1))
    assert "Traceback (most recent call last)" in log.read_text()
    assert type(error).__name__ in log.read_text().partition("Traceback")[2]


def test_the_traceback_goes_to_stderr_where_there_is_no_room_for_a_file(ending, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", full)
    code, told = ending(ZeroDivisionError("by zero"))
    assert code == 2 and "Traceback (most recent call last)" in told
    assert told.splitlines()[-1].startswith("error: ZeroDivisionError: by zero")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "x", "/data/a.json"), "/data/a.json: No space left on device; make"),
        (PermissionError(errno.EACCES, "x", b"/data"), "/data: Permission denied; mend"),
        (OSError(errno.ENOSPC, "x"), "the output: No space left on device"),
        (OSError(errno.ENOSPC, "x", "/from", None, "/to"), "/to: No space left on device"),
        (Exception("No space left on device (os error 28)"), "the output: No space left"),
        (BrokenPipeError(errno.EPIPE, "x"), "whoever read this command's output left"),
        (FileExistsError(errno.EEXIST, "x", "/data"), "/data: File exists; name another path"),
        (
            RuntimeError("[enforce] DefaultCPUAllocator: can't allocate memory"),
            "out of memory; ask",
        ),
        (RunError("R: cannot be used\nso"), "R: cannot be used\\nso"),
    ],
)
def test_what_the_machine_refuses_is_one_line_without_a_traceback(error, words, ending, tmp_path):
    code, told = ending(error)
    assert code == 2 and told.startswith(f"error: {words}") and told.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_code_that_a_command_returns_and_an_interrupt_keep_their_meaning(ending):
    assert ending(None) == (1, "")
    code, told = ending(KeyboardInterrupt())
    assert code == 130 and told.startswith("interrupted: ")


def test_results_that_find_no_room_are_code_2():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "features", "--version"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 2
    assert done.stderr == (
        "error: the output: No space left on device; make room, then run the same command again\n"
    )


def test_a_draft_that_the_system_refuses_is_told_by_its_final_name(tmp_path):
    path = tmp_path / "a.json"
    for told in (
        OSError(errno.ENOSPC, "full"),  # as write() says it, without a name
        RuntimeError("Error while serializing: I/O error (os error 28)"),  # as safetensors does
    ):
        with pytest.raises(OSError, match="No space left") as caught, published(path):
            raise told
        assert caught.value.filename == str(path) and caught.value.errno == errno.ENOSPC


def test_what_would_steer_a_terminal_is_written_out():
    name = "\x1b]0;owned\x07\x9b2J\u202egnp.exe\udc80\ttab\nline"
    assert harmless(name) == ("\\x1b]0;owned\\x07\\x9b2J\\u202egnp.exe\\udc80\ttab\nline")
    assert harmless("ein Männerchor 🐕") == "ein Männerchor 🐕"
    assert json_text([name]) == (
        '[\n  "\\u001b]0;owned\\u0007\\u009b2J\\u202egnp.exe\\udc80\\ttab\\nline"\n]'
    )


def test_an_empty_argument_is_refused_for_as_a_path_it_is_the_folder_one_stands_in(
    ending, monkeypatch
):
    monkeypatch.setattr(sys, "argv", ["x", "go", "--out", ""])
    code, told = ending(None)
    assert code == 2 and "an argument is empty" in told


def test_a_file_whose_name_begins_with_a_dash_is_told_how_it_is_written(
    ending, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    Path("-6x.wav").touch()
    monkeypatch.setattr(sys, "argv", ["x", "go", "-6x.wav"])
    code, told = ending(None)
    assert code == 2 and "begins with - is written ./-6x.wav. See: " in told


@pytest.mark.parametrize(
    ("number", "under_nohup", "code"),
    [
        (signal.SIGTERM, False, 130),
        (signal.SIGHUP, False, 130),
        (signal.SIGUSR1, False, 130),
        (signal.SIGHUP, True, 1),
    ],
)
def test_a_polite_kill_a_closed_terminal_and_a_clusters_warning_do_what_ctrl_c_does(
    number, under_nohup, code, monkeypatch
):
    before = {name: signal.getsignal(name) for name in POLITE}
    app = new_app("A test.")

    @app.command("go")
    def go() -> int:
        """Go."""
        signal.raise_signal(number)
        return 1

    monkeypatch.setattr(sys, "argv", ["x", "go"])
    try:
        for name in before:
            signal.signal(name, signal.SIG_IGN if under_nohup else signal.SIG_DFL)
        with pytest.raises(SystemExit) as end:
            run_app(app, "test")
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
    assert end.value.code == code


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("\nno such key\n  at 3"), "no such key"),
        (StopIteration(), "StopIteration"),
        (OSError(" "), "OSError"),
    ],
)
def test_a_librarys_error_is_told_in_its_first_line_or_by_its_kind(error, line):
    assert first_line(error) == line

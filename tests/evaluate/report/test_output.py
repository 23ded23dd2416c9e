"""A report's folder is replaced whole, or not at all."""

import errno
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from evaluate.report import output
from evaluate.report.output import published_folder
from features.common.errors import TagbartError

ROOT = Path(__file__).parents[3]


def publish(out: Path, text: str) -> None:
    with published_folder(out, "a-report") as draft:
        (draft / "index.html").write_text(text)
        (draft / "report.json").write_text('{"format": "a-report"}')


@pytest.fixture(params=["exchanged", "set aside"])
def way(request, monkeypatch):
    """Both ways of replacing: in one step, and where the system has no such step."""
    if request.param == "set aside":
        monkeypatch.setattr(output, "_exchange", lambda one, other: False)


def test_an_earlier_folder_is_replaced_and_nothing_is_left_beside_it(tmp_path, way):
    for text in ("old", "new"):
        publish(tmp_path / "r", text)
        assert (tmp_path / "r" / "index.html").read_text() == text
        assert [path.name for path in tmp_path.iterdir()] == ["r"]


@pytest.mark.parametrize("at", ["rename", "rmtree", "mkdir"])
def test_a_kill_at_any_step_leaves_the_old_or_the_new_one_to_the_next_command(at, tmp_path):
    publish(tmp_path / "r", "old")
    # The process ends as kill -9 ends it, before or after each call that changes the folder.
    code = (
        "import os, shutil, pathlib, sys\n"
        "sys.path.insert(0, {root!r})\n"
        "from tests.evaluate.report.test_output import publish\n"
        "def end(*a, **k): os._exit(9)\n"
        "setattr(shutil if {at!r} == 'rmtree' else pathlib.Path, {at!r}, end)\n"
        "publish(pathlib.Path({out!r}), 'new')\n"
    ).format(root=str(ROOT), at=at, out=str(tmp_path / "r"))
    subprocess.run([sys.executable, "-c", code], check=False)
    assert (tmp_path / "r" / "index.html").read_text() in ("old", "new")
    publish(tmp_path / "r", "newest")
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_where_there_is_no_swap_a_kill_between_two_names_is_mended(tmp_path, monkeypatch):
    monkeypatch.setattr(output, "_exchange", lambda one, other: False)
    publish(tmp_path / "r", "old")
    (tmp_path / "r").rename(tmp_path / ".r.7.old.part")
    with pytest.raises(ZeroDivisionError), published_folder(tmp_path / "r", "a-report"):
        assert (tmp_path / "r" / "index.html").read_text() == "old"
        _ = 1 / 0
    assert (tmp_path / "r" / "index.html").read_text() == "old"


def test_a_draft_of_a_living_command_stays(tmp_path):
    with published_folder(tmp_path / "r", "a-report") as first:
        first.rename(first.with_name(".r.1.part"))  # as another process would call it
        publish(tmp_path / "r", "second")
        assert (tmp_path / ".r.1.part").is_dir()
        shutil.rmtree(tmp_path / ".r.1.part")
        first.mkdir()
    assert not list(tmp_path.glob(".*"))


def test_a_link_is_followed_and_the_folder_one_is_in_is_not_replaced(tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to("real")
    publish(tmp_path / "link", "through")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "index.html").read_text() == "through"
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(TagbartError, match="name another --out"):
        publish(tmp_path / "loop", "x")
    (tmp_path / "here" / "inner").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here" / "inner")
    for name in (".", "..", str(tmp_path / "here"), "/"):
        with pytest.raises(TagbartError, match="the folder you are in, or holds it"):
            publish(Path(name), "x")


def test_a_full_disk_is_told_by_the_name_of_the_report(tmp_path):
    for name in (None, "clips/1.html"):  # a write names no file; opening one does
        met = pytest.raises(OSError, match="No space left")
        with met as caught, published_folder(tmp_path / "r", "a-report") as draft:
            raise OSError(errno.ENOSPC, "full", *([str(draft / name)] if name else []))
        assert caught.value.filename == str(tmp_path / "r")
    assert not list(tmp_path.iterdir())

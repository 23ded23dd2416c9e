"""CoreNLP: by Maven, or its archive, held to its record; two jars come out of it or none."""

import errno
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import pytest

from evaluate.metrics.spice import fetch, jars
from evaluate.metrics.spice.fetch import (
    ARCHIVE,
    ARCHIVE_NAME,
    PROOFS,
    fetch_archive,
    fetch_corenlp,
    unpack_corenlp,
)
from evaluate.metrics.spice.jars import CORENLP_JARS
from features.common.download import DownloadError, RemoteFile


def archive(folder: Path, *, names=CORENLP_JARS, proofs=PROOFS) -> Path:
    """A small archive laid out as the real one, with jars that hold one file each."""
    path = folder / "corenlp.zip"
    with ZipFile(path, "w", ZIP_STORED) as files:
        files.writestr(f"{ARCHIVE_NAME}/README.txt", "not wanted")
        for name, proof in zip(names, proofs, strict=True):
            jar = folder / "jar"
            with ZipFile(jar, "w", ZIP_STORED) as inner:
                inner.writestr(proof, "content of " + name)
            files.write(jar, f"{ARCHIVE_NAME}/{name}")
            jar.unlink()
    return path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RemoteFile]:
    """The archive on a server of this machine; its folder is `tmp_path / "served"`."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    (tmp_path / "served").mkdir()
    handler = partial(Quiet, directory=tmp_path / "served")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{running.server_port}/corenlp.zip"
        yield RemoteFile(name=ARCHIVE.name, urls=(url,))
        running.shutdown()


@pytest.fixture
def bare(tmp_path, monkeypatch) -> Path:
    """A machine without jars and without Maven; its folder for them."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv(jars.FOLDER_VARIABLE, raising=False)
    return tmp_path / "cache" / "tagbart" / "spice"


def test_without_maven_the_archive_gives_the_jars_and_another_build_is_told(
    tmp_path, bare, server, monkeypatch, capsys
):
    monkeypatch.setattr(fetch, "ARCHIVE", server)
    archive(tmp_path / "served")
    assert "not in" in jars.missing()
    assert fetch_corenlp() == bare
    assert jars.missing() is None
    assert {path.name for path in bare.iterdir()} == {
        *CORENLP_JARS,
        "checksums.json",
        jars.OTHER_BUILD_NAME,
    }
    told = capsys.readouterr().err
    assert "no Maven (mvn) here" in told
    assert f"{bare / CORENLP_JARS[0]}: another build than Maven's" in told
    path = bare / CORENLP_JARS[1]
    path.write_bytes(path.read_bytes()[:-1])  # what was accepted is known by its size
    assert jars.missing().startswith(f"{path} has ")


def maven(tmp_path: Path, code: str) -> None:
    """An mvn that runs `code`, in Python, with its arguments in sys.argv."""
    path = tmp_path / "bin" / "mvn"
    path.parent.mkdir()
    path.write_text(f"#!{sys.executable}\nimport sys, pathlib\n{code}\n")
    path.chmod(0o755)


SIZES = {jar.name: jar.size for jar in jars.CORENLP}
LAYS_JARS = f"""
folder = pathlib.Path(next(a for a in sys.argv if "repo.local" in a).split("=")[1])
folder = folder / "edu/stanford/nlp/stanford-corenlp/3.6.0"
folder.mkdir(parents=True, exist_ok=True)
names = [n for n in {SIZES} if ("models" in n) == sys.argv[-1].endswith(":models")]
for name in names:
    with (folder / name).open("wb") as file:
        file.truncate({SIZES}[name])
"""


def test_maven_gets_the_jars_which_stay_where_it_puts_them(tmp_path, bare, monkeypatch):
    maven(tmp_path, LAYS_JARS)
    monkeypatch.setattr(fetch, "difference", lambda jar, path: None)  # empty files of the size
    assert fetch_corenlp() == jars.maven_folder()
    assert jars.missing() is None
    assert not bare.exists()
    monkeypatch.setenv(jars.FOLDER_VARIABLE, str(tmp_path / "mine"))
    assert fetch_corenlp() == tmp_path / "mine"
    assert all((tmp_path / "mine" / name).is_symlink() for name in CORENLP_JARS)


def test_what_maven_brings_is_held_to_its_checksum(tmp_path, bare):
    maven(tmp_path, LAYS_JARS)
    with pytest.raises(DownloadError, match=rf"{CORENLP_JARS[0]} has sha256 .*; delete it"):
        fetch_corenlp()


def test_where_maven_fails_its_words_are_told_and_the_archive_is_tried(
    tmp_path, bare, server, monkeypatch, capsys
):
    maven(tmp_path, "sys.exit('[ERROR] no route')")
    monkeypatch.setattr(fetch, "ARCHIVE", server)
    archive(tmp_path / "served")
    assert fetch_corenlp() == bare
    assert "Maven failed ([ERROR] no route): CoreNLP comes from" in capsys.readouterr().err


def test_jars_that_are_there_and_fit_are_left_alone(tmp_path, bare):
    unpack_corenlp(archive(tmp_path), bare)
    before = {path: path.stat().st_mtime_ns for path in bare.iterdir()}
    assert fetch_corenlp() == bare
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_full_disk_keeps_the_archive(tmp_path, server, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    archive(tmp_path / "served")
    monkeypatch.setattr(fetch, "published", full)
    with pytest.raises(DownloadError, match=r"No space left on device\); make room and fetch"):
        fetch_archive(tmp_path / "spice", server)
    assert [path.name for path in (tmp_path / "spice").iterdir()] == [ARCHIVE.name]


def test_another_archive_than_the_one_recorded_is_refused_and_leaves_no_jar(tmp_path, server):
    folder = tmp_path / "spice"
    path = archive(tmp_path / "served")
    fetch_archive(folder, server)
    with ZipFile(path, "a") as files:
        files.writestr("more", "than before")
    with pytest.raises(DownloadError, match=rf"{ARCHIVE.name} has checksum .* was fetched before"):
        fetch_archive(folder, server)
    assert [path.name for path in folder.iterdir()] == ["checksums.json"]


def test_a_damaged_archive_is_deleted_so_that_the_next_call_fetches_it_anew(tmp_path, server):
    whole = archive(tmp_path / "served").read_bytes()
    folder = tmp_path / "spice"
    folder.mkdir()
    (folder / ARCHIVE.name).write_bytes(whole[:100])
    with pytest.raises(DownloadError, match=r"is damaged .*; fetch it again"):
        fetch_archive(folder, server)
    assert not list(folder.iterdir())
    fetch_archive(folder, server)
    assert {path.name for path in folder.iterdir()} == {*CORENLP_JARS, "checksums.json"}


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        ({"names": ("other.jar", CORENLP_JARS[1])}, "holds no .*/stanford-corenlp-3.6.0.jar"),
        ({"proofs": (PROOFS[0], "x")}, "models.jar lacks .*englishPCFG"),
    ],
)
def test_an_archive_of_something_else_is_refused_by_name(tmp_path, contents, words):
    path = archive(tmp_path, **contents)
    with pytest.raises(DownloadError, match=words) as caught:
        unpack_corenlp(path, tmp_path / "spice")
    assert str(path) in str(caught.value)


def test_a_flipped_byte_leaves_no_jar_behind(tmp_path):
    path = archive(tmp_path)
    data = bytearray(path.read_bytes())
    data[data.index(b"content of stanford-corenlp-3.6.0.jar")] ^= 1
    path.write_bytes(data)
    with pytest.raises(DownloadError, match=r"is damaged .*; fetch it again"):
        unpack_corenlp(path, tmp_path / "spice")
    assert not list((tmp_path / "spice").iterdir())


def test_the_address_is_that_of_pycocoevalcaps_own_download_but_over_https():
    from pycocoevalcap.spice import get_stanford_models as official

    assert official.CORENLP == ARCHIVE_NAME
    assert ARCHIVE.urls == (f"https://nlp.stanford.edu/software/{official.CORENLP}.zip",)
    assert (f"{official.JAR}.jar", f"{official.JAR}-models.jar") == CORENLP_JARS

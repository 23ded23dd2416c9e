"""CoreNLP's archive: fetched, held to its record, and two jars come out of it or none."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import pytest

from evaluate.metrics import spice_jars
from evaluate.metrics.fetch import CORENLP, CORENLP_NAME, PROOFS, fetch_corenlp, unpack_corenlp
from evaluate.metrics.spice_jars import CORENLP_JARS
from features.common.download import DownloadError, RemoteFile


def archive(folder: Path, *, jars=CORENLP_JARS, proofs=PROOFS) -> Path:
    """A small archive laid out as the real one, with jars that hold one file each."""
    path = folder / "corenlp.zip"
    with ZipFile(path, "w", ZIP_STORED) as files:
        files.writestr(f"{CORENLP_NAME}/README.txt", "not wanted")
        for name, proof in zip(jars, proofs, strict=True):
            jar = folder / "jar"
            with ZipFile(jar, "w", ZIP_STORED) as inner:
                inner.writestr(proof, "content of " + name)
            files.write(jar, f"{CORENLP_NAME}/{name}")
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
        yield RemoteFile(name=CORENLP.name, urls=(url,))
        running.shutdown()


def test_after_fetching_spice_has_all_its_jars_and_the_archive_is_gone(
    tmp_path, server, monkeypatch
):
    folder = tmp_path / "a new folder" / "spice"
    monkeypatch.setenv(spice_jars.FOLDER_VARIABLE, str(folder))
    archive(tmp_path / "served")
    assert "not in" in spice_jars.missing()
    fetch_corenlp(spice_jars.corenlp_folder(), server)
    assert spice_jars.missing() is None
    assert {path.name for path in folder.iterdir()} == {*CORENLP_JARS, "checksums.json"}


def test_another_archive_than_the_one_recorded_is_refused_and_leaves_no_jar(tmp_path, server):
    folder = tmp_path / "spice"
    path = archive(tmp_path / "served")
    fetch_corenlp(folder, server)
    with ZipFile(path, "a") as files:
        files.writestr("more", "than before")
    with pytest.raises(DownloadError, match=rf"{CORENLP.name} has checksum .* was fetched before"):
        fetch_corenlp(folder, server)
    assert [path.name for path in folder.iterdir()] == ["checksums.json"]


def test_a_damaged_archive_is_deleted_so_that_the_next_call_fetches_it_anew(tmp_path, server):
    whole = archive(tmp_path / "served").read_bytes()
    folder = tmp_path / "spice"
    folder.mkdir()
    (folder / CORENLP.name).write_bytes(whole[:100])
    with pytest.raises(DownloadError, match=r"is damaged .*; fetch it again"):
        fetch_corenlp(folder, server)
    assert not list(folder.iterdir())
    fetch_corenlp(folder, server)
    assert {path.name for path in folder.iterdir()} == {*CORENLP_JARS, "checksums.json"}


def test_the_command_fetches_nothing_that_is_there_already(tmp_path):
    for name in CORENLP_JARS:
        (tmp_path / name).touch()
    done = subprocess.run(
        [sys.executable, "-m", "evaluate", "fetch"],
        capture_output=True,
        text=True,
        env=os.environ | {spice_jars.FOLDER_VARIABLE: str(tmp_path)},
    )
    assert done.returncode == 0
    assert done.stderr == f"SPICE: CoreNLP's jars are in {tmp_path}\n"


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        ({"jars": ("other.jar", CORENLP_JARS[1])}, "holds no .*/stanford-corenlp-3.6.0.jar"),
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


def test_the_address_is_that_of_pycocoevalcaps_own_download():
    from pycocoevalcap.spice import get_stanford_models as official

    assert official.CORENLP == CORENLP_NAME
    assert CORENLP.urls == (f"http://nlp.stanford.edu/software/{official.CORENLP}.zip",)
    assert (f"{official.JAR}.jar", f"{official.JAR}-models.jar") == CORENLP_JARS

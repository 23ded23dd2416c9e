"""Official files: what is fetched, where it goes, and what a failure tells."""

import hashlib
import io
import json
import socket
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from extract.streams import STREAMS
from extract.weights.fetch import RECORD_NAME, fetch
from extract.weights.official import (
    CLASS_MAP_NAME,
    DEFAULT_NAMES,
    OFFICIAL,
    SOURCES,
    TFHUB,
    Official,
)
from features.common.download import DownloadError, Patience, RemoteFile
from features.common.errors import ConfigError
from tests.serving import serving

HASTY = Patience(timeout_s=0.3, attempts=2, pause_s=0)
MODEL = {
    "./saved_model.pb": b"graph",
    "./variables/variables.index": b"index",
    "./assets/yamnet_class_map.csv": b"index,mid,display_name\n",
}
PANNS = b"weights " * 1_000


def packed(files: dict[str, bytes]) -> bytes:
    room = io.BytesIO()
    with tarfile.open(fileobj=room, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return room.getvalue()


@pytest.fixture
def server():
    with serving(content={"/yamnet": packed(MODEL), "/panns": PANNS}) as served:
        yield served


@pytest.fixture
def official(server) -> dict[str, Official]:
    return {
        "yamnet": Official(
            place="yamnet",
            files=(RemoteFile(name="yamnet_1.tar.gz", urls=(f"{server.url}/yamnet",)),),
            saved_model=True,
        ),
        "panns": Official(
            place="panns.pth",
            files=(
                RemoteFile(
                    name="panns.pth",
                    urls=(f"{server.url}/panns",),
                    size=len(PANNS),
                    md5=hashlib.md5(PANNS).hexdigest(),
                ),
            ),
        ),
    }


def files_in(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {f"./{path.relative_to(folder)}": path.read_bytes() for path in paths}


def test_every_release_goes_where_its_stream_looks_for_it():
    for official in SOURCES.values():
        for stream, release in official.items():
            assert release.place in STREAMS[stream].sources
    assert set(OFFICIAL) == set(STREAMS)


def test_what_is_fetched_unasked_needs_no_tensorflow_and_brings_the_class_names():
    releases = [OFFICIAL[name] for name in DEFAULT_NAMES]
    files = [file.name for release in releases for file in release.files]
    panns = "Wavegram_Logmel_Cnn14_mAP=0.439.pth"
    assert files == ["yamnet.h5", CLASS_MAP_NAME, "vggish-10086976.pth", panns]
    assert not any(release.saved_model for release in releases)
    # Direct files go first: a folder that has both needs no conversion.
    for stream in TFHUB:
        assert next(iter(STREAMS[stream].sources)) == OFFICIAL[stream].place


def test_releases_are_fetched_over_https_from_named_hosts():
    files = [file for named in SOURCES.values() for one in named.values() for file in one.files]
    assert all(url.startswith("https://") for file in files for url in file.urls)
    assert OFFICIAL["yamnet"].files[0].urls == (
        "https://storage.googleapis.com/audioset/yamnet.h5",
    )
    assert OFFICIAL["panns"].files[0].urls == (
        "https://zenodo.org/record/3987831/files/Wavegram_Logmel_Cnn14_mAP%3D0.439.pth?download=1",
    )


@pytest.mark.real_data
def test_the_class_map_that_is_pinned_is_the_one_of_yamnets_521_classes(real_data: Path):
    content = (real_data / "weights" / CLASS_MAP_NAME).read_bytes()
    pinned = OFFICIAL["yamnet"].files[1]
    assert (pinned.size, pinned.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_a_release_of_several_files_is_whole_when_all_are_there(server, tmp_path):
    server.content |= {"/a": b"first", "/b": b"second"}
    files = tuple(RemoteFile(name=name, urls=(f"{server.url}/{name}",)) for name in ("a", "b"))
    official = {"net": Official(place="a", files=files)}
    assert fetch(["net"], tmp_path, official=official, patience=HASTY) == [tmp_path / "a"]
    (tmp_path / "b").unlink()
    server.asked.clear()
    fetch(["net"], tmp_path, official=official, patience=HASTY)
    assert len(server.asked) == 1 and (tmp_path / "b").read_bytes() == b"second"


def test_a_saved_model_is_unpacked_and_a_checkpoint_taken_as_it_is(official, tmp_path):
    paths = fetch(["yamnet", "panns"], tmp_path, official=official, patience=HASTY)
    assert paths == [tmp_path / "yamnet", tmp_path / "panns.pth"]
    assert files_in(tmp_path / "yamnet") == MODEL
    assert (tmp_path / "panns.pth").read_bytes() == PANNS
    assert sorted(path.name for path in tmp_path.iterdir()) == [RECORD_NAME, "panns.pth", "yamnet"]


def test_what_is_there_is_not_fetched_again(official, server, tmp_path):
    fetch(["yamnet", "panns"], tmp_path, official=official, patience=HASTY)
    server.asked.clear()
    fetch(["yamnet", "panns"], tmp_path, official=official, patience=HASTY)
    assert server.asked == []


def test_a_file_that_is_there_but_damaged_is_said_and_left_alone(official, tmp_path):
    (tmp_path / "panns.pth").write_bytes(PANNS[:-1])
    with pytest.raises(DownloadError, match="has 7,999 bytes, expected 8,000; move it away"):
        fetch(["panns"], tmp_path, official=official, patience=HASTY)
    assert (tmp_path / "panns.pth").read_bytes() == PANNS[:-1]


def test_the_same_content_packed_otherwise_fits_the_record(official, server, tmp_path):
    fetch(["yamnet"], tmp_path / "a", official=official, patience=HASTY)
    server.content["/yamnet"] = packed(dict(reversed(MODEL.items())))
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / RECORD_NAME).rename(tmp_path / "b" / RECORD_NAME)
    fetch(["yamnet"], tmp_path / "b", official=official, patience=HASTY)
    assert files_in(tmp_path / "b" / "yamnet") == MODEL


def test_other_content_than_was_recorded_is_refused(official, server, tmp_path):
    fetch(["yamnet"], tmp_path, official=official, patience=HASTY)
    recorded = json.loads((tmp_path / RECORD_NAME).read_text())
    assert list(recorded) == ["yamnet"]
    (tmp_path / "yamnet").rename(tmp_path / "old")
    server.content["/yamnet"] = packed(MODEL | {"./saved_model.pb": b"another"})
    with pytest.raises(DownloadError, match="take yamnet out of the record"):
        fetch(["yamnet"], tmp_path, official=official, patience=HASTY)
    assert not (tmp_path / "yamnet").exists()
    assert json.loads((tmp_path / RECORD_NAME).read_text()) == recorded


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"<html>Please log in</html>", "is no whole .tar.gz"),
        (packed(MODEL)[:-20], "is no whole .tar.gz"),
        (packed(MODEL)[:-8] + bytes(8), "is no whole .tar.gz"),  # a wrong CRC
        (packed({"./1.tflite": b""}), "it holds no saved_model.pb"),
        (packed(MODEL | {"../../evil": b""}), "'../../evil' leaves the folder"),
        (packed(MODEL | {"/tmp/evil": b""}), "'/tmp/evil' leaves the folder"),
    ],
    # gzip notes the second: processes that collect the tests would each have other names for them.
    ids=["a page", "cut short", "another CRC", "another file", "climbs", "an absolute path"],
)
def test_an_archive_that_is_no_saved_model_is_deleted_and_said(
    official, server, tmp_path, content, what
):
    server.content["/yamnet"] = content
    with pytest.raises(DownloadError, match=what):
        fetch(["yamnet"], tmp_path, official=official, patience=HASTY)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_other_things_is_not_replaced(official, server, tmp_path):
    (tmp_path / "yamnet").mkdir()
    (tmp_path / "yamnet" / "notes.txt").touch()
    with pytest.raises(DownloadError, match=r"holds no saved_model\.pb; move it away"):
        fetch(["yamnet"], tmp_path, official=official, patience=HASTY)
    (tmp_path / "yamnet" / "notes.txt").unlink()
    fetch(["yamnet"], tmp_path, official=official, patience=HASTY)
    assert files_in(tmp_path / "yamnet") == MODEL


def test_an_archive_put_there_by_hand_is_unpacked_without_a_network(official, tmp_path):
    gone = replace(official["yamnet"].files[0], urls=("http://127.0.0.1:9/",))
    official["yamnet"] = replace(official["yamnet"], files=(gone,))
    (tmp_path / "yamnet_1.tar.gz").write_bytes(packed(MODEL))
    fetch(["yamnet"], tmp_path, official=official, patience=HASTY)
    assert files_in(tmp_path / "yamnet") == MODEL


def test_one_failure_does_not_keep_the_others_and_says_what_to_put_where(
    official, server, tmp_path
):
    del server.content["/yamnet"]
    with pytest.raises(DownloadError) as error:
        fetch(["yamnet", "panns"], tmp_path, official=official, patience=HASTY)
    assert str(error.value) == (
        "yamnet_1.tar.gz could not be fetched: 127.0.0.1 answered 404 Not Found. Or by hand: "
        f"{server.url}/yamnet unpacked into {tmp_path / 'yamnet'}"
    )
    assert (tmp_path / "panns.pth").read_bytes() == PANNS


def test_without_a_network_one_line_says_what_to_put_where(monkeypatch, tmp_path, capsys):
    def no_network(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    with pytest.raises(DownloadError) as error:
        fetch([], tmp_path, patience=HASTY)
    assert capsys.readouterr().err == ""
    unreachable = "cannot be reached (its name is not known; is there a network?)"
    files = [file for name in DEFAULT_NAMES for file in OFFICIAL[name].files]
    hosts = ["storage.googleapis.com", "github.com", "zenodo.org"]
    reasons = [
        f"{file.name} could not be fetched: {host} {unreachable}"
        for file, host in zip([files[0], *files[2:]], hosts, strict=True)
    ]
    assert str(error.value) == (
        f"{'; '.join(reasons)}. Or by hand: "
        + "; ".join(f"{file.urls[0]} to {tmp_path / file.name}" for file in files)
    )


def test_an_unknown_name_lists_those_known(tmp_path):
    with pytest.raises(ConfigError, match=r"is called clop; there are yamnet, vggish, panns"):
        fetch(["clop"], tmp_path)

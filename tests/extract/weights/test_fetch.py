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
from extract.weights.fetch import DEFAULT_NAMES, OFFICIAL, RECORD_NAME, Official, fetch
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
            file=RemoteFile(name="yamnet_1.tar.gz", urls=(f"{server.url}/yamnet",)),
            saved_model=True,
        ),
        "panns": Official(
            place="panns.pth",
            file=RemoteFile(
                name="panns.pth",
                urls=(f"{server.url}/panns",),
                size=len(PANNS),
                md5=hashlib.md5(PANNS).hexdigest(),
            ),
        ),
    }


def files_in(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {f"./{path.relative_to(folder)}": path.read_bytes() for path in paths}


def test_every_release_goes_where_its_stream_looks_for_it():
    for stream, place in (("yamnet", "yamnet"), ("vggish", "vggish"), ("panns", None)):
        place = place or "Wavegram_Logmel_Cnn14_mAP=0.439.pth"
        assert OFFICIAL[stream].place == place
        assert place in STREAMS[stream].sources
    assert OFFICIAL["torchvggish"].place in STREAMS["vggish"].sources
    assert set(DEFAULT_NAMES) == set(STREAMS)


def test_releases_are_fetched_over_https_from_named_hosts():
    urls = [url for one in OFFICIAL.values() for url in one.file.urls]
    assert all(url.startswith("https://") for url in urls)
    assert OFFICIAL["panns"].file.urls == (
        "https://zenodo.org/record/3987831/files/Wavegram_Logmel_Cnn14_mAP%3D0.439.pth?download=1",
    )


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
    gone = replace(official["yamnet"].file, urls=("http://127.0.0.1:9/",))
    official["yamnet"] = replace(official["yamnet"], file=gone)
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
    panns = "Wavegram_Logmel_Cnn14_mAP=0.439.pth"
    urls = [OFFICIAL[name].file.urls[0] for name in DEFAULT_NAMES]
    assert str(error.value) == (
        f"yamnet_1.tar.gz, vggish_1.tar.gz could not be fetched: tfhub.dev {unreachable}; "
        f"www.kaggle.com {unreachable}; {panns} could not be fetched: zenodo.org {unreachable}. "
        f"Or by hand: {urls[0]} unpacked into {tmp_path / 'yamnet'}; {urls[1]} unpacked into "
        f"{tmp_path / 'vggish'}; {urls[2]} to {tmp_path / panns}"
    )


def test_an_unknown_name_lists_those_known(tmp_path):
    with pytest.raises(ConfigError, match=r"is called clap; there are yamnet, vggish, panns"):
        fetch(["clap"], tmp_path)

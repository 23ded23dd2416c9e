"""Downloads over good lines and bad ones, from a server on this machine."""

import hashlib
import json
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from features.common.download import DownloadError, Patience, RemoteFile, download, hold_to_record
from tests.serving import Served, serving

CONTENT = bytes(range(251)) * 1_000
MD5, SHA256 = hashlib.md5(CONTENT).hexdigest(), hashlib.sha256(CONTENT).hexdigest()
HASTY = Patience(timeout_s=0.3, attempts=3, pause_s=0)
ROOT = Path(__file__).parents[3]


@pytest.fixture
def server():
    with serving(content={"/file": CONTENT}) as served:
        yield served


def remote(server: Served, **known) -> RemoteFile:
    return RemoteFile(name="file.bin", urls=(f"{server.url}/file",), **known)


def draft(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def test_a_whole_file_of_the_right_checksums_gets_its_name(server, tmp_path):
    path = tmp_path / "new" / "file.bin"
    download(remote(server, size=len(CONTENT), md5=MD5, sha256=SHA256), path, patience=HASTY)
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]
    assert server.agents[0].startswith("tagbart/")


def test_a_connection_that_breaks_is_gone_on_from_where_it_broke(server, tmp_path):
    server.breaks = [100_000, 50_000]
    download(remote(server, sha256=SHA256), tmp_path / "file.bin", patience=HASTY)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    ranges = [asked for _, asked in server.asked]
    assert ranges == [None, "bytes=100000-", "bytes=150000-"]


def test_what_an_earlier_run_fetched_is_not_fetched_again(server, tmp_path):
    path = tmp_path / "file.bin"
    draft(path).write_bytes(CONTENT[:200_000])
    download(remote(server, md5=MD5), path, patience=HASTY)
    assert path.read_bytes() == CONTENT
    assert server.asked == [("/file", "bytes=200000-")]


def test_a_draft_that_only_lacked_its_name_needs_no_network(server, tmp_path):
    path = tmp_path / "file.bin"
    draft(path).write_bytes(CONTENT)
    download(remote(server, size=len(CONTENT), md5=MD5), path, patience=HASTY)
    assert path.read_bytes() == CONTENT
    assert server.asked == []


@pytest.mark.parametrize("size", [len(CONTENT), len(CONTENT) + 10])
def test_a_draft_as_long_as_the_file_or_longer_is_fetched_anew(server, tmp_path, size):
    path = tmp_path / "file.bin"
    draft(path).write_bytes(b"x" * size)
    download(remote(server, sha256=SHA256), path, patience=HASTY)
    assert path.read_bytes() == CONTENT


def test_a_server_that_cannot_go_on_in_the_middle_sends_it_all_again(server, tmp_path):
    server.ranges, server.breaks = False, [100_000]
    download(remote(server, sha256=SHA256), tmp_path / "file.bin", patience=HASTY)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_redirects_are_followed_with_the_range(server, tmp_path):
    server.redirects["/old"] = "/file"
    draft(tmp_path / "file.bin").write_bytes(CONTENT[:1_000])
    file = RemoteFile(name="file.bin", urls=(f"{server.url}/old",), sha256=SHA256)
    download(file, tmp_path / "file.bin", patience=HASTY)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.asked == [("/old", "bytes=1000-"), ("/file", "bytes=1000-")]


@pytest.mark.parametrize(
    ("known", "what"),
    [
        ({"md5": "0" * 32}, f"has md5 {MD5}, expected 000"),
        ({"sha256": "0" * 64}, f"has sha256 {SHA256}, expected 000"),
    ],
)
def test_a_wrong_checksum_is_named_and_nothing_of_the_file_is_kept(server, tmp_path, known, what):
    with pytest.raises(DownloadError, match=what):
        download(remote(server, **known), tmp_path / "file.bin", patience=HASTY)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_another_size_is_refused_before_it_is_fetched(server, tmp_path):
    with pytest.raises(DownloadError, match="offers 251,000 bytes, expected 7"):
        download(remote(server, size=7), tmp_path / "file.bin", patience=HASTY)
    assert draft(tmp_path / "file.bin").stat().st_size == 0


@pytest.mark.parametrize(("status", "words"), [(403, "403 Forbidden"), (404, "404 Not Found")])
def test_a_refusal_is_said_at_once_in_one_line(server, tmp_path, status, words):
    server.statuses = [status]
    with pytest.raises(DownloadError) as error:
        download(remote(server), tmp_path / "file.bin", patience=HASTY)
    assert str(error.value) == f"file.bin could not be fetched: 127.0.0.1 answered {words}"
    assert len(server.asked) == 1


def test_a_busy_server_is_asked_again_but_not_for_ever(server, tmp_path):
    server.statuses = [503, 429]
    download(remote(server, md5=MD5), tmp_path / "file.bin", patience=HASTY)
    server.statuses = [503] * 10
    with pytest.raises(DownloadError, match="503 Service Unavailable, 3 times in a row"):
        download(remote(server), tmp_path / "other.bin", patience=HASTY)


def test_another_address_is_tried_and_starts_anew(server, tmp_path):
    draft(tmp_path / "file.bin").write_bytes(b"of the first address")
    urls = (f"{server.url}/gone", f"{server.url}/file")
    file = RemoteFile(name="file.bin", urls=urls, sha256=SHA256)
    download(file, tmp_path / "file.bin", patience=HASTY)
    assert server.asked[-1] == ("/file", None)


def test_a_stalled_connection_is_given_up_and_keeps_what_came(server, tmp_path):
    server.stall, server.breaks = threading.Event(), [1_000] + [0] * 10
    with pytest.raises(DownloadError, match=r"no byte within the time allowed\), 3 times in a row"):
        download(remote(server), tmp_path / "file.bin", patience=HASTY)
    assert draft(tmp_path / "file.bin").read_bytes() == CONTENT[:1_000]
    server.breaks = []
    download(remote(server, sha256=SHA256), tmp_path / "file.bin", patience=HASTY)


def test_without_a_network_one_line_says_so(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/file"
    with pytest.raises(DownloadError) as error:
        download(RemoteFile(name="file.bin", urls=(url,)), tmp_path / "file.bin", patience=HASTY)
    assert "127.0.0.1 cannot be reached" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_full_disk_is_said_and_what_came_is_kept(server, tmp_path):
    # A limit on the size of files fails writes as a full disk does.
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from features.common.download import *\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try: download(RemoteFile(name='f', urls=(sys.argv[1],)), Path(sys.argv[2]))\n"
        "except DownloadError as error: print(error)"
    )
    path = tmp_path / "file.bin"
    done = subprocess.run(
        [sys.executable, "-c", code, f"{server.url}/file", str(path)],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert "cannot be written (File too large); make room and fetch again" in done.stdout, done
    kept = draft(path).read_bytes()
    assert 0 < len(kept) <= 100_000
    assert kept == CONTENT[: len(kept)]
    download(remote(server, sha256=SHA256), path, patience=HASTY)
    assert server.asked[-1] == ("/file", f"bytes={len(kept)}-")


def test_two_processes_do_not_fetch_the_same_file(server, tmp_path):
    import fcntl

    path = tmp_path / "file.bin"
    with draft(path).open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(DownloadError, match="another process is fetching it"):
            download(remote(server), path, patience=HASTY)
    assert server.asked == []


def test_a_checksum_first_seen_is_recorded_and_held_to(server, tmp_path):
    path, record = tmp_path / "file.bin", tmp_path / "fetched.json"
    download(remote(server), path, patience=HASTY, record=record)
    assert json.loads(record.read_text()) == {"file.bin": SHA256}
    path.unlink()
    download(remote(server), path, patience=HASTY, record=record)
    path.unlink()
    server.content["/file"] = CONTENT[::-1]
    with pytest.raises(DownloadError, match=r"take file\.bin out of the record"):
        download(remote(server), path, patience=HASTY, record=record)
    assert not path.exists()


def test_a_record_keeps_its_other_entries_and_must_be_one(tmp_path):
    record = tmp_path / "fetched.json"
    hold_to_record(record, {"a": "1"})
    hold_to_record(record, {"b": "2", "a": "1"})
    assert json.loads(record.read_text()) == {"a": "1", "b": "2"}
    record.write_text("[]")
    with pytest.raises(DownloadError, match="not a record of checksums"):
        hold_to_record(record, {"a": "1"})


def test_a_file_of_unknown_size_has_a_largest_one(server, tmp_path):
    with pytest.raises(DownloadError, match="offers 251,000 bytes, more than the 1,000 it may"):
        download(remote(server, most_bytes=1000), tmp_path / "file.bin", patience=HASTY)
    assert not (tmp_path / "file.bin").exists()


def test_a_server_that_does_not_say_how_much_it_sends_is_left_at_the_largest_size(
    server, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        "http.server.BaseHTTPRequestHandler.send_header",
        lambda handler, name, value, send=BaseHTTPRequestHandler.send_header: (
            None if name == "Content-Length" else send(handler, name, value)
        ),
    )
    with pytest.raises(DownloadError, match="sends more than the 100,000 bytes it may have"):
        download(remote(server, most_bytes=100_000), tmp_path / "file.bin", patience=HASTY)


def test_a_server_that_sends_a_byte_now_and_then_is_left(server, tmp_path):
    slow = replace(HASTY, rate_s=0.0, least_bytes_s=1e12)
    with pytest.raises(DownloadError, match="sends less than 1e\\+12 bytes a second"):
        download(remote(server), tmp_path / "file.bin", patience=slow)


def test_a_length_that_is_no_number_is_named(server, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "http.server.BaseHTTPRequestHandler.send_header",
        lambda handler, name, value, send=BaseHTTPRequestHandler.send_header: send(
            handler, name, "abc" if name == "Content-Length" else value
        ),
    )
    with pytest.raises(DownloadError, match="length is 'abc', which is no number"):
        download(remote(server), tmp_path / "file.bin", patience=HASTY)

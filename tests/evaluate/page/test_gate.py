"""Who gets through to the page, and with how much."""

import asyncio
import errno
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from evaluate.page.gate import FORM_BYTES, MOST_FILES, SMALL_BYTES, OnlyFromHere, Uploads

PORT = 7860
HERE = f"127.0.0.1:{PORT}"
SOUND = "a" * 64


async def application(scope, receive, send):
    """Reads all that it is sent, and says so."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"through"})


def asked(
    folder, *, method="GET", path="/", body=(b"",), app=application, kind="http", max_bytes=1000,
    already=(), **head
):  # fmt: skip
    """The answer's status (or a websocket's first message) of a request with this head."""
    uploads = Uploads(folder, 1000)
    for name in already:
        put(folder, name, size=1000)
    gate = OnlyFromHere(app, port=PORT, max_bytes=max_bytes, uploads=uploads)
    head = {"host": HERE} | {name.replace("_", "-"): value for name, value in head.items()}
    headers = [(k.encode(), v.encode()) for k, v in head.items() if v is not None]
    parts, sent = list(body), []

    async def receive():
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(message):
        sent.append(message)

    scope = {"type": kind, "method": method, "path": path, "headers": headers}
    # In a thread of its own: playwright's loop runs in this one, once a browser was started.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, gate(scope, receive, send)).result()
    assert len([message for message in sent if message["type"] == "http.response.start"]) <= 1
    return sent[0].get("status", sent[0]["type"])


@pytest.mark.parametrize("host", [HERE, f"localhost:{PORT}", f"LOCALHOST:{PORT}", f"[::1]:{PORT}"])
def test_the_page_answers_to_its_own_names(host, tmp_path):
    assert asked(tmp_path, host=host) == 200
    assert asked(tmp_path, host=host, method="POST", origin=f"http://{host}") == 200


@pytest.mark.parametrize(
    "host",
    [None, "", "evil.example", f"evil.example:{PORT}", "127.0.0.1", "localhost:80",
     f"127.0.0.1.evil.example:{PORT}", f"localhost.:{PORT}", f"user@{HERE}"],
)  # fmt: skip
def test_no_other_name_is_answered_to(host, tmp_path):
    assert asked(tmp_path, host=host) == 421
    assert asked(tmp_path, host=host, kind="websocket") == "websocket.close"


@pytest.mark.parametrize(
    "head",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": f"https://{HERE}"},
        {"origin": "http://127.0.0.1:8000"},
        {"origin": f"http://{HERE}.evil.example"},
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"},
        {"sec_fetch_site": "same-site", "sec_fetch_mode": "no-cors"},  # http://localhost:3000
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"},  # a form that is sent
    ],
)
def test_no_request_of_another_site_gets_through(head, tmp_path):
    assert asked(tmp_path, method="POST", path="/gradio_api/upload", **head) == 403
    if "origin" in head:
        assert asked(tmp_path, **head) == 403
        assert asked(tmp_path, kind="websocket", **head) == "websocket.close"


def test_a_link_on_another_site_opens_the_page(tmp_path):
    link = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}
    assert asked(tmp_path, path="/", **link) == 200
    assert asked(tmp_path, path="/gradio_api/file=/tmp/x.wav", **link) == 403  # and nothing else


def test_no_address_is_fetched_for_whoever_names_it(tmp_path):
    assert asked(tmp_path, path="/gradio_api/file=https://elsewhere.example/x.wav") == 403


def test_a_request_is_refused_by_its_length_before_it_is_read(tmp_path):
    unread = ()  # asking for a part would fail
    large = {"method": "POST", "content_length": str(SMALL_BYTES + 1), "max_bytes": 2 * SMALL_BYTES}
    assert asked(tmp_path, path="/call", body=unread, **large) == 413
    assert asked(tmp_path, path="/gradio_api/upload/", **large) == 200
    large = str(1000 + FORM_BYTES + 1)
    upload = {"method": "POST", "path": "/gradio_api/upload"}
    assert asked(tmp_path, body=unread, content_length=large, **upload) == 413
    assert asked(tmp_path, body=unread, content_length="many", **upload) == 400


def test_a_request_that_does_not_say_its_length_is_read_no_further_than_may_be(tmp_path):
    parts = [bytes(SMALL_BYTES // 2)] * 3 + [b"never read"]
    assert asked(tmp_path, method="POST", path="/call", body=parts) == 413


def test_a_refused_request_is_answered_once_though_the_application_answers_its_error(tmp_path):
    async def answers_errors(scope, receive, send):
        try:
            await application(scope, receive, send)
        except Exception:
            await send({"type": "http.response.start", "status": 500, "headers": []})
            raise

    body = [bytes(SMALL_BYTES)] * 2
    assert asked(tmp_path, method="POST", path="/call", body=body, app=answers_errors) == 413


def test_no_sound_is_taken_where_there_is_no_room_and_all_else_goes_on(tmp_path):
    there = (f"{SOUND}/dog.wav",)
    assert asked(tmp_path, method="POST", path="/gradio_api/upload", already=there) == 503
    assert asked(tmp_path, method="POST", path="/call") == 200


def test_a_full_disk_has_words(tmp_path):
    async def full(scope, receive, send):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert asked(tmp_path, app=full) == 507

    async def broken(scope, receive, send):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    assert asked(tmp_path, app=broken) == 500


def test_what_ends_the_application_is_a_line_and_an_answer(tmp_path, capsys):
    async def breaks(scope, receive, send):
        raise KeyError("fn_index\n99")

    assert asked(tmp_path, app=breaks) == 500
    assert capsys.readouterr().err == "a request failed: KeyError: 'fn_index\\n99'\n"


def put(folder, name, size=10, age_s=0.0):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def test_what_was_sent_goes_after_some_minutes_what_broke_off_too_the_examples_stay(tmp_path):
    example = put(tmp_path, f"{SOUND}/dog.wav", age_s=1e6)
    uploads = Uploads(tmp_path, 1000)
    old = [put(tmp_path, "b" * 64 + "/x.wav", age_s=700), put(tmp_path, "tmpabc", age_s=700)]
    fresh = put(tmp_path, "c" * 64 + "/y.wav", age_s=500)
    uploads.sweep()
    assert example.exists() and fresh.exists() and not any(path.exists() for path in old)


def test_there_is_room_for_so_many_sounds_and_so_much(tmp_path):
    uploads = Uploads(tmp_path, 1000)
    put(tmp_path, "b" * 64 + "/x.wav", size=999)
    assert uploads.room()
    put(tmp_path, "tmpspooled", size=1)
    assert not uploads.room()
    (tmp_path / "tmpspooled").unlink()
    for number in range(MOST_FILES - 1):
        put(tmp_path, f"{number:064d}/z.wav", size=0)
    assert not uploads.room()

"""Who may ask the page for what, and how much: in front of Gradio, which asks nobody.

The page listens on loopback, but every web site that its user visits can send requests there, and
a name of its own that leads to 127.0.0.1 lets a site read the answers. So a request must name the
page as its host, come from the page where it says where it comes from, and be no larger than a
sound may be. What was sent is deleted after some minutes, and there is room for so much only.
"""

import errno
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from threading import Thread
from traceback import extract_tb, print_exc
from typing import Any

from features.common.console import log

NAMES = ("127.0.0.1", "localhost", "[::1]")
# The browser itself refuses whatever would come from elsewhere.
POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:"
NOT_FETCHED = "This page fetches nothing from elsewhere; send it the sound itself."
SMALL_BYTES = 1 << 20  # of a request that brings no sound
FORM_BYTES = 1 << 16  # what a form adds to its file
KEPT_S = 600.0  # how long a sound is kept that was sent
SWEEP_S = 30.0
MOST_FILES = 64
MOST_SOUNDS = 16  # of the largest size, in all
_OURS = Path(__file__).parents[1]
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Uploads:
    """What was sent to the page: files in its temporary folder that were not there at its start."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder, self._most_bytes = folder, most_bytes
        self._own = set(self._files())

    def sweep(self, *, older_than_s: float = KEPT_S) -> None:
        """Delete what is old, whole uploads and such as broke off."""
        limit = time.time() - older_than_s
        for path in self._sent():
            try:
                if path.stat().st_mtime < limit:
                    path.unlink()
            except OSError as error:
                if error.errno != errno.ENOENT:  # else it is gone already
                    log(f"warning: {path}: cannot be deleted ({error.strerror})")

    def room(self) -> bool:
        """Whether one more sound may be sent."""
        self.sweep()
        sizes = []
        for path in self._sent():
            try:
                sizes.append(path.stat().st_size)
            except OSError:
                continue  # deleted meanwhile
        return len(sizes) < MOST_FILES and sum(sizes) < self._most_bytes

    def watch(self) -> None:
        """Sweep now and then as long as the folder is there."""

        def go_on() -> None:
            while self._folder.is_dir():
                self.sweep()
                time.sleep(SWEEP_S)

        Thread(target=go_on, daemon=True, name="sweep").start()

    def _sent(self) -> list[Path]:
        try:
            return [path for path in self._files() if path not in self._own]
        except OSError:  # a folder goes while it is looked through, at the page's end for instance
            return []

    def _files(self) -> Iterable[Path]:
        # Spooled parts lie in the folder, whole files each in a folder named by its checksum.
        yield from (path for path in self._folder.glob("tmp*") if path.is_file())
        for folder in self._folder.iterdir():
            if len(folder.name) == 64 and folder.is_dir():
                yield from (path for path in folder.rglob("*") if path.is_file())


class _Ended(Exception):
    """The request is answered already: nothing more of it is read."""


class OnlyFromHere:
    """ASGI middleware in front of the page."""

    def __init__(self, app: Any, *, port: int, max_bytes: int, uploads: Uploads) -> None:
        """Stand in front of an application.

        Args:
            app: Gradio's.
            port: the page's own.
            max_bytes: of one sound.
            uploads: what was sent so far.
        """
        self._app, self._uploads = app, uploads
        self._hosts = {f"{name}:{port}" for name in NAMES} | (set(NAMES) if port == 80 else set())
        self._largest = max_bytes + FORM_BYTES

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            else:
                await _answer(send, *refusal)
            return
        await self._passed_on(scope, receive, send)

    def _refusal(self, scope: Any) -> tuple[int, str] | None:
        """Why a request is not passed on, by its head alone."""
        head: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            head.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        if [host.lower() for host in head.get("host", [])] not in [[host] for host in self._hosts]:
            return 421, "This page answers to its own address only, http://127.0.0.1 and its port."
        own = {f"http://{host}" for host in self._hosts}
        if any(origin.lower() not in own for origin in head.get("origin", [])):
            return 403, "This page takes no requests of other web sites."
        site, mode = head.get("sec-fetch-site", [""]), head.get("sec-fetch-mode", ["navigate"])
        opens = mode == ["navigate"] and scope.get("method") == "GET" and scope.get("path") == "/"
        if {"cross-site", "same-site"} & {*site} and not opens:  # same: another port of localhost
            return 403, "This page takes no requests of other web sites."
        if "://" in scope.get("path", ""):  # Gradio would fetch it: /file=https://…
            return 403, NOT_FETCHED
        try:
            length = int(head.get("content-length", ["0"])[0])
        except ValueError:
            return 400, "The length of this request is no number."
        if length > self._limit(scope):
            return 413, "This request is larger than this page takes."
        if self._sends_sound(scope) and not self._uploads.room():
            return 503, "This page holds as many sounds as it may; try again in some minutes."
        return None

    def _sends_sound(self, scope: Any) -> bool:
        path = scope.get("path", "").rstrip("/")
        return scope.get("method") == "POST" and path.endswith("/upload")

    def _limit(self, scope: Any) -> int:
        return self._largest if self._sends_sound(scope) else SMALL_BYTES

    async def _passed_on(self, scope: Any, receive: Any, send: Any) -> None:
        begun, ended, read, limit = False, False, 0, self._limit(scope)

        async def with_policy(message: Any) -> None:
            nonlocal begun
            if ended:  # Gradio answers the refusal as an error of its own
                return
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = [*message.get("headers", []), _policy()]
            await send(message)

        async def counted() -> Any:
            nonlocal read, ended
            message = await receive()
            read += len(message.get("body", b"")) if message["type"] == "http.request" else 0
            if read > limit and not begun:  # of a request that did not say how long it is
                await _answer(send, 413, "This request is larger than this page takes.")
                ended = True
                raise _Ended
            return message

        try:
            await self._app(scope, counted, with_policy)
        except _Ended:
            return
        except Exception as error:  # what Gradio makes nothing of, nor foresees
            log(_said_of(error))
            if begun:
                return
            if isinstance(error, OSError) and error.errno in _FULL:
                told = 507, "The disk is full, so this sound cannot be kept; make room."
            else:
                told = 500, "This page could not answer this request."
            await _answer(send, *told)


def tell_failure() -> None:
    """Say why what is in hand failed: a line, and its traceback where the failure is our own."""
    error = sys.exception()
    frames = extract_tb(error.__traceback__) if error else []
    if any(Path(frame.filename).is_relative_to(_OURS) for frame in frames):
        print_exc()
    elif error:
        log(_said_of(error))


def _said_of(error: BaseException) -> str:
    """A line about a request that failed."""
    words = " ".join(str(error).split())[:200]
    return f"a request failed: {type(error).__name__}: {words}"


def _policy() -> tuple[bytes, bytes]:
    return b"content-security-policy", POLICY.encode("ascii")


async def _answer(send: Any, status: int, text: str) -> None:
    """A whole answer in plain text."""
    body = text.encode("utf-8")
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode("ascii")),
        (b"connection", b"close"),
        _policy(),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

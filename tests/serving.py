"""A web server on this machine that serves bytes well or badly, for tests of downloads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """What the server gives, and what it was asked.

    Attributes:
        content: bytes by path.
        breaks: bytes after which each of the next connections breaks off.
        statuses: what the next requests are answered with, before anything else.
        ranges: whether a Range header is heeded.
        redirects: path to path.
        asked: (path, Range header) of each request.
        agents: the User-Agent of each request.
        stall: set to let a connection that stalls go on; a break then stalls instead.
    """

    content: dict[str, bytes] = field(default_factory=dict)
    breaks: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ranges: bool = True
    redirects: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    agents: list[str | None] = field(default_factory=list)
    stall: threading.Event | None = None
    url: str = ""


@contextmanager
def serving(**options) -> Iterator[Served]:
    """A server at `.url` until the block ends."""
    served = Served(**options)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer(self, served)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield served
    finally:
        if served.stall:
            served.stall.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(handler: BaseHTTPRequestHandler, served: Served) -> None:
    served.asked.append((handler.path, handler.headers.get("Range")))
    served.agents.append(handler.headers.get("User-Agent"))
    if served.statuses:
        return handler.send_error(served.statuses.pop(0))
    if handler.path in served.redirects:
        handler.send_response(302)
        handler.send_header("Location", served.redirects[handler.path])
        return handler.end_headers()
    if handler.path not in served.content:
        return handler.send_error(404)
    content = served.content[handler.path]
    start = 0
    if served.ranges and (asked := handler.headers.get("Range")):
        start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start >= len(content):
            return handler.send_error(416)
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    else:
        handler.send_response(200)
    handler.send_header("Content-Length", str(len(content) - start))
    handler.end_headers()
    rest = content[start:]
    if served.breaks:
        handler.wfile.write(rest[: served.breaks.pop(0)])
        if served.stall:
            handler.wfile.flush()
            served.stall.wait(30)
        return None
    handler.wfile.write(rest)
    return None

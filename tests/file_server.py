"""Web servers on loopback for tests of downloads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def serving(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """The address, without a slash at its end, of a server that leaves every GET to ``answer``."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


@dataclass
class FileServer:
    """A web server with one file and some bad habits."""

    content: bytes
    url: str = ""
    """Where the file is."""
    ranges: list[str | None] = field(default_factory=list)
    """The Range header of each request so far."""
    statuses: list[int] = field(default_factory=list)
    """What to answer instead, one per request, first to last."""
    drop_after: list[int] = field(default_factory=list)
    """Hang up after so many bytes of the answer, one per request, first to last."""
    knows_ranges: bool = True


@contextmanager
def serving_file(content: bytes) -> Iterator[FileServer]:
    """A server with this file."""
    server = FileServer(content)

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked = request.headers.get("Range")
        server.ranges.append(asked)
        if server.statuses:
            request.send_error(server.statuses.pop(0))
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and server.knows_ranges else 0
        body = server.content[start:]
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: server.drop_after.pop(0)] if server.drop_after else body)

    with serving(answer) as address:
        server.url = f"{address}/thing.bin"
        yield server

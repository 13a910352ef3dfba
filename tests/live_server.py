"""The real application under the real uvicorn on a free port of loopback."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from prometheus_client.parser import text_string_to_metric_families

from lipstream.config import Settings
from lipstream.server.serve import Server, page_address, server_config

PATIENCE_SECONDS = 60.0
"""How long to wait for things that usually happen at once but may take longer on a loaded machine."""


def wait_until(condition: Callable[[], object], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Poll until ``condition()`` is true; fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"did not happen in {seconds} s: {what}"
        time.sleep(0.02)


@dataclass(frozen=True)
class LiveServer:
    """A server that runs."""

    port: int
    """On 127.0.0.1."""
    uvicorn: uvicorn.Server
    """To stop it."""
    thread: threading.Thread
    """Where it runs."""

    def url(self, path: str) -> str:
        """``path`` over HTTP."""
        return f"http://127.0.0.1:{self.port}{path}"

    def websocket_url(self, path: str = "/ws/lipsync") -> str:
        """``path`` over WebSocket."""
        return f"ws://127.0.0.1:{self.port}{path}"

    def get(self, path: str) -> tuple[int, str]:
        """(status, body) of a GET."""
        try:
            with urllib.request.urlopen(self.url(path), timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def get_json(self, path: str) -> dict[str, object]:
        """The body of a GET, whatever its status."""
        fields: dict[str, object] = json.loads(self.get(path)[1])
        return fields

    def metric(self, name: str, **labels: str) -> float:
        """A sample's value, 0 when it is not there yet."""
        for family in text_string_to_metric_families(self.get("/metrics")[1]):
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return sample.value
        return 0.0

    def stop(self) -> None:
        """Stop as SIGTERM does, and wait for the end."""
        self.uvicorn.should_exit = True
        self.thread.join(PATIENCE_SECONDS)
        assert not self.thread.is_alive(), "the server hangs"


@contextmanager
def running_server(settings: Settings, *, wait_for_models: bool = True) -> Iterator[LiveServer]:
    """Start a new server with the options of ``lipstream serve``, and stop it at the end."""
    quiet = settings.model_copy(update={"host": "127.0.0.1", "port": 0, "log_level": "error"})
    server = Server(server_config(quiet), page_address(quiet.host, quiet.port))
    thread = threading.Thread(target=server.run, name="uvicorn", daemon=True)
    thread.start()
    wait_until(lambda: server.started, "the server listens")
    live = LiveServer(server.servers[0].sockets[0].getsockname()[1], server, thread)
    try:
        if wait_for_models:
            wait_until(lambda: live.get_json("/readyz")["status"] in ("ready", "failed"), "the models are loaded")
            assert live.get_json("/readyz")["status"] == "ready"
        yield live
    finally:
        live.stop()

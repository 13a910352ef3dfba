"""The limit on open connections: the answer to one too many, and that idle clients do not keep their places."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as open_websocket

from lipstream.client import connect
from lipstream.config import Settings
from lipstream.errors import LipstreamError
from lipstream.server import forms, serve
from lipstream.server.limits import Places
from tests.live_server import LiveServer, running_server, wait_until

PLACES = 2
UPLOAD = "POST /v1/lipsync HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with running_server(Settings(max_connections=PLACES)) as live:
        yield live


def taken(server: LiveServer) -> float:
    return server.metric("lipstream_connections")


@pytest.fixture
def full_server(server: LiveServer) -> Iterator[LiveServer]:
    """A server whose places are all taken by silent clients. Afterwards they are free again."""
    with ExitStack() as open_ones:
        for path in ("/ws/lipsync", "/ws/stream"):
            open_ones.enter_context(open_websocket(server.websocket_url(path)))
        assert taken(server) == PLACES
        yield server
    wait_until(lambda: taken(server) == 0, "they are gone")


def last_words(websocket: ClientConnection) -> dict[str, object]:
    """The only message of a connection, which must then be closed because the server is full."""
    fields: dict[str, object] = json.loads(websocket.recv(timeout=30))
    with pytest.raises(ConnectionClosed) as caught:
        websocket.recv(timeout=30)
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason.partition(":")[0]) == (1013, "server_busy")
    return fields


def test_one_websocket_too_many(full_server: LiveServer) -> None:
    with open_websocket(full_server.websocket_url()) as websocket:
        fields = last_words(websocket)
    assert (fields["status"], fields["code"]) == ("error", "server_busy")
    assert "2 connections are open" in str(fields["message"])


def test_one_live_stream_too_many(full_server: LiveServer, portrait: bytes) -> None:
    with open_websocket(full_server.websocket_url("/ws/stream")) as websocket:
        fields = last_words(websocket)
    assert (fields["type"], fields["code"], fields["fatal"]) == ("error", "server_busy", True)

    async def begin() -> None:
        async with connect(full_server.websocket_url("/ws/stream"), image=portrait):
            pass

    with pytest.raises(LipstreamError) as caught:
        asyncio.run(begin())
    assert caught.value.code == "server_busy"


@pytest.mark.parametrize("path", ["/v1/lipsync", "/v1/avatars"])
def test_one_upload_too_many(full_server: LiveServer, path: str) -> None:
    files = {"image": bytes(3_000_000)}
    answer = httpx.post(full_server.url(path), files=files, timeout=30)
    assert (answer.status_code, answer.json()["code"]) == (503, "server_busy")
    assert int(answer.headers["retry-after"]) > 0


def test_one_request_too_many(full_server: LiveServer) -> None:
    assert full_server.get("/v1/limits")[0] == 503


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_who_watches_a_full_server_is_answered(full_server: LiveServer, path: str) -> None:
    assert full_server.get(path)[0] == 200


def test_room_comes_back(server: LiveServer) -> None:
    for _ in range(3 * PLACES):
        with open_websocket(server.websocket_url()) as websocket:
            websocket.send("no JSON")
            assert json.loads(websocket.recv(timeout=30))["code"] == "bad_json"
        wait_until(lambda: taken(server) == 0, "the place is free")


@pytest.mark.parametrize("beginning", [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"])
def test_who_asks_for_nothing_is_shown_out(
    server: LiveServer, monkeypatch: pytest.MonkeyPatch, beginning: bytes
) -> None:
    """And nobody else."""
    monkeypatch.setattr(serve, "FIRST_REQUEST_SECONDS", 0.3)
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=30) as silent,
        open_websocket(server.websocket_url()) as websocket,
        socket.create_connection(("127.0.0.1", server.port), timeout=30) as uploading,
    ):
        uploading.sendall(f"{UPLOAD}Content-Length: 1000\r\n\r\n--b\r\n".encode())
        silent.sendall(beginning)
        assert silent.recv(100) == b""
        websocket.send("no JSON")
        assert json.loads(websocket.recv(timeout=30))["code"] == "bad_json"
        uploading.sendall(bytes(995))
        assert b" 400 " in uploading.recv(4096).splitlines()[0]


def test_an_upload_that_stalls_is_ended(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "STALL_SECONDS", 0.3)
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as stalling:
        stalling.sendall(f"{UPLOAD}Content-Length: 1000\r\n\r\n--b\r\n".encode())
        assert b" 408 " in stalling.recv(4096).splitlines()[0]
        wait_until(lambda: taken(server) == 0, "the place is free")


def test_where_there_is_no_place_at_all_nobody_is_told_to_wait() -> None:
    refusal = Places(0, "live streams").refusal()
    assert refusal is not None
    assert refusal.code == "server_busy"
    assert "no live streams" in refusal.message
    assert "again" not in refusal.message


def test_places_are_counted_whatever_happens() -> None:
    places = Places(1, "doors")

    def fail_inside() -> None:
        with places.take():
            assert places.taken == 1
            assert "1 doors are open" in str(places.refusal())
            raise KeyError

    with pytest.raises(KeyError):
        fail_inside()
    assert places.taken == 0
    assert places.refusal() is None

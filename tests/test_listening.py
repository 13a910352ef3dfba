"""The sockets that the server listens on."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from lipstream.server import listening
from lipstream.server.listening import ListenError, listen
from lipstream.server.serve import page_address
from tests.live_server import PATIENCE_SECONDS


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make all names mean the given addresses."""

    def mean(*addresses: str) -> None:
        def found(_: str, port: int, **__: object) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

        monkeypatch.setattr(socket, "getaddrinfo", found)

    return mean


def listening_on(host: str, port: int) -> list[tuple[str, int]]:
    """Where the sockets are that are opened for it; they are closed again."""
    with ExitStack() as ending:
        return [ending.enter_context(opened).getsockname()[:2] for opened in listen(host, port)]


def test_a_free_port_is_the_same_on_all_addresses_of_a_name(resolve: Callable[..., None]) -> None:
    resolve("127.0.0.1", "127.0.0.2")
    (one, port), (other, same) = listening_on("localhost", 0)
    assert (one, other) == ("127.0.0.1", "127.0.0.2")
    assert port == same > 0


def test_an_address_that_is_named_twice_is_not_taken(resolve: Callable[..., None]) -> None:
    resolve("127.0.0.1", "127.0.0.1")
    assert len(listening_on("localhost", 0)) == 1


def test_addresses_that_the_machine_lacks_are_left_out_and_missed_when_all_are(resolve: Callable[..., None]) -> None:
    resolve("192.0.2.7", "127.0.0.1")
    assert [name for name, _ in listening_on("localhost", 0)] == ["127.0.0.1"]
    resolve("192.0.2.7")
    with pytest.raises(ListenError, match="not an address of this machine"):
        listen("localhost", 0)


@pytest.mark.parametrize("host", ["a..b", "a" * 70])
def test_what_cannot_be_a_name_is_no_address(host: str) -> None:
    with pytest.raises(ListenError, match="not an address of this machine"):
        listen(host, 0)


def test_nothing_is_held_when_a_port_is_taken_on_one_address(resolve: Callable[..., None]) -> None:
    resolve("127.0.0.1", "127.0.0.2")
    with socket.create_server(("127.0.0.2", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=f"Port {port} is in use"):
            listen("localhost", port)
        socket.create_server(("127.0.0.1", port)).close()


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("0.0.0.0", "http://localhost:8000/"),
        ("::1", "http://localhost:8000/"),
        ("192.0.2.7", "http://192.0.2.7:8000/"),
        ("2001:db8::7", "http://[2001:db8::7]:8000/"),
    ],
)
def test_the_page_has_an_address_that_browsers_understand(host: str, address: str) -> None:
    assert page_address(host, 8000) == address


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux ends connections that do not move")
def test_who_stops_reading_does_not_keep_an_answer_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """With asyncio alone the connection would stay open, because closing waits until everything has been sent."""
    monkeypatch.setattr(listening, "SILENCE_SECONDS", 4)
    over = asyncio.Event()

    class Answering(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transport.write(bytes(50_000_000))
            transport.close()

        def connection_lost(self, _: Exception | None) -> None:
            over.set()

    async def serve() -> None:
        (opened,) = listen("127.0.0.1", 0)
        server = await asyncio.get_running_loop().create_server(Answering, sock=opened)
        with socket.create_connection(opened.getsockname()):
            await asyncio.wait_for(over.wait(), PATIENCE_SECONDS)
        server.close()

    asyncio.run(serve())

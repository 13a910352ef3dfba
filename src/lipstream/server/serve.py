"""``lipstream serve``: uvicorn with the options that the application needs and cannot set itself."""

from __future__ import annotations

import asyncio
import copy
import logging
import socket
from contextlib import suppress
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.config import LOGGING_CONFIG
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from lipstream.config import MIB, Settings
from lipstream.server.app import create_app
from lipstream.server.listening import listen

logger = logging.getLogger(__name__)

SHUTDOWN_SECONDS = 3
"""How long HTTP requests may continue after the server is told to stop; WebSockets are closed at once."""

ANSWER_SECONDS = 1.0
"""How long before that the remaining jobs are cancelled, so that their clients are answered and not just cut off."""

PONG_SECONDS = 600.0
"""How long a WebSocket client may take to answer a ping. Its answer waits behind the message that is being transferred,
so this is also the longest that one message may take on a slow connection. uvicorn's 20 seconds cut off long recordings
and videos halfway. The operating system notices dead connections sooner (:mod:`lipstream.server.listening`)."""

FIRST_REQUEST_SECONDS = 30.0
"""How long a connection may stay open without a request. uvicorn itself waits for ever, until no file descriptors are
left for other clients."""

_EVERYWHERE = ("0.0.0.0", "::", "127.0.0.1", "::1")


def run(settings: Settings) -> bool:
    """Serve until interrupted; blocks. Returns False if the application could not start; the log says why.

    Raises :class:`lipstream.server.listening.ListenError` before anything else has started.
    """
    sockets = listen(settings.host, settings.port)
    try:
        server = Server(server_config(settings), page_address(settings.host, sockets[0].getsockname()[1]))
        # If the application cannot start, uvicorn would exit the process with its own code.
        with suppress(SystemExit):
            server.run(sockets)
    finally:
        for opened in sockets:
            opened.close()
    return server.started


def page_address(host: str, port: int) -> str:
    """The address of the page for somebody on this machine if the server listens on ``host``."""
    name = "localhost" if host in _EVERYWHERE else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/"


class Server(uvicorn.Server):
    """Logs the address of the page once it has started, and answers unfinished jobs when it stops."""

    def __init__(self, config: uvicorn.Config, address: str) -> None:
        """``config`` is that of :func:`server_config`."""
        super().__init__(config)
        self._address = address
        self._app: FastAPI = config.app  # type: ignore[assignment]  # uvicorn also takes other applications

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to answer requests."""
        await super().startup(sockets)
        if self.started:
            logger.info("The page is at %s (Ctrl-C ends it)", self._address)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop answering requests."""
        cancelling = asyncio.get_running_loop().call_later(
            SHUTDOWN_SECONDS - ANSWER_SECONDS, self._app.state.service.queue.close
        )
        try:
            await super().shutdown(sockets)
        finally:
            cancelling.cancel()


class _Protocol(HttpToolsProtocol):
    """HTTP that closes connections on which no request arrives."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Start waiting for the first request."""
        super().connection_made(transport)
        self._patience = self.loop.call_later(FIRST_REQUEST_SECONDS, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._patience.cancel()
        super().connection_lost(exc)

    def _give_up(self) -> None:
        became_websocket = self.transport.get_protocol() is not self
        if self.cycle is None and not became_websocket:
            self.transport.close()


def server_config(settings: Settings) -> uvicorn.Config:
    """uvicorn's configuration for these settings."""
    return uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        http=_Protocol,
        log_level=settings.log_level,
        log_config=_logging(settings.log_level),
        # Slightly above our own limit, so that a message slightly too large gets our error and not a closed socket.
        ws_max_size=settings.max_message_bytes + MIB,
        # Deflate would shrink base64 of compressed media by a quarter, but cost more CPU time than that saves.
        ws_per_message_deflate=False,
        ws_ping_timeout=PONG_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )


def _logging(level: str) -> dict[str, Any]:
    """uvicorn's logging configuration, extended to our own logger."""
    config: dict[str, Any] = copy.deepcopy(LOGGING_CONFIG)
    config["loggers"]["lipstream"] = {"handlers": ["default"], "level": level.upper(), "propagate": False}
    return config

"""The limit on WebSockets and HTTP requests that are open at the same time."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from fastapi import Request, WebSocket, WebSocketDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from lipstream.errors import BusyError
from lipstream.server.forms import discard
from lipstream.server.messages import error_text
from lipstream.server.rest import error_response
from lipstream.server.service import Service
from lipstream.server.stream_messages import error_message

PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
"""Always answered and never counted, so that monitoring can see that the server is full."""
STREAM = "/ws/stream"

_CLOSING_SECONDS = 1.0
_TRY_LATER = 1013  # IANA registry of close codes


class ConnectionLimit:
    """ASGI middleware: every WebSocket and every request takes a place until it is over."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve if there is room, otherwise answer ``server_busy``."""
        if scope["type"] == "lifespan" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
        elif refusal := self._service.connections.refusal():
            await self._refuse(refusal, scope, receive, send)
        else:
            with self._service.connections.take():
                await self._app(scope, receive, send)

    async def _refuse(self, refusal: BusyError, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer in the format of the endpoint that was asked for."""
        if scope["type"] == "http":
            self._service.metrics.answered("http", refusal.code)
            await discard(
                Request(scope, receive)
            )  # most clients only look at the answer once they have sent everything
            await error_response(refusal)(scope, receive, send)
            return
        live = scope["path"] == STREAM
        self._service.metrics.answered("stream" if live else "websocket", refusal.code)
        text = error_message(refusal, fatal=True).model_dump_json() if live else error_text(refusal, None)
        with suppress(asyncio.TimeoutError, RuntimeError, WebSocketDisconnect):
            await asyncio.wait_for(_turn_away(WebSocket(scope, receive, send), text, refusal), _CLOSING_SECONDS)


async def _turn_away(websocket: WebSocket, text: str, refusal: BusyError) -> None:
    """Accept, say why, close: pages cannot see why a handshake was refused."""
    await websocket.accept()
    await websocket.send_text(text)
    await websocket.close(_TRY_LATER, f"{refusal.code}: {refusal.message}")

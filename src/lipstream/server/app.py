"""The web application: ``create_app()`` assembles the endpoints. Models load in the background once it runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from importlib.metadata import version

from fastapi import FastAPI, Request
from fastapi.exception_handlers import http_exception_handler
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, Mount

from lipstream.config import Settings
from lipstream.errors import LipstreamError, RequestError
from lipstream.server.avatars import avatar_routes
from lipstream.server.connections import ConnectionLimit
from lipstream.server.lipsync_ws import lipsync_routes
from lipstream.server.pages import add_pages, sample_routes
from lipstream.server.probes import probe_routes
from lipstream.server.rest import error_response, rest_routes
from lipstream.server.service import Service, our_mistake
from lipstream.server.stream_ws import stream_routes

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
"""Methods that are tried on a path to find out which of them it supports."""


def create_app(settings: Settings | None = None) -> FastAPI:
    """An application with its own studio, queue and counters. ``settings`` default to those of the environment."""
    service = Service(settings or Settings())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(service.load())
        try:
            yield
        finally:
            service.close()
            loading.cancel()
            with suppress(asyncio.CancelledError):
                await loading

    app = FastAPI(
        title="lipstream",
        version=version("lipstream"),
        summary="Turns a portrait and speech into a video of the person saying it.",
        description="The main interface is the WebSocket /ws/lipsync; docs/protocol.md describes it.",
        docs_url=None,  # FastAPI's own page loads its scripts from another server; ours works offline
        redoc_url=None,
        lifespan=lifespan,
    )

    app.state.service = service
    app.add_middleware(ConnectionLimit, service=service)

    @app.exception_handler(LipstreamError)
    async def in_words(_: Request, error: LipstreamError) -> Response:
        return error_response(error)

    @app.exception_handler(HTTPException)
    async def nothing_there(request: Request, error: HTTPException) -> Response:
        if error.status_code not in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
            return await http_exception_handler(request, error)
        return _unanswered(request, app.routes, error)

    @app.exception_handler(Exception)
    async def in_general(_: Request, __: Exception) -> Response:
        return error_response(our_mistake())  # Starlette then raises the exception again, and uvicorn logs it

    for router in (
        lipsync_routes(service),
        rest_routes(service),
        avatar_routes(service),
        stream_routes(service),
        probe_routes(service),
        sample_routes(service.settings),
    ):
        app.include_router(router)
    add_pages(app)
    return app


def _unanswered(request: Request, routes: Sequence[BaseRoute], error: HTTPException) -> Response:
    """The answer to a path that does not exist, does not support the method, or is a WebSocket."""
    method, path = request.method, request.url.path

    def answers(**otherwise: str) -> bool:
        scope = {**request.scope, **otherwise}
        # The page's files are mounted on all paths. For those, the error itself names the methods.
        return any(route.matches(scope)[0] is Match.FULL for route in routes if not isinstance(route, Mount))

    allowed = (error.headers or {}).get("Allow") or ", ".join(name for name in METHODS if answers(method=name))
    if allowed:
        refusal = RequestError("method_not_allowed", f"{path} supports {allowed}, not {method}. /docs has the details.")
        return error_response(refusal, {"Allow": allowed})
    hint = "/docs lists the endpoints; the page is at /."
    if answers(type="websocket"):
        hint = f"It is a WebSocket: connect to ws://{request.url.netloc}{path}."
    return error_response(RequestError("not_found", f"There is no {method} {path}. {hint}"))

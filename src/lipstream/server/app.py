"""The web application: ``create_app()`` puts the endpoints together; models load in the background once it runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from importlib.metadata import version

from fastapi import FastAPI, Request
from fastapi.exception_handlers import http_exception_handler
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from lipstream.config import Settings
from lipstream.errors import LipstreamError, RequestError
from lipstream.server.avatars import avatar_routes
from lipstream.server.lipsync_ws import lipsync_routes
from lipstream.server.pages import add_pages, sample_routes
from lipstream.server.probes import probe_routes
from lipstream.server.rest import error_response, rest_routes
from lipstream.server.service import Service
from lipstream.server.stream_ws import stream_routes


def create_app(settings: Settings | None = None) -> FastAPI:
    """An application with its own studio, queue and counters; ``settings`` come from outside if not given."""
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
        summary="A portrait and speech in, the person saying it out.",
        description="The main way in is the WebSocket /ws/lipsync; docs/protocol.md describes it.",
        docs_url=None,  # FastAPI's own page loads its scripts from elsewhere; ours works offline
        redoc_url=None,
        lifespan=lifespan,
    )

    @app.exception_handler(LipstreamError)
    async def in_words(_: Request, error: LipstreamError) -> Response:
        return error_response(error)

    @app.exception_handler(HTTPException)
    async def nothing_there(request: Request, error: HTTPException) -> Response:
        if error.status_code not in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
            return await http_exception_handler(request, error)
        asked = f"{request.method} {request.url.path}"
        return error_response(
            RequestError("not_found", f"Nothing answers {asked}. /docs lists what does; / is the page.")
        )

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

"""The page under ``/``, the bundled sample, and ``/docs``."""

from __future__ import annotations

import os
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse, HTMLResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.types import Scope

from lipstream.config import Settings
from lipstream.models.assets import SAMPLE_PORTRAIT
from lipstream.models.store import ModelStore
from lipstream.server.api_page import api_page

_PACKAGE = Path(str(files("lipstream")))
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self)",
    # Revalidate every time (mostly answered with 304), because files of an old and a new page do not work together.
    "Cache-Control": "no-cache",
}
SAMPLE_SPEECH = _PACKAGE / "assets" / "sample.wav"


def sample_routes(settings: Settings) -> APIRouter:
    """The sample that the page starts with. The portrait may raise :class:`lipstream.errors.ModelError`."""
    router = APIRouter(prefix="/sample", include_in_schema=False)

    # Plain functions run on Starlette's threads, because looking up a file verifies its content.
    @router.get("/portrait")
    def portrait() -> FileResponse:
        return FileResponse(ModelStore(settings.cache_dir, settings.checkpoints_dir).path(SAMPLE_PORTRAIT))

    @router.get("/speech")
    def speech() -> FileResponse:
        return FileResponse(SAMPLE_SPEECH, media_type="audio/wav")

    return router


def add_pages(app: FastAPI) -> None:
    """Add ``/docs``, and serve everything else from ``static/``. Call this after all other routes have been added."""

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(api_page(app.openapi()))

    app.mount("/", PageFiles(directory=_PACKAGE / "server" / "static", html=True), name="page")


class PageFiles(StaticFiles):
    """The page's files, with headers that only allow content from this server."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Raises :class:`HTTPException`: 404, or 405 if the file exists but the method is not supported."""
        if scope["method"] in ("GET", "HEAD"):
            return await super().get_response(path, scope)
        await super().get_response(path, {**scope, "method": "HEAD"})
        raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "GET, HEAD"})

    def file_response(
        self,
        full_path: os.PathLike[str] | str,
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """A file, or 304 if the browser already has it."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(PAGE_HEADERS)
        return response

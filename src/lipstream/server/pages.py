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
    # Ask every time (the answer is mostly 304): half of an old page with half of a new one does not work.
    "Cache-Control": "no-cache",
}
SAMPLE_SPEECH = _PACKAGE / "assets" / "sample.wav"


def sample_routes(settings: Settings) -> APIRouter:
    """The sample that the page begins with. The portrait may raise :class:`lipstream.errors.ModelError`."""
    router = APIRouter(prefix="/sample", include_in_schema=False)

    # Plain functions run on Starlette's threads: looking a file up checks its content.
    @router.get("/portrait")
    def portrait() -> FileResponse:
        return FileResponse(ModelStore(settings.cache_dir, settings.checkpoints_dir).path(SAMPLE_PORTRAIT))

    @router.get("/speech")
    def speech() -> FileResponse:
        return FileResponse(SAMPLE_SPEECH, media_type="audio/wav")

    return router


def add_pages(app: FastAPI) -> None:
    """``/docs``, then everything else from ``static/``; to be called after all other routes are there."""

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(api_page(app.openapi()))

    app.mount("/", PageFiles(directory=_PACKAGE / "server" / "static", html=True), name="page")


class PageFiles(StaticFiles):
    """The page's files, with headers that keep everything but this server out of it."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Raises :class:`HTTPException`: 404, or 405 for other methods only where there is a file."""
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
        """A file, or 304 when the browser has it already."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(PAGE_HEADERS)
        return response

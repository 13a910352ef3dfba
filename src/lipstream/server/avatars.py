"""``/v1/avatars``: upload a picture or a clip once, then use it in any number of live sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict

from lipstream.avatar_library import AvatarRecord
from lipstream.config import Settings
from lipstream.job import require_one
from lipstream.media.video import Kind
from lipstream.server.forms import check_file_size, read_form, read_texts, sort_parts
from lipstream.server.messages import FaceIndex
from lipstream.server.rest import error_schema, while_connected
from lipstream.server.service import Service

_FILES = {"image": "the picture, as a file", "video": "a clip instead of a picture, as a file"}
_UNKNOWN: dict[int | str, dict[str, Any]] = {
    404: error_schema("Not Found: avatar_unknown"),
    "default": error_schema("Any other error"),  # replaces FastAPI's own 422, which never occurs
}


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    face_index: FaceIndex = None


def avatar_routes(service: Service) -> APIRouter:
    """Upload, list, describe, delete."""
    router = APIRouter(prefix="/v1/avatars")

    @router.post(
        "",
        status_code=201,
        summary="Store a picture or a clip for live sessions",
        responses={
            200: {"description": "It was already stored."},
            "default": error_schema("An error, as from POST /v1/lipsync"),
        },
        openapi_extra={"requestBody": _request_body()},
    )
    async def add(request: Request) -> JSONResponse:
        data, kind, index = await _read_upload(request, service.settings)
        studio = await service.studio()

        def keep(cancelled: Callable[[], bool]) -> tuple[AvatarRecord, bool]:
            look = partial(studio.avatar, kind=kind, face_index=index, cancelled=cancelled)
            return service.avatars.add(data, look, index, kind)

        record, new = await while_connected(request, service.queue.run(keep))
        return JSONResponse(record.to_json(), status_code=201 if new else 200)

    # Plain functions run on Starlette's threads, where reading files does not block the event loop.
    @router.get("", summary="All avatars, the most recently used first")
    def everything() -> dict[str, list[dict[str, Any]]]:
        return {"avatars": [record.to_json() for record in service.avatars.records()]}

    @router.get("/{avatar}", summary="Describe one", responses=_UNKNOWN)
    def one(avatar: str) -> dict[str, Any]:
        return service.avatars.get(avatar).to_json()

    @router.get("/{avatar}/thumbnail", summary="A small JPEG", response_class=Response, responses=_UNKNOWN)
    def thumbnail(avatar: str) -> Response:
        return Response(service.avatars.thumbnail(avatar), media_type="image/jpeg")

    @router.delete("/{avatar}", status_code=204, summary="Delete one", responses=_UNKNOWN)
    async def remove(avatar: str) -> Response:
        await asyncio.to_thread(service.avatars.remove, avatar)
        return Response(status_code=204)

    return router


async def _read_upload(request: Request, settings: Settings) -> tuple[bytes, Kind, int | None]:
    """The file, whether it is a picture or a clip, and the index of the face if one was given."""
    form = await read_form(request, settings, _FILES)
    try:
        texts, files = sort_parts(form, _FILES, _Options)
        options = read_texts(_Options, texts)
        require_one(image="image" in files, video="video" in files)
        check_file_size(files, settings)
        kind: Kind = "video" if "video" in files else "image"
        return await files[kind].read(), kind, options.face_index
    finally:
        await form.close()


def _request_body() -> dict[str, Any]:
    files = {name: {"type": "string", "format": "binary", "description": text} for name, text in _FILES.items()}
    form = {"type": "object", "properties": files | _Options.model_json_schema()["properties"]}
    return {"required": True, "content": {"multipart/form-data": {"schema": form}}}

"""``/v1/avatars``: upload a picture once, name it in as many live sessions as you like."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from starlette.datastructures import UploadFile

from lipstream.config import Settings
from lipstream.server.messages import check_image_bytes, missing_field, unknown_field
from lipstream.server.rest import read_form
from lipstream.server.service import Service

_PICTURE = {"image": "the picture, as a file"}


def avatar_routes(service: Service) -> APIRouter:
    """Upload, list, look at, delete."""
    router = APIRouter(prefix="/v1/avatars")

    @router.post(
        "",
        status_code=201,
        summary="Keep a picture for live sessions",
        responses={200: {"description": "It was there already."}},
        openapi_extra={"requestBody": _request_body()},
    )
    async def add(request: Request) -> JSONResponse:
        image = await _read_picture(request, service.settings)
        studio = await service.studio()
        record, new = await service.queue.run(lambda _: service.avatars.add(image, studio.avatar))
        return JSONResponse(record.to_json(), status_code=201 if new else 200)

    # Plain functions run on Starlette's threads, where reading files holds nobody up.
    @router.get("", summary="All pictures, the most recently used first")
    def everything() -> dict[str, list[dict[str, Any]]]:
        return {"avatars": [record.to_json() for record in service.avatars.records()]}

    @router.get("/{avatar}", summary="What is known of a picture")
    def one(avatar: str) -> dict[str, Any]:
        return service.avatars.get(avatar).to_json()

    @router.get("/{avatar}/thumbnail", summary="A small JPEG", response_class=Response)
    def thumbnail(avatar: str) -> Response:
        return Response(service.avatars.thumbnail(avatar), media_type="image/jpeg")

    @router.delete("/{avatar}", status_code=204, summary="Delete a picture")
    async def remove(avatar: str) -> Response:
        await asyncio.to_thread(service.avatars.remove, avatar)
        return Response(status_code=204)

    return router


async def _read_picture(request: Request, settings: Settings) -> bytes:
    form = await read_form(request, settings, _PICTURE)
    try:
        for name in form:
            if name not in _PICTURE:
                raise unknown_field(name, list(_PICTURE))
        image = form.get("image")
        if not isinstance(image, UploadFile):
            raise missing_field("image", _PICTURE["image"])
        check_image_bytes(image.size or 0, settings)
        return await image.read()
    finally:
        await form.close()


def _request_body() -> dict[str, Any]:
    files = {name: {"type": "string", "format": "binary", "description": text} for name, text in _PICTURE.items()}
    form = {"type": "object", "required": list(files), "properties": files}
    return {"required": True, "content": {"multipart/form-data": {"schema": form}}}

"""``POST /v1/lipsync``: the same job as over the WebSocket, as a form upload that is answered with the MP4 itself."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from lipstream.config import Settings
from lipstream.errors import BusyError, CancelledError, LipstreamError
from lipstream.job import Job, require_one
from lipstream.server.forms import check_file_size, read_form, read_texts, sort_parts
from lipstream.server.limits import RETRY_SECONDS
from lipstream.server.messages import RenderOptions, error_fields, missing_field
from lipstream.server.service import Meter, Service

T = TypeVar("T")

FILES = {
    "image": "the picture, as a file",
    "video": "a clip instead of a picture, as a file",
    "audio": "the recording, as a file",
}
LIMITS = (
    "max_message_bytes",
    "max_image_bytes",
    "max_image_pixels",
    "max_video_bytes",
    "max_video_pixels",
    "max_video_seconds",
    "max_audio_seconds",
)
"""Settings that clients may want to know."""

STATUS = {
    "bad_json": HTTPStatus.BAD_REQUEST,
    "bad_form": HTTPStatus.BAD_REQUEST,
    "upload_stalled": HTTPStatus.REQUEST_TIMEOUT,
    "message_too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "image_too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "video_too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "video_too_long": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "audio_too_long": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "not_a_form": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "not_an_image": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "not_a_video": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "not_audio": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "no_audio_stream": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "engine_unavailable": HTTPStatus.NOT_IMPLEMENTED,
    "not_found": HTTPStatus.NOT_FOUND,
    "method_not_allowed": HTTPStatus.METHOD_NOT_ALLOWED,
    "avatar_unknown": HTTPStatus.NOT_FOUND,
    "server_busy": HTTPStatus.SERVICE_UNAVAILABLE,
    "not_ready": HTTPStatus.SERVICE_UNAVAILABLE,
    "cancelled": HTTPStatus.SERVICE_UNAVAILABLE,
    "model_missing": HTTPStatus.SERVICE_UNAVAILABLE,
    "model_damaged": HTTPStatus.SERVICE_UNAVAILABLE,
    "model_download_failed": HTTPStatus.SERVICE_UNAVAILABLE,
    "internal_error": HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""HTTP status of each error code. All others have 422: understood, but not usable."""


def rest_routes(service: Service) -> APIRouter:
    """The upload endpoint and its limits."""
    router = APIRouter(prefix="/v1")

    @router.post(
        "/lipsync",
        summary="Turn a picture and a recording into a talking video",
        response_class=Response,
        responses=_responses(),
        openapi_extra={"requestBody": _request_body()},
    )
    async def lipsync(request: Request) -> Response:
        try:
            job = await _read_job(request, service.settings)
            mp4 = await while_connected(request, service.render(job, Meter(), bytes))
        except LipstreamError as error:
            service.metrics.answered("http", error.code)
            return error_response(error)
        service.metrics.answered("http")
        return Response(mp4, media_type="video/mp4")

    @router.get("/limits", summary="What this server accepts")
    def limits() -> dict[str, int | float]:
        return {name: getattr(service.settings, name) for name in LIMITS}

    return router


def error_response(error: LipstreamError, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """An error as the same JSON as over the WebSocket, with the status for its code."""
    retry = {"Retry-After": str(RETRY_SECONDS)} if isinstance(error, BusyError) else {}
    status = STATUS.get(error.code, HTTPStatus.UNPROCESSABLE_ENTITY)
    return JSONResponse(error_fields(error), status_code=status, headers={**retry, **(headers or {})})


async def while_connected(request: Request, work: Coroutine[None, None, T]) -> T:
    """Do ``work``. If the client leaves, cancel it and raise :class:`CancelledError`.

    The body of the request must already have been read.
    """
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait([working, leaving], return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise CancelledError
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)
        del working  # breaks a reference cycle with its error and this frame


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _read_job(request: Request, settings: Settings) -> Job:
    form = await read_form(request, settings, FILES)
    try:
        texts, files = sort_parts(form, FILES, RenderOptions)
        options = read_texts(RenderOptions, texts)
        require_one(image="image" in files, video="video" in files)
        if "audio" not in files:
            raise missing_field("audio", FILES["audio"])
        check_file_size(files, settings)
        contents = {name: await files[name].read() if name in files else None for name in ("image", "video")}
        return options.job_with(**contents, audio=await files["audio"].read())
    finally:
        await form.close()


def _request_body() -> dict[str, Any]:
    schema = RenderOptions.model_json_schema()
    files = {name: {"type": "string", "format": "binary", "description": content} for name, content in FILES.items()}
    form = {"type": "object", "required": ["audio"], "properties": files | schema["properties"]}
    return {"required": True, "content": {"multipart/form-data": {"schema": form}}}


def error_schema(description: str) -> dict[str, Any]:
    """The OpenAPI description of an error response."""
    schema = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in ("status", "message", "code")},
        "required": ["status", "message", "code"],
    }
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _responses() -> dict[int | str, dict[str, Any]]:
    answers: dict[int | str, dict[str, Any]] = {
        200: {"description": "The video: H.264 and AAC in MP4.", "content": {"video/mp4": {}}}
    }
    elsewhere = {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}
    for status in sorted({*STATUS.values(), HTTPStatus.UNPROCESSABLE_ENTITY} - elsewhere):
        codes = ", ".join(code for code in STATUS if STATUS[code] is status) or "all other codes"
        answers[int(status)] = error_schema(f"{status.phrase}: {codes}")
    return answers

"""``POST /v1/lipsync``: the same job as over the WebSocket, as a form upload that answers with the MP4 itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Collection, Coroutine, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from lipstream.config import Settings
from lipstream.errors import BusyError, CancelledError, LipstreamError, RequestError
from lipstream.job import Job, require_one
from lipstream.server.limits import RETRY_SECONDS
from lipstream.server.messages import (
    Options,
    RenderOptions,
    check_image_bytes,
    check_video_bytes,
    error_fields,
    message_too_large,
    missing_field,
    read_fields,
    unknown_field,
)
from lipstream.server.service import Meter, Service

T = TypeVar("T")

FILES = {
    "image": "the picture, as a file",
    "video": "a clip instead of the picture, as a file",
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
MAX_PARTS = 32
MAX_FIELD_BYTES = 4096
DISCARD_SECONDS = 5.0
"""How long the rest of an upload that is too large is read and thrown away. Most clients only look at the answer once
they have sent everything, so closing at once would show them a broken connection instead of the reason."""

STATUS = {
    "bad_json": HTTPStatus.BAD_REQUEST,
    "bad_form": HTTPStatus.BAD_REQUEST,
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
"""HTTP status of each error code; all others are 422: understood, but not usable."""


def rest_routes(service: Service) -> APIRouter:
    """The upload endpoint and the limits it has."""
    router = APIRouter(prefix="/v1")

    @router.post(
        "/lipsync",
        summary="A picture and a recording in, a talking video out",
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
    """An error as the same JSON that the WebSocket answers, with the status that fits its code."""
    retry = {"Retry-After": str(RETRY_SECONDS)} if isinstance(error, BusyError) else {}
    status = STATUS.get(error.code, HTTPStatus.UNPROCESSABLE_ENTITY)
    return JSONResponse(error_fields(error), status_code=status, headers={**retry, **(headers or {})})


async def while_connected(request: Request, work: Coroutine[None, None, T]) -> T:
    """Do ``work``, and cancel it when the client leaves; the request's body must have been read.

    Raises :class:`CancelledError` then.
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
        del working  # or it lives on in a circle with its error and this frame


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _read_job(request: Request, settings: Settings) -> Job:
    form = await read_form(request, settings)
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


def check_file_size(files: Mapping[str, UploadFile], settings: Settings) -> None:
    """Raises :class:`ImageError` or :class:`VideoError` when a file is not to be decoded, before it is in memory."""
    if "image" in files:
        check_image_bytes(files["image"].size or 0, settings)
    if "video" in files:
        check_video_bytes(files["video"].size or 0, settings)


async def read_form(request: Request, settings: Settings, files: Collection[str] = FILES) -> FormData:
    """The parts of an upload; files over a megabyte wait on disk, as Starlette does it. To be closed by the caller.

    ``files`` are the fields of files that there are, for the message. Raises :class:`RequestError` (``not_a_form``,
    ``bad_form``, ``message_too_large``), and :class:`CancelledError` when the client leaves before it has sent all.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "multipart/form-data":
        fields = ", ".join(f'"{name}"' for name in files)
        raise RequestError("not_a_form", f"Send the files as multipart/form-data. Fields for files are {fields}.")
    upload = _Upload(request, settings.max_message_bytes)
    parser = MultiPartParser(
        request.headers, upload.chunks(), max_files=MAX_PARTS, max_fields=MAX_PARTS, max_part_size=MAX_FIELD_BYTES
    )
    try:
        return await parser.parse()
    except MultiPartException as error:
        if upload.left:
            raise CancelledError from None
        await upload.discard()
        if upload.too_large:
            raise message_too_large(settings) from None
        raise RequestError("bad_form", f"The form cannot be read: {error.message}") from None


class _Upload:
    """A request's body, up to a limit."""

    def __init__(self, request: Request, limit: int) -> None:
        self._stream = request.stream()
        self._limit = limit
        announced = request.headers.get("content-length", "")
        self.too_large = announced.isdecimal() and int(announced) > limit
        self.left = False
        """Whether the client went away in the middle."""

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body. Over the limit, and when the client leaves, it ends with :class:`MultiPartException`, upon which
        the parser closes its files."""
        received = 0
        while not self.too_large:
            try:
                chunk = await anext(self._stream, None)
            except ClientDisconnect:
                self.left = True
                raise MultiPartException("left") from None
            if chunk is None:
                return
            received += len(chunk)
            self.too_large = received > self._limit
            yield chunk
        raise MultiPartException("too large")

    async def discard(self) -> None:
        """Read what is left, for a while."""

        async def drain() -> None:
            async for _ in self._stream:
                pass

        with suppress(asyncio.TimeoutError, ClientDisconnect):
            await asyncio.wait_for(drain(), DISCARD_SECONDS)


def sort_parts(
    form: FormData, contents: Mapping[str, str], options: type[BaseModel]
) -> tuple[dict[str, str], dict[str, UploadFile]]:
    """Text fields, which are those of ``options``, and files by name; ``contents`` says what is in which file.

    A field without text or file counts as not sent: browsers send empty ones so. Raises :class:`RequestError`
    (``unknown_field``, ``bad_field``).
    """
    known = [*contents, *options.model_fields]
    texts: dict[str, str] = {}
    files: dict[str, UploadFile] = {}
    for name, value in form.multi_items():
        if name not in known:
            raise unknown_field(name, known)
        if name in texts or name in files:
            raise RequestError("bad_field", f'The field "{name}" is there more than once. Send each field once.')
        if isinstance(value, str) and name in contents:
            raise RequestError("bad_field", f'The field "{name}" must be {contents[name]}, not text.')
        if isinstance(value, str):
            texts |= {name: value.strip()} if value.strip() else {}
        elif name not in contents:
            raise RequestError("bad_field", f'The field "{name}" must be text, not a file.')
        elif _was_chosen(value):
            files[name] = value
    return texts, files


def _was_chosen(file: UploadFile) -> bool:
    """Whether somebody meant to send it: for a file field that was left alone, browsers send an empty one."""
    return bool(file.filename or file.size)


def read_texts(model: type[Options], texts: Mapping[str, str]) -> Options:
    """A form's text fields, checked as :func:`read_fields` does."""
    return read_fields(model, {name: _value(name, text) for name, text in texts.items()})


def _value(name: str, text: str) -> object:
    """What a form's text stands for: JSON for numbers, lists and booleans, the text itself otherwise."""
    if name == "pads" and not text.startswith("["):
        text = f"[{text}]"
    try:
        return json.loads(text) if name != "engine" and len(text) <= 100 else text
    except (ValueError, RecursionError):
        return text


def _request_body() -> dict[str, Any]:
    schema = RenderOptions.model_json_schema()
    files = {name: {"type": "string", "format": "binary", "description": content} for name, content in FILES.items()}
    form = {"type": "object", "required": ["audio"], "properties": files | schema["properties"]}
    return {"required": True, "content": {"multipart/form-data": {"schema": form}}}


def error_schema(description: str) -> dict[str, Any]:
    """An OpenAPI response that is an error."""
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

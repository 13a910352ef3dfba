"""Forms with files, as browsers and HTTP libraries send them: limited in size and checked as strictly as JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import suppress

from fastapi import Request
from pydantic import BaseModel
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from lipstream.config import Settings
from lipstream.errors import CancelledError, RequestError
from lipstream.server.messages import (
    Options,
    check_image_bytes,
    check_video_bytes,
    message_too_large,
    read_fields,
    unknown_field,
)

MAX_PARTS = 32
MAX_FIELD_BYTES = 4096
STALL_SECONDS = 30.0
"""How long an upload may pause before it is given up."""
DISCARD_SECONDS = 5.0
"""How long the rest of an upload that is too large is read and thrown away. Most clients only look at the answer once
they have sent everything, so closing at once would show them a broken connection instead of the reason."""


def check_file_size(files: Mapping[str, UploadFile], settings: Settings) -> None:
    """Raises :class:`ImageError` or :class:`VideoError` if a file is too large, before it is read into memory."""
    if "image" in files:
        check_image_bytes(files["image"].size or 0, settings)
    if "video" in files:
        check_video_bytes(files["video"].size or 0, settings)


async def read_form(request: Request, settings: Settings, files: Collection[str]) -> FormData:
    """The parts of an upload. Starlette keeps files of more than a megabyte on disk; the caller must close the form.

    ``files`` are the names of all file fields, for the error message. Raises :class:`RequestError` (``not_a_form``,
    ``bad_form``, ``message_too_large``, ``upload_stalled``), and :class:`CancelledError` if the client leaves before it
    has sent everything.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "multipart/form-data":
        fields = ", ".join(f'"{name}"' for name in files)
        raise RequestError("not_a_form", f"Send the files as multipart/form-data. The fields for files are {fields}.")
    upload = _Upload(request, settings.max_message_bytes)
    parser = MultiPartParser(
        request.headers, upload.chunks(), max_files=MAX_PARTS, max_fields=MAX_PARTS, max_part_size=MAX_FIELD_BYTES
    )
    try:
        return await parser.parse()
    except MultiPartException as error:
        if upload.left:
            raise CancelledError from None
        if upload.stalled:
            raise RequestError(
                "upload_stalled",
                f"No data arrived for {STALL_SECONDS:g} seconds, and the upload is incomplete. Send it again.",
            ) from None
        await discard(request)
        if upload.too_large:
            raise message_too_large(settings) from None
        raise RequestError("bad_form", f"The form cannot be read: {error.message}") from None


class _Upload:
    """The body of a request, up to a limit."""

    def __init__(self, request: Request, limit: int) -> None:
        self._stream = request.stream()
        self._limit = limit
        announced = request.headers.get("content-length", "")
        self.too_large = announced.isdecimal() and int(announced) > limit
        self.left = False
        """Whether the client left before the end."""
        self.stalled = False
        """Whether no data arrived for :data:`STALL_SECONDS`. Such a client would otherwise keep its place for ever."""

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body. Raises :class:`MultiPartException`, on which the parser closes its files, if it exceeds the limit
        or the client leaves or stalls."""
        received = 0
        while not self.too_large:
            try:
                chunk = await asyncio.wait_for(anext(self._stream, None), STALL_SECONDS)
            except ClientDisconnect:
                self.left = True
                raise MultiPartException("left") from None
            except asyncio.TimeoutError:
                self.stalled = True
                raise MultiPartException("stalled") from None
            if chunk is None:
                return
            received += len(chunk)
            self.too_large = received > self._limit
            yield chunk
        raise MultiPartException("too large")


async def discard(request: Request) -> None:
    """Read the rest of an upload and throw it away, for at most :data:`DISCARD_SECONDS`."""

    async def drain() -> None:
        async for _ in request.stream():
            pass

    with suppress(asyncio.TimeoutError, ClientDisconnect, RuntimeError):
        await asyncio.wait_for(drain(), DISCARD_SECONDS)


def sort_parts(
    form: FormData, contents: Mapping[str, str], options: type[BaseModel]
) -> tuple[dict[str, str], dict[str, UploadFile]]:
    """Text fields, which must be among those of ``options``, and files, both by name. ``contents`` has the names of the
    files and what each of them holds.

    A field without text or file counts as not sent, because browsers send such fields if they are left empty. Raises
    :class:`RequestError` (``unknown_field``, ``bad_field``).
    """
    known = [*contents, *options.model_fields]
    texts: dict[str, str] = {}
    files: dict[str, UploadFile] = {}
    for name, value in form.multi_items():
        if name not in known:
            raise unknown_field(name, known)
        if name in texts or name in files:
            raise RequestError("bad_field", f'The field "{name}" occurs more than once. Send each field once.')
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
    """Whether a file was chosen: for a file field that was left empty, browsers send an empty file without a name."""
    return bool(file.filename or file.size)


def read_texts(model: type[Options], texts: Mapping[str, str]) -> Options:
    """Check the text fields of a form as :func:`read_fields` does."""
    return read_fields(model, {name: _value(name, text) for name, text in texts.items()})


def _value(name: str, text: str) -> object:
    """The value of a form's text: numbers, lists and booleans are read as JSON, anything else stays text."""
    if name == "pads" and not text.startswith("["):
        text = f"[{text}]"
    try:
        return json.loads(text) if name != "engine" and len(text) <= 100 else text
    except (ValueError, RecursionError):
        return text

"""The messages of ``/ws/lipsync`` and the fields of ``POST /v1/lipsync``: validated strictly, with readable errors.

A WebSocket message is read in three steps: :func:`read_json` (text → fields), :func:`read_fields` (fields →
:class:`LipsyncRequest`) and :meth:`LipsyncRequest.job` (base64 → :class:`lipstream.studio.Job`). :func:`open_message`
does all three, and keeps the request's ``id`` for the answer even if one of them fails.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, NoReturn, TypeAlias, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lipstream.config import MIB, Settings
from lipstream.errors import EngineError, ImageError, LipstreamError, RequestError, VideoError
from lipstream.job import EngineName, Job, require_one
from lipstream.media.clock import MAX_FPS, MIN_FPS, frame_rate
from lipstream.server import base64_text

RequestId: TypeAlias = str | int
"""What a client may send as ``id``. It is echoed unchanged."""

MAX_ID_LENGTH = 200
MAX_STRUCTURE = 256
"""Commas and opening brackets in a message. A request has about twenty and base64 has none, so a message with more is
not a request. Counting them first ensures that no message turns into millions of Python objects."""
MAX_INTEGER_DIGITS = 20
QUOTED_CHARACTERS = 60
"""How much of a client's own text is repeated in an error message."""

MAX_FACE_INDEX = 999
FACE_INDEX = f"a whole number from 0 to {MAX_FACE_INDEX} (faces from left to right), or null for the largest"

FaceIndex = Annotated[int | None, Field(ge=0, le=MAX_FACE_INDEX, description=FACE_INDEX)]

Padding = Annotated[int, Field(ge=0, le=10_000)]


class RenderOptions(BaseModel):
    """How to make the video. Descriptions complete the sentence "The field must be ..."."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    fps: float = Field(
        default=25.0, ge=MIN_FPS, le=MAX_FPS, allow_inf_nan=False, description=f"a number from {MIN_FPS} to {MAX_FPS}"
    )
    pads: Annotated[list[Padding], Field(min_length=4, max_length=4)] = Field(
        default=[0, 10, 0, 0], description="four whole numbers from 0 to 10000 (pixels: top, bottom, left, right)"
    )
    img_size: int = Field(default=96, ge=1, le=4096, description="a whole number from 1 to 4096")
    batch_size: int = Field(default=128, ge=1, le=4096, description="a whole number from 1 to 4096")
    no_segmentation: bool = Field(default=False, description="true or false")
    no_sr: bool = Field(default=False, description="true or false")
    engine: EngineName = Field(default="auto", description='"auto", "portrait" or "wav2lip"')
    face_index: FaceIndex = None

    def job_with(self, *, image: bytes | None, video: bytes | None, audio: bytes) -> Job:
        """The job for these files. Exactly one of ``image`` and ``video`` must be given, as for :class:`Job`."""
        top, bottom, left, right = self.pads
        return Job(
            image=image,
            video=video,
            audio=audio,
            fps=frame_rate(self.fps),
            engine=self.engine,
            pads=(top, bottom, left, right),
            img_size=self.img_size if "img_size" in self.model_fields_set else None,
            batch_size=self.batch_size,
            no_segmentation=self.no_segmentation,
            no_sr=self.no_sr,
            face_index=self.face_index,
        )


class LipsyncRequest(RenderOptions):
    """A complete WebSocket request."""

    audio: str = Field(description="the recording's bytes, base64-encoded", repr=False)
    image: str | None = Field(default=None, description="the picture's bytes, base64-encoded", repr=False)
    video: str | None = Field(default=None, description="the clip's bytes, base64-encoded", repr=False)
    progress: bool = Field(default=False, description="true or false")
    id: Annotated[str, Field(max_length=MAX_ID_LENGTH)] | int | None = Field(
        default=None, description=f"text of at most {MAX_ID_LENGTH} characters, or a whole number"
    )

    def job(self, settings: Settings) -> Job:
        """The job. Decodes the base64, after checking the size of the picture or clip.

        Raises :class:`RequestError` (``missing_field``, ``bad_base64``, ``bad_field``), :class:`ImageError`
        (``image_too_large``) and :class:`VideoError` (``video_too_large``).
        """
        require_one(image=self.image is not None, video=self.video is not None)
        image = video = None
        if self.image is not None:
            check_image_bytes(base64_text.decoded_size(self.image), settings)
            image = base64_text.decode(self.image, "image")
        if self.video is not None:
            check_video_bytes(base64_text.decoded_size(self.video), settings)
            video = base64_text.decode(self.video, "video")
        return self.job_with(image=image, video=video, audio=base64_text.decode(self.audio, "audio"))


@dataclass(frozen=True)
class Incoming:
    """A message that has been read: a job, or the error to answer with."""

    content: Job | LipstreamError
    """The job, or the error to answer with."""
    id: RequestId | None = None
    """To be echoed in every answer."""
    progress: bool = False
    """Whether the client asked for progress messages."""


def open_message(slot: list[str], settings: Settings) -> Incoming:
    """Read the WebSocket message in ``slot``. Empties the slot, so that the text is freed before its parts are decoded.

    Blocks while decoding. Raises nothing that a client could cause.
    """
    name: RequestId | None = None
    try:
        fields = read_json(slot.pop())
        name = request_id(fields)
        request = read_fields(LipsyncRequest, fields)
        return Incoming(request.job(settings), name, request.progress)
    except LipstreamError as error:
        return Incoming(error.fresh(), name)  # without the stack frames, which keep the message alive


def read_json(text: str) -> dict[str, object]:
    """The fields of a message. Raises :class:`RequestError` (``bad_json``) for anything but one JSON object."""
    if sum(map(text.count, ",[{")) > MAX_STRUCTURE:
        raise RequestError("bad_json", "The message has far too many values for a request. Send one JSON object.")
    try:
        fields = json.loads(text, object_pairs_hook=_unique, parse_int=_integer)
    except (ValueError, RecursionError) as error:
        reason = f" ({error})" if isinstance(error, json.JSONDecodeError) else ""
        raise RequestError("bad_json", f"The message is not JSON{reason}. Send one JSON object as text.") from None
    if not isinstance(fields, dict):
        raise RequestError("bad_json", 'The message must be one JSON object: {"name of a field": value, ...}.')
    return cast("dict[str, object]", fields)


def request_id(fields: Mapping[str, object]) -> RequestId | None:
    """The ``id`` to answer with, or None if the message has no valid one."""
    value = fields.get("id")
    if isinstance(value, str) and len(value) <= MAX_ID_LENGTH:
        return value
    return value if isinstance(value, int) and not isinstance(value, bool) else None


Options = TypeVar("Options", bound=BaseModel)


def read_fields(model: type[Options], fields: Mapping[str, object]) -> Options:
    """Validate all fields. Raises :class:`RequestError` (``unknown_field``, ``missing_field``, ``bad_field``,
    ``fps_out_of_range``, ``negative_pads``) or :class:`EngineError` (``engine_unknown``), which name the field."""
    for name in fields:
        if name not in model.model_fields:
            raise unknown_field(name, list(model.model_fields))
    for name, field in model.model_fields.items():
        if field.is_required() and name not in fields:
            raise missing_field(name, field.description)
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        _refuse(model, str(first["loc"][0]), first["type"], fields)


def unknown_field(name: str, known: list[str]) -> RequestError:
    """The error for a field that does not exist."""
    return RequestError("unknown_field", f"There is no field {_quote(name)}. The fields are: {', '.join(known)}.")


def missing_field(name: str, content: str | None) -> RequestError:
    """The error for a required field that was not sent; ``content`` says what it holds."""
    return RequestError("missing_field", f'The field "{name}" is missing; it holds {content}.')


def check_image_bytes(size: int, settings: Settings) -> None:
    """Raises :class:`ImageError` (``image_too_large``) if a picture file of ``size`` bytes is over the limit."""
    if size > settings.max_image_bytes:
        raise ImageError(
            "image_too_large",
            f"The picture has {_bytes(size)}; at most {_bytes(settings.max_image_bytes)} are accepted. "
            "Make it smaller or save it as JPEG.",
        )


def check_video_bytes(size: int, settings: Settings) -> None:
    """Raises :class:`VideoError` (``video_too_large``) if a video file of ``size`` bytes is over the limit."""
    if size > settings.max_video_bytes:
        raise VideoError(
            "video_too_large",
            f"The video has {_bytes(size)}; at most {_bytes(settings.max_video_bytes)} are accepted. "
            "Make it shorter or smaller, or compress it more.",
        )


def message_too_large(settings: Settings) -> RequestError:
    """The error for a message or an upload over the limit."""
    return RequestError(
        "message_too_large",
        f"The message is too large; at most {_bytes(settings.max_message_bytes)} are accepted. "
        "Send the recording compressed (FLAC, MP3, M4A, Opus) or a smaller picture.",
    )


def success_text(video: bytes, request: RequestId | None) -> str:
    """The answer with the MP4. Base64 needs no JSON escaping, so the long text is only joined."""
    tail = "}" if request is None else f', "id": {json.dumps(request)}}}'
    return "".join(('{"status": "success", "video": "', *base64_text.encode(video), '"', tail))


def progress_text(done: int, total: int, request: RequestId | None) -> str:
    """A progress message; ``done`` and ``total`` are frames."""
    return _text({"status": "progress", "done": done, "total": total}, request)


def error_text(error: LipstreamError, request: RequestId | None) -> str:
    """An error message: what is wrong and what to do."""
    return _text(error_fields(error), request)


def error_fields(error: LipstreamError) -> dict[str, object]:
    """An error as JSON fields, the same over WebSocket and HTTP."""
    return {"status": "error", "message": error.message, "code": error.code}


def _bytes(size: int) -> str:
    """A size for people, such as "1.5 MiB" or "10.0 KiB"."""
    return f"{size / MIB:.1f} MiB" if size >= MIB else f"{size / 1024:.1f} KiB"


def _text(fields: dict[str, object], request: RequestId | None) -> str:
    return json.dumps(fields if request is None else {**fields, "id": request})


def _refuse(model: type[BaseModel], name: str, kind: str, fields: Mapping[str, object]) -> NoReturn:
    """Raise the error for a field whose value does not fit its description; ``kind`` is pydantic's error type."""
    need = model.model_fields[name].description
    got = _quote(fields[name])
    if name == "engine" and isinstance(fields[name], str):
        raise EngineError("engine_unknown", f"There is no engine {got}. Use {need}.")
    code = {
        ("fps", "greater_than_equal"): "fps_out_of_range",
        ("fps", "less_than_equal"): "fps_out_of_range",
        ("fps", "finite_number"): "fps_out_of_range",
        ("pads", "greater_than_equal"): "negative_pads",
    }.get((name, kind), "bad_field")
    raise RequestError(code, f'The field "{name}" must be {need}, not {got}.')


def _quote(value: object) -> str:
    """A client's value in an error message, shortened."""
    text = json.dumps(value[:QUOTED_CHARACTERS] if isinstance(value, str) else value)
    return text if len(text) <= QUOTED_CHARACTERS else f"{text[:QUOTED_CHARACTERS]}..."


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise RequestError("bad_json", f"The field {_quote(twice)} occurs more than once. Send each field once.")
    return fields


def _integer(digits: str) -> int | float:
    """Integers with too many digits become floats, which integer fields refuse; ``int`` would be slow."""
    return int(digits) if len(digits) <= MAX_INTEGER_DIGITS else float(digits)

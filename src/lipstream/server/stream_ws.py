"""``/ws/stream``: speech in while it is spoken, a talking face out. ``docs/streaming.md`` describes the protocol."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from lipstream.engines.base import Actor
from lipstream.errors import BusyError, LipstreamError, RequestError, SessionError
from lipstream.idle import IdleMotion
from lipstream.live import AudioFormat, LiveStream
from lipstream.media.clock import frame_rate
from lipstream.media.fragments import FragmentWriter, JpegWriter, MediaWriter
from lipstream.media.size import SizeLimit
from lipstream.media.video import Kind
from lipstream.server import base64_text
from lipstream.server.messages import check_image_bytes, message_too_large
from lipstream.server.service import Service, internal_error
from lipstream.server.stream_messages import (
    SessionStart,
    error_message,
    read_message,
)
from lipstream.server.stream_session import Prepared, StreamSession

logger = logging.getLogger(__name__)

START_SECONDS = 60.0
"""How long a client may take to send ``session.start``: phones upload slowly."""
PATIENT_SHARE = Fraction(2, 3)
"""How long a frame that is due may wait for speech, as a share of the lead. The rest is left for the network."""
PATIENCE_SECONDS = 1.0
"""How long a client may take to receive the reason why its session ends."""
# RFC 6455 and the IANA registry of close codes.
_NORMAL, _POLICY, _INTERNAL, _TRY_LATER = 1000, 1008, 1011, 1013


def stream_routes(service: Service) -> APIRouter:
    """The WebSocket for live streams."""
    router = APIRouter()

    @router.websocket("/ws/stream")
    async def stream(websocket: WebSocket) -> None:
        await websocket.accept()
        with suppress(WebSocketDisconnect):
            await _serve(websocket, service)

    return router


async def _serve(websocket: WebSocket, service: Service) -> None:
    """One session, and the messages at its end."""
    code, error = _NORMAL, None
    try:
        await _talk(websocket, service)
    except LipstreamError as expected:
        error = expected.fresh()  # without the stack frames of the whole session
    except WebSocketDisconnect:
        raise
    except Exception as unexpected:
        error = internal_error(unexpected)
    service.metrics.answered("stream", error.code if error else None)
    with suppress(asyncio.TimeoutError, RuntimeError):
        if error:
            text = error_message(error, fatal=True).model_dump_json()
            await asyncio.wait_for(websocket.send_text(text), PATIENCE_SECONDS)
            code = _TRY_LATER if isinstance(error, BusyError) else _POLICY
            code = _INTERNAL if error.code == "internal_error" else code
        await asyncio.wait_for(websocket.close(code), PATIENCE_SECONDS)


async def _talk(websocket: WebSocket, service: Service) -> None:
    """A session without its last messages. Raises :class:`LipstreamError` and :class:`WebSocketDisconnect`."""
    if refusal := service.live.places.refusal():
        raise refusal  # before the client sends a picture in vain
    start = await _first_message(websocket, service)
    # Only now: an idle connection must not take a place from a client that wants to start.
    with service.live.places.take(), service.metrics.live_sessions.track_inprogress():
        session = await _prepare(websocket, service, start)
        await session.run()


async def _first_message(websocket: WebSocket, service: Service) -> SessionStart:
    try:
        received = await asyncio.wait_for(websocket.receive(), START_SECONDS)
    except asyncio.TimeoutError:
        raise SessionError("not_started", "No session.start arrived. Send it as the first message.") from None
    if received["type"] == "websocket.disconnect":
        raise WebSocketDisconnect
    text = received.get("text")
    if text is None:
        raise SessionError("not_started", "The first message must be session.start, as text.")
    if len(text) > service.settings.max_message_bytes:
        raise message_too_large(service.settings)
    message = await asyncio.to_thread(read_message, text)
    if not isinstance(message, SessionStart):
        raise SessionError("not_started", f"The first message must be session.start, not {message.type}.")
    return message


async def _prepare(websocket: WebSocket, service: Service, start: SessionStart) -> StreamSession:
    studio = await service.studio()
    patience = PATIENT_SHARE * Fraction(service.settings.live_lead_ms, 1000)

    def prepare(cancelled: Callable[[], bool]) -> Prepared:
        engine = studio.engine(start.engine)
        limit = SizeLimit(service.settings.live_max_pixels, start.video.width)
        data, kind = _source(service, start)
        actor = studio.live_actor(data, start.engine, limit, kind, _face_index(service, start), cancelled)
        fps = frame_rate(start.video.fps)
        audio = start.audio.format
        stream = LiveStream(
            actor,
            audio,
            fps,
            lookahead=engine.lookahead,
            idle=IdleMotion(start.seed, fps) if start.idle == "natural" else None,
            patience=patience,
            buffer_seconds=service.settings.live_buffer_seconds,
        )
        return Prepared(actor, engine.name, engine.lookahead, stream, patience, _writer(start, actor, audio, fps))

    early = asyncio.ensure_future(websocket.receive())
    preparing = asyncio.ensure_future(service.live.prepare(prepare))
    try:
        await asyncio.wait([early, preparing], return_when=asyncio.FIRST_COMPLETED)
        if early.done() and early.result()["type"] == "websocket.disconnect":
            raise WebSocketDisconnect
        return StreamSession(websocket, service, start, await preparing, early)
    except BaseException:
        preparing.cancel()
        early.cancel()
        await asyncio.gather(preparing, early, return_exceptions=True)
        raise
    finally:
        del preparing  # breaks a reference cycle with its error and this frame


def _source(service: Service, start: SessionStart) -> tuple[bytes, Kind]:
    if start.avatar is not None and start.image is not None:
        raise RequestError("bad_field", 'Send either "avatar" or "image", not both.')
    if start.avatar is None and start.image is None:
        raise RequestError(
            "missing_field",
            'The field "image" is missing; it holds the picture of the person who speaks. Or send an "avatar" instead.',
        )
    if start.image is None:
        name = start.avatar or ""
        return service.avatars.picture(name), service.avatars.get(name).kind
    check_image_bytes(base64_text.decoded_size(start.image), service.settings)
    return base64_text.decode(start.image, "image"), "image"


def _face_index(service: Service, start: SessionStart) -> int | None:
    """The index that was asked for, or the one with which the avatar was uploaded."""
    if start.face_index is None and start.avatar is not None:
        return service.avatars.get(start.avatar).face_index
    return start.face_index


def _writer(start: SessionStart, actor: Actor, audio: AudioFormat, fps: Fraction) -> MediaWriter:
    picture = actor.avatar.picture
    if start.video.container == "mjpeg":
        return JpegWriter(picture, sample_rate=audio.sample_rate)
    return FragmentWriter(picture, fps, sample_rate=audio.sample_rate, channels=audio.channels)

"""One live session: a reader, a producer and a sender.

The reader turns messages into orders for the stream. The producer has a frame made whenever one is due; it is the only
part that uses the wall clock. The sender sends messages. The session ends as soon as one of the three ends.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import TypeAlias

from fastapi import WebSocket
from starlette.types import Message

from lipstream.avatar_library import picture_warnings
from lipstream.engines.base import Actor
from lipstream.errors import LipstreamError, SessionError
from lipstream.live import Event, LiveStream
from lipstream.media.fragments import MediaPacket, MediaWriter
from lipstream.server import base64_text
from lipstream.server.service import Service
from lipstream.server.stream_messages import (
    AudioChunk,
    AudioEnd,
    ClientMessage,
    Interrupt,
    Ping,
    Pong,
    SessionReady,
    SessionStart,
    SessionStop,
    Stats,
    error_message,
    event_message,
    milliseconds,
    read_message,
)
from lipstream.server.stream_queues import Inbox, Outbox

logger = logging.getLogger(__name__)

GIVEN_UP_SECONDS = 0.5
"""If a frame is later than this, the clock of the stream is moved instead of catching up: players wait either way."""

_Made: TypeAlias = tuple[tuple[Event, ...], MediaPacket]


@dataclass
class Prepared:
    """What a session needs to run."""

    actor: Actor
    engine: str
    lookahead: Fraction
    stream: LiveStream
    patience: Fraction
    """How long a due frame may wait for speech, seconds."""
    writer: MediaWriter


class StreamSession:
    """One client's stream, from ``session.ready`` to the end."""

    def __init__(
        self,
        websocket: WebSocket,
        service: Service,
        start: SessionStart,
        prepared: Prepared,
        early: asyncio.Future[Message],
    ) -> None:
        """``early`` is the first message after the start; waiting for it begins while the session is being prepared."""
        self._early = early
        self._websocket = websocket
        self._service = service
        self._start = start
        self._prepared = prepared
        self._stream = prepared.stream
        self._writer = prepared.writer
        self._inbox = Inbox(prepared.stream)
        self._outbox = Outbox(prepared.stream.fps)
        self._speech = start.audio.reader()
        self._made = asyncio.Event()
        self._heard_at = 0.0
        self._lag = 0.0
        self.name = uuid.uuid4().hex

    async def run(self) -> None:
        """Run until the client leaves or stops, or something ends the session. Raises :class:`LipstreamError`."""
        logger.info("Live session %s begins.", self.name)
        self._outbox.add_text(self._ready().model_dump_json())
        if self._writer.head:
            self._outbox.add_head(self._writer.head)
        work: list[Awaitable[None]] = [self._read(), self._produce(), self._send()]
        tasks = [asyncio.ensure_future(one) for one in work]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            del tasks, task  # breaks a reference cycle with the error that ended one of them and this frame
            self._service.metrics.live_dropped.inc(self._outbox.dropped)
            logger.info("Live session %s ends.", self.name)

    def _ready(self) -> SessionReady:
        fps, (width, height) = self._stream.fps, self._prepared.actor.avatar.size
        settings = self._service.settings
        return SessionReady(
            session=self.name,
            container=self._start.video.container,
            mime=self._writer.mime,
            fps=float(fps),
            fps_exact=f"{fps.numerator}/{fps.denominator}",
            width=width,
            height=height,
            audio_rate=self._writer.audio_rate,
            audio_channels=self._stream.audio.channels,
            engine=self._prepared.engine,
            lookahead_ms=milliseconds(self._prepared.lookahead),
            lead_ms=float(settings.live_lead_ms),
            buffer_ms=settings.live_buffer_seconds * 1000.0,
            warnings=picture_warnings(self._prepared.actor.avatar),
        )

    # The reader

    async def _read(self) -> None:
        """Turn messages into orders. If there is no room for them, the reader waits, and so does the client."""
        received = await self._early
        del self._early  # it may be large
        while received["type"] != "websocket.disconnect":
            await self._outbox.wait_for_texts()
            try:
                message = await self._message(received)
                if isinstance(message, SessionStop):
                    return
                await self._obey(message)
            except LipstreamError as error:
                self._outbox.add_text(error_message(error, fatal=False).model_dump_json())
            received = await self._websocket.receive()

    async def _message(self, received: Mapping[str, object]) -> ClientMessage | bytes:
        data = received.get("bytes")
        if isinstance(data, bytes):
            return data
        text = str(received.get("text"))
        # A long message is not parsed on the event loop, because that would hold up all other streams.
        return read_message(text) if len(text) < base64_text.PIECE else await asyncio.to_thread(read_message, text)

    async def _obey(self, message: ClientMessage | bytes) -> None:
        if not isinstance(message, Ping):
            self._heard_at = asyncio.get_running_loop().time()
        if isinstance(message, bytes):
            await self._feed(message)
        elif isinstance(message, AudioChunk):
            await self._feed(await asyncio.to_thread(base64_text.decode, message.audio, "audio"))
        elif isinstance(message, AudioEnd):
            self._speech.clear()
            await self._room()
            self._inbox.end()
        elif isinstance(message, Interrupt):
            self._speech.clear()
            await self._room(for_speech=False)
            self._inbox.interrupt()
            self._outbox.drop_frames()
        elif isinstance(message, Ping):
            self._outbox.add_text(Pong(id=message.id).model_dump_json())
        else:
            raise SessionError(
                "already_started", "The session has already started. Open another connection for another one."
            )

    async def _feed(self, data: bytes) -> None:
        await self._room()
        large = len(data) > base64_text.PIECE
        self._inbox.feed(await asyncio.to_thread(self._speech.read, data) if large else self._speech.read(data))

    async def _room(self, *, for_speech: bool = True) -> None:
        while self._inbox.crowded or (for_speech and self._inbox.full):
            self._made.clear()
            await self._made.wait()

    # The producer

    async def _produce(self) -> None:
        """Have a frame made whenever one is due. Raises :class:`SessionError` when the session has to end."""
        loop = asyncio.get_running_loop()
        settings = self._service.settings
        fps, lead = float(self._stream.fps), settings.live_lead_ms / 1000
        begun = self._heard_at = wanted = loop.time()
        start, index, said = begun - lead, 0, 0
        while True:
            due = start + index / fps
            await asyncio.sleep(due - loop.time())
            wanted, (events, packet) = await self._next_frame(max(due, wanted), due + float(self._prepared.patience))
            now = loop.time()
            self._lag = max(0.0, now - wanted)
            if self._lag > GIVEN_UP_SECONDS:
                logger.warning("Live session %s: a frame was %.1f s late, so its clock is moved.", self.name, self._lag)
                start += self._lag
            for event in events:
                self._outbox.add_text(event_message(event).model_dump_json())
            self._outbox.add_frame(packet)
            self._service.metrics.live_lateness.observe(self._lag)
            self._service.metrics.live_frames.inc()
            index += 1
            if index >= (said + 1) * fps:
                said += 1
                self._outbox.add_text(self._stats().model_dump_json())
            self._check_age(now, begun)

    async def _next_frame(self, wanted: float, latest: float) -> tuple[float, _Made]:
        """The next frame, and since when it could be made. ``wanted`` is the time of the loop's clock when it is due.

        Waits until ``latest`` for speech that is a little late. The waiting uses up a part of the lead.
        """
        loop = asyncio.get_running_loop()
        while True:
            left = latest - loop.time()
            self._inbox.mark()
            made = await self._service.live.run(partial(self._make, may_wait=left > 0))
            self._made.set()
            if made:
                return wanted, made
            await self._inbox.news(left)
            wanted = loop.time()

    def _make(self, *, may_wait: bool) -> _Made | None:
        """Make one frame, on a worker thread. None if it is better to wait for speech."""
        self._inbox.carry_out()
        if may_wait and self._stream.awaits_speech:
            return None
        moment = self._stream.advance()
        return moment.events, self._writer.write(moment.patch, moment.audio, key=self._outbox.broken)

    def _stats(self) -> Stats:
        return Stats(
            at_ms=milliseconds(self._stream.time),
            lag_ms=milliseconds(self._lag),
            buffered_ms=milliseconds(self._stream.buffered),
            dropped=self._outbox.dropped,
            starved=self._stream.starved,
        )

    def _check_age(self, now: float, begun: float) -> None:
        settings = self._service.settings
        if not self._stream.quiet:
            self._heard_at = now
        if now - self._heard_at > settings.live_idle_seconds:
            raise SessionError(
                "session_idle",
                f"Nothing was said for {settings.live_idle_seconds:g} seconds, so the session ends. Start a new one.",
            )
        if now - begun > settings.live_session_seconds:
            raise SessionError(
                "session_too_long",
                f"The session has reached the limit of {settings.live_session_seconds:g} seconds. Start a new one.",
            )

    # The sender

    async def _send(self) -> None:
        while True:
            content = (await self._outbox.get()).content
            if isinstance(content, str):
                await self._websocket.send_text(content)
            else:
                await self._websocket.send_bytes(content)

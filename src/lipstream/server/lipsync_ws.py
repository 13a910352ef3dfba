"""``/ws/lipsync``: a JSON message with a picture and a recording in, a JSON message with an MP4 out.

A connection has three tasks. The reader receives messages as they arrive, so it notices at once when the client leaves.
The answerer processes them one after another; between the two is an inbox that is limited in number and bytes. The
third task closes the connection if it has been idle for too long.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from lipstream.config import Settings
from lipstream.errors import BusyError, LipstreamError, RequestError
from lipstream.server.messages import (
    Incoming,
    RequestId,
    error_text,
    message_too_large,
    open_message,
    progress_text,
    success_text,
)
from lipstream.server.service import Meter, Service, internal_error
from lipstream.studio import Job

PROGRESS_INTERVAL = 0.1
"""Least time between two progress messages, in seconds."""


def lipsync_routes(service: Service) -> APIRouter:
    """The two documented paths."""
    router = APIRouter()

    @router.websocket("/ws/lipsync")
    @router.websocket("/ws/lip-sync")
    async def lipsync(websocket: WebSocket) -> None:
        await websocket.accept()
        with service.metrics.connections.track_inprogress():
            await Conversation(websocket, service).run()

    return router


CLOSING_SECONDS = 1.0
"""How long the closing handshake with a client may take."""
_POLICY = 1008  # RFC 6455, 7.4.1

Slot = list[str]
"""A message's text in a list of one item, so that its reader can take it out and free it."""


class Inbox:
    """Messages that wait for their turn: at most ``connection_queue``, and together at most ``max_message_bytes``."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._items: deque[Slot | LipstreamError] = deque()
        self._held = 0  # characters, which are bytes in every valid message
        self._filled = asyncio.Event()

    def put(self, item: Slot | LipstreamError) -> None:
        """Add a message, or an error to answer in its place. Raises :class:`BusyError` if the inbox is full."""
        size = _characters(item)
        full = len(self._items) >= max(1, self._settings.connection_queue)
        if full or (self._items and self._held + size > self._settings.max_message_bytes):
            raise BusyError(
                "server_busy",
                f"{len(self._items)} messages are already waiting on this connection. "
                "Wait for answers before sending more.",
            )
        self._items.append(item)
        self._held += size
        self._filled.set()

    async def get(self) -> Slot | LipstreamError:
        """Wait for the oldest message and take it out."""
        while not self._items:
            self._filled.clear()
            await self._filled.wait()
        item = self._items.popleft()
        self._held -= _characters(item)
        return item


def _characters(item: Slot | LipstreamError) -> int:
    return 0 if isinstance(item, LipstreamError) else len(item[0])


class Conversation:
    """One client's connection."""

    def __init__(self, websocket: WebSocket, service: Service) -> None:
        self._websocket = websocket
        self._service = service
        self._inbox = Inbox(service.settings)
        self._unanswered = 0
        self._used_at = asyncio.get_running_loop().time()

    async def run(self) -> None:
        """Answer until the client leaves, then stop the work that is being done for it."""
        tasks = [asyncio.create_task(work) for work in (self._read(), self._answer(), self._expire())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        if any(isinstance(result, WebSocketDisconnect) for result in results):
            return  # the other tasks may have failed to send because of it
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _read(self) -> None:
        while (message := await self._websocket.receive())["type"] != "websocket.disconnect":
            item = self._accept(message.get("text"))
            del message  # and item, below: megabytes that must not be kept until the next message
            self._used_at = asyncio.get_running_loop().time()
            try:
                self._inbox.put(item)
                self._unanswered += 1
            except BusyError as error:
                await self._refuse(item, error)
            del item

    def _accept(self, text: str | None) -> Slot | LipstreamError:
        if text is None:
            return RequestError("bad_json", "Binary messages are not accepted here. Send JSON as a text message.")
        if len(text) > self._service.settings.max_message_bytes:
            return message_too_large(self._service.settings)
        return [text]

    async def _refuse(self, item: Slot | LipstreamError, error: BusyError) -> None:
        request = (await self._open(item)).id
        await self._send_error(error, request)

    async def _answer(self) -> None:
        while True:  # no local variable: the megabytes of a finished request must not be kept until the next one
            await self._reply(await self._open(await self._inbox.get()))
            self._unanswered -= 1
            self._used_at = asyncio.get_running_loop().time()

    async def _expire(self) -> None:
        """Tell the client and return if nothing has been asked for too long and nothing is being answered."""
        loop, limit = asyncio.get_running_loop(), self._service.settings.connection_idle_seconds
        while True:
            left = limit if self._unanswered else self._used_at + limit - loop.time()
            if left <= 0:
                break
            await asyncio.sleep(left)
        reason = f"connection_idle: no request for {limit:g} seconds. Open a new connection."
        with suppress(asyncio.TimeoutError, RuntimeError):
            await asyncio.wait_for(self._websocket.close(_POLICY, reason), CLOSING_SECONDS)

    async def _reply(self, incoming: Incoming) -> None:
        if isinstance(incoming.content, LipstreamError):
            await self._send_error(incoming.content, incoming.id)
            return
        try:
            await self._perform(incoming.content, incoming.id, progress=incoming.progress)
        except LipstreamError as error:
            await self._send_error(error, incoming.id)

    async def _open(self, item: Slot | LipstreamError) -> Incoming:
        if isinstance(item, LipstreamError):
            return Incoming(item)
        try:
            return await asyncio.to_thread(open_message, item, self._service.settings)
        except Exception as error:
            return Incoming(internal_error(error))

    async def _perform(self, job: Job, request: RequestId | None, *, progress: bool) -> None:
        meter = Meter()
        reporter = asyncio.create_task(self._report(meter, request)) if progress else None
        try:
            text = await self._service.render(job, meter, lambda mp4: success_text(mp4, request))
        finally:
            if reporter:
                reporter.cancel()
                await asyncio.gather(reporter, return_exceptions=True)
        if reporter and not reporter.cancelled():
            try:
                reporter.result()  # raises: the client has left
            finally:
                del reporter  # breaks a reference cycle with its error and this frame
        if progress:
            await self._websocket.send_text(progress_text(meter.done, meter.total, request))
        await self._websocket.send_text(text)
        self._service.metrics.answered("websocket")

    async def _report(self, meter: Meter, request: RequestId | None) -> None:
        """Send a message whenever the work has progressed. The caller sends the last one, when all of it is done."""
        said = 0
        while True:
            await asyncio.sleep(PROGRESS_INTERVAL)
            if said < meter.done < meter.total:
                said = meter.done
                await self._websocket.send_text(progress_text(said, meter.total, request))

    async def _send_error(self, error: LipstreamError, request: RequestId | None) -> None:
        self._service.metrics.answered("websocket", error.code)
        await self._websocket.send_text(error_text(error, request))

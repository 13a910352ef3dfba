"""Live sessions whose receiver pauses: the real application behind an ASGI connection that can be paused at will.

Sockets cannot be held up: the kernels on both sides take megabytes before anybody notices.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import av
import numpy as np
import pytest
from fastapi import FastAPI
from starlette.types import Message

from lipstream.config import Settings
from lipstream.server.service import Service
from lipstream.server.stream_ws import stream_routes

Item = dict[str, Any] | bytes


class Line:
    """A client's end of an ASGI WebSocket."""

    def __init__(self) -> None:
        self.flowing = asyncio.Event()
        """While it is not set, the server cannot send."""
        self.flowing.set()
        self.received: list[Item] = []
        self._inbound: asyncio.Queue[Message] = asyncio.Queue()
        self._inbound.put_nowait({"type": "websocket.connect"})

    def say(self, message: dict[str, Any] | bytes) -> None:
        """Send a message to the server."""
        content = {"bytes": message} if isinstance(message, bytes) else {"text": json.dumps(message)}
        self._inbound.put_nowait({"type": "websocket.receive", **content})

    def leave(self) -> None:
        """Close the connection."""
        self._inbound.put_nowait({"type": "websocket.disconnect", "code": 1001})

    async def receive(self) -> Message:
        """For the server: the next message."""
        return await self._inbound.get()

    async def send(self, message: Message) -> None:
        """For the server: a message is on its way."""
        await self.flowing.wait()
        if message["type"] == "websocket.send":
            text = message.get("text")
            self.received.append(message["bytes"] if text is None else json.loads(text))

    @property
    def media(self) -> list[bytes]:
        """All media so far."""
        return [item for item in self.received if isinstance(item, bytes)]

    def events(self, kind: str) -> list[dict[str, Any]]:
        """All messages of a kind so far."""
        return [item for item in self.received if isinstance(item, dict) and item["type"] == kind]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until it is so."""
        for _ in range(3_000):
            if condition():
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it did not happen")


@asynccontextmanager
async def session(portrait: bytes, **video: Any) -> AsyncIterator[Line]:
    """A running session of an application of its own."""
    service = Service(Settings())
    await service.load()
    app = FastAPI()
    app.include_router(stream_routes(service))
    line = Line()
    scope = {"type": "websocket", "path": "/ws/stream", "headers": [], "query_string": b"", "subprotocols": []}
    serving = asyncio.create_task(app(scope, line.receive, line.send))
    line.say({"type": "session.start", "image": base64.b64encode(portrait).decode(), "video": video})
    try:
        await line.until(lambda: len(line.media) > 5)
        yield line
    finally:
        line.leave()
        line.flowing.set()
        await asyncio.wait_for(serving, 10)
        assert service.live.places.taken == 0
        service.close()


def test_after_a_pause_it_goes_on_with_a_key_frame(portrait: bytes) -> None:
    async def play() -> None:
        async with session(portrait, container="fmp4") as line:
            await line.until(lambda: len(line.media) > 54)  # just after the key frame number 51
            line.flowing.clear()
            await asyncio.sleep(1.5)
            line.flowing.set()
            sent = len(line.media)
            await line.until(lambda: len(line.media) > sent + 40 and line.events("stats"))
            await line.until(lambda: line.events("stats")[-1]["dropped"])
            head, *fragments = line.media
        numbers = [struct.unpack(">I", one[20:24])[0] for one in fragments]
        (gap,) = np.flatnonzero(np.diff(numbers) > 1)
        assert numbers[gap + 1] - numbers[gap] > 25, "more than a second is gone"
        assert numbers[gap + 1] < 101, "it did not wait for the usual key frame"
        with av.open(io.BytesIO(head + b"".join(fragments[gap + 1 :]))) as file:
            assert file.streams.video[0].time_base is not None
            first = next(file.demux(video=0))
            assert first.is_keyframe
        with av.open(io.BytesIO(head + b"".join(fragments))) as file:
            assert sum(1 for _ in file.decode(video=0)) == len(fragments), "all of it can be decoded"

    asyncio.run(asyncio.wait_for(play(), 60))


def test_an_interruption_does_not_wait_behind_old_media(portrait: bytes) -> None:
    async def play() -> None:
        async with session(portrait, container="mjpeg") as line:
            line.say(np.full(16_000 * 20, 5_000, "<i2").tobytes())
            await line.until(lambda: line.events("speech.started"))
            await line.until(lambda: len(line.media) > 20)
            line.flowing.clear()
            await asyncio.sleep(0.7)  # some 17 frames of speech wait
            before = len(line.received)
            line.say({"type": "interrupt"})
            await asyncio.sleep(0.2)
            line.flowing.set()
            await line.until(lambda: line.events("speech.interrupted"))
            await line.until(lambda: len(line.received) > before + 20)
            late = line.received[before:]
            told = late.index(line.events("speech.interrupted")[0])
            assert len([item for item in late[:told] if isinstance(item, bytes)]) <= 2, "those that were under way"
            for item in late[told:]:
                if isinstance(item, bytes):
                    assert not any(item[24 + struct.unpack_from("<I", item, 16)[0] :]), "silence"

    asyncio.run(asyncio.wait_for(play(), 60))


@pytest.mark.slow
def test_a_receiver_that_never_comes_back_is_given_up(portrait: bytes) -> None:
    async def play() -> None:
        async with session(portrait, container="mjpeg") as line:
            line.flowing.clear()
            await asyncio.sleep(14)
            line.flowing.set()
            sent = len(line.media)
            await asyncio.sleep(1)
            assert len(line.media) <= sent + 1, "the session is over, although nobody could be told"

    asyncio.run(asyncio.wait_for(play(), 60))

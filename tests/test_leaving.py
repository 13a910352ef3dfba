"""A client of ``/ws/lipsync`` that leaves in the moment in which it is told something."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from fastapi import WebSocketDisconnect

from lipstream.config import Settings
from lipstream.job import Job
from lipstream.server.lipsync_ws import PROGRESS_INTERVAL, Conversation
from lipstream.server.service import Meter, Service

REQUEST = json.dumps({"image": "QUJD", "audio": "QUJD", "progress": True})


class Leaving:
    """A connection that is gone when something is sent, which Starlette says only once."""

    def __init__(self) -> None:
        self.sent = 0
        self._messages = [{"type": "websocket.receive", "text": REQUEST}]

    async def receive(self) -> dict[str, str]:
        if not self._messages:
            await asyncio.Event().wait()
        return self._messages.pop()

    async def send_text(self, _: str) -> None:
        self.sent += 1
        if self.sent == 1:
            raise WebSocketDisconnect
        raise RuntimeError('Cannot call "send" once a close message has been sent.')


async def render(_: Job, meter: Meter, then: Callable[[bytes], str]) -> str:
    """A job that is half done when progress is told, and done before anybody has noticed more."""
    meter.update(1, 2)
    await asyncio.sleep(3 * PROGRESS_INTERVAL)
    return then(b"")


def test_leaving_while_progress_is_told_is_no_mistake() -> None:
    async def talk() -> None:
        websocket = Leaving()
        metrics = SimpleNamespace(answered=lambda *_: None)
        service = SimpleNamespace(settings=Settings(), metrics=metrics, render=render)
        await Conversation(cast(Any, websocket), cast(Service, service)).run()
        assert websocket.sent == 1
        await asyncio.sleep(PROGRESS_INTERVAL)  # the loop lets go of what it has just done
        assert not [thing for thing in gc.get_objects() if isinstance(thing, Job)], "nobody keeps its megabytes"

    gc.collect()
    gc.disable()
    try:
        asyncio.run(asyncio.wait_for(talk(), 30))
    finally:
        gc.enable()

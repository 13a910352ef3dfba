"""A client of ``/ws/lipsync`` that leaves at the moment when the server sends it something."""

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
    """A connection that is found closed on sending. Starlette reports that properly only the first time."""

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
    """A job that is half done when progress is sent, and ends before anybody has noticed that the client left."""
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
        # isinstance would wake the proxies of other libraries, some of which warn.
        assert not [thing for thing in gc.get_objects() if type(thing) is Job], "nobody keeps its megabytes"

    gc.collect()
    gc.disable()
    try:
        asyncio.run(asyncio.wait_for(talk(), 30))
    finally:
        gc.enable()

"""The threads that prepare and draw for all live streams, and how many streams there may be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from lipstream.config import Settings
from lipstream.server.limits import Places, WorkQueue

T = TypeVar("T")


class LivePool:
    """A few threads for many streams.

    Every stream asks for one frame at a time and the threads take first what was asked first, so turns are fair however
    many streams there are. Belongs to the event loop.
    """

    def __init__(self, settings: Settings) -> None:
        self._threads = ThreadPoolExecutor(settings.live_workers, thread_name_prefix="lipstream-live")
        # Apart from the frames, which cannot wait, and from asyncio's own threads, which read other streams' messages.
        self._preparing = WorkQueue(workers=settings.live_workers, waiting=settings.live_sessions)
        self.places = Places(settings.live_sessions, "live streams")
        """One for every stream that runs or is prepared."""

    async def run(self, work: Callable[[], T]) -> T:
        """Run blocking work when it is its turn. Raises what it raises."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def prepare(self, work: Callable[[Callable[[], bool]], T]) -> T:
        """Run what a stream needs before its first frame, which takes seconds for a clip, as a job of
        :class:`WorkQueue`."""
        return await self._preparing.run(work)

    def close(self) -> None:
        """Take no more work. Does not wait; a frame takes milliseconds, and what is being prepared is cancelled."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._preparing.close()

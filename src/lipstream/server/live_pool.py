"""The threads that prepare and draw all live streams, and the limit on the number of streams."""

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

    Every stream requests one frame at a time and requests are served in order, so that streams get their turns fairly.
    Belongs to the event loop.
    """

    def __init__(self, settings: Settings) -> None:
        self._threads = ThreadPoolExecutor(settings.live_workers, thread_name_prefix="lipstream-live")
        # Not on the threads of the frames, which cannot wait, nor on asyncio's, which read messages of other streams.
        self._preparing = WorkQueue(workers=settings.live_workers, waiting=settings.live_sessions)
        self.places = Places(settings.live_sessions, "live streams")
        """One for every stream that runs or is being prepared."""

    async def run(self, work: Callable[[], T]) -> T:
        """Run blocking work when its turn comes. Raises what it raises."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def prepare(self, work: Callable[[Callable[[], bool]], T]) -> T:
        """Run, as a job of :class:`WorkQueue`, what a stream needs before its first frame. Takes seconds for a clip."""
        return await self._preparing.run(work)

    def close(self) -> None:
        """Accept no more work. Does not wait: a frame takes milliseconds, and preparations are cancelled."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._preparing.close()

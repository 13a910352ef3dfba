"""What all endpoints share: the studio once it is loaded, the queue in front of it, and the counters."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Literal, TypeVar

from lipstream.avatar_library import AvatarLibrary
from lipstream.config import MIB, Settings
from lipstream.errors import BusyError, LipstreamError
from lipstream.models.store import default_cache
from lipstream.server.limits import Places, WorkQueue
from lipstream.server.live_pool import LivePool
from lipstream.server.metrics import Metrics
from lipstream.studio import Job, Studio
from lipstream.threads import one_thread_per_library

logger = logging.getLogger(__name__)

T = TypeVar("T")

State = Literal["loading", "warming up", "ready", "failed"]

LOADING_PATIENCE = 30.0
"""How long a request that comes while models are loading waits for them, in seconds."""


class Meter:
    """How far a job is. Written by its worker thread, read by the event loop: the newest value is enough."""

    def __init__(self) -> None:
        self.done = 0
        self.total = 0

    def update(self, done: int, total: int) -> None:
        """Note that ``done`` of ``total`` frames are made."""
        self.total = total
        self.done = done


class Service:
    """One per application; lives on its event loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.queue = WorkQueue(workers=settings.workers, waiting=settings.queue_size)
        self.live = LivePool(settings)
        self.connections = Places(settings.max_connections, "connections")
        self.metrics = Metrics(self.queue, self.connections)
        directory = settings.avatar_dir or (settings.cache_dir or default_cache()) / "avatars"
        self.avatars = AvatarLibrary(directory, settings.avatar_store_mb * MIB)
        self.state: State = "loading"
        self.problem: LipstreamError | None = None
        """Why the state is ``failed``."""
        self._studio: Studio | None = None
        self._settled = asyncio.Event()

    async def load(self) -> None:
        """Load the models and warm up, off the event loop. Ends in state ``ready`` or ``failed``; raises nothing."""
        try:
            studio = await asyncio.to_thread(self._open)
            self.state = "warming up"
            await asyncio.to_thread(studio.warm_up)
            self._studio = studio
            self.state = "ready"
            logger.info("Ready.")
        except LipstreamError as error:
            logger.error("Cannot start: %s (%s)", error.message, error.code)
            self._fail(error)
        except Exception as error:
            self._fail(internal_error(error))
        finally:
            self._settled.set()

    def _open(self) -> Studio:
        one_thread_per_library()
        if not self.avatars.writable:
            logger.warning(
                "Nothing can be written in %s: avatars cannot be uploaded. Set LIPSTREAM_AVATAR_DIR.",
                self.avatars.directory,
            )
        return Studio.open(self.settings)

    def _fail(self, error: LipstreamError) -> None:
        self.state = "failed"
        self.problem = error

    async def studio(self) -> Studio:
        """The studio, after waiting for it a little.

        Raises :class:`BusyError` (``not_ready``) when that takes too long, and the start's own error when it failed.
        """
        try:
            await asyncio.wait_for(self._settled.wait(), LOADING_PATIENCE)
        except asyncio.TimeoutError:
            raise BusyError("not_ready", "The server is still loading its models. Try again in a moment.") from None
        if self._studio is None:
            raise self.problem.fresh() if self.problem else BusyError("not_ready", "The server is shutting down.")
        return self._studio

    async def render(self, job: Job, meter: Meter, then: Callable[[bytes], T]) -> T:
        """Do a job when a worker is free, then ``then`` with its MP4 on the same thread.

        Raises :class:`LipstreamError`. Cancelling the calling task stops the work.
        """
        studio = await self.studio()

        def work(cancelled: Callable[[], bool]) -> T:
            with self.metrics.job_seconds.time():
                mp4 = studio.render(job, on_progress=meter.update, cancelled=cancelled)
            self.metrics.frames.inc(meter.done)
            return then(mp4)

        try:
            return await self.queue.run(work)
        except LipstreamError:
            raise
        except Exception as error:
            raise internal_error(error) from error

    def close(self) -> None:
        """Stop all work."""
        self.queue.close()
        self.live.close()


def internal_error(error: Exception) -> LipstreamError:
    """What clients hear about a mistake of ours; the log hears the rest."""
    logger.error("Unexpected error", exc_info=error)
    return our_mistake()


def our_mistake() -> LipstreamError:
    """The same for what is logged by somebody else."""
    return LipstreamError(
        "internal_error", "Something went wrong in the server, and it was logged. Trying again may or may not help."
    )

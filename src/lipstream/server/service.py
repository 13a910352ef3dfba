"""What all endpoints share: the studio once it is loaded, the job queue and the metrics."""

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
"""How long a request waits while the models are loading, in seconds."""


class Meter:
    """The progress of a job. Written by its worker thread and read by the event loop, which only needs the newest."""

    def __init__(self) -> None:
        self.done = 0
        self.total = 0

    def update(self, done: int, total: int) -> None:
        """Set the progress: ``done`` of ``total`` frames."""
        self.total = total
        self.done = done


class Service:
    """One per application. Belongs to its event loop."""

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
                "%s is not writable, so avatars cannot be uploaded. Set LIPSTREAM_AVATAR_DIR to a writable folder.",
                self.avatars.directory,
            )
        return Studio.open(self.settings)

    def _fail(self, error: LipstreamError) -> None:
        self.state = "failed"
        self.problem = error

    async def studio(self) -> Studio:
        """The studio. Waits for it for up to :data:`LOADING_PATIENCE`.

        Raises :class:`BusyError` (``not_ready``) if it takes longer, and the original error if loading failed.
        """
        try:
            await asyncio.wait_for(self._settled.wait(), LOADING_PATIENCE)
        except asyncio.TimeoutError:
            raise BusyError("not_ready", "The server is still loading its models. Try again in a moment.") from None
        if self._studio is None:
            raise self.problem.fresh() if self.problem else BusyError("not_ready", "The server is shutting down.")
        return self._studio

    async def render(self, job: Job, meter: Meter, then: Callable[[bytes], T]) -> T:
        """Run a job when a worker is free, then call ``then`` with its MP4 on the same thread.

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
    """Log a bug of ours; gives the error that clients are told."""
    logger.error("Unexpected error", exc_info=error)
    return our_mistake()


def our_mistake() -> LipstreamError:
    """The error that clients are told about a bug of ours, without logging it."""
    return LipstreamError(
        "internal_error", "Something went wrong in the server. The details are in its log. Trying again may help."
    )

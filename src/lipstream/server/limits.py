"""Limits on how much is done at once: a fixed number of places, workers and waiting jobs; more is refused."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from lipstream.errors import BusyError, CancelledError

T = TypeVar("T")

RETRY_SECONDS = 5
"""How long clients are told to wait if there is no room, in seconds."""


class Places:
    """A limited number of places for things that happen at the same time. Belongs to the event loop."""

    def __init__(self, most: int, what: str) -> None:
        """``what`` completes the sentence "8 … are open" in the refusal."""
        self._most = most
        self._what = what
        self.taken = 0
        """Places that are taken."""

    def refusal(self) -> BusyError | None:
        """The error to answer with (``server_busy``) if all places are taken, else None."""
        if self.taken < self._most:
            return None
        if not self._most:
            return BusyError("server_busy", f"This server allows no {self._what}.")
        return BusyError(
            "server_busy",
            f"{self.taken} {self._what} are open, and no more are allowed. Try again in {RETRY_SECONDS} seconds.",
        )

    @contextmanager
    def take(self) -> Iterator[None]:
        """Take a place while the block runs. Raises :class:`BusyError` (``server_busy``) if there is none."""
        if refusal := self.refusal():
            raise refusal
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


class WorkQueue:
    """Runs blocking jobs on ``workers`` threads, first come, first served; at most ``waiting`` jobs wait.

    A job is a function that is given ``cancelled``, which tells whether the result is no longer wanted. The job calls
    it every few milliseconds and, if so, raises :class:`lipstream.errors.CancelledError`. A job keeps its worker until
    it has really ended, so the limits hold even if callers come and go quickly.
    """

    def __init__(self, *, workers: int, waiting: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="lipstream-job")
        self._workers = workers
        self._waiting = waiting
        self._lock = threading.Lock()
        self._flags: set[threading.Event] = set()  # one per job that was admitted and has not ended
        self._closed = False

    @property
    def running(self) -> int:
        """Jobs that have a worker."""
        return min(len(self._flags), self._workers)

    @property
    def waiting(self) -> int:
        """Jobs that wait for a worker."""
        return max(0, len(self._flags) - self._workers)

    async def run(self, job: Callable[[Callable[[], bool]], T]) -> T:
        """Wait for a worker, then for the job's result. Cancelling the caller's task cancels the job.

        Raises :class:`BusyError` (``server_busy``) at once if there is no room, :class:`CancelledError` if the queue is
        or will be closed, and whatever the job raises.
        """
        flag = threading.Event()
        with self._lock:
            if self._closed:
                raise CancelledError
            if len(self._flags) >= self._workers + self._waiting:
                raise BusyError(
                    "server_busy",
                    f"The server is working on {self._workers} jobs and {self._waiting} more are waiting. "
                    f"Try again in {RETRY_SECONDS} seconds.",
                )
            self._flags.add(flag)

        def work() -> T:
            if flag.is_set():
                raise CancelledError
            return job(flag.is_set)

        def release(_: Future[T]) -> None:
            with self._lock:
                self._flags.discard(flag)

        future = self._pool.submit(work)
        future.add_done_callback(release)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            flag.set()
            raise
        finally:
            del future  # breaks the reference cycle of a failed job: its error, this frame, the future, the error

    def close(self) -> None:
        """Cancel all jobs and accept no more. Does not wait: each job ends when it next calls ``cancelled``."""
        with self._lock:
            self._closed = True
            for flag in self._flags:
                flag.set()
        self._pool.shutdown(wait=False)  # jobs that wait see their flag first thing, so they need not be removed

"""How many sessions may speak at the same time."""

from __future__ import annotations

import asyncio
import random
import sys
import time

import numpy as np
from numpy.typing import NDArray

from benchmarks.live.ground import (
    FPS,
    MOST_SESSIONS,
    Server,
    media_until,
    next_media,
    process_metric,
    speak_for_ever,
    speech,
)
from lipstream.client import Media, connect
from lipstream.errors import LipstreamError

LATE_SECONDS = 0.04
SESSION_SECONDS = 10.0
AHEAD_SECONDS = 0.5
"""Of the speech: as from speech synthesis, so that no frame waits for its sender, and only the server can be late."""


async def most_sessions(url: str, picture: bytes, engine: str) -> int:
    """How many may speak at the same time."""
    for sessions in range(1, MOST_SESSIONS + 1):
        # Twice if need be: a hiccup of the machine is not the server's limit.
        if not (await in_time(url, picture, engine, sessions) or await in_time(url, picture, engine, sessions)):
            return sessions - 1
    return MOST_SESSIONS


async def cpu_of_one(server: Server, picture: bytes, engine: str) -> float:
    """CPU seconds that a second of one speaking stream takes; other work on the machine changes it little."""
    async with connect(server.stream, image=picture, engine=engine, width=512, sample_rate=speech()[1]) as session:
        speaking = asyncio.create_task(speak_for_ever(session, ahead=AHEAD_SECONDS))
        await media_until(session, "speech.started")
        await media_until(session, "stats")
        begin, frames = time.perf_counter(), 0
        before = await asyncio.to_thread(process_metric, server, "cpu_seconds_total")
        while time.perf_counter() < begin + SESSION_SECONDS:
            await next_media(session)
            frames += 1
        used = await asyncio.to_thread(process_metric, server, "cpu_seconds_total") - before
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)
    return round(used / (frames / float(FPS)), 2)


async def in_time(url: str, picture: bytes, engine: str, sessions: int) -> bool:
    """Whether this many sessions get their frames in time."""
    try:
        late = await asyncio.gather(*(lateness(url, picture, engine) for _ in range(sessions)))
    except LipstreamError as error:
        print(f"{engine}: {sessions} sessions: {error}", file=sys.stderr)
        return False
    p99 = float(np.percentile(np.concatenate(late), 99))
    print(f"{engine}: {sessions} sessions, p99 lateness {p99 * 1000:.0f} ms", file=sys.stderr)
    return p99 <= LATE_SECONDS


async def lateness(url: str, picture: bytes, engine: str) -> NDArray[np.float64]:
    """Seconds by which each frame of a speaking session is later than its clock, which the earliest of them sets."""
    await asyncio.sleep(random.uniform(0, 0.5))
    arrivals = []
    async with connect(url, image=picture, engine=engine, width=512, sample_rate=speech()[1]) as session:
        speaking = asyncio.create_task(speak_for_ever(session, ahead=AHEAD_SECONDS))
        begin = time.perf_counter()
        async for item in session:
            if isinstance(item, Media) and item.number > 0:
                arrivals.append(time.perf_counter() - (item.number - 1) / float(FPS))
            if time.perf_counter() - begin > SESSION_SECONDS:
                break
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)
    settled = np.array(arrivals[int(FPS) :], np.float64)
    return np.asarray(settled - np.percentile(settled, 1), np.float64)

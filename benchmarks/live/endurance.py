"""One session for many minutes: drift and memory."""

from __future__ import annotations

import asyncio
import statistics
import time

import numpy as np

from benchmarks.live.ground import FPS, Server, next_media, process_metric, speak_for_ever, speech
from benchmarks.live.latencies import sound_end
from lipstream.client import connect
from lipstream.server.stream_session import GIVEN_UP_SECONDS


async def soak(server: Server, picture: bytes, minutes: float) -> dict[str, float]:
    """One session in real time: how far picture, sound and wall clock move apart, and how much memory it takes.

    When the machine does not let the server draw for half a second or more, the stream's clock is moved by as much:
    such stalls are drift as well, and listed.
    """
    behind, late = [], []
    async with connect(server.stream, image=picture, engine="portrait", sample_rate=speech()[1]) as session:
        speaking = asyncio.create_task(speak_for_ever(session))
        before, frames, begin = 0.0, 0, time.perf_counter()
        while frames < minutes * 60 * FPS:
            end = sound_end((await next_media(session)).data)
            late.append(time.perf_counter() - begin - frames / float(FPS))
            frames += 1
            if end:
                behind.append((frames - 1) / float(FPS) - end / session.ready["audio_rate"])
            if frames == 60 * FPS:
                before = await asyncio.to_thread(process_metric, server, "resident_memory_bytes")
        grown = await asyncio.to_thread(process_metric, server, "resident_memory_bytes") - before
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)
    minute = int(60 * FPS)
    return {
        "minutes": minutes,
        "sound_behind_picture_ms_min": round(min(behind[5:]) * 1000, 1),
        "sound_behind_picture_ms_max": round(max(behind[5:]) * 1000, 1),
        "clock_drift_ms": round((statistics.median(late[-minute:]) - statistics.median(late[:minute])) * 1000, 1),
        "stalls_ms": [round(gap * 1000) for gap in np.diff(late) if gap > GIVEN_UP_SECONDS],
        "memory_grown_mb": round(grown / 2**20, 1),
    }

"""How fast the server answers, seen from a client on loopback."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import numpy as np

from benchmarks.live.ground import media_until, next_media, percentiles, speak_for_ever, speech
from lipstream.client import StreamSession, connect

JITTER_SECONDS = 0.02
JITTER_TALK_SECONDS = 20.0


async def latencies(url: str, picture: bytes, rounds: int) -> dict[str, Any]:
    """First frame and barge-in, one session after the other."""
    barge = []
    async with connect(url, image=picture, engine="portrait", sample_rate=speech()[1]) as session:
        first = [await first_frame(session) for _ in range(rounds)]
    for _ in range(rounds):
        async with connect(url, image=picture, engine="portrait", sample_rate=speech()[1]) as session:
            barge.append(await barge_in(session))
    return {
        "first_frame_ms": percentiles(first),
        "barge_in_ms": percentiles(barge),
        "starved_with_jitter": await starved_with_jitter(url, picture),
    }


async def first_frame(session: StreamSession) -> float:
    """Seconds; the utterance is broken off afterwards."""
    await media_until(session, "stats")
    await asyncio.sleep(random.uniform(0, 0.2))  # any phase of the frame clock
    begin = time.perf_counter()
    speaking = asyncio.create_task(speak_for_ever(session))
    await media_until(session, "speech.started")
    await next_media(session)
    taken = time.perf_counter() - begin
    speaking.cancel()
    await asyncio.gather(speaking, return_exceptions=True)
    await session.interrupt()
    await media_until(session, "speech.interrupted")
    return taken


async def barge_in(session: StreamSession) -> float:
    """Seconds; the session ends afterwards."""
    pcm, rate = speech()
    minute = np.tile(pcm[:, 0], 1 + 60 * rate // len(pcm))[: 60 * rate]
    session.allow_ahead(90_000)
    await session.send(minute)
    await media_until(session, "speech.started")
    for _ in range(random.randint(10, 40)):
        await next_media(session)
    await asyncio.sleep(random.uniform(0, 0.04))
    begin = time.perf_counter()
    await session.interrupt()
    event = await media_until(session, "speech.interrupted")
    silent_from = event["at_ms"] / 1000 * session.ready["audio_rate"]
    while (await next_sound_end(session)) <= silent_from:
        pass
    return time.perf_counter() - begin


async def starved_with_jitter(url: str, picture: bytes) -> int:
    """Frames that were idled for a sender whose chunks come up to :data:`JITTER_SECONDS` late."""
    async with connect(url, image=picture, engine="portrait", sample_rate=speech()[1]) as session:
        speaking = asyncio.create_task(speak_for_ever(session, jitter=JITTER_SECONDS))
        while (stats := await media_until(session, "stats"))["at_ms"] < JITTER_TALK_SECONDS * 1000:
            pass
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)
    return int(stats["starved"])


async def next_sound_end(session: StreamSession) -> int:
    """The next fragment: where the sound that has come ends, in samples; 0 if it brought none."""
    return sound_end((await next_media(session)).data)


def sound_end(data: bytes) -> int:
    """Where the sound of a fragment ends, in samples; 0 if it has none."""
    second = data.find(b"tfdt", data.find(b"tfdt") + 4)
    if second < 0:
        return 0
    time_of_sound = int.from_bytes(data[second + 8 : second + 16], "big")
    trun = data.find(b"trun", second)
    return time_of_sound + 1024 * int.from_bytes(data[trun + 8 : trun + 12], "big")

"""How fast the server answers, seen from a client on loopback."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

import numpy as np
from websockets.asyncio.client import connect as open_websocket

from benchmarks.live.ground import Server, media_until, next_media, percentiles, speak_for_ever, speech
from lipstream.client import StreamSession, connect

JITTER_SECONDS = 0.02
JITTER_TALK_SECONDS = 20.0
JOBS = 2


async def latencies(server: Server, picture: bytes, rounds: int) -> dict[str, Any]:
    """First frame and barge-in, one session after the other."""
    url, barge = server.stream, []
    first = await first_frames(url, picture, rounds)
    async with jobs(server, picture):
        beside_jobs = await first_frames(url, picture, rounds)
    for _ in range(rounds):
        async with connect(url, image=picture, engine="portrait", sample_rate=speech()[1]) as session:
            barge.append(await barge_in(session))
    return {
        "first_frame_ms": percentiles(first),
        "first_frame_beside_jobs_ms": percentiles(beside_jobs),
        "barge_in_ms": percentiles(barge),
        "starved_with_jitter": await starved_with_jitter(url, picture),
    }


@asynccontextmanager
async def jobs(server: Server, picture: bytes) -> AsyncIterator[None]:
    """While the block runs, :data:`JOBS` clients have a video made, again and again."""
    recording = (files("lipstream") / "assets" / "sample.wav").read_bytes()
    request = json.dumps(
        {name: base64.b64encode(file).decode() for name, file in (("image", picture), ("audio", recording))}
    )

    async def ask() -> None:
        async with open_websocket(server.url("/ws/lipsync").replace("http", "ws"), max_size=None) as websocket:
            while True:
                await websocket.send(request)
                await websocket.recv()

    asking = [asyncio.create_task(ask()) for _ in range(JOBS)]
    try:
        yield
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


async def first_frames(url: str, picture: bytes, rounds: int) -> list[float]:
    """Seconds, of one session."""
    async with connect(url, image=picture, engine="portrait", sample_rate=speech()[1]) as session:
        return [await first_frame(session) for _ in range(rounds)]


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

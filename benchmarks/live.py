"""What live streaming costs and how fast it answers: ``python -m benchmarks.live [--json]``.

The server runs in a process of its own and is used over loopback; stages are timed in this process, on one thread.
Nothing else should run on the machine.

* ``first_frame_ms``: from sending the first chunk of speech (20 ms each, in real time) to receiving its first frame.
* ``barge_in_ms``: from sending ``interrupt``, with a minute queued, to having received both the first idle frame and
  the first sample of silence.
* ``stage_ms``: milliseconds per frame by stage and size.
* ``sessions_…``: most sessions that speak at the same time, at 512×512 and 25 fps, of which 99 % of the frames arrive
  less than 40 ms late.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
import wave
from collections.abc import Iterator
from fractions import Fraction
from importlib.resources import files
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lipstream.client import Event, Media, StreamSession, connect
from lipstream.config import Settings
from lipstream.errors import LipstreamError
from lipstream.idle import IdleMotion
from lipstream.live import AudioFormat, LiveStream
from lipstream.media.fragments import FragmentWriter, JpegWriter, MediaWriter
from lipstream.media.size import SizeLimit
from lipstream.models.assets import SAMPLE_PORTRAIT
from lipstream.models.store import ModelStore
from lipstream.studio import EngineName, Studio
from lipstream.threads import one_thread_per_library

FPS = Fraction(25)
CHUNK_SECONDS = 0.02
LATE_SECONDS = 0.04
SESSION_SECONDS = 10.0
MOST_SESSIONS = 24


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON only")
    parser.add_argument("--rounds", type=int, default=30, help="of first frame and barge-in (default: %(default)s)")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="instead, stream for so long and look for drift")
    options = parser.parse_args()
    picture = sample_picture()
    if options.soak:
        with server() as (url, _):
            print(json.dumps({"soak": asyncio.run(soak(url, picture, options.soak))}))
        return
    results: dict[str, Any] = {"stage_ms": stages(picture)}
    with server() as (url, engines):
        results |= asyncio.run(latencies(url, picture, options.rounds))
        for engine in ("portrait", "wav2lip"):
            known = engine in engines
            results[f"sessions_{engine}"] = asyncio.run(most_sessions(url, picture, engine)) if known else None
    print(json.dumps(results, indent=None if options.json else 1))


# Stages


def stages(picture: bytes) -> dict[str, dict[str, float]]:
    """Median milliseconds per frame, by size."""
    one_thread_per_library()
    studio = Studio.open(Settings())
    return {
        "512x512": stage_times(studio, picture, SizeLimit(10**9, 512)),
        "1920x1080": stage_times(studio, full_hd(picture), SizeLimit(10**9)),
    }


def stage_times(studio: Studio, picture: bytes, limit: SizeLimit) -> dict[str, float]:
    """One portrait that speaks for six seconds, then idles for four."""
    engine: EngineName = "portrait"
    pcm, rate = speech()
    actor = studio.live_actor(picture, engine, limit)
    audio = AudioFormat(rate, 1)
    stream = LiveStream(
        actor, audio, FPS, lookahead=studio.engine(engine).lookahead, idle=IdleMotion(0, FPS), buffer_seconds=60
    )
    avatar = actor.avatar.picture
    writers: dict[str, MediaWriter] = {
        "fmp4": FragmentWriter(avatar, FPS, sample_rate=rate, channels=1),
        "mjpeg": JpegWriter(avatar, sample_rate=rate),
    }
    times: dict[str, list[float]] = {"speak": [], "idle": [], **{name: [] for name in writers}}
    stream.feed(pcm)
    stream.end()
    for _ in range(250):
        begin = time.perf_counter()
        moment = stream.advance()
        times["speak" if moment.speaking else "idle"].append(time.perf_counter() - begin)
        for name, writer in writers.items():
            begin = time.perf_counter()
            writer.write(moment.patch, moment.audio)
            times[name].append(time.perf_counter() - begin)
    return {name: round(statistics.median(values) * 1000, 2) for name, values in times.items()}


# Latencies


async def latencies(url: str, picture: bytes, rounds: int) -> dict[str, Any]:
    """First frame and barge-in, one session after the other."""
    barge = []
    async with connect(url, image=picture, engine="portrait", sample_rate=speech()[1]) as session:
        first = [await first_frame(session) for _ in range(rounds)]
    for _ in range(rounds):
        async with connect(url, image=picture, engine="portrait", sample_rate=speech()[1]) as session:
            barge.append(await barge_in(session))
    return {"first_frame_ms": percentiles(first), "barge_in_ms": percentiles(barge)}


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


async def media_until(session: StreamSession, kind: str) -> Event:
    """Skip to the next event of a kind."""
    async for item in session:
        if isinstance(item, Event) and item.type == kind:
            return item
    raise RuntimeError("the session ended")


async def next_media(session: StreamSession) -> Media:
    """Skip to the next media message."""
    async for item in session:
        if isinstance(item, Media):
            return item
    raise RuntimeError("the session ended")


async def speak_for_ever(session: StreamSession) -> None:
    """Speech in real time, in small chunks."""
    pcm, rate = speech()
    chunk = int(rate * CHUNK_SECONDS)
    begin, sent = time.perf_counter(), 0
    while True:
        start = sent % (len(pcm) - chunk)
        await session.send(pcm[start : start + chunk, 0])
        sent += chunk
        await asyncio.sleep(begin + sent / rate - time.perf_counter())


# Endurance


async def soak(url: str, picture: bytes, minutes: float) -> dict[str, float]:
    """One session in real time: how far picture, sound and wall clock move apart, and how much memory it takes."""
    behind, late = [], []
    async with connect(url, image=picture, engine="portrait", sample_rate=speech()[1]) as session:
        speaking = asyncio.create_task(speak_for_ever(session))
        before, frames, begin = 0.0, 0, time.perf_counter()
        while frames < minutes * 60 * FPS:
            end = sound_end((await next_media(session)).data)
            late.append(time.perf_counter() - begin - frames / float(FPS))
            frames += 1
            if end:
                behind.append((frames - 1) / float(FPS) - end / session.ready["audio_rate"])
            if frames == 60 * FPS:
                before = await asyncio.to_thread(resident_bytes, url)
        grown = await asyncio.to_thread(resident_bytes, url) - before
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)
    minute = int(60 * FPS)
    return {
        "minutes": minutes,
        "sound_behind_picture_ms_min": round(min(behind[5:]) * 1000, 1),
        "sound_behind_picture_ms_max": round(max(behind[5:]) * 1000, 1),
        "clock_drift_ms": round((statistics.median(late[-minute:]) - statistics.median(late[:minute])) * 1000, 1),
        "memory_grown_mb": round(grown / 2**20, 1),
    }


def resident_bytes(url: str) -> float:
    """Memory of the server."""
    address = url.replace("ws://", "http://").replace("/ws/stream", "/metrics")
    with urllib.request.urlopen(address) as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("process_resident_memory_bytes "))


# Sessions


async def most_sessions(url: str, picture: bytes, engine: str) -> int:
    """How many may speak at the same time."""
    for sessions in range(1, MOST_SESSIONS + 1):
        # Twice if need be: a hiccup of the machine is not the server's limit.
        if not (await in_time(url, picture, engine, sessions) or await in_time(url, picture, engine, sessions)):
            return sessions - 1
    return MOST_SESSIONS


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
        speaking = asyncio.create_task(speak_for_ever(session))
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


# What it is measured with


@contextlib.contextmanager
def server() -> Iterator[tuple[str, list[str]]]:
    """(url of the stream, engines) of a server in a process of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = os.environ | {"LIPSTREAM_LIVE_SESSIONS": str(MOST_SESSIONS), "LIPSTREAM_LOG_LEVEL": "error"}
    command = [sys.executable, "-m", "lipstream", "serve", "--port", str(port)]
    process = subprocess.Popen(command, env=environment)
    try:
        yield f"ws://127.0.0.1:{port}/ws/stream", wait_for_engines(port)
    finally:
        process.terminate()
        process.wait()


def wait_for_engines(port: int) -> list[str]:
    """Names of the engines, once the server is ready."""
    for _ in range(600):
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz") as answer:
            return list(json.load(answer)["engines"])
        time.sleep(0.1)
    raise RuntimeError("the server does not get ready")


def sample_picture() -> bytes:
    """The bundled portrait, 512 × 512."""
    return ModelStore().path(SAMPLE_PORTRAIT).read_bytes()


def full_hd(picture: bytes) -> bytes:
    """The same as high as a full-HD picture, its edges continued to the sides."""
    image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    large = cv2.resize(image, (1080, 1080), interpolation=cv2.INTER_CUBIC)
    wide = cv2.copyMakeBorder(large, 0, 0, 420, 420, cv2.BORDER_REFLECT)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(wide[:, :, ::-1])).save(file, "PNG")
    return file.getvalue()


def speech() -> tuple[NDArray[np.int16], int]:
    """The bundled sentence: (n, 1) samples and their rate."""
    with wave.open(str(files("lipstream") / "assets" / "sample.wav")) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.int16)[:, None]
        return samples, file.getframerate()


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Milliseconds."""
    return {f"p{q}": round(float(np.percentile(seconds, q)) * 1000, 1) for q in (50, 99)}


if __name__ == "__main__":
    main()

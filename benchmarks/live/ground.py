"""What live streams are measured with: a server in a process of its own, a picture, a sentence, clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import time
import urllib.request
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipstream.client import Event, Media, StreamSession
from lipstream.models.assets import SAMPLE_PORTRAIT
from lipstream.models.store import ModelStore

FPS = Fraction(25)
CHUNK_SECONDS = 0.02
MOST_SESSIONS = 24
START_SECONDS = 180.0
"""A checkpoint may have to be imported first."""


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    port: int
    """On 127.0.0.1."""
    engines: tuple[str, ...]
    """Their names."""

    @property
    def stream(self) -> str:
        """Where live streams are."""
        return f"ws://127.0.0.1:{self.port}/ws/stream"

    def url(self, path: str) -> str:
        """``path`` over HTTP."""
        return f"http://127.0.0.1:{self.port}{path}"


@contextlib.contextmanager
def server(**environment: str | Path) -> Iterator[Server]:
    """A server in a process of its own, with further settings."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    own = {"LIPSTREAM_LIVE_SESSIONS": str(MOST_SESSIONS), "LIPSTREAM_LOG_LEVEL": "error"}
    command = [sys.executable, "-m", "lipstream", "serve", "--port", str(port)]
    given = {name: str(value) for name, value in environment.items()}
    process = subprocess.Popen(command, env=os.environ | own | given)
    try:
        yield Server(port, wait_for_engines(port))
    finally:
        process.terminate()
        process.wait()


def wait_for_engines(port: int) -> tuple[str, ...]:
    """Names of the engines, once the server is ready."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz") as answer:
            return tuple(json.load(answer)["engines"])
        time.sleep(0.1)
    raise RuntimeError("the server does not get ready")


def process_metric(server: Server, name: str) -> float:
    """What Prometheus' client knows about the server's process, such as ``cpu_seconds_total``."""
    with urllib.request.urlopen(server.url("/metrics")) as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"process_{name} "))


def sample_picture() -> bytes:
    """The bundled portrait, 512 × 512."""
    return ModelStore().path(SAMPLE_PORTRAIT).read_bytes()


def speech() -> tuple[NDArray[np.int16], int]:
    """The bundled sentence: (n, 1) samples and their rate."""
    with wave.open(str(files("lipstream") / "assets" / "sample.wav")) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.int16)[:, None]
        return samples, file.getframerate()


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


async def speak_for_ever(session: StreamSession, *, jitter: float = 0.0, ahead: float = 0.0) -> None:
    """Speech in real time, in small chunks, each up to ``jitter`` seconds late; the first ``ahead`` seconds at once."""
    pcm, rate = speech()
    chunk = int(rate * CHUNK_SECONDS)
    begin, sent = time.perf_counter() - ahead, 0
    while True:
        start = sent % (len(pcm) - chunk)
        await session.send(pcm[start : start + chunk, 0])
        sent += chunk
        await asyncio.sleep(begin + sent / rate + random.uniform(0, jitter) - time.perf_counter())


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Milliseconds."""
    return {f"p{q}": round(float(np.percentile(seconds, q)) * 1000, 1) for q in (50, 99)}

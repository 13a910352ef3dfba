"""What failed, or ended because its client left, is let go of at once: it may be a hundred megabytes.

An exception leads to the frames it went through and to their variables. Where one of them is a future or a task that
holds the exception, they keep one another alive until Python's collector looks at old objects, which it seldom does:
here it never does.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import itertools
import json
import weakref
from collections.abc import Iterator
from fractions import Fraction

import httpx
import numpy as np
import pytest
from av.video.codeccontext import VideoCodecContext
from websockets.sync.client import connect

from lipstream.cache import PreparedCache
from lipstream.config import Settings
from lipstream.engines.base import Actor
from lipstream.errors import CancelledError, LipstreamError, ModelError
from lipstream.job import Job
from lipstream.media.audio import open_recording
from lipstream.render import render
from lipstream.server.limits import WorkQueue
from lipstream.server.messages import LipsyncRequest
from lipstream.server.service import Service
from lipstream.server.stream_messages import SessionStart
from lipstream.server.stream_session import StreamSession
from tests.live_server import LiveServer, running_server, wait_until
from tests.media import noisy_vowels, png_bytes, wav_bytes

FACELESS = png_bytes(np.full((64, 64, 3), 90, np.uint8))
SECONDS = 5.0
"""How long it may take until finished things are freed."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running_server(Settings(avatar_dir=tmp_path_factory.mktemp("avatars"))) as live:
        yield live


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class Payload:
    """Something large."""


def kept() -> list[str]:
    """Types of the objects of requests that are still in memory."""
    kinds = (Job, LipsyncRequest, SessionStart, StreamSession, VideoCodecContext)
    return [type(thing).__name__ for thing in gc.get_objects() if type(thing) in kinds]


def test_a_failed_job() -> None:
    references: list[weakref.ref[Payload]] = []

    def fail(_: object) -> None:
        payload = Payload()
        references.append(weakref.ref(payload))
        raise ModelError("model_missing", "It is not there.")

    async def work() -> None:
        queue = WorkQueue(workers=1, waiting=1)
        with pytest.raises(ModelError):
            await queue.run(fail)
        queue.close()

    asyncio.run(work())
    wait_until(lambda: references[0]() is None, "the job's variables are gone", SECONDS)


def test_a_job_whose_client_has_left(small_actor: Actor) -> None:
    """Its encoder has threads, and at 12 megapixels 400 MB."""
    recording = open_recording(wav_bytes(noisy_vowels(3.0), 16_000), max_seconds=10)
    frames = itertools.count()
    with pytest.raises(CancelledError):
        render(small_actor, recording, Fraction(25), cancelled=lambda: next(frames) > 20)
    assert not kept()


def test_a_failed_preparation() -> None:
    references: list[weakref.ref[Payload]] = []

    def fail() -> int:
        payload = Payload()
        references.append(weakref.ref(payload))
        raise ValueError

    with pytest.raises(ValueError):
        PreparedCache[str, int](1, weigh=lambda value: value).get("key", fail)
    assert references[0]() is None


def test_the_error_of_a_failed_start_collects_no_requests() -> None:
    async def ask() -> None:
        service = Service(Settings())
        problem = service.problem = ModelError("model_missing", "It is not there.")
        service._settled.set()
        for _ in range(3):
            with pytest.raises(ModelError) as caught:
                await service.studio()
            assert (caught.value.code, caught.value.message) == (problem.code, problem.message)
        assert problem.__traceback__ is None
        service.close()

    asyncio.run(ask())


@pytest.mark.parametrize("error", [ModelError("model_missing", "It is not there."), CancelledError()])
def test_a_fresh_error_is_the_same(error: LipstreamError) -> None:
    fresh = error.fresh()
    assert fresh is not error
    assert (type(fresh), fresh.code, fresh.message, str(fresh)) == (type(error), error.code, error.message, str(error))


def test_a_refused_upload(server: LiveServer, portrait: bytes) -> None:
    answer = httpx.post(server.url("/v1/lipsync"), files={"image": portrait, "audio": b"no sound"})
    assert answer.json()["code"] == "not_audio"
    wait_until(lambda: not kept(), "the upload is gone", SECONDS)


@pytest.mark.parametrize(("audio", "code"), [("bm8gc291bmQ=", "not_audio"), ("#", "bad_base64")])
def test_a_refused_message(server: LiveServer, portrait: bytes, audio: str, code: str) -> None:
    with connect(server.websocket_url(), max_size=None) as websocket:
        websocket.send(json.dumps({"image": base64.b64encode(portrait).decode(), "audio": audio}))
        assert json.loads(websocket.recv())["code"] == code
        wait_until(lambda: not kept(), "the message is gone, although the connection is open", SECONDS)


def test_a_live_session_that_could_not_begin(server: LiveServer) -> None:
    with connect(server.websocket_url("/ws/stream"), max_size=None) as websocket:
        websocket.send(json.dumps({"type": "session.start", "image": base64.b64encode(FACELESS).decode()}))
        assert json.loads(websocket.recv())["code"] == "no_face"
    wait_until(lambda: not kept(), "the message is gone", SECONDS)


@pytest.mark.parametrize("stop", [True, False])
def test_a_live_session_that_is_over(server: LiveServer, portrait: bytes, stop: bool) -> None:
    with connect(server.websocket_url("/ws/stream"), max_size=None) as websocket:
        websocket.send(json.dumps({"type": "session.start", "image": base64.b64encode(portrait).decode()}))
        assert json.loads(websocket.recv())["type"] == "session.ready"
        assert "StreamSession" in kept()
        if stop:
            websocket.send('{"type": "session.stop"}')
    wait_until(lambda: not kept(), "the session is gone", SECONDS)

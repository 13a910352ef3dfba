"""Live sessions as their clients see them: real uvicorn, real sockets, the real engine, good and bad clients."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import math
import re
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from fractions import Fraction
from typing import Any

import av
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed

from lipstream.client import Event, Media, StreamSession, connect
from lipstream.config import Settings
from lipstream.errors import LipstreamError
from lipstream.server.stream_messages import MAX_RATE
from tests.live_server import LiveServer, running_server, wait_until
from tests.media import noisy_vowels, opus_packets

RATE = 16_000
PATIENCE = 30.0
"""How long to wait for things that usually take milliseconds but may take longer on a loaded machine; seconds."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    settings = Settings(avatar_dir=tmp_path_factory.mktemp("avatars"), live_sessions=4)
    with running_server(settings) as live:
        yield live


@pytest.fixture(scope="module")
def strict_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """Small limits."""
    settings = Settings(
        avatar_dir=tmp_path_factory.mktemp("avatars"),
        live_sessions=1,
        live_buffer_seconds=5,
        live_idle_seconds=2,
        live_session_seconds=6,
    )
    with running_server(settings) as live:
        yield live


@pytest.fixture(scope="module")
def speech() -> NDArray[np.int16]:
    """Two seconds, (n,) at 16 kHz."""
    return (noisy_vowels(2.0) * 20_000).astype(np.int16)


def run(test: Coroutine[Any, Any, None], seconds: float = 2 * PATIENCE) -> None:
    """Run a test's coroutine; nothing may hang."""
    asyncio.run(asyncio.wait_for(test, seconds))


def stream_url(server: LiveServer) -> str:
    return server.websocket_url("/ws/stream")


def free(server: LiveServer) -> Callable[[], bool]:
    return lambda: server.metric("lipstream_live_sessions") == 0


async def until(session: StreamSession, kind: str) -> tuple[Event, list[Media]]:
    """The next event of a kind, and the media before it."""
    media: list[Media] = []
    async for item in session:
        if isinstance(item, Media):
            media.append(item)
        elif item.type == kind:
            return item, media
    raise AssertionError(f"the session ended before {kind}")


def pcm_of(media: Media) -> tuple[int, int, NDArray[np.int16]]:
    """(frame, first sample, samples) of an mjpeg message."""
    frame, sample, jpeg, pcm = struct.unpack_from("<QQII", media.data)
    return frame, sample, np.frombuffer(media.data, "<i2", pcm // 2, 24 + jpeg)


@asynccontextmanager
async def raw(server: LiveServer, **start: Any) -> AsyncIterator[ClientConnection]:
    """A connection that has sent ``session.start``."""
    async with open_websocket(stream_url(server), max_size=None, compression=None) as websocket:
        with suppress(ConnectionClosed):  # a server without room answers before it is asked
            await websocket.send(json.dumps({"type": "session.start", **start}))
        yield websocket


async def answer(websocket: ClientConnection, kind: str | None = None) -> dict[str, Any]:
    """The next text message (of a kind), as its fields."""
    async for message in websocket:
        fields = json.loads(message) if isinstance(message, str) else {"type": "media"}
        if fields["type"] == kind or (kind is None and fields["type"] != "media"):
            return dict(fields)
    raise AssertionError(f"the connection ended before {kind}")


def picture(portrait: bytes) -> str:
    return base64.b64encode(portrait).decode()


# What a good client gets


def test_a_sentence_comes_back_as_a_talking_face(
    server: LiveServer, portrait: bytes, speech: NDArray[np.int16]
) -> None:
    async def talk() -> None:
        async with connect(stream_url(server), image=portrait, sample_rate=RATE) as session:
            ready = session.ready
            assert (ready["width"], ready["height"], ready["fps"], ready["fps_exact"]) == (240, 256, 25.0, "25/1")
            assert (ready["engine"], ready["container"], ready["audio_rate"]) == ("portrait", "fmp4", 48_000)
            assert re.fullmatch(r'video/mp4; codecs="avc1\.[0-9A-F]{6}, mp4a\.40\.2"', ready["mime"])
            await session.send(speech)
            await session.end()
            started, before = await until(session, "speech.started")
            ended, during = await until(session, "speech.ended")
            _, after = await until(session, "stats")
        assert started["utterance"] == ended["utterance"] == 1
        assert ended["duration_ms"] == 2000
        assert ended["at_ms"] - started["at_ms"] == 2000
        assert len(during) == 50
        assert len(before) == 1 + started["at_ms"] / 40, "the init segment, then a fragment per frame"
        media = b"".join(item.data for item in before + during + after)
        with av.open(io.BytesIO(media)) as file:
            frames = [frame.to_ndarray(format="gray") for frame in file.decode(video=0)]
        assert len(frames) == len(before) - 1 + len(during) + len(after)
        with av.open(io.BytesIO(media)) as file:
            sound = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
        loud = np.flatnonzero(np.abs(sound) > 0.01) / 48_000
        assert abs(loud[0] - started["at_ms"] / 1000) < 0.1, "speech is heard where the event says"
        assert loud[-1] < ended["at_ms"] / 1000 + 0.05

    run(talk())


def test_everything_said_is_heard_sample_by_sample(
    server: LiveServer, portrait: bytes, speech: NDArray[np.int16]
) -> None:
    """mjpeg carries the samples themselves: none is lost, none is changed, none is elsewhere."""

    async def talk() -> None:
        async with connect(stream_url(server), image=portrait, container="mjpeg", sample_rate=RATE) as session:
            for start in range(0, len(speech), 701):
                await session.send(speech[start : start + 701])
            await session.end()
            started, before = await until(session, "speech.started")
            _, during = await until(session, "speech.ended")
        heard = [pcm_of(item) for item in during]
        assert np.concatenate([samples for _, _, samples in heard]).tolist() == speech.tolist()
        assert heard[0][:2] == (started["at_ms"] / 40, started["at_ms"] * 16)
        frames = [pcm_of(item) for item in before + during]
        assert [frame for frame, _, _ in frames] == list(range(len(frames)))
        assert [sample for _, sample, _ in frames] == [640 * k for k in range(len(frames))]
        image = Image.open(io.BytesIO(during[20].data[24:]))
        assert image.size == (240, 256)

    run(talk())


@pytest.mark.parametrize("container", ["fmp4", "mjpeg"])
def test_interruption_with_a_minute_queued(server: LiveServer, portrait: bytes, container: str) -> None:
    minute = np.tile((noisy_vowels(2.0) * 20_000 + 300).astype(np.int16), 30)
    minute[minute == 0] = 1

    async def talk() -> None:
        async with connect(stream_url(server), image=portrait, container=container, sample_rate=RATE) as session:
            session.allow_ahead(90_000)
            await session.send(minute)
            await until(session, "speech.started")
            async for item in session:
                if isinstance(item, Media) and item.number > 20:
                    break
            asked = time.monotonic()
            await session.interrupt()
            told, _ = await until(session, "speech.interrupted")
            assert time.monotonic() - asked < PATIENCE
            silence = [item async for item in first_media(session, 30)]
            assert told["utterance"] == 1
            assert 0 < told["played_ms"] < 55_000
            assert told["played_ms"] + told["dropped_ms"] == 60_000
            if container == "mjpeg":
                assert not any(pcm_of(item)[2].any() for item in silence)
                assert pcm_of(silence[0])[0] == told["at_ms"] / 40
            await session.send(minute[:RATE])
            await session.end()
            again, _ = await until(session, "speech.started")
            over, _ = await until(session, "speech.ended")
            assert again["utterance"] == over["utterance"] == 2
            assert over["duration_ms"] == 1000

    run(talk())


async def first_media(session: StreamSession, count: int) -> AsyncIterator[Media]:
    """The next pieces of media."""
    async for item in session:
        if isinstance(item, Media):
            yield item
            count -= 1
        if not count:
            return


def test_uploaded_avatars_can_be_named(server: LiveServer, portrait: bytes) -> None:
    name = httpx.post(server.url("/v1/avatars"), files={"image": portrait}).json()["id"]

    async def talk() -> None:
        async with connect(stream_url(server), avatar=name, width=120, fps=29.97, idle="still") as session:
            assert (session.ready["width"], session.ready["height"]) == (120, 128)
            assert session.ready["fps_exact"] == "30000/1001"
        with pytest.raises(LipstreamError) as caught:
            async with connect(stream_url(server), avatar="0" * 32):
                pass
        assert caught.value.code == "avatar_unknown"

    run(talk())


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (11_025, 2), (22_050, 1), (44_100, 2), (48_000, 2)])
@pytest.mark.parametrize("encoding", ["pcm_s16le", "pcm_f32le"])
def test_all_audio_formats(server: LiveServer, portrait: bytes, rate: int, channels: int, encoding: str) -> None:
    sound = np.repeat(noisy_vowels(0.5, rate)[:, None], channels, axis=1)
    if encoding == "pcm_f32le":
        sound[100:200] = np.nan
        sound[300:310] = np.inf
        data = sound.astype("<f4").tobytes()
    else:
        data = (sound * 20_000).astype("<i2").tobytes()

    async def talk() -> None:
        async with connect(
            stream_url(server),
            image=portrait,
            container="mjpeg",
            encoding=encoding,
            sample_rate=rate,
            channels=channels,
            fps=50,
        ) as session:
            assert session.ready["audio_rate"] == rate
            for start in range(0, len(data), 1_001):  # cuts samples in two
                await session.send(data[start : start + 1_001])
            await session.end()
            ended, media = await until(session, "speech.ended")
        samples = int(0.5 * rate)
        assert ended["duration_ms"] == pytest.approx(1000 * samples / rate, abs=0.001)
        heard = np.concatenate([pcm_of(item)[2] for item in media])
        assert np.count_nonzero(heard) > 0.8 * samples * channels

    run(talk())


def test_binary_and_base64_audio_may_be_mixed(server: LiveServer, portrait: bytes, speech: NDArray[np.int16]) -> None:
    data = speech.tobytes()

    async def talk() -> None:
        async with raw(server, image=picture(portrait), video={"container": "mjpeg"}) as websocket:
            for start in range(0, len(data), 5_001):
                chunk = data[start : start + 5_001]
                text = json.dumps({"type": "audio", "audio": base64.b64encode(chunk).decode()})
                await websocket.send(text if start // 5_001 % 2 else chunk)
            await websocket.send('{"type": "audio.end"}')
            ended = await answer(websocket, "speech.ended")
            assert ended["duration_ms"] == 2000
            assert ended["at_ms"] > 0

    run(talk())


def test_a_sender_in_real_time_is_not_cut_to_pieces(
    server: LiveServer, portrait: bytes, speech: NDArray[np.int16]
) -> None:
    async def talk() -> None:
        async with connect(stream_url(server), image=portrait, sample_rate=RATE) as session:
            begin = time.monotonic()
            for start in range(0, len(speech), 1_600):
                await session.send(speech[start : start + 1_600])
                await asyncio.sleep(max(0.0, begin + (start + 1_600) / RATE - time.monotonic()))
            await session.end()
            ended, _ = await until(session, "speech.ended")
            stats, _ = await until(session, "stats")
        assert ended["duration_ms"] == 2000
        assert stats["starved"] < 25, "a few are a loaded machine; most would be a fault"

    run(talk())


def test_the_mouth_opens_as_soon_as_the_engine_knows_how(
    server: LiveServer, portrait: bytes, speech: NDArray[np.int16]
) -> None:
    """Lookahead, in whole blocks, and a chunk are enough: the lead, not the speaker, pays for chunks that are late."""

    async def talk() -> None:
        async with connect(stream_url(server), image=portrait, sample_rate=RATE) as session:
            needed = math.ceil(session.ready["lookahead_ms"] / 20) * 20 + 10
            for start in range(0, needed * RATE // 1000, RATE // 100):
                await session.send(speech[start : start + RATE // 100])
            started, _ = await until(session, "speech.started")
            assert started["utterance"] == 1

    run(talk())


def test_opus_is_taken_packet_by_packet(server: LiveServer, portrait: bytes) -> None:
    """A message that is not a packet is reported and skipped; the tone before and after it is heard."""
    tone = (0.3 * np.sin(2 * np.pi * 300 * np.arange(RATE) / RATE)).astype(np.float32)[:, None]
    packets = opus_packets(tone, RATE)

    async def talk() -> None:
        async with connect(stream_url(server), image=portrait, encoding="opus", container="mjpeg") as session:
            assert session.ready["audio_rate"] == 48_000
            for number, packet in enumerate(packets):
                await session.send(packet)
                if number == 20:
                    with pytest.raises(LipstreamError, match="Opus"):
                        await session.send(b"")
                    await session._put(b"\xff\x3f")
                    error, _ = await until(session, "error")
                    assert (error["code"], error["fatal"]) == ("not_opus", False)
            await session._put(json.dumps({"type": "audio", "audio": base64.b64encode(packets[-1]).decode()}))
            await session.end()
            ended, media = await until(session, "speech.ended")
        assert ended["duration_ms"] == 20 * (len(packets) + 1)
        heard = np.concatenate([pcm_of(item)[2] for item in media])
        heard = trimmed(heard)[4_800:43_200]
        assert abs(np.argmax(np.abs(np.fft.rfft(heard))) * 48_000 / len(heard) - 300) < 5

    run(talk())


def test_pings_are_answered(server: LiveServer, portrait: bytes) -> None:
    async def talk() -> None:
        async with raw(server, image=picture(portrait)) as websocket:
            await answer(websocket, "session.ready")
            for name in ("a", 7, None):
                await websocket.send(json.dumps({"type": "ping", "id": name}))
                assert (await answer(websocket, "pong"))["id"] == name
            await websocket.send('{"type": "session.stop"}')
            async for _ in websocket:
                pass
            assert websocket.close_code == 1000

    run(talk())


def test_media_keeps_to_the_clock(server: LiveServer, portrait: bytes) -> None:
    """Never further ahead of real time than the lead."""

    async def talk() -> None:
        async with connect(stream_url(server), image=portrait) as session:
            begin, lead = time.monotonic(), session.ready["lead_ms"] / 1000
            frames = 0
            async for _ in first_media(session, 75):
                frames += 1
                assert (frames - 2) / 25 <= time.monotonic() - begin + lead + 0.05
            assert time.monotonic() - begin > 73 / 25 - lead - 0.1

    run(talk())


# Limits


def test_a_sender_that_is_too_fast_is_slowed_down_and_loses_nothing(strict_server: LiveServer, portrait: bytes) -> None:
    """Five seconds are held; nine arrive at once."""
    wait_until(free(strict_server), "the place is free")
    seconds = 5.5
    data = (noisy_vowels(seconds) * 20_000).astype(np.int16)

    async def talk() -> None:
        async with connect(stream_url(strict_server), image=portrait, container="mjpeg", sample_rate=RATE) as session:
            session.allow_ahead(1e9)
            assert session.ready["buffer_ms"] == 5_000
            sending = asyncio.create_task(send_all(session, data))
            ended, media = await until(session, "speech.ended")
            await sending
            assert ended["duration_ms"] == seconds * 1000
        heard = np.concatenate([pcm_of(item)[2] for item in media])
        assert heard[np.flatnonzero(heard)[0] :][: RATE * 5].tolist() == trimmed(data)[: RATE * 5].tolist()

    run(talk())


def test_the_server_stops_reading_when_it_holds_enough(strict_server: LiveServer, portrait: bytes) -> None:
    """Of 23 MB of speech sent at once, the server only takes five seconds and what the kernels buffer."""
    wait_until(free(strict_server), "the place is free")

    async def talk() -> None:
        async with raw(
            strict_server,
            image=picture(portrait),
            audio={"encoding": "pcm_f32le", "sample_rate": MAX_RATE, "channels": 2},
        ) as websocket:
            await answer(websocket, "session.ready")
            second = bytes(MAX_RATE * 2 * 4)

            async def send_a_minute() -> None:
                for _ in range(60):
                    await websocket.send(second)

            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(send_a_minute(), 3)
            websocket.transport.abort()

    run(talk())


def trimmed(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    return samples[np.flatnonzero(samples)[0] :]


async def send_all(session: StreamSession, data: NDArray[np.int16]) -> None:
    """In small messages, so that there are many."""
    for start in range(0, len(data), 160):
        await session.send(data[start : start + 160])
    await session.end()


async def until_ready(server: LiveServer, portrait: bytes) -> None:
    """Open a session and close it."""
    async with connect(stream_url(server), image=portrait):
        pass


def test_no_more_sessions_than_allowed(strict_server: LiveServer, portrait: bytes) -> None:
    wait_until(free(strict_server), "the place is free")

    async def talk() -> None:
        async with (
            connect(stream_url(strict_server), image=portrait),
            raw(strict_server, image=picture(portrait)) as second,
        ):
            refused = await answer(second)
            assert (refused["code"], refused["fatal"]) == ("server_busy", True)
            with pytest.raises(ConnectionClosed):
                await second.recv()
            assert second.close_code == 1013
            with pytest.raises(LipstreamError) as caught:
                await until_ready(strict_server, portrait)
            assert caught.value.code == "server_busy"

    run(talk())
    wait_until(free(strict_server), "the place is free again")


def test_who_has_not_begun_takes_no_place(strict_server: LiveServer, portrait: bytes) -> None:
    """Nor does it keep a place from clients that connect later and start earlier."""
    wait_until(free(strict_server), "the place is free")

    async def talk() -> None:
        async with (
            open_websocket(stream_url(strict_server), max_size=None, compression=None) as idle,
            connect(stream_url(strict_server), image=portrait),
        ):
            await idle.send(json.dumps({"type": "session.start", "image": picture(portrait)}))
            assert (await answer(idle))["code"] == "server_busy"

    run(talk())


def test_silent_clients_are_shown_out(strict_server: LiveServer, portrait: bytes) -> None:
    wait_until(free(strict_server), "the place is free")

    async def talk() -> None:
        async with connect(stream_url(strict_server), image=portrait) as session:

            async def ping() -> None:
                async for _ in session:
                    await session._put('{"type": "ping"}')  # no sign of life

            with pytest.raises(LipstreamError) as caught:
                await ping()
        assert caught.value.code == "session_idle"

    run(talk())


def test_no_session_is_for_ever(strict_server: LiveServer, portrait: bytes, speech: NDArray[np.int16]) -> None:
    wait_until(free(strict_server), "the place is free")

    async def talk() -> None:
        async with connect(stream_url(strict_server), image=portrait) as session:

            async def stammer() -> None:
                async for item in session:
                    if isinstance(item, Media) and item.number % 10 == 0:
                        await session.send(speech[:320])

            with pytest.raises(LipstreamError) as caught:
                await stammer()
        assert caught.value.code == "session_too_long"

    run(talk())


def test_a_receiver_that_does_not_read_is_given_up(server: LiveServer, portrait: bytes) -> None:
    """First frames are dropped, then the session ends; both are counted, and the place is free again."""
    dropped = server.metric("lipstream_live_frames_dropped_total")

    async def talk() -> None:
        quiet = socket.create_connection(("127.0.0.1", server.port))
        quiet.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        # A queue of one message and a small buffer: the client's library stops reading, and TCP fills up.
        async with open_websocket(
            stream_url(server), sock=quiet, max_queue=1, compression=None, max_size=None, ping_interval=None
        ) as websocket:
            start = {"type": "session.start", "image": picture(portrait)}
            # As much as possible per second, to fill the kernel's buffers soon.
            wish = {"container": "mjpeg", "fps": 60}
            await websocket.send(
                json.dumps({**start, "video": wish, "audio": {"sample_rate": MAX_RATE, "channels": 2}})
            )
            await answer(websocket, "session.ready")
            await asyncio.to_thread(wait_until, free(server), "the session ends", 90.0)
            websocket.transport.abort()

    run(talk(), 100)
    assert server.metric("lipstream_live_frames_dropped_total") >= dropped + 60
    assert server.metric("lipstream_errors_total", code="receiver_too_slow") == 1


# Bad clients


def test_a_closed_connection_frees_everything(server: LiveServer, portrait: bytes) -> None:
    async def vanish() -> float:
        async with connect(stream_url(server), image=portrait) as session:
            await session.send(np.ones(20 * RATE, np.int16))
            await until(session, "speech.started")
            assert server.metric("lipstream_live_sessions") == 1
            session._websocket.transport.abort()
            begin = time.monotonic()
            await asyncio.to_thread(wait_until, free(server), "the session is gone")
            return time.monotonic() - begin

    async def some_times() -> None:
        """The least of them: what the server needs, whatever else the machine does."""
        assert min([await vanish() for _ in range(3)]) < 2

    run(some_times())


GARBAGE: list[tuple[str, str]] = [
    ("", "bad_json"),
    ("hello", "bad_json"),
    ("[]", "bad_json"),
    ("[" * 100_000, "bad_json"),
    ('{"type": "interrupt", "type": "interrupt"}', "bad_json"),
    ("{}", "missing_field"),
    ('{"type": 7}', "bad_field"),
    ('{"type": "sing"}', "bad_field"),
    ('{"type": "interrupt", "now": true}', "unknown_field"),
    ('{"type": "audio"}', "missing_field"),
    ('{"type": "audio", "audio": "§"}', "bad_base64"),
    ('{"type": "audio", "audio": ""}', "bad_field"),
    ('{"type": "ping", "id": [1]}', "bad_field"),
    ('{"type": "session.start", "avatar": "x"}', "already_started"),
]


def test_garbage_is_answered_and_the_session_goes_on(server: LiveServer, portrait: bytes) -> None:
    async def talk() -> None:
        async with raw(server, image=picture(portrait)) as websocket:
            await answer(websocket, "session.ready")
            for text, code in GARBAGE:
                await websocket.send(text)
                error = await answer(websocket, "error")
                assert (error["code"], error["fatal"]) == (code, False), text[:80]
                assert error["message"]
            await websocket.send(b"\x00")
            await websocket.send(b"")
            await websocket.send('{"type": "ping"}')
            assert await answer(websocket, "pong")

    run(talk())


BAD_STARTS: list[tuple[str | bytes, str]] = [
    (b"\x00\x01", "not_started"),
    ("nonsense", "bad_json"),
    ('{"type": "interrupt"}', "not_started"),
    ('{"type": "session.start"}', "missing_field"),
    ('{"type": "session.start", "avatar": "x", "image": "y"}', "bad_field"),
    ('{"type": "session.start", "avatar": "../../etc/passwd"}', "avatar_unknown"),
    ('{"type": "session.start", "avatar": "x", "version": 2}', "bad_field"),
    ('{"type": "session.start", "avatar": "x", "video": {"fps": 1000}}', "bad_field"),
    ('{"type": "session.start", "avatar": "x", "video": {"fps": NaN}}', "bad_field"),
    ('{"type": "session.start", "avatar": "x", "video": {"container": "avi"}}', "bad_field"),
    ('{"type": "session.start", "avatar": "x", "video": {"colour": 1}}', "unknown_field"),
    ('{"type": "session.start", "avatar": "x", "audio": {"sample_rate": 7999}}', "bad_field"),
    ('{"type": "session.start", "avatar": "x", "audio": {"sample_rate": "16000"}}', "bad_field"),
    ('{"type": "session.start", "avatar": "x", "audio": {"channels": 3}}', "bad_field"),
    ('{"type": "session.start", "avatar": "x", "audio": {"encoding": "mp3"}}', "bad_field"),
    ('{"type": "session.start", "avatar": "x", "engine": "wav3lip"}', "bad_field"),
    ('{"type": "session.start", "image": "bm90IGFuIGltYWdl"}', "not_an_image"),
]


@pytest.mark.parametrize(("message", "code"), BAD_STARTS)
def test_bad_beginnings_end_at_once_with_a_reason(server: LiveServer, message: str | bytes, code: str) -> None:
    async def talk() -> None:
        async with open_websocket(stream_url(server)) as websocket:
            await websocket.send(message)
            error = json.loads(await websocket.recv())
            assert (error["type"], error["code"], error["fatal"]) == ("error", code, True)
            with pytest.raises(ConnectionClosed):
                await websocket.recv()
            assert websocket.close_code == 1008

    run(talk())


def test_a_flood_of_interruptions_is_answered_one_by_one(server: LiveServer, portrait: bytes) -> None:
    floods = 2_000

    async def talk() -> None:
        async with raw(server, image=picture(portrait)) as websocket:
            await answer(websocket, "session.ready")

            async def flood() -> None:
                for _ in range(floods):
                    await websocket.send(b"\x01\x00" * 10)
                    await websocket.send('{"type": "interrupt"}')

            flooding = asyncio.create_task(flood())
            for _ in range(floods):
                interrupted = await answer(websocket, "speech.interrupted")
                assert interrupted["utterance"] is None
            await flooding
            await websocket.send('{"type": "ping"}')
            await answer(websocket, "pong")

    run(talk())


def test_sessions_do_not_disturb_each_other(server: LiveServer, portrait: bytes, speech: NDArray[np.int16]) -> None:
    """Three at once, one of them interrupted: each hears its own samples."""

    async def talk(loudness: int, *, interrupt: bool) -> None:
        own = np.where(speech == 0, 1, speech) // loudness * loudness
        async with connect(stream_url(server), image=portrait, container="mjpeg", sample_rate=RATE) as session:
            await session.send(own)
            await session.end()
            await until(session, "speech.started")
            if interrupt:
                await session.interrupt()
                await until(session, "speech.interrupted")
            else:
                _, media = await until(session, "speech.ended")
                assert np.concatenate([pcm_of(item)[2] for item in media]).tolist() == own.tolist()

    async def all_at_once() -> None:
        await asyncio.gather(talk(1, interrupt=False), talk(7, interrupt=True), talk(50, interrupt=False))

    run(all_at_once())


def test_stats_come_every_second(server: LiveServer, portrait: bytes) -> None:
    async def talk() -> None:
        async with connect(stream_url(server), image=portrait, sample_rate=RATE) as session:
            await session.send(np.ones(10 * RATE, np.int16))
            first, _ = await until(session, "stats")
            second, _ = await until(session, "stats")
        assert second["at_ms"] - first["at_ms"] == 1000
        assert 7_000 < second["buffered_ms"] < 9_500
        assert second["dropped"] == 0
        assert second["lag_ms"] >= 0

    run(talk())


def test_frames_have_exact_rates(server: LiveServer, portrait: bytes) -> None:
    async def talk() -> None:
        async with connect(stream_url(server), image=portrait, fps=23.976) as session:
            media = b"".join([item.data async for item in first_media(session, 20)])
        with av.open(io.BytesIO(media)) as file:
            times = [Fraction(frame.pts or 0) * (frame.time_base or 1) for frame in file.decode(video=0)]
        assert times == [k * Fraction(1001, 24_000) for k in range(19)]

    run(talk())

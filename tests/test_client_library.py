"""Parts of ``lipstream.client`` that other tests do not cover, and the example that uses it."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from lipstream.client import KEPT_MEDIA, Event, Media, StreamSession, connect
from lipstream.config import Settings
from lipstream.errors import LipstreamError
from lipstream.server.serve import PONG_SECONDS
from tests.live_server import LiveServer, running_server, wait_until
from tests.media import noisy_vowels, wav_bytes

ROOT = Path(__file__).parent.parent
RATE = 16_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running_server(Settings(avatar_dir=tmp_path_factory.mktemp("avatars"))) as live:
        yield live


def example(server: LiveServer, portrait_file: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the example as a user does; two seconds of speech."""
    speech = portrait_file.parent / "speech.wav"
    speech.write_bytes(wav_bytes(noisy_vowels(2.0), RATE))
    command = [sys.executable, str(ROOT / "examples" / "stream_wav.py"), str(portrait_file), str(speech)]
    command += ["-o", str(portrait_file.parent / "live.mp4"), "--url", server.websocket_url("/ws/stream"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_the_example_names_what_it_cannot_read(portrait_file: Path, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no sound")
    command = [sys.executable, str(ROOT / "examples" / "stream_wav.py"), str(portrait_file), str(tmp_path / "text.wav")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "text.wav: this example reads WAV files" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_example_names_a_file_that_it_cannot_write(server: LiveServer, portrait_file: Path) -> None:
    done = example(server, portrait_file, "-o", "/dev/full", "--interrupt-after", "0.3")
    assert done.returncode == 1
    assert done.stderr == "/dev/full cannot be written: No space left on device.\n"


def test_large_messages_may_take_as_long_as_the_server_allows(server: LiveServer, portrait_file: Path) -> None:
    portrait = portrait_file.read_bytes()

    async def patience() -> float | None:
        async with connect(server.websocket_url("/ws/stream"), image=portrait) as session:
            return session._websocket.ping_timeout

    assert asyncio.run(patience()) == PONG_SECONDS


def length(path: Path) -> float:
    """Of the video, seconds."""
    with av.open(str(path)) as file:
        return sum(1 for _ in file.decode(video=0)) / 25


def test_the_example_saves_what_was_spoken(server: LiveServer, portrait_file: Path) -> None:
    done = example(server, portrait_file)
    assert done.returncode == 0, done.stderr
    assert "speech.ended" in done.stdout
    assert length(portrait_file.parent / "live.mp4") > 2 + 1


def test_the_example_can_be_interrupted(server: LiveServer, portrait_file: Path) -> None:
    done = example(server, portrait_file, "--interrupt-after", "0.8")
    assert done.returncode == 0, done.stderr
    assert "speech.interrupted" in done.stdout
    assert "speech.ended" not in done.stdout


def test_the_example_says_what_is_wrong(server: LiveServer, portrait_file: Path) -> None:
    portrait_file.write_bytes(b"no picture")
    done = example(server, portrait_file)
    assert done.returncode == 1
    assert "picture" in done.stderr
    assert "Traceback" not in done.stderr


def test_nobody_listens(portrait: bytes) -> None:
    async def talk() -> None:
        async with connect("ws://127.0.0.1:9/ws/stream", image=portrait):
            pass

    with pytest.raises(OSError):
        asyncio.run(talk())


@pytest.mark.parametrize("path", ["/ws/nothing", "/ws/lipsync"])
def test_the_address_of_something_else(server: LiveServer, portrait: bytes, path: str) -> None:
    refused(server.websocket_url(path), "not_a_stream", image=portrait)


def test_an_address_that_is_none(portrait: bytes) -> None:
    refused("http://localhost:8000/ws/stream", "not_a_stream", image=portrait)


def test_avatar_and_image_exclude_each_other(server: LiveServer, portrait: bytes) -> None:
    refused(server.websocket_url("/ws/stream"), "bad_field", image=portrait, avatar="0" * 32)


def refused(url: str, code: str, *, image: bytes, avatar: str | None = None) -> None:
    async def talk() -> None:
        async with connect(url, image=image, avatar=avatar):
            pass

    with pytest.raises(LipstreamError) as caught:
        asyncio.run(talk())
    assert caught.value.code == code


def test_samples_of_another_kind_are_not_sent_as_noise(server: LiveServer, portrait: bytes) -> None:
    async def talk() -> None:
        async with connect(server.websocket_url("/ws/stream"), image=portrait, seed=7) as session:
            await session.send(np.zeros(160, np.int16))
            with pytest.raises(ValueError, match="takes int16 samples, not float64"):
                await session.send(np.zeros(160))  # type: ignore[arg-type]

    asyncio.run(talk())


def test_a_lost_connection_ends_everything_with_an_error(server: LiveServer, portrait: bytes) -> None:
    async def talk() -> None:
        async with connect(server.websocket_url("/ws/stream"), image=portrait) as session:
            session._websocket.transport.abort()
            with pytest.raises(LipstreamError) as caught:
                await to_the_end(session)
            assert caught.value.code == "connection_lost"
            with pytest.raises(LipstreamError):
                await session.send(b"\x00\x00")
            with pytest.raises(LipstreamError):
                await session.interrupt()

    asyncio.run(talk())


async def to_the_end(session: StreamSession) -> int:
    """Iterate a session until it is over; gives how much came."""
    return sum([1 async for _ in session])


def test_closing_ends_the_iteration(server: LiveServer, portrait: bytes) -> None:
    async def talk() -> None:
        async with connect(server.websocket_url("/ws/stream"), image=portrait) as session:
            counting = asyncio.create_task(to_the_end(session))
            await asyncio.sleep(0.5)
            await session.close()
            assert await counting > 3

    asyncio.run(talk())


def test_sending_waits_while_the_server_holds_plenty(server: LiveServer, portrait: bytes) -> None:
    async def talk() -> None:
        async with connect(server.websocket_url("/ws/stream"), image=portrait) as session:
            session.allow_ahead(2_000)
            sending = asyncio.create_task(session.send(np.ones(4 * RATE, np.int16)))
            await asyncio.sleep(0.5)
            assert not sending.done(), "half of it does not fit"
            async for item in session:
                if isinstance(item, Event) and item.type == "stats":
                    assert item["buffered_ms"] <= 2_300
                if sending.done():
                    break

    asyncio.run(asyncio.wait_for(talk(), 60))


def test_media_nobody_fetches_is_forgotten_but_the_beginning(server: LiveServer, portrait: bytes) -> None:
    async def talk() -> None:
        async with connect(server.websocket_url("/ws/stream"), image=portrait, fps=60) as session:
            await asyncio.to_thread(wait_until, lambda: session._number > KEPT_MEDIA + 30, "it overflows")
            numbers = []
            async for item in session:
                if isinstance(item, Media):
                    numbers.append(item.number)
                if len(numbers) == KEPT_MEDIA:
                    break
            assert numbers[0] == 0
            assert numbers[1] >= 30
            assert numbers[1:] == list(range(numbers[1], numbers[1] + KEPT_MEDIA - 1))

    asyncio.run(asyncio.wait_for(talk(), 120))


def test_the_picture_can_be_read_by_pillow(server: LiveServer, portrait: bytes) -> None:
    async def talk() -> None:
        url = server.websocket_url("/ws/stream")
        async with connect(url, image=portrait, container="mjpeg") as session:
            async for item in session:
                if isinstance(item, Media):
                    assert Image.open(io.BytesIO(item.data[24:])).size == (240, 256)
                    break

    asyncio.run(talk())

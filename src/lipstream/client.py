"""A client of ``/ws/stream`` for Python programs: send speech while it is spoken, receive the talking face.

    async with connect("ws://localhost:8000/ws/stream", image=portrait, sample_rate=24_000) as session:
        await session.send(pcm)                     # as often as there is more
        await session.end()
        async for event in session:                 # Media and Event, in the order of the stream
            ...

``docs/streaming.md`` describes the events and their fields.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from lipstream.errors import LipstreamError
from lipstream.media.opus import packet_duration

SEND_AHEAD_MS = 30_000.0
"""How much speech may wait in the server, milliseconds; an interrupt never queues behind more than this."""
KEPT_MEDIA = 600
"""How many media messages are kept until the program reads them; older ones are dropped."""

_PONG_SECONDS = 600.0  # as patient as the server, because answers to pings wait behind large messages

_SAMPLES: dict[str, np.dtype[Any]] = {"pcm_s16le": np.dtype(np.int16), "pcm_f32le": np.dtype(np.float32)}


@dataclass(frozen=True)
class Media:
    """A piece of the stream: for ``fmp4`` the init segment first, then fragments; for ``mjpeg`` one frame each."""

    data: bytes
    """The message, unchanged."""
    number: int
    """0 for the first media message; gaps in the numbers are messages that were dropped here."""


@dataclass(frozen=True)
class Event:
    """A message of the server."""

    type: str
    """Such as ``speech.started``."""
    fields: Mapping[str, Any]
    """All its fields."""

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]


class StreamSession:
    """A session that is ready, made by :func:`connect`. Iterate over it to receive, in one task at a time."""

    def __init__(
        self, websocket: ClientConnection, ready: Event, samples: np.dtype[Any] | None, per_second: int
    ) -> None:
        """Use :func:`connect`. ``samples`` is None for Opus, which must not be cut; ``per_second`` counts the samples
        of all channels."""
        self.ready = ready
        """``session.ready``: codec, size, rates, latencies."""
        self._websocket = websocket
        self._samples = samples
        self._bytes_per_second = samples.itemsize * per_second if samples else None
        self._limit = min(SEND_AHEAD_MS, ready["buffer_ms"] / 3)
        self._ahead = 0.0  # milliseconds of speech the server holds, as far as we know
        self._items: deque[Media | Event] = deque()
        self._media = 0  # in _items
        self._number = 0
        self._over = False
        self._error: LipstreamError | None = None
        self._news = asyncio.Condition()

    def allow_ahead(self, milliseconds: float) -> None:
        """Let the server hold more speech than usual. It reads an interrupt only after all of it."""
        self._limit = milliseconds

    async def send(self, pcm: bytes | NDArray[np.int16] | NDArray[np.float32]) -> None:
        """Send more speech of the current utterance, in the encoding of the session. The first piece begins an
        utterance.

        With Opus, send one packet at a time. Waits while the server holds enough speech. Raises :class:`LipstreamError`
        if the session is over, or (``not_opus``) if the data is not Opus, and :class:`ValueError` if the array has
        another sample type than the session, which would sound like noise.
        """
        data = pcm if isinstance(pcm, bytes) else self._as_bytes(pcm)
        if self._bytes_per_second is None:
            await self._send_piece(data, float(packet_duration(data)))
            return
        piece = max(1, int(self._limit / 10_000 * self._bytes_per_second))
        for start in range(0, len(data), piece):
            chunk = data[start : start + piece]
            await self._send_piece(chunk, len(chunk) / self._bytes_per_second)

    def _as_bytes(self, pcm: NDArray[Any]) -> bytes:
        if pcm.dtype != self._samples:
            wanted = f"{self._samples} samples" if self._samples else "Opus packets as bytes"
            raise ValueError(
                f"This session takes {wanted}, not {pcm.dtype} samples: convert them, or choose another encoding."
            )
        return np.ascontiguousarray(pcm).tobytes()

    async def _send_piece(self, data: bytes, seconds: float) -> None:
        async with self._news:
            await self._news.wait_for(lambda: self._over or self._ahead < self._limit)
        self._ahead += seconds * 1000
        await self._put(data)

    async def end(self) -> None:
        """End the utterance; speech sent later begins another one. Raises as :meth:`send` does."""
        await self._put('{"type": "audio.end"}')

    async def interrupt(self) -> None:
        """Be silent now: the server discards all speech that it holds and reports how much was played. Raises as
        :meth:`send` does."""
        await self._put('{"type": "interrupt"}')

    async def close(self) -> None:
        """End the session. Iteration ends after everything that has already arrived."""
        try:
            await self._put('{"type": "session.stop"}')
        except LipstreamError:
            return
        await self._websocket.close()

    def __aiter__(self) -> AsyncIterator[Media | Event]:
        return self

    async def __anext__(self) -> Media | Event:
        """The next piece of media or event. Raises :class:`LipstreamError` when the session failed."""
        async with self._news:
            await self._news.wait_for(lambda: self._items or self._over)
            if self._items:
                item = self._items.popleft()
                self._media -= isinstance(item, Media)
                return item
        if self._error:
            raise self._error
        raise StopAsyncIteration

    async def _put(self, message: str | bytes) -> None:
        if self._error:
            raise self._error
        try:
            await self._websocket.send(message)
        except ConnectionClosed:
            await asyncio.sleep(0)  # let the receiving task see why
            raise self._error or _lost() from None

    async def receive(self) -> None:
        """Receive what the server sends, until the end. :func:`connect` runs this."""
        try:
            async for message in self._websocket:
                async with self._news:
                    self._take(message)
                    self._news.notify_all()
        except ConnectionClosed as closed:
            self._error = self._error or (_lost() if closed.rcvd is None else None)
        finally:
            self._over = True
            async with self._news:
                self._news.notify_all()

    def _take(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            self._items.append(Media(message, self._number))
            self._number += 1
            self._media += 1
            if self._media > KEPT_MEDIA:
                self._forget_oldest()
            return
        event = _event(message)
        self._items.append(event)
        if event.type == "stats":
            self._ahead = event["buffered_ms"]
        elif event.type == "speech.interrupted":
            self._ahead = 0.0
        elif event.type == "error" and event["fatal"]:
            self._error = LipstreamError(event["code"], event["message"])

    def _forget_oldest(self) -> None:
        """Forget the oldest media, but not the init segment."""
        oldest = next(item for item in self._items if isinstance(item, Media) and item.number > 0)
        self._items.remove(oldest)
        self._media -= 1


@asynccontextmanager
async def connect(
    url: str,
    *,
    avatar: str | None = None,
    image: bytes | None = None,
    engine: str = "auto",
    idle: str = "natural",
    seed: int = 0,
    encoding: str = "pcm_s16le",
    sample_rate: int = 16_000,
    channels: int = 1,
    container: str = "fmp4",
    fps: float = 25.0,
    width: int | None = None,
    face_index: int | None = None,
    headers: Mapping[str, str] | None = None,
    ssl: SSLContext | None = None,
) -> AsyncIterator[StreamSession]:
    """Open a session with the id of an uploaded ``avatar`` or the bytes of an ``image`` file; it closes with the block.

    ``face_index`` chooses the face that speaks, counted from 0 from left to right; None = the avatar's own, or the
    largest. ``headers`` are for a proxy in front of the server, such as ``Authorization``; ``ssl`` is for a ``wss``
    address whose certificate this machine does not know. The other arguments are the fields of ``session.start``.

    Raises :class:`LipstreamError` with the server's code, with ``connection_lost``, or with ``not_a_stream`` if ``url``
    is not that of a stream; and :class:`OSError` if nobody listens there.
    """
    start: dict[str, Any] = {
        "type": "session.start",
        "version": 1,
        "engine": engine,
        "idle": idle,
        "seed": seed,
        "audio": {"encoding": encoding, "sample_rate": sample_rate, "channels": channels},
        "video": {"container": container, "fps": fps, "width": width},
    }
    encoded = None if image is None else base64.b64encode(image).decode()
    optional = {"face_index": face_index, "avatar": avatar, "image": encoded}
    start |= {name: value for name, value in optional.items() if value is not None}
    async with await _open(url, headers, ssl) as websocket:
        with suppress(ConnectionClosed):  # a server without room answers before it is asked
            await websocket.send(json.dumps(start))
        ready = await _first_answer(websocket, url)
        session = StreamSession(websocket, ready, _SAMPLES.get(encoding), sample_rate * channels)
        receiving = asyncio.create_task(session.receive())
        try:
            yield session
        finally:
            await session.close()
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)


async def _open(url: str, headers: Mapping[str, str] | None, ssl: SSLContext | None) -> ClientConnection:
    try:
        return await open_websocket(
            url,
            ssl=ssl or url.lower().startswith("wss:") or None,
            additional_headers=headers,
            max_size=None,  # an init segment or a key frame may be large
            compression=None,  # it does not make media smaller
            ping_timeout=_PONG_SECONDS,
        )
    except (InvalidHandshake, InvalidURI) as error:
        raise _no_stream(url, str(error)) from error


async def _first_answer(websocket: ClientConnection, url: str) -> Event:
    try:
        event = _event(await websocket.recv())
    except ConnectionClosed:
        raise _lost() from None
    except (ValueError, TypeError, KeyError) as error:
        raise _no_stream(url, "its answer is of another kind") from error
    if event.type != "session.ready":
        raise LipstreamError(event["code"], event["message"])
    return event


def _event(text: str | bytes) -> Event:
    fields = json.loads(text)
    return Event(fields["type"], fields)


def _no_stream(url: str, reason: str) -> LipstreamError:
    return LipstreamError(
        "not_a_stream", f"{url} is not a stream of lipstream ({reason}). One looks like ws://localhost:8000/ws/stream."
    )


def _lost() -> LipstreamError:
    return LipstreamError("connection_lost", "The connection to the server was lost. Connect again.")

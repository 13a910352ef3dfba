"""The queues of a live stream: orders from the client on their way in, messages to the client on their way out.

Both are bounded. A full :class:`Inbox` makes the reader wait, which slows down the client through TCP. A full
:class:`Outbox` drops the oldest media, which would be too late anyway.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lipstream.errors import SessionError
from lipstream.live import LiveStream
from lipstream.media.fragments import MediaPacket

MAX_ORDERS = 256
MAX_TEXTS = 256
OUTBOX_SECONDS = 1
"""How much media is kept for a slow receiver."""
LOSS_SECONDS = 10.0
"""The session ends when the count of lost media reaches this."""
FORGIVEN_PER_FRAME = 0.2
"""How much the count of lost frames goes down with every new frame."""

Order = NDArray[np.int16] | Literal["end", "interrupt"]


class Inbox:
    """Orders for a :class:`LiveStream`: given on the event loop, carried out by a worker thread between two frames."""

    def __init__(self, stream: LiveStream) -> None:
        self._stream = stream
        self._orders: deque[Order] = deque()
        self._samples = 0
        self._interrupts = 0
        self._lock = threading.Lock()
        self._arrived = asyncio.Event()

    @property
    def full(self) -> bool:
        """Whether more speech should wait."""
        return self._samples >= self._stream.room

    @property
    def crowded(self) -> bool:
        """Whether any order should wait."""
        return len(self._orders) >= MAX_ORDERS

    def feed(self, pcm: NDArray[np.int16]) -> None:
        """Speech of the current utterance, (n, channels)."""
        with self._lock:
            self._orders.append(pcm)
            self._samples += len(pcm)
        self._arrived.set()

    def end(self) -> None:
        """The utterance is over."""
        with self._lock:
            self._orders.append("end")
        self._arrived.set()

    def interrupt(self) -> None:
        """Discard all speech, including that in this inbox."""
        with self._lock:
            self._orders.append("interrupt")
            self._interrupts += 1
        self._arrived.set()

    def mark(self) -> None:
        """Make :meth:`news` ignore the orders that have arrived so far."""
        self._arrived.clear()

    async def news(self, seconds: float) -> None:
        """Wait for an order that arrives after :meth:`mark`, for at most ``seconds``."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._arrived.wait(), seconds)

    def carry_out(self) -> None:
        """Pass on to the stream all that it has room for. Speech that is followed by an interrupt needs no room."""
        with self._lock:
            while self._orders:
                order = self._orders.popleft()
                if isinstance(order, str):
                    self._carry_out(order)
                    continue
                taken = len(order) if self._interrupts and not self._stream.room else self._stream.feed(order)
                self._samples -= taken
                if taken < len(order):
                    self._orders.appendleft(order[taken:])
                    if not self._interrupts:
                        return

    def _carry_out(self, order: Literal["end", "interrupt"]) -> None:
        if order == "end":
            self._stream.end()
        else:
            self._interrupts -= 1
            self._stream.interrupt()


@dataclass(frozen=True)
class Outgoing:
    """One message for the client."""

    content: str | bytes
    frame: bool = False
    """Whether it is media, which may be dropped."""
    key: bool = False
    """Whether a receiver that lost the media before it can continue from here."""


class Outbox:
    """Messages that wait to be sent, in order. Belongs to the event loop."""

    def __init__(self, fps: Fraction) -> None:
        self._items: deque[Outgoing] = deque()
        self._fps = fps
        self._most = max(1, int(fps * OUTBOX_SECONDS))
        self._frames = 0
        self._texts = 0
        self._loss = 0.0
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self.dropped = 0
        """Frames that were not sent."""
        self.broken = False
        """Whether the receiver lost frames and needs a key frame to continue."""

    async def wait_for_texts(self) -> None:
        """Wait while too many texts are queued, so that a client which does not read its answers is not served."""
        while self._texts >= MAX_TEXTS:
            self._emptied.clear()
            await self._emptied.wait()

    def add_text(self, text: str) -> None:
        """Add a text. Texts are never dropped."""
        self._texts += 1
        self._add(Outgoing(text))

    def add_head(self, head: bytes) -> None:
        """Add the head, which all media depends on. It is never dropped."""
        self._add(Outgoing(head))

    def add_frame(self, packet: MediaPacket) -> None:
        """Add media, and drop media that is too old. Raises :class:`SessionError` (``receiver_too_slow``)."""
        self._loss = max(0.0, self._loss - FORGIVEN_PER_FRAME)
        if self.broken and not packet.key:
            self._lose(1)
            return
        self.broken = False
        self._frames += 1
        self._add(Outgoing(packet.data, frame=True, key=packet.key))
        if self._frames > self._most:
            self._lose(self._drop(until_key=True))

    def drop_frames(self) -> None:
        """Drop all media after an interruption. It is no longer wanted, so it does not count as lost."""
        self.dropped += self._drop(until_key=False)

    async def get(self) -> Outgoing:
        """Wait for the oldest message and take it out."""
        while not self._items:
            self._filled.clear()
            await self._filled.wait()
        item = self._items.popleft()
        if isinstance(item.content, str):
            self._texts -= 1
            self._emptied.set()
        self._frames -= item.frame
        return item

    def _add(self, item: Outgoing) -> None:
        self._items.append(item)
        self._filled.set()

    def _drop(self, *, until_key: bool) -> int:
        """Drop all frames, or only the oldest and those that cannot be decoded without it. Gives their number."""
        kept: deque[Outgoing] = deque()
        lost, dropping = 0, True
        for item in self._items:
            if item.frame and until_key and lost and item.key:
                dropping = False
            if item.frame and dropping:
                lost += 1
            else:
                kept.append(item)
        self._items = kept
        self._frames -= lost
        self.broken = self.broken or (lost > 0 and not any(item.frame for item in kept))
        return lost

    def _lose(self, frames: int) -> None:
        self.dropped += frames
        self._loss += frames
        if self._loss > LOSS_SECONDS * self._fps:
            raise SessionError(
                "receiver_too_slow",
                f"The connection is too slow for this video: {self._loss / float(self._fps):.0f} seconds of it were "
                "lost. Use a smaller width or fewer frames per second.",
            )

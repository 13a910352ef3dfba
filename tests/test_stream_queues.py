"""What waits in a live session: orders are carried out in order, media is dropped so that the rest can be decoded."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.errors import SessionError
from lipstream.live import AudioFormat, LiveStream, SpeechInterrupted
from lipstream.media.fragments import MediaPacket
from lipstream.server.stream_queues import LOSS_SECONDS, MAX_ORDERS, MAX_TEXTS, Inbox, Outbox
from tests.speakers import LOOKAHEAD, BrightActor

RATE = 16_000
FPS = Fraction(10)


def stream(seconds: int = 10) -> LiveStream:
    return LiveStream(BrightActor(), AudioFormat(RATE, 1), FPS, lookahead=LOOKAHEAD, buffer_seconds=seconds)


def samples(seconds: float) -> np.ndarray[Any, np.dtype[np.int16]]:
    return np.ones((int(seconds * RATE), 1), np.int16)


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 10))


def test_speech_that_does_not_fit_waits_its_turn() -> None:
    live = stream(10)
    inbox = Inbox(live)
    inbox.feed(samples(12))
    inbox.end()
    inbox.feed(samples(1))
    inbox.end()
    inbox.carry_out()
    assert live.buffered == 10
    assert inbox.full
    heard = 0
    for _ in range(14 * 10):
        inbox.carry_out()
        heard += int(live.advance().audio.sum())
    assert heard == 13 * RATE
    assert not inbox.full


def test_an_interruption_tells_of_all_that_waited() -> None:
    live = stream(60)
    inbox = Inbox(live)
    inbox.feed(samples(59))
    inbox.interrupt()
    inbox.interrupt()
    inbox.feed(samples(1))
    inbox.carry_out()
    first, second = live.advance().events[:2]
    assert isinstance(first, SpeechInterrupted)
    assert isinstance(second, SpeechInterrupted)
    assert [first.dropped, second.dropped] == [Fraction(59), Fraction(0)]
    assert live.buffered + Fraction(1, 10) >= 1


def test_an_interruption_needs_no_room_for_what_it_forgets() -> None:
    live = stream(5)
    inbox = Inbox(live)
    inbox.feed(samples(7))
    inbox.feed(samples(7))
    inbox.end()
    inbox.interrupt()
    inbox.feed(samples(2))
    inbox.carry_out()
    assert live.buffered == 2
    assert not inbox.full
    (event,) = [event for event in live.advance().events if isinstance(event, SpeechInterrupted)]
    assert event.dropped == 5


def test_orders_are_limited() -> None:
    inbox = Inbox(stream())
    for _ in range(MAX_ORDERS):
        assert not inbox.crowded
        inbox.end()
    assert inbox.crowded
    inbox.carry_out()
    assert not inbox.crowded


def test_news_are_orders_that_came_since() -> None:
    async def wait() -> None:
        inbox = Inbox(stream())
        loop = asyncio.get_running_loop()
        for order in (inbox.end, inbox.interrupt, lambda: inbox.feed(samples(0.02))):
            order()
            await inbox.news(60)  # at once
            inbox.mark()
            begin = loop.time()
            await inbox.news(0.01)
            assert loop.time() - begin >= 0.009, "nothing came"
            loop.call_later(0.01, order)
            await inbox.news(60)

    run(wait())


def packet(number: int, *, key: bool = False) -> MediaPacket:
    return MediaPacket(number.to_bytes(4, "big"), key)


async def drain(outbox: Outbox, count: int) -> list[str | int]:
    """Texts as they are, media as its number."""
    contents = [(await outbox.get()).content for _ in range(count)]
    return [item if isinstance(item, str) else int.from_bytes(item, "big") for item in contents]


def test_a_full_box_drops_up_to_a_key_frame() -> None:
    async def fill() -> None:
        outbox = Outbox(FPS)
        outbox.add_head((999).to_bytes(4, "big"))
        for number in range(11):
            outbox.add_frame(packet(number, key=number in (0, 7)))
            if number == 3:
                outbox.add_text("said")
        assert outbox.dropped == 7
        assert not outbox.broken
        assert await drain(outbox, 6) == [999, "said", 7, 8, 9, 10]

    run(fill())


def test_without_a_key_frame_all_is_dropped_and_one_is_asked_for() -> None:
    async def fill() -> None:
        outbox = Outbox(FPS)
        for number in range(11):
            outbox.add_frame(packet(number, key=number == 0))
        assert outbox.broken
        outbox.add_frame(packet(11))  # was under way when the box ran over
        assert outbox.dropped == 12
        outbox.add_frame(packet(12, key=True))
        assert not outbox.broken
        assert await drain(outbox, 1) == [12]

    run(fill())


@given(keys=st.lists(st.booleans(), min_size=1, max_size=120), reads=st.lists(st.integers(0, 3), max_size=120))
def test_what_is_sent_can_always_be_decoded(keys: list[bool], reads: list[int]) -> None:
    """After a gap comes a key frame; the order stays; nothing comes twice; the box stays small."""

    async def play() -> None:
        outbox = Outbox(FPS)
        sent: list[int] = []
        waiting = 0
        made: list[bool] = []
        for number, wanted in enumerate(keys):
            key = wanted or number == 0 or outbox.broken
            made.append(key)
            before = outbox.dropped
            outbox.add_frame(packet(number, key=key))
            waiting += 1 - (outbox.dropped - before)
            assert waiting <= int(FPS)
            take = min(waiting, reads[number] if number < len(reads) else 1)
            sent += [item for item in await drain(outbox, take) if isinstance(item, int)]
            waiting -= take
        sent += [item for item in await drain(outbox, waiting) if isinstance(item, int)]
        assert len(sent) + outbox.dropped == len(keys)
        expected = 0
        for number in sent:
            assert number == expected or (number > expected and made[number])
            expected = number + 1

    run(play())


def test_after_an_interruption_the_past_is_not_sent() -> None:
    async def play() -> None:
        outbox = Outbox(FPS)
        for number in range(5):
            outbox.add_frame(packet(number, key=number == 0))
        outbox.drop_frames()
        assert outbox.dropped == 5
        assert outbox.broken
        outbox.drop_frames()
        outbox.add_text("interrupted")
        outbox.add_frame(packet(5, key=True))
        assert await drain(outbox, 2) == ["interrupted", 5]

    run(play())


def test_an_interruption_with_nothing_waiting_needs_no_key_frame() -> None:
    outbox = Outbox(FPS)
    outbox.drop_frames()
    assert not outbox.broken


def test_who_loses_too_much_is_given_up() -> None:
    outbox = Outbox(FPS)
    most = int(1.5 * (LOSS_SECONDS + 1) * FPS)
    frames = iter(range(most))

    def fill() -> None:
        for number in frames:
            outbox.add_frame(packet(number, key=True))

    with pytest.raises(SessionError) as caught:
        fill()
    assert caught.value.code == "receiver_too_slow"
    assert next(frames) > LOSS_SECONDS * FPS


def test_losing_a_little_now_and_then_is_forgiven() -> None:
    async def play() -> None:
        outbox = Outbox(FPS)
        for number in range(5_000):
            outbox.add_frame(packet(number, key=True))
            if number % 8:
                await outbox.get()
        assert outbox.dropped > 100

    run(play())


def test_texts_are_limited() -> None:
    async def play() -> None:
        outbox = Outbox(FPS)
        for number in range(MAX_TEXTS):
            await outbox.wait_for_texts()
            outbox.add_text(str(number))
        waiting = asyncio.create_task(outbox.wait_for_texts())
        await asyncio.sleep(0)
        assert not waiting.done()
        await outbox.get()
        await waiting

    run(play())

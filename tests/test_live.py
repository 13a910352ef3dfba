"""The endless stream: every sample once, in order, with the frame it belongs to, whatever the sender does."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipstream.engines.base import Actor
from lipstream.engines.portrait.engine import PortraitEngine
from lipstream.idle import IdleMotion
from lipstream.live import CUSHION, AudioFormat, LiveStream, Moment, SpeechEnded, SpeechInterrupted, SpeechStarted
from lipstream.media.clock import frame_count
from lipstream.media.resample import Resampler
from lipstream.session import Session
from tests.speakers import LOOKAHEAD, BrightActor

IDLE = 255


def ramp(start: int, samples: int) -> NDArray[np.int16]:
    """Samples that say which one of their utterance they are: 1, 2, ... 30000, 1, ...; never 0."""
    return (np.arange(start, start + samples) % 30_000 + 1).astype(np.int16)[:, None]


def new_stream(rate: int = 16_000, fps: Fraction = Fraction(25), *, buffer_seconds: int = 120) -> LiveStream:
    return LiveStream(BrightActor(), AudioFormat(rate, 1), fps, lookahead=LOOKAHEAD, buffer_seconds=buffer_seconds)


def number(moment: Moment) -> int:
    """What the patch says: the utterance's frame modulo 250, or IDLE."""
    return int(moment.patch.pixels[0, 0, 1])


@dataclass
class Listener:
    """Checks a stream moment by moment, and notes what it heard of each utterance."""

    stream: LiveStream
    heard: list[int] = field(default_factory=list)
    """Samples of each utterance so far."""
    frames: list[int] = field(default_factory=list)
    """Frames of each utterance so far."""
    worst: Fraction = Fraction(0)
    """Greatest distance between a sample and its frame, samples."""
    next_index: int = 0
    next_sample: int = 0
    started: int = 0
    over: set[int] = field(default_factory=set)
    events: list[object] = field(default_factory=list)

    def advance(self, moments: int = 1) -> Moment:
        """Listen to some moments; gives the last."""
        for _ in range(moments - 1):
            self.check(self.stream.advance())
        moment = self.stream.advance()
        self.check(moment)
        return moment

    def check(self, moment: Moment) -> None:
        per_frame = self.stream.audio.sample_rate / self.stream.fps
        assert moment.index == self.next_index
        assert moment.sample == self.next_sample == int(moment.index * per_frame)
        self.next_index, self.next_sample = moment.index + 1, moment.sample + len(moment.audio)
        assert self.next_sample == int((moment.index + 1) * per_frame)
        self._hear_events(moment)
        self._hear_sound(moment, per_frame)

    def _hear_events(self, moment: Moment) -> None:
        self.events += moment.events
        for event in moment.events:
            assert event.time == moment.index / self.stream.fps
            if isinstance(event, SpeechStarted):
                assert event.utterance > self.started, "utterances come in order"
                self.started = event.utterance
                self.heard += [0] * (event.utterance - len(self.heard))
                self.frames += [0] * (event.utterance - len(self.frames))
            elif event.utterance is not None:
                assert event.utterance == self.started
                self.over.add(event.utterance)
                expected = event.duration if isinstance(event, SpeechEnded) else event.played
                # The last sample of a pause or an end may come in the moment that tells of it.
                assert abs(self.heard[-1] - expected * self.stream.audio.sample_rate) <= 1

    def _hear_sound(self, moment: Moment, per_frame: Fraction) -> None:
        (places,) = np.nonzero(moment.audio[:, 0])
        if not moment.speaking:
            assert number(moment) == IDLE
            assert len(places) <= 1
        else:
            assert self.started not in self.over
            assert number(moment) == self.frames[-1] % 250
            self.frames[-1] += 1
        for place in places[[0, -1]] if len(places) else ():
            frame = self.frames[-1] - moment.speaking
            position = self.heard[-1] + int(place) - int(places[0])
            in_frame = position - frame * per_frame
            in_moment = moment.sample + int(place) - moment.index * per_frame
            self.worst = max(self.worst, abs(in_frame - in_moment))
        if len(places):
            assert (np.diff(places) == 1).all(), "no holes within a moment"
            assert (moment.audio[places, 0] == ramp(self.heard[-1], len(places))[:, 0]).all()
            self.heard[-1] += len(places)


def test_idles_silently_for_ever() -> None:
    listener = Listener(new_stream())
    moment = listener.advance(100)
    assert not moment.audio.any()
    assert not listener.events


def test_an_utterance_is_played_once_it_can_be_and_all_of_it() -> None:
    stream = new_stream()
    listener = Listener(stream)
    listener.advance(10)
    stream.feed(ramp(0, 12_345))
    assert listener.advance().speaking, "the very next moment"
    stream.end()
    listener.advance(40)
    assert listener.heard == [12_345]
    assert listener.frames == [frame_count(12_345, 16_000, Fraction(25))]
    started, ended = listener.events
    assert started == SpeechStarted(1, Fraction(10, 25))
    assert ended == SpeechEnded(1, Fraction(10 + 20, 25), Fraction(12_345, 16_000))
    assert stream.quiet
    assert stream.buffered == 0


def test_waits_for_the_lookahead_and_no_longer() -> None:
    stream = new_stream()
    for chunk in range(100):
        stream.feed(ramp(chunk * 320, 320))
        if stream.advance().speaking:
            break
    # Lookahead, cushion and a chunk of its sender in time, each in chunks of 20 ms.
    assert chunk + 1 == 5 + 2 + 1


@pytest.mark.parametrize("samples", [1, 10, 639, 640, 641])
def test_tiny_utterances_are_played_as_well(samples: int) -> None:
    stream = new_stream()
    listener = Listener(stream)
    for _ in range(3):
        stream.feed(ramp(0, samples))
        stream.end()
    stream.end()  # nothing to end any more
    listener.advance(20)
    assert listener.heard == [samples] * 3
    assert listener.over == {1, 2, 3}


def test_a_slow_sender_makes_the_mouth_wait_and_loses_nothing() -> None:
    stream = new_stream(11_025, Fraction(30_000, 1001))
    listener = Listener(stream)
    sent = 0
    for _ in range(400):  # half of what real time would need
        stream.feed(ramp(sent, 184))
        sent += 184
        listener.advance()
    assert stream.starved > 100
    stream.end()
    listener.advance(200)
    assert listener.heard == [sent]
    assert listener.worst <= 1


def test_interruption_is_immediate_and_total() -> None:
    stream = new_stream()
    listener = Listener(stream)
    stream.feed(ramp(0, 60 * 16_000))
    stream.end()
    stream.feed(ramp(0, 16_000))
    listener.advance(50)
    stream.interrupt()
    moment = listener.advance()
    assert not moment.speaking
    assert not moment.audio.any()
    assert moment.events == (SpeechInterrupted(1, Fraction(2), Fraction(2), Fraction(59)),)
    assert stream.room == 120 * 16_000
    listener.advance(50)
    assert len(listener.events) == 2
    stream.feed(ramp(0, 16_000))
    stream.end()
    listener.advance(30)
    assert listener.heard[-1] == 16_000


def test_interruption_of_nobody() -> None:
    stream = new_stream()
    stream.interrupt()
    stream.interrupt()
    nobody = SpeechInterrupted(None, Fraction(0), Fraction(0), Fraction(0))
    assert stream.advance().events == (nobody, nobody)


def test_interruption_before_the_mouth_opened() -> None:
    stream = new_stream()
    stream.feed(ramp(0, 100))
    stream.interrupt()
    (event,) = stream.advance().events
    assert event == SpeechInterrupted(None, Fraction(0), Fraction(0), Fraction(100, 16_000))


def test_the_buffer_is_bounded_and_takes_what_fits() -> None:
    stream = new_stream(buffer_seconds=2)
    assert stream.feed(ramp(0, 40_000)) == 32_000
    assert stream.room == 0
    assert stream.feed(ramp(32_000, 8_000)) == 0
    assert stream.buffered == 2
    listener = Listener(stream)
    listener.advance(1)
    assert stream.room == 640
    assert stream.feed(ramp(32_000, 8_000)) == 640
    rest = 32_640
    while rest < 40_000:
        listener.advance()
        rest += stream.feed(ramp(rest, 40_000 - rest))
    stream.end()
    listener.advance(80)
    assert listener.heard == [40_000]


steps = st.one_of(
    st.tuples(st.just("feed"), st.integers(0, 6_000)),
    st.tuples(st.just("advance"), st.integers(1, 12)),
    st.tuples(st.just("end"), st.just(0)),
    st.tuples(st.just("interrupt"), st.just(0)),
)


@settings(max_examples=150, deadline=None)
@given(
    plan=st.lists(steps, max_size=60),
    rate=st.sampled_from([8_000, 11_025, 16_000, 22_050, 44_100, 48_000]),
    fps=st.sampled_from([Fraction(1), Fraction(24_000, 1001), Fraction(25), Fraction(30_000, 1001), Fraction(60)]),
)
def test_whatever_the_sender_does(plan: list[tuple[str, int]], rate: int, fps: Fraction) -> None:
    stream = new_stream(rate, fps)
    listener = Listener(stream)
    sent: list[int] = []  # samples of each utterance
    open_utterance, dropped = False, set[int]()
    for step, amount in plan:
        if step == "feed" and amount:
            sent += [] if open_utterance else [0]
            open_utterance = True
            assert stream.feed(ramp(sent[-1], amount)) == amount
            sent[-1] += amount
        elif step == "end":
            stream.end()
            open_utterance = False
        elif step == "interrupt":
            stream.interrupt()
            open_utterance = False
            dropped |= set(range(1, len(sent) + 1)) - listener.over
        else:
            listener.advance(amount)
    stream.end()
    while not stream.quiet:
        listener.advance()
    listener.advance(2)
    for utterance, samples in enumerate(sent, 1):
        heard = listener.heard[utterance - 1] if utterance <= len(listener.heard) else 0
        assert heard == samples or (utterance in dropped and heard < samples)
    assert listener.worst <= 1
    assert stream.buffered == 0


@pytest.mark.parametrize("cuts", [[1_000] * 30, [1, 30_000], [7] * 100])
def test_frames_are_those_of_one_shot(small_actor: Actor, sample_speech: NDArray[np.float32], cuts: list[int]) -> None:
    """What a stream shows of an utterance, a session shows of the same recording: the mouth is not another one."""
    pcm = (sample_speech[4_000:34_000] * 32_767).astype(np.int16)[: sum(cuts), None]
    session = Session(small_actor, sample_rate=16_000, fps=Fraction(25))
    whole = [*session.push(pcm[:, 0].astype(np.float32) / np.float32(32_768)), *session.flush()]
    stream = LiveStream(small_actor, AudioFormat(16_000, 1), Fraction(25), lookahead=Fraction(1, 5))
    start = 0
    for cut in cuts:
        stream.feed(pcm[start : start + cut])
        start += cut
    stream.end()
    shown = [stream.advance() for _ in whole]
    assert all(moment.speaking for moment in shown)
    for moment, frame in zip(shown, whole, strict=True):
        assert (moment.patch.pixels == frame.patch.pixels).all()


def steps_of(actor: Actor, feed: Callable[[LiveStream, int], None], moments: int) -> NDArray[np.float64]:
    """Mean change of the mouth's part of the picture from one moment to the next, grey levels."""
    stream = LiveStream(actor, AudioFormat(16_000, 1), Fraction(25), lookahead=Fraction(1, 5))
    frames = []
    for index in range(moments):
        feed(stream, index)
        frames.append(stream.advance().patch.pixels.astype(np.int16))
    return np.array([np.abs(b - a).mean() for a, b in pairwise(frames)])


def test_speech_begins_breaks_off_and_goes_on_without_a_jump(
    small_actor: Actor, sample_speech: NDArray[np.float32]
) -> None:
    pcm = (sample_speech * 32_767).astype(np.int16)[4_000:, None]

    def smooth(stream: LiveStream, index: int) -> None:
        if index == 5:
            stream.feed(pcm)

    def disturbed(stream: LiveStream, index: int) -> None:
        """Begin in the middle of a word, starve there, go on, be interrupted, speak again at once."""
        if index in (5, 40):
            stream.feed(pcm[3_000 + 100 * index : 13_000 + 100 * index])
        elif index in (55, 57):
            stream.interrupt()
            stream.feed(pcm[20_000:50_000])

    usual = steps_of(small_actor, smooth, 120).max()
    assert usual > 0
    # Into the middle of a vowel the lips move faster than speech ever does, but three frames long instead of at once.
    assert steps_of(small_actor, disturbed, 100).max() <= 1.4 * usual


def test_a_living_head_keeps_moving_while_it_waits(small_actor: Actor) -> None:
    idle = IdleMotion(3, Fraction(25))
    stream = LiveStream(small_actor, AudioFormat(16_000, 1), Fraction(25), lookahead=Fraction(1, 5), idle=idle)
    frames = [stream.advance().patch.pixels for _ in range(12)]
    assert any((frames[0] != frame).any() for frame in frames[1:])


@dataclass
class Timing:
    """Timing of a sender in real time and a caller with patience, on a simulated clock; times in seconds."""

    stream: LiveStream
    patience: float
    arrivals: list[tuple[float, NDArray[np.int16]]]
    """When each chunk comes, in order."""
    due: float
    """When the first moment is due."""
    shown: list[float] = field(default_factory=list)
    """When each moment was drawn."""
    speaking: list[bool] = field(default_factory=list)

    def run(self, moments: int) -> None:
        """As the server does it."""
        now, waiting = self.due, list(self.arrivals)
        for index in range(moments):
            due = self.due + index / float(self.stream.fps)
            now = max(now, due)
            while True:
                while waiting and waiting[0][0] <= now:
                    self.stream.feed(waiting.pop(0)[1])
                if not self.stream.awaits_speech or now >= due + self.patience:
                    break
                now = min(waiting[0][0] if waiting else math.inf, due + self.patience)
            self.speaking.append(self.stream.advance().speaking)
            self.shown.append(now)

    @property
    def first_frame(self) -> float:
        """When the first talking frame was drawn."""
        return self.shown[self.speaking.index(True)]


def late_chunks(
    pcm: NDArray[np.int16], rate: int, chunk: float, delays: list[float]
) -> list[tuple[float, NDArray[np.int16]]]:
    """A sender in real time who begins at 0; chunk i comes ``delays[i]`` too late, in order."""
    size, arrivals = int(chunk * rate), list[tuple[float, NDArray[np.int16]]]()
    for index, start in enumerate(range(0, len(pcm), size)):
        before = arrivals[-1][0] if arrivals else 0.0
        arrivals.append((max(before, start / rate + delays[index % len(delays)]), pcm[start : start + size]))
    return arrivals


@settings(max_examples=100, deadline=None)
@given(
    rate=st.sampled_from([8_000, 16_000, 44_100]),
    fps=st.sampled_from([Fraction(10), Fraction(24_000, 1001), Fraction(25), Fraction(60)]),
    chunk=st.sampled_from([0.005, 0.02, 0.06, 0.1, 0.24]),
    delays=st.lists(st.floats(0, float(CUSHION)), min_size=1, max_size=20),
    patience=st.sampled_from([Fraction(0), Fraction(1, 50), Fraction(2, 25), Fraction(1, 5)]),
    due=st.floats(-0.2, 0),
)
def test_a_sender_within_the_cushion_never_makes_the_mouth_wait(
    rate: int, fps: Fraction, chunk: float, delays: list[float], patience: Fraction, due: float
) -> None:
    stream = LiveStream(BrightActor(), AudioFormat(rate, 1), fps, lookahead=LOOKAHEAD, patience=patience)
    timing = Timing(stream, float(patience), late_chunks(ramp(0, 2 * rate), rate, chunk, [0.0, *delays]), due)
    timing.run(int(1.5 * fps))
    assert any(timing.speaking)
    assert stream.starved == 0
    # Lookahead in whole blocks of 20 ms and in chunks, what patience does not cover, the grid of frames, and delays.
    grid = 1 / float(fps) if patience <= CUSHION else max(0.0, 1 / float(fps) - float(patience - CUSHION))
    uncovered = max(0.0, float(CUSHION - patience))
    assert timing.first_frame <= 0.104 + 0.02 + uncovered + chunk + max(delays) + grid + 1e-6


def test_patience_covers_lateness_and_no_more() -> None:
    """If a sender is later than cushion and remaining patience allow, the mouth waits and then continues by itself."""
    stream = LiveStream(
        BrightActor(), AudioFormat(16_000, 1), Fraction(25), lookahead=LOOKAHEAD, patience=Fraction(2, 25)
    )
    delays = [0.0] * 20 + [0.15] + [0.0] * 1000
    timing = Timing(stream, 0.08, late_chunks(ramp(0, 32_000), 16_000, 0.02, delays), -0.013)
    timing.run(40)
    assert 1 <= stream.starved <= 4
    assert max(shown - (-0.013 + index / 25) for index, shown in enumerate(timing.shown)) <= 0.08 + 1e-9
    assert timing.speaking[-5:] == [True] * 5


def test_nobody_waits_for_speech_that_is_over_or_has_hardly_begun() -> None:
    stream = LiveStream(
        BrightActor(), AudioFormat(16_000, 1), Fraction(25), lookahead=LOOKAHEAD, patience=Fraction(2, 25)
    )
    assert not stream.awaits_speech
    stream.feed(ramp(0, 320))
    assert not stream.awaits_speech, "most of the lookahead is missing"
    for _ in range(4):
        stream.feed(ramp(320, 320))
    assert stream.awaits_speech, "100 of 120 ms are there"
    stream.end()
    assert not stream.awaits_speech
    while not stream.quiet:
        stream.advance()
    for _ in range(10):
        stream.feed(ramp(0, 320))
    assert stream.advance().speaking
    assert stream.advance().speaking
    assert stream.advance().speaking
    assert stream.awaits_speech, "it speaks, and the next frame lacks speech"
    stream.interrupt()
    assert not stream.awaits_speech


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 44_100])
@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30_000, 1001), Fraction(60)])
def test_the_engines_lookahead_is_enough(
    small_actor: Actor, portrait_engine: PortraitEngine, sample_speech: NDArray[np.float32], rate: int, fps: Fraction
) -> None:
    """A sender who is up to 40 ms late now and then never starves the stream."""
    speech = Resampler(16_000, rate).push(sample_speech)
    pcm = (speech * 32_767).astype(np.int16)[: 3 * rate, None]
    stream = LiveStream(
        small_actor, AudioFormat(rate, 1), fps, lookahead=portrait_engine.lookahead, patience=Fraction(2, 25)
    )
    timing = Timing(stream, 0.08, late_chunks(pcm, rate, 0.02, [0.0, 0.04, 0.0, 0.02, 0.04]), -0.01)
    timing.run(int(2.5 * fps))
    assert stream.starved == 0
    assert timing.first_frame < 0.2


@pytest.mark.slow
def test_a_day_has_no_drift_and_needs_no_memory() -> None:
    """24 hours by the counter, a slow sender's utterance every now and then: offset 0 ± 1 sample, memory flat."""
    rate, fps = 8_000, Fraction(1_000, 1_001)
    stream = new_stream(rate, fps)
    listener = Listener(stream)
    hour, grown = int(3_600 * fps), 0
    for index in range(24 * hour):
        if index % 60 < 5:
            stream.feed(ramp((index % 60) * 7_000, 7_000))
        elif index % 60 == 5:
            stream.end()
        listener.advance()
        listener.events.clear()
        if index == hour:
            tracemalloc.start()
        elif index == 3 * hour:
            grown = tracemalloc.get_traced_memory()[0]
            tracemalloc.stop()
    assert listener.worst <= 1
    assert set(listener.heard) == {35_000}
    assert listener.next_sample == int(stream.time * rate)
    assert 0 < grown < 2**16, "of which the listener's own notes are a part"

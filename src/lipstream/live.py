"""The endless stream of one talking face: speech goes in as it arrives, moments of picture and sound come out.

    stream = LiveStream(actor, audio_format, lookahead=engine.lookahead)
    stream.feed(pcm); stream.end()              # whenever speech arrives
    moment = stream.advance()                   # whenever the next frame is due: picture, sound and events

No I/O, no threads and no wall clock: the caller of :meth:`LiveStream.advance` decides how fast time passes. A frame is
drawn in the call that returns it, never ahead of time, so an interruption has nothing to take back. A caller that runs
ahead of real time may let a frame wait for late speech (:attr:`LiveStream.awaits_speech`) before the call.

All timestamps come from one counter. Frame n of the stream shows the samples [n / fps, (n + 1) / fps) of its sound.
Frame k of an utterance is always given with the utterance's own samples [k / fps, (k + 1) / fps), to within one sample,
however often the sender was late in between.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lipstream.engines.base import SPEECH_RATE, STILL, Actor, Liveliness, Patch, still
from lipstream.idle import IdleMotion
from lipstream.session import Frame, Session
from lipstream.utterance import Utterance

CUSHION = Fraction(1, 25)
"""How late a chunk of speech may arrive, relative to the sender's own pace, without making the face stutter; seconds.
The part that the caller's patience does not cover must have arrived, beyond the lookahead, before the mouth opens."""
RESAMPLING = Fraction(1, 250)
"""How much the filter between the sender's sample rate and the engine's holds back at most, seconds."""
LONGEST_CHUNK = Fraction(1, 4)
"""A sender in real time delivers a chunk only after all of it was spoken, so the mouth also waits for the length of one
chunk. Chunks longer than this, in seconds, are taken to come from senders that are faster than real time."""
BUFFER_SECONDS = 120
"""How much speech may wait, by default."""


@dataclass(frozen=True)
class AudioFormat:
    """Format of the sound of a stream, both in and out."""

    sample_rate: int
    """Hz."""
    channels: int
    """1 or 2."""


@dataclass(frozen=True)
class SpeechStarted:
    """This moment is the first of an utterance."""

    utterance: int
    """Counts from 1."""
    time: Fraction
    """Of the stream, seconds."""


@dataclass(frozen=True)
class SpeechEnded:
    """The moment before this one was the last of an utterance."""

    utterance: int
    """Counts from 1."""
    time: Fraction
    """Of the stream, seconds."""
    duration: Fraction
    """Length of the speech, seconds."""


@dataclass(frozen=True)
class SpeechInterrupted:
    """From this moment on, nothing is left of the speech that was fed before the interruption."""

    utterance: int | None
    """The one that was being spoken; None if nothing was."""
    time: Fraction
    """Of the stream, seconds."""
    played: Fraction
    """How much of the utterance was in the moments before, seconds."""
    dropped: Fraction
    """How much speech was discarded, seconds."""


Event = SpeechStarted | SpeechEnded | SpeechInterrupted


@dataclass(frozen=True)
class Moment:
    """One frame of the stream, with its sound and the events just before it."""

    index: int
    """Number of the frame, counted from 0."""
    patch: Patch
    """What differs from the avatar's picture."""
    sample: int
    """Number of the first sample of the sound, counted from 0."""
    audio: NDArray[np.int16]
    """(n, channels): the sound of [index / fps, (index + 1) / fps)."""
    speaking: bool
    """Whether it shows a frame of an utterance."""
    events: tuple[Event, ...]
    """In order; the receiver must be told of them before it is given this moment."""


class LiveStream:
    """The stream of one face. Not thread-safe; no I/O.

    ``lookahead`` is the engine's, in seconds; ``patience`` is how long the caller lets a moment wait for speech, in
    seconds. Without ``idle`` the head is still and only the mouth moves. At most ``buffer_seconds`` of speech may wait.
    """

    def __init__(
        self,
        actor: Actor,
        audio: AudioFormat,
        fps: Fraction,
        *,
        lookahead: Fraction,
        idle: IdleMotion | None = None,
        patience: Fraction = Fraction(0),
        buffer_seconds: int = BUFFER_SECONDS,
    ) -> None:
        self.actor = actor
        self.audio = audio
        self.fps = fps
        self.starved = 0
        """Frames in which an utterance had to wait for its sender, so far."""
        self._idle = idle
        life = still if idle is None else self._life
        self._session = Session(actor, sample_rate=audio.sample_rate, fps=fps, life=life)
        converting = RESAMPLING if audio.sample_rate != SPEECH_RATE else 0
        self._lookahead = math.ceil((lookahead + converting) * audio.sample_rate)
        self._cushion = math.ceil(max(Fraction(0), CUSHION - patience) * audio.sample_rate)
        self._worth_waiting = int(max(Fraction(0), patience - CUSHION) * audio.sample_rate)
        self._longest_chunk = int(LONGEST_CHUNK * audio.sample_rate)
        self._limit = audio.sample_rate * buffer_seconds
        self._utterances: deque[Utterance] = deque()
        self._held = 0
        self._number = 0
        self._index = 0
        self._running = False  # the moment before was a frame of the first utterance
        self._events: list[Event] = []

    @property
    def room(self) -> int:
        """How many samples :meth:`feed` would take now."""
        return self._limit - self._held

    @property
    def buffered(self) -> Fraction:
        """How much speech waits to be played, seconds."""
        return Fraction(self._held, self.audio.sample_rate)

    @property
    def time(self) -> Fraction:
        """When the next moment begins, seconds of the stream."""
        return self._index / self.fps

    @property
    def quiet(self) -> bool:
        """Whether there is nothing to say."""
        return not self._utterances

    @property
    def awaits_speech(self) -> bool:
        """Whether the next moment would be idle although speech for it can be expected within the caller's patience.

        Within an utterance, it always can. Before the first frame, and after the sender has been too late, it can if so
        little is missing that the remaining patience still covers :data:`CUSHION`.
        """
        if not self._utterances or self._utterances[0].ended:
            return False
        utterance = self._utterances[0]
        if self._running:
            return utterance.unplayed < utterance.needs(self._lookahead)
        return 0 < self._needed_to_begin(utterance) - utterance.unplayed <= self._worth_waiting

    def feed(self, pcm: NDArray[np.int16]) -> int:
        """Add more of the current utterance: (n, channels), any n; it must not be changed afterwards.

        Returns how many samples were taken. The rest does not fit into the buffer: feed it again later.
        """
        taken = pcm[: self.room]
        if len(taken):
            self._open_utterance().feed(taken)
            self._held += len(taken)
        return len(taken)

    def end(self) -> None:
        """End the current utterance, if there is one. Speech that is fed afterwards begins another."""
        if self._utterances:
            self._utterances[-1].ended = True

    def interrupt(self) -> None:
        """Discard all speech. The next moment is idle and silent, and has the event :class:`SpeechInterrupted`."""
        current = self._utterances[0] if self._utterances and self._utterances[0].next_frame else None
        self._events.append(
            SpeechInterrupted(
                current.number if current else None,
                self.time,
                Fraction(current.played if current else 0, self.audio.sample_rate),
                self.buffered,
            )
        )
        self._utterances.clear()
        self._held = 0
        self._running = False
        self._session.clear()

    def advance(self) -> Moment:
        """The next moment: of speech if there is any, otherwise idle and silent."""
        first, last = self._sample(self._index), self._sample(self._index + 1)
        frame = self._speak(last - first)
        if frame:
            patch, pieces = frame.patch, self._spoken(frame, last - first)
        else:
            leftover = self._left_over()
            self._close_utterance()
            patch, pieces = self._session.idle(), [leftover]
        audio = np.zeros((last - first, self.audio.channels), np.int16)
        filled = 0
        for piece in pieces:
            audio[filled : filled + len(piece)] = piece
            filled += len(piece)
        self._running = frame is not None
        events, self._events = tuple(self._events), []
        self._index += 1
        return Moment(self._index - 1, patch, first, audio, self._running, events)

    def _open_utterance(self) -> Utterance:
        if not self._utterances or self._utterances[-1].ended:
            self._number += 1
            self._utterances.append(Utterance(self._number, self._session, self.audio.channels))
        return self._utterances[-1]

    def _needed_to_begin(self, utterance: Utterance) -> int:
        """How many samples must have arrived before the mouth opens."""
        return utterance.needs(self._lookahead) + self._cushion + min(utterance.chunk, self._longest_chunk)

    def _speak(self, samples: int) -> Frame | None:
        """The next frame of the first utterance, if its ``samples`` of sound and what the engine needs have arrived."""
        if not self._utterances:
            return None
        utterance = self._utterances[0]
        needed = samples if self._running else max(samples, self._needed_to_begin(utterance))
        frame = utterance.draw() if utterance.ended or utterance.unplayed >= needed else None
        if frame is None:
            self.starved += bool(utterance.next_frame and not utterance.drawn)
        elif frame.index == 0:
            self._events.append(SpeechStarted(utterance.number, self.time))
        return frame

    def _spoken(self, frame: Frame, samples: int) -> list[NDArray[np.int16]]:
        """The sound of a frame of an utterance.

        If the rates do not divide, some frames have one sample more than others, at different places in the stream and
        in the utterance. After a pause, a sample that was played too early is waited for, so errors do not add up.
        """
        utterance = self._utterances[0]
        wait = 0 if self._running else max(0, utterance.played - self._sample(frame.index))
        return [np.zeros((wait, self.audio.channels), np.int16), self._play(utterance, samples - wait)]

    def _left_over(self) -> NDArray[np.int16]:
        """What the frames so far should have played and did not. It is at most one sample and begins the pause."""
        if not (self._running and self._utterances):
            return np.zeros((0, self.audio.channels), np.int16)
        utterance = self._utterances[0]
        return self._play(utterance, max(0, self._sample(utterance.next_frame) - utterance.played))

    def _play(self, utterance: Utterance, samples: int) -> NDArray[np.int16]:
        sound = utterance.play(samples)
        self._held -= len(sound)
        return sound

    def _close_utterance(self) -> None:
        """Remove the first utterance if all its frames were given."""
        if self._utterances and self._utterances[0].drawn:
            utterance = self._utterances.popleft()
            self._events.append(SpeechEnded(utterance.number, self.time, utterance.duration))

    def _sample(self, index: int) -> int:
        """The first sample of frame ``index``."""
        return int(index * self.audio.sample_rate / self.fps)

    def _life(self) -> Liveliness:
        return STILL if self._idle is None else self._idle.at(self._index)

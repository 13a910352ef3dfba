"""The endless stream of one talking face: speech goes in as it comes, moments of picture and sound come out for ever.

    stream = LiveStream(actor, audio_format, lookahead=engine.lookahead)
    stream.feed(pcm); stream.end()              # whenever speech arrives
    moment = stream.advance()                   # whenever the next frame is due: picture, sound, what happened

No I/O, no threads and no wall clock: whoever calls :meth:`LiveStream.advance` decides how fast time passes. A frame is
drawn in the call that shows it, never ahead, so there is nothing to take back at an interruption. Whoever is ahead of
real time anyway may let a frame wait for speech that is late (:attr:`LiveStream.awaits_speech`) before calling it.

One counter stamps everything. Frame n of the stream shows the samples [n / fps, (n + 1) / fps) of its sound; frame k
of an utterance always goes out with the utterance's own samples of [k / fps, (k + 1) / fps), to within one sample,
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
"""How late a chunk of speech may come, against the sender's own pace, without making the face stutter; seconds. What
the caller's patience does not cover has to be there, beyond the lookahead, before the mouth opens."""
RESAMPLING = Fraction(1, 250)
"""What the filter between the sender's sample rate and the engine's holds back at most, seconds."""
LONGEST_CHUNK = Fraction(1, 4)
"""A sender in real time delivers a chunk only when all of it was spoken, so the mouth also waits for as much as one of
its chunks holds. Longer ones than this, in seconds, come from senders that are faster."""
BUFFER_SECONDS = 120
"""Speech that waits at most, by default."""


@dataclass(frozen=True)
class AudioFormat:
    """The sound of a stream, in and out."""

    sample_rate: int
    """Hz."""
    channels: int
    """1 or 2."""


@dataclass(frozen=True)
class SpeechStarted:
    """The moment is an utterance's first."""

    utterance: int
    """Counts from 1."""
    time: Fraction
    """Of the stream, seconds."""


@dataclass(frozen=True)
class SpeechEnded:
    """The moment before was an utterance's last."""

    utterance: int
    """Counts from 1."""
    time: Fraction
    """Of the stream, seconds."""
    duration: Fraction
    """Of the speech, seconds."""


@dataclass(frozen=True)
class SpeechInterrupted:
    """From this moment on nothing is left of what was fed before the interruption."""

    utterance: int | None
    """The one that was being spoken; None if none was."""
    time: Fraction
    """Of the stream, seconds."""
    played: Fraction
    """How much of the utterance was in the moments before, seconds."""
    dropped: Fraction
    """How much speech was forgotten, seconds."""


Event = SpeechStarted | SpeechEnded | SpeechInterrupted


@dataclass(frozen=True)
class Moment:
    """One frame of the stream, with its sound and what happened just before it."""

    index: int
    """Number of the frame, from 0."""
    patch: Patch
    """What differs from the avatar's picture."""
    sample: int
    """Number of the first sample of the sound, from 0."""
    audio: NDArray[np.int16]
    """(n, channels): the sound of [index / fps, (index + 1) / fps)."""
    speaking: bool
    """Whether it shows a frame of an utterance."""
    events: tuple[Event, ...]
    """In order; the receiver hears of them before it gets this moment."""


class LiveStream:
    """One face, for ever. Not thread-safe; no I/O.

    ``lookahead`` is the engine's, in seconds; ``patience`` is how long the caller lets a moment wait for speech, in
    seconds. Without ``idle`` the head stands still and only the mouth moves. At most ``buffer_seconds`` of speech wait.
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
        """Frames in which an utterance had to wait for its sender."""
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
        """Samples that :meth:`feed` would take now."""
        return self._limit - self._held

    @property
    def buffered(self) -> Fraction:
        """Speech that waits to be played, seconds."""
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
        """Whether the next moment would idle although speech for it should come within the caller's patience.

        In the middle of an utterance it always should; before its first frame, and once its sender has been too late,
        when so little is missing that the patience then left still covers :data:`CUSHION`.
        """
        if not self._utterances or self._utterances[0].ended:
            return False
        utterance = self._utterances[0]
        if self._running:
            return utterance.unplayed < utterance.needs(self._lookahead)
        return 0 < self._needed_to_begin(utterance) - utterance.unplayed <= self._worth_waiting

    def feed(self, pcm: NDArray[np.int16]) -> int:
        """Hear more of the current utterance: (n, channels), any n, not to be changed afterwards.

        Gives how many samples were taken. The rest does not fit into the buffer: feed it again later.
        """
        taken = pcm[: self.room]
        if len(taken):
            self._open_utterance().feed(taken)
            self._held += len(taken)
        return len(taken)

    def end(self) -> None:
        """The current utterance is over; what is fed next begins another. Without one, nothing happens."""
        if self._utterances:
            self._utterances[-1].ended = True

    def interrupt(self) -> None:
        """Forget all speech at once. The next moment is idle and silent, and tells :class:`SpeechInterrupted`."""
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
        """The next moment: of speech if there is some, else idle and silent."""
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
        """Samples that have to be there before the mouth opens."""
        return utterance.needs(self._lookahead) + self._cushion + min(utterance.chunk, self._longest_chunk)

    def _speak(self, samples: int) -> Frame | None:
        """The next frame of the first utterance, if its sound of ``samples`` and what the engine needs are there."""
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

        Where rates do not divide, frames have now one sample more, now one less, and not at the same places in the
        stream as in the utterance. After a pause the sample that was too much is waited for, so nothing adds up.
        """
        utterance = self._utterances[0]
        wait = 0 if self._running else max(0, utterance.played - self._sample(frame.index))
        return [np.zeros((wait, self.audio.channels), np.int16), self._play(utterance, samples - wait)]

    def _left_over(self) -> NDArray[np.int16]:
        """What the frames so far should have played and did not, a sample at most: it opens the pause."""
        if not (self._running and self._utterances):
            return np.zeros((0, self.audio.channels), np.int16)
        utterance = self._utterances[0]
        return self._play(utterance, max(0, self._sample(utterance.next_frame) - utterance.played))

    def _play(self, utterance: Utterance, samples: int) -> NDArray[np.int16]:
        sound = utterance.play(samples)
        self._held -= len(sound)
        return sound

    def _close_utterance(self) -> None:
        """Let go of the first utterance if all its frames were given."""
        if self._utterances and self._utterances[0].drawn:
            utterance = self._utterances.popleft()
            self._events.append(SpeechEnded(utterance.number, self.time, utterance.duration))

    def _sample(self, index: int) -> int:
        """The first sample of frame ``index``."""
        return int(index * self.audio.sample_rate / self.fps)

    def _life(self) -> Liveliness:
        return STILL if self._idle is None else self._idle.at(self._index)

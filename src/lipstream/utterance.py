"""One utterance on its way through a live stream: what was fed, what the engine has heard, what was played."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lipstream.media.pcm import SampleQueue, to_float
from lipstream.session import BLOCK_SECONDS, Frame, Session


class Utterance:
    """Speech on its way through the stream. The engine listens ahead of what is played, so the speech is queued twice.

    ``session`` must hear nothing else until this utterance has been drawn to its end. Not thread-safe.
    """

    def __init__(self, number: int, session: Session, channels: int) -> None:
        self.number = number
        """Counts from 1 within the stream."""
        self.samples = 0
        """How many samples were fed so far."""
        self.chunk = 0
        """The most samples fed at once."""
        self.played = 0
        """Samples given by :meth:`play`."""
        self.next_frame = 0
        """Number of the frame that :meth:`draw` gives next."""
        self.ended = False
        """Whether nothing more will be fed."""
        self.drawn = False
        """Whether :meth:`draw` has given the last frame, or is about to say so."""
        self._session = session
        self._block = max(1, int(session.sample_rate * BLOCK_SECONDS))
        self._unheard = SampleQueue(channels)
        self._unplayed = SampleQueue(channels)
        self._frames: Iterator[Frame] = iter(())

    @property
    def duration(self) -> Fraction:
        """Length of the speech fed so far, seconds."""
        return Fraction(self.samples, self._session.sample_rate)

    @property
    def unplayed(self) -> int:
        """Samples that wait to be played."""
        return len(self._unplayed)

    def needs(self, lookahead: int) -> int:
        """How many unplayed samples there must be before the engine can give the next frame.

        The engine needs ``lookahead`` samples after the frame's time, and listens in whole blocks.
        """
        return -(-(self.played + lookahead) // self._block) * self._block - self.played

    def feed(self, pcm: NDArray[np.int16]) -> None:
        """Add (n, channels) to the end; not to be changed afterwards."""
        self._unheard.append(pcm)
        self._unplayed.append(pcm)
        self.samples += len(pcm)
        self.chunk = max(self.chunk, len(pcm))

    def draw(self) -> Frame | None:
        """Let the engine listen until it gives a frame; None if it needs more speech, or has given all frames."""
        while True:
            frame = next(self._frames, None)
            if frame or self.drawn:
                break
            block = self._unheard.pop(self._block)
            if len(block):
                self._frames = self._session.push(to_float(block))
            elif self.ended:
                self._frames, self.drawn = self._session.flush(), True
            else:
                break
        if frame:
            self.next_frame = frame.index + 1
        return frame

    def play(self, samples: int) -> NDArray[np.int16]:
        """Take the oldest ``samples``, or all if there are fewer: (n, channels)."""
        sound = self._unplayed.pop(samples)
        self.played += len(sound)
        return sound

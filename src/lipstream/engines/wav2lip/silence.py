"""How much of the network's mouth each frame shows: all of it in speech, none in silence, a short fade between.

The network was never trained on silence and babbles on it, so there the photo's own mouth is shown. A fade begins
before the first sound (this needs less audio in advance than the network itself does), pauses shorter than :data:`HOLD`
are ignored, and an utterance ends with the photo's own mouth.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lipstream.engines.base import SPEECH_RATE

BLOCK_RATE = 100
"""Level measurements per second."""
FLOOR_DB = -50.0
"""Nothing quieter than this is speech; root mean square, dB re full scale."""
RANGE_DB = 40.0
"""Nothing this much quieter than the loudest moment so far is speech."""
ANTICIPATION = Fraction(12, 100)
"""How long before a sound the fade to the network's mouth begins, seconds."""
HOLD = Fraction(20, 100)
"""How long after a sound the fade back begins, seconds."""
FADE = Fraction(12, 100)
"""How long the cross-fade takes, seconds."""

_BLOCK = SPEECH_RATE // BLOCK_RATE


def fade_step(fps: Fraction) -> float:
    """By how much the weight changes from one frame to the next while it fades."""
    return min(1.0, float(1 / (FADE * fps)))


class SpeechGate:
    """The weight of the network's mouth, frame by frame, while the audio arrives. Chunking does not matter."""

    def __init__(self, fps: Fraction, weight: float = 0.0) -> None:
        """``weight`` is what the frame before the first one showed."""
        self.weight = weight
        """Weight of the last frame."""
        self._fps = fps
        self._step = fade_step(fps)
        self._pending = np.zeros(0, np.float32)
        self._levels: list[float] = []  # of the blocks that no frame has looked at yet
        self._block = 0  # index of _levels[0]
        self._loudest = -math.inf
        self._last_speech: int | None = None
        self._frame = 0

    def push(self, speech: NDArray[np.float32]) -> None:
        """Hear more, (n,) at 16 kHz."""
        self._pending = np.concatenate([self._pending, speech])
        whole = len(self._pending) // _BLOCK * _BLOCK
        for block in self._pending[:whole].astype(np.float64).reshape(-1, _BLOCK):
            self._levels.append(10 * math.log10(float(np.mean(block * block)) + 1e-12))
        self._pending = self._pending[whole:]

    def next_weight(self, frames_left: int | None = None) -> float:
        """The weight of the next frame, 0 to 1.

        Unless the audio is over, everything up to :data:`ANTICIPATION` after the frame's time must have been pushed. If
        it is over, ``frames_left`` says how many frames follow this one.
        """
        time = self._frame / self._fps
        self._frame += 1
        self._listen(until=math.floor((time + ANTICIPATION) * BLOCK_RATE))
        held_from = math.floor((time - HOLD) * BLOCK_RATE)
        speaking = self._last_speech is not None and self._last_speech >= held_from
        self.weight = min(1.0, max(0.0, self.weight + (self._step if speaking else -self._step)))
        if frames_left is not None:
            self.weight = min(self.weight, frames_left * self._step)
        return self.weight

    def _listen(self, until: int) -> None:
        heard = max(0, min(until - self._block, len(self._levels)))
        for level in self._levels[:heard]:
            self._loudest = max(self._loudest, level)
            if level > max(FLOOR_DB, self._loudest - RANGE_DB):
                self._last_speech = self._block
            self._block += 1
        del self._levels[:heard]

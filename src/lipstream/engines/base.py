"""What every lip-sync engine offers: prepare an avatar once, then animate it from audio.

There are three steps, whose results live for different lengths of time::

    engine = PortraitEngine(...)          # one per process: loads the networks
    actor = engine.prepare(avatar)        # one per avatar: everything that does not depend on the audio; immutable
    performance = actor.perform(fps)      # one per session: the state of the audio heard so far

Audio for engines is mono float32 at :data:`SPEECH_RATE`. Frames come out in order, as soon as enough audio is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lipstream.avatar import Avatar
from lipstream.media.planes import Planes

SPEECH_RATE = 16_000
"""Sample rate of the audio engines listen to, in Hz."""


@dataclass(frozen=True)
class Patch:
    """The part of the picture that one frame changes, and what is around it."""

    x: int
    """Left edge in the picture, pixels, even (chroma is subsampled by two)."""
    y: int
    """Top edge in the picture, pixels, even."""
    pixels: NDArray[np.uint8]
    """(height, width, 3) BGR with even height and width; both 0 = nothing changes. Never modified later."""
    background: Planes | None = None
    """The whole picture below, when the avatar is a clip; None = the avatar's own picture."""


NOTHING = np.zeros((0, 0, 3), np.uint8)
"""Pixels of a patch that changes nothing."""


@dataclass(frozen=True)
class Liveliness:
    """What a living head does besides speaking, at one instant. Angles as in :class:`lipstream.face.pose.Pose`.

    Values are meant to be small: with up to about 1° and 1 %, the background of a still picture does not bend visibly.
    Engines may limit them, and engines that cannot show them ignore them.
    """

    yaw: float = 0.0
    """Turn from the picture's own pose, degrees; positive towards the picture's right."""
    pitch: float = 0.0
    """Nod from the picture's own pose, degrees; positive when the nose goes up."""
    roll: float = 0.0
    """Tilt from the picture's own pose, degrees; positive clockwise."""
    x: float = 0.0
    """Shift to the right, inter-ocular distances."""
    y: float = 0.0
    """Shift downwards, inter-ocular distances."""
    scale: float = 1.0
    """Size relative to the picture's own."""
    breath: float = 0.0
    """0 = breathed out, as in the picture, to 1 = breathed in: shoulders and chest rise."""
    blink: float = 0.0
    """0 = eyes open, as in the picture, to 1 = closed."""


STILL = Liveliness()
"""As in the picture."""


def still() -> Liveliness:
    """The liveliness of a still picture: none."""
    return STILL


class Performance(Protocol):
    """One utterance, or one after another, of one speaker. Not thread-safe: it belongs to one session.

    Frames are drawn when the iterators are advanced, never ahead.
    """

    @property
    def knows_voices(self) -> bool:
        """Whether :meth:`meet` makes a difference; if not, there is no need to decode speech for it."""
        ...

    def meet(self, speech: NDArray[np.float32]) -> None:
        """Hear in advance how the speaker of the next utterance sounds: (n,) float32 in [-1, 1] at :data:`SPEECH_RATE`,
        any part of the utterance. To be called between utterances; gives no frames."""
        ...

    def push(self, speech: NDArray[np.float32]) -> Iterator[Patch]:
        """Hear more audio, (n,) float32 in [-1, 1] at :data:`SPEECH_RATE`; give the frames that are certain now."""
        ...

    def finish(self, frames: int) -> Iterator[Patch]:
        """The audio is over: give the rest, so that there are ``frames`` in all since the utterance began.

        What is pushed afterwards begins another utterance.
        """
        ...

    def clear(self) -> None:
        """Forget the audio heard; what is pushed next begins another utterance."""
        ...

    def idle(self) -> Patch:
        """One frame without speech, at any time: the mouth eases from what was drawn last to rest.

        Speech that follows, in the same utterance or in another, is eased into as well. The audio heard so far is kept,
        so a sender that is late loses nothing.
        """
        ...


class Actor(Protocol):
    """An avatar prepared by one engine. Immutable and safe to share between threads."""

    @property
    def avatar(self) -> Avatar:
        """Whom this actor plays."""
        ...

    @property
    def nbytes(self) -> int:
        """Memory that is freed together with this actor, in bytes; for caches."""
        ...

    def perform(self, fps: Fraction, life: Callable[[], Liveliness] = still, *, batch: int = 1) -> Performance:
        """Begin an utterance at ``fps`` frames per second. ``life`` is called once per frame drawn.

        Up to ``batch`` frames may be held back in order to be computed together, which is faster for large networks;
        live speech wants 1. Frames differ by rounding at most.
        """
        ...


class Engine(Protocol):
    """A way of making a picture speak."""

    @property
    def name(self) -> str:
        """What users write in the ``engine`` field."""
        ...

    @property
    def lookahead(self) -> Fraction:
        """Audio a frame needs beyond its own time, in seconds."""
        ...

    def prepare(self, avatar: Avatar) -> Actor:
        """Everything that does not depend on the audio. Raises :class:`lipstream.errors.FaceError`."""
        ...

"""What every lip-sync engine offers: prepare an avatar once, then animate it from audio.

Three small steps, each kept by whoever owns it::

    engine = PortraitEngine(...)          # one per process: loads the networks
    actor = engine.prepare(avatar)        # one per avatar: all that does not depend on the audio; shared, immutable
    performance = actor.perform(fps)      # one per utterance: state of the audio heard so far

Audio for engines is mono float32 at :data:`SPEECH_RATE`. Frames come out in order, as soon as enough audio is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lipstream.avatar import Avatar

SPEECH_RATE = 16_000
"""Sample rate of the audio engines listen to, in Hz."""


@dataclass(frozen=True)
class Patch:
    """The part of the picture that one frame changes; everything around it is the avatar's own picture."""

    x: int
    """Left edge in the picture, pixels, even (chroma is subsampled by two)."""
    y: int
    """Top edge in the picture, pixels, even."""
    pixels: NDArray[np.uint8]
    """(height, width, 3) BGR, height and width even. Not changed after it is handed out."""


class Performance(Protocol):
    """One utterance. Not thread-safe: it belongs to one session."""

    def push(self, speech: NDArray[np.float32]) -> Iterator[Patch]:
        """Hear more audio, (n,) float32 in [-1, 1] at :data:`SPEECH_RATE`; give the frames that are certain now."""
        ...

    def finish(self, frames: int) -> Iterator[Patch]:
        """The audio is over: give the rest, so that there are ``frames`` in all since the beginning."""
        ...


class Actor(Protocol):
    """An avatar prepared by one engine. Immutable and safe to share between threads."""

    @property
    def avatar(self) -> Avatar:
        """What this actor looks like at rest."""
        ...

    def perform(self, fps: Fraction) -> Performance:
        """Begin an utterance at ``fps`` frames per second."""
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

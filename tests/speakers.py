"""A lip-sync engine that is small enough to reason about: the mouth is as bright as the frame's sound is loud."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lipstream.avatar import Avatar, picture_digest
from lipstream.engines.base import SPEECH_RATE, Liveliness, Patch, still
from lipstream.face.mesh import Face
from lipstream.face.pose import canonical_face, estimate_pose

SIDE = 64
LOOKAHEAD = Fraction(1, 10)


def plain_avatar() -> Avatar:
    """A grey square; its face is the canonical one."""
    picture = np.full((SIDE, SIDE, 3), 90, np.uint8)
    landmarks = (canonical_face() * 16 + 32).astype(np.float32)
    return Avatar(picture, Face(landmarks, 1.0, estimate_pose(landmarks)), picture_digest(picture))


class BrightActor:
    """Draws a patch of 2 × 2 pixels: the number of the utterance's frame in its first pixel, 255 when idle.

    All frames carry the blue of ``life().blink``, so that a test sees which frames were drawn when.
    """

    def __init__(self) -> None:
        self.avatar = plain_avatar()
        self.nbytes = 0

    def perform(self, fps: Fraction, life: Callable[[], Liveliness] = still, *, batch: int = 1) -> BrightPerformance:  # noqa: ARG002
        """See :class:`lipstream.engines.base.Actor`."""
        return BrightPerformance(fps, life)


class BrightPerformance:
    """Knows a frame once the audio until its time and the lookahead was heard."""

    knows_voices = False

    def __init__(self, fps: Fraction, life: Callable[[], Liveliness]) -> None:
        self._fps = fps
        self._life = life
        self.clear()

    def meet(self, speech: NDArray[np.float32]) -> None:
        """See :class:`lipstream.engines.base.Performance`."""

    def push(self, speech: NDArray[np.float32]) -> Iterator[Patch]:
        """See :class:`lipstream.engines.base.Performance`."""
        self._heard += len(speech)
        certain = int((Fraction(self._heard, SPEECH_RATE) - LOOKAHEAD) * self._fps) + 1
        return self._draw(certain if self._heard >= LOOKAHEAD * SPEECH_RATE else 0)

    def finish(self, frames: int) -> Iterator[Patch]:
        """See :class:`lipstream.engines.base.Performance`."""
        yield from self._draw(frames)
        self.clear()

    def clear(self) -> None:
        """See :class:`lipstream.engines.base.Performance`."""
        self._heard = 0
        self._frame = 0

    def idle(self) -> Patch:
        """See :class:`lipstream.engines.base.Performance`."""
        return self._patch(255)

    def _draw(self, frames: int) -> Iterator[Patch]:
        while self._frame < frames:
            self._frame += 1
            yield self._patch((self._frame - 1) % 250)

    def _patch(self, number: int) -> Patch:
        blink = round(255 * self._life().blink)
        return Patch(30, 40, np.full((2, 2, 3), (blink, number, number), np.uint8))

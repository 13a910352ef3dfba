"""From one mouth to another without a jump: where speech begins, ends, stops short or goes on."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from lipstream.engines.portrait.style import MouthPose
from lipstream.engines.portrait.warp import smoothstep

EASE_SECONDS = Fraction(12, 100)
"""How long the mouth takes: about what lips need to close on a word's last vowel."""


class Ease:
    """Remembers what was drawn last. Where nothing jumps, poses pass unchanged."""

    def __init__(self, drawn: MouthPose, fps: Fraction) -> None:
        self._drawn = drawn
        self._from = drawn
        self._frames = max(1, round(EASE_SECONDS * fps))
        self._passed = self._frames

    def towards(self, target: MouthPose, *, jump: bool) -> MouthPose:
        """The pose to draw next. ``jump``: ``target`` does not follow from the one before."""
        if jump:
            self._from, self._passed = self._drawn, 0
        if self._passed < self._frames:
            self._passed += 1
            target = between(self._from, target, self._passed / self._frames)
        self._drawn = target
        return target


def between(start: MouthPose, end: MouthPose, part: float) -> MouthPose:
    """``start`` at ``part`` 0, ``end`` itself at 1, smooth between."""
    if part >= 1:
        return end
    share = float(smoothstep(np.array(part)))
    return MouthPose(
        (start.weights + np.float32(share) * (end.weights - start.weights)).astype(np.float32),
        start.gap + share * (end.gap - start.gap),
        start.bite + share * (end.bite - start.bite),
        start.tongue + share * (end.tongue - start.tongue),
    )

"""From one mouth to another without a jump, wherever speech begins, ends, is cut off or continues; and light that does
not flash when the lips nearly close for a moment."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from lipstream.engines.portrait.style import MouthPose
from lipstream.engines.portrait.warp import smoothstep

EASE_SECONDS = Fraction(12, 100)
"""How long easing takes, seconds: about as long as lips need to close after the last vowel of a word."""
GLOW_SECONDS = 0.10
"""Time constant, seconds, with which the light falls to that of a narrower opening."""


class Glow:
    """Light between the lips: it comes at once as they part and goes gradually as they close.

    Real light has no memory. But where lips nearly close and open again, teeth that turn grey in one frame and white in
    the next catch the eye. For one utterance.
    """

    def __init__(self, fps: Fraction) -> None:
        self._kept = float(np.exp(-1 / (GLOW_SECONDS * float(fps))))
        self._light = 0.0

    def on(self, pose: MouthPose) -> MouthPose:
        """The next pose of the utterance with the light it is shown in."""
        self._light = max(pose.gap, pose.gap + self._kept * (self._light - pose.gap))
        return replace(pose, light=self._light)


class Ease:
    """Remembers the pose drawn last, and eases from it where the motion jumps; elsewhere poses pass unchanged."""

    def __init__(self, drawn: MouthPose, fps: Fraction) -> None:
        self._drawn = drawn
        self._from = drawn
        self._frames = max(1, round(EASE_SECONDS * fps))
        self._passed = self._frames

    def towards(self, target: MouthPose, *, jump: bool) -> MouthPose:
        """The pose to draw next. ``jump``: ``target`` does not continue the motion before it."""
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
        start.dental + share * (end.dental - start.dental),
        _light(start) + share * (_light(end) - _light(start)),
    )


def _light(pose: MouthPose) -> float:
    return pose.gap if pose.light is None else pose.light

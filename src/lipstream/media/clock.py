"""The exact timing of video frames relative to audio samples.

Frame ``k`` shows the half-open interval ``[k / fps, (k + 1) / fps)`` of the audio. Rates are
:class:`fractions.Fraction` because 29.97 is 30000/1001: a float drifts by a frame within the hour, a
fraction never does.
"""

from __future__ import annotations

import math
from fractions import Fraction

MIN_FPS = 1
MAX_FPS = 60

# The usual names of the NTSC frame rates are rounded; these are the exact rates that they mean.
_NTSC = {nominal: Fraction(nominal * 1000, 1001) for nominal in (24, 30, 48, 60)}
_NTSC_TOLERANCE = 0.005


def frame_rate(fps: float | Fraction) -> Fraction:
    """The exact rate meant by ``fps``, in frames per second: 23.976 and 29.97 are the NTSC rates, 25.0 is 25.

    Raises :class:`ValueError` if ``fps`` is not a finite number from 1 to 60.
    """
    if not (math.isfinite(fps) and MIN_FPS <= fps <= MAX_FPS):
        raise ValueError(f"fps must be a number from {MIN_FPS} to {MAX_FPS}, not {fps}")
    if isinstance(fps, Fraction):
        return fps
    for rate in _NTSC.values():
        if abs(fps - float(rate)) < _NTSC_TOLERANCE:
            return rate
    return Fraction(fps).limit_denominator(1000)


def frame_count(samples: int, sample_rate: int, fps: Fraction) -> int:
    """Frames that cover ``samples`` of audio: ceil(duration × fps)."""
    return math.ceil(samples * fps / sample_rate)


def frame_time(index: int, fps: Fraction) -> Fraction:
    """When frame ``index`` appears, in seconds from the first audio sample."""
    return index / fps

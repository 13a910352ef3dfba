"""What a head does besides speaking: blink, breathe, sway a little.

A pure function of the frame's number and a seed, so any frame can be asked for at any time, in any order, and a stream
of a day needs no more memory than one of a second.

Blinks: Stern, Walrath & Goldstein, "The endogenous eyeblink", 1984, and Bentivoglio et al., "Analysis of blink rate
patterns in normal subjects", 1997: about 15 a minute, intervals skewed to the right, and lids that close faster than
they open.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np

from lipstream.engines.base import Liveliness

BLINK_INTERVAL = 4.0
"""Median time from one blink to the next, seconds."""
_INTERVAL_SPREAD = 0.45  # standard deviation of the logarithm of the interval
_LEAST_INTERVAL, _MOST_INTERVAL = 1.2, 12.0  # seconds
_BLINK_SECONDS = (0.18, 0.28)  # shortest and longest blink
_CLOSING_PART = 0.36  # of a blink; the lid goes up more slowly than it comes down
_DOUBLE = 0.08  # probability that a blink is followed by another at once
_DOUBLE_PAUSE = 0.08  # seconds between the two

# Blinks are drawn in epochs, each from its own seed and each beginning and ending with open eyes: a random walk
# would have to be followed from the beginning of the stream.
_EPOCH = 60.0  # seconds

MAX_ANGLE = 1.0
"""Sway stays below this in each of yaw, pitch and roll, degrees."""
MAX_SCALE = 0.01
"""Size stays within 1 ± this."""
MAX_SHIFT = 0.01
"""Shift stays below this in x and y, inter-ocular distances."""

_BREATH_SECONDS = 4.2
_INHALING_PART = 0.42  # of a breath


@dataclass(frozen=True)
class _Blink:
    start: float
    """Seconds into the epoch."""
    length: float
    """Seconds."""


@dataclass(frozen=True)
class _Sway:
    """A sum of slow sines whose periods have no common multiple."""

    waves: tuple[tuple[float, float, float], ...]
    """(amplitude, frequency in Hz, phase in radians); the amplitudes add up to at most the limit."""

    def at(self, time: float) -> float:
        return sum(a * math.sin(2 * math.pi * f * time + phase) for a, f, phase in self.waves)


# The slow waves look like shifting one's weight, the fastest keeps the head alive. None is a multiple of another.
_FREQUENCIES = (0.047, 0.0829, 0.1373, 0.2291)
_SHARES = (0.42, 0.28, 0.2, 0.1)
_LIMITS = {
    "yaw": MAX_ANGLE,
    "pitch": 0.7 * MAX_ANGLE,
    "roll": 0.6 * MAX_ANGLE,
    "x": MAX_SHIFT,
    "y": 0.6 * MAX_SHIFT,
    "scale": 0.5 * MAX_SCALE,
}


class IdleMotion:
    """The idle motion of one head at ``fps`` frames per second. Immutable; the same seed moves the same way."""

    def __init__(self, seed: int, fps: Fraction) -> None:
        self._seed = seed
        self._fps = fps
        rng = np.random.default_rng([seed, 0])
        self._sway = {name: _sway(rng, limit) for name, limit in _LIMITS.items()}
        self._breath_phase = float(rng.uniform())
        self._epoch = lru_cache(maxsize=2)(self._draw_epoch)

    def at(self, index: int) -> Liveliness:
        """Frame ``index``, 0 or more."""
        epoch, within = divmod(index / self._fps, Fraction(_EPOCH))
        time = float(index / self._fps)
        sway = {name: wave.at(time) for name, wave in self._sway.items()}
        breath = _breath((time / _BREATH_SECONDS + self._breath_phase) % 1.0)
        return Liveliness(
            yaw=sway["yaw"],
            pitch=sway["pitch"],
            roll=sway["roll"],
            x=sway["x"],
            y=sway["y"],
            scale=1.0 + sway["scale"],
            breath=breath,
            blink=max((_lid(blink, float(within)) for blink in self._epoch(int(epoch))), default=0.0),
        )

    def blinks(self, epoch: int) -> list[tuple[float, float]]:
        """(start, length) in seconds of the stream of every blink in minute ``epoch``, in order."""
        return [(epoch * _EPOCH + blink.start, blink.length) for blink in self._epoch(epoch)]

    def _draw_epoch(self, epoch: int) -> tuple[_Blink, ...]:
        rng = np.random.default_rng([self._seed, 1, epoch])
        blinks: list[_Blink] = []
        # The first interval of a minute began in the minute before, so only the rest of it is left.
        time = _interval(rng) * (1.0 if epoch == 0 else float(rng.uniform(0.3, 0.8)))
        while time + 2 * _BLINK_SECONDS[1] + _DOUBLE_PAUSE + _LEAST_INTERVAL / 2 < _EPOCH:
            blinks.append(_Blink(time, float(rng.uniform(*_BLINK_SECONDS))))
            if rng.uniform() < _DOUBLE:
                blinks.append(_Blink(time + blinks[-1].length + _DOUBLE_PAUSE, float(rng.uniform(*_BLINK_SECONDS))))
            time = blinks[-1].start + _interval(rng)
        return tuple(blinks)


def _sway(rng: np.random.Generator, limit: float) -> _Sway:
    shares = np.array(_SHARES) * rng.uniform(0.7, 1.0, len(_SHARES))
    phases = rng.uniform(0, 2 * math.pi, len(_SHARES))
    # The seed also stretches the periods a little, so that two heads side by side do not move in step.
    frequencies = np.array(_FREQUENCIES) * rng.uniform(0.9, 1.1, len(_FREQUENCIES))
    return _Sway(
        tuple((float(limit * a), float(f), float(p)) for a, f, p in zip(shares, frequencies, phases, strict=True))
    )


def _interval(rng: np.random.Generator) -> float:
    drawn = BLINK_INTERVAL * math.exp(_INTERVAL_SPREAD * float(rng.standard_normal()))
    return min(max(drawn, _LEAST_INTERVAL), _MOST_INTERVAL)


def _lid(blink: _Blink, time: float) -> float:
    """How closed the eyes are by this blink, 0 to 1."""
    part = (time - blink.start) / blink.length
    if not 0.0 < part < 1.0:
        return 0.0
    return _smooth(part / _CLOSING_PART if part < _CLOSING_PART else (1.0 - part) / (1.0 - _CLOSING_PART))


def _breath(part: float) -> float:
    """0 breathed out to 1 breathed in, over one breath; breathing out takes longer."""
    return _smooth(part / _INHALING_PART if part < _INHALING_PART else (1.0 - part) / (1.0 - _INHALING_PART))


def _smooth(part: float) -> float:
    return part * part * (3.0 - 2.0 * part)

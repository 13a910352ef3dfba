"""Turns the network's output into a mouth that rests where nobody speaks and closes where the lips must touch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipstream.engines.portrait.visemes import Told, log_odds, probability

Array = NDArray[np.float32]

LOGITS = ("closed", "speech")
"""The probabilities that the network gives between the coefficients and the phones: that the lips touch, and that
somebody speaks."""
SHOWN = ("closed", "lip_bite", "dental", "tongue")
"""What describes a mouth besides the coefficients, each 0…1."""

SPEAKING = (0.25, 0.50)
"""Below the first probability that somebody speaks, the mouth rests; above the second, it moves as the network says."""
TOUCHING = (0.06, 0.30)
"""Above the first probability of touching lips, the gap shrinks; above the second, there is none."""
BITING = (0.35, 0.50)
"""The same for the lower lip at the upper teeth: below the first it is not there, above the second it touches them."""
DENTAL = (0.22, 0.33)
"""The same for the tip of the tongue between the teeth, whose phones are heard less surely."""
RAISING = (0.30, 0.45)
"""The same for a raised tip."""
NASAL_COUNTS = 2.0
"""The weight of the log odds of n and ng against touching lips, if they are likelier than not."""
SILENT = (16, 36)
"""After the first number of consecutive silent hops, the mouth begins to come to rest, and after the second it rests,
whatever the network says. The closures of p, t and k are shorter than 160 ms."""

ROUNDED_CLOSES, ROUNDED_NARROWS = 0.35, 0.02
"""If the lips are surely rounded, the gap shrinks by the first fraction, and the mouth becomes narrower by the second
value, in inter-ocular distances. The only filmed speaker hardly rounds his lips."""
OPEN_OPENS, OPEN_WIDENS = 0.15, 0.02
"""If the jaw is surely low, the gap is wider than the network says by the first fraction, because the network is less
sure about voices that it does not know, and the mouth is wider by the second value, in inter-ocular distances, which
others do more than the filmed speaker."""
SPEAKING_WIDTH = 0.010
"""While it speaks, the mouth is wider than the network says by this, in inter-ocular distances. On average, the
filmed speaker's mouth is as wide as at rest, but those of the two others that were measured are wider, by more than
this."""

_LOWER_LIP, _UPPER_LIP = (14, 87, 317), (13, 82, 312)  # mesh points in the middle of the inner lips
_LOW, _HIGH = np.array([BITING, DENTAL, RAISING], np.float32).T


@dataclass(frozen=True)
class Gates:
    """Turns the network's output and what is heard into a mouth."""

    opening: Array
    """(K,) how much each coefficient opens the lips."""
    closing: Array
    """(K,) the usual change of the coefficients if the gap shrinks by one inter-ocular distance."""
    spreading: Array
    """(K,) the usual change of the coefficients if the mouth widens by one inter-ocular distance."""

    def __call__(self, out: Array, told: Told, ease: np.float32) -> Array:
        """One step: the network's coefficients and LOGITS (K + 2,) and what is heard → coefficients, scaled by ``ease``
        0…1, and SHOWN (K + 4,)."""
        k = len(self.opening)
        closed, speech = out[k:]
        awake = ramp(min(speech, 1 - ramp(told.quiet, *SILENT)), *SPEAKING)
        width = SPEAKING_WIDTH + OPEN_WIDENS * told.low - ROUNDED_NARROWS * told.rounded
        spoken = out[:k] + np.float32(width) * self.spreading
        coefficients = spoken * (ease * awake)
        touch = ramp(_touching(closed, told), *TOUCHING)
        gap = max(np.float32(0.0), self.opening @ coefficients)
        shown = np.array([touch, *(awake * articulated(told.articulation))], np.float32)
        wider = np.float32((1 - ROUNDED_CLOSES * told.rounded) * (1 + OPEN_OPENS * told.low))
        return np.concatenate([coefficients + self.closing * (gap * (1 - (1 - touch) * wider)), shown])


def articulated(probable: Array) -> Array:
    """Probabilities of bite, tip between the teeth and raised tip around a step (n, 3) → how far each is there, (3,)
    0…1."""
    part = np.minimum(np.float32(1.0), np.maximum(np.float32(0.0), (probable - _LOW) / (_HIGH - _LOW)))
    smooth: Array = part * part * (3 - 2 * part)
    return np.asarray(np.add.reduce(smooth) / np.float32(len(smooth)))


def _touching(network: float, told: Told) -> float:
    """Probability that the lips touch. The phones tell b, m and p of any voice, the network has seen the mouth of one
    speaker, so its log odds count half. n and ng may be taken for m, but rarely the other way round: if they are sure,
    the lips are apart."""
    lips, nasal, closed = log_odds(np.array([told.lips, told.nasal, network], np.float32))
    return float(probability(lips + closed / 2 - NASAL_COUNTS * max(0.0, nasal)))


def opening_of(points: NDArray[np.int64], vectors: Array) -> Array:
    """(K,) how far each vector (K, 61, 3), displacements of those mesh points, parts the middle of the inner lips."""
    place = points.tolist()
    lower, upper = (
        np.mean([vectors[:, place.index(p), 1] for p in lip], axis=0, dtype=np.float32)
        for lip in (_LOWER_LIP, _UPPER_LIP)
    )
    return np.asarray(lower - upper)


def ramp(value: float, low: float, high: float) -> np.float32:
    """0 up to ``low``, 1 from ``high`` on, smooth between."""
    part = min(1.0, max(0.0, (float(value) - low) / (high - low)))
    smooth: np.float32 = np.float32(part * part * (3.0 - 2.0 * part))
    return smooth

"""Where nobody speaks the mouth rests, and where lips must touch they do, whatever coefficients the network gives."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipstream.engines.portrait.visemes import Told

Array = NDArray[np.float32]

LOGITS = ("closed", "speech")
"""What the network tells besides the coefficients, each as a probability."""
SHOWN = ("closed", "lip_bite", "dental", "tongue")
"""What a mouth has besides coefficients, each 0…1."""

SPEAKING = (0.25, 0.50)
"""Below the first probability that somebody speaks the mouth rests, above the second it moves as the network says."""
TOUCHING = (0.03, 0.20)
"""Above the first probability of touching lips the gap shrinks, above the second there is none."""
NASAL_COUNTS = 2.0
"""How much the log odds of n or ng count against touching lips, once they are likelier than not."""
BITING = (0.23, 0.37)
"""The same for the lower lip at the upper teeth: below the first it is not there, above the second it touches."""
DENTAL = (0.20, 0.30)
"""The same for the tip of the tongue between the teeth, whose phones are heard less surely."""
RAISING = (0.25, 0.43)
"""The same for a raised tip."""
SILENT = (16, 36)
"""After the first number of silent hops in a row a mouth begins to rest, after the second it does, whatever the network
says: the closures of p, t and k are shorter than 160 ms."""

ROUNDED_CLOSES, ROUNDED_NARROWS = 0.3, 0.03
"""Part of the gap that is gone between lips that are surely rounded, and how much narrower the mouth is, inter-ocular
distances: the network's only speaker hardly rounds his."""
OPEN_OPENS = 0.2
"""How much wider than the network says the gap is where the jaw is surely low: unheard voices are told less clearly."""
SPEAKING_WIDTH = 0.012
"""How much wider than at rest a mouth is on average while it speaks, besides what the network says, inter-ocular
distances. Its speaker's mouth stays as wide as it was, those of both others that were measured widen, and more than
this."""

_LOWER_LIP, _UPPER_LIP = (14, 87, 317), (13, 82, 312)  # mesh points in the middle of the inner lips
_LOW, _HIGH = np.array([BITING, DENTAL, RAISING], np.float32).T
_SURE = 0.001  # probabilities nearer to 0 or 1 count as this


@dataclass(frozen=True)
class Gates:
    """Turns the network's output and what the ear tells into a mouth."""

    opening: Array
    """(K,) how much each coefficient opens the lips."""
    closing: Array
    """(K,) how the coefficients change when the lips come one inter-ocular distance closer."""
    spreading: Array
    """(K,) how they change when the mouth gets one inter-ocular distance wider."""

    def __call__(self, out: Array, told: Told, ease: np.float32) -> Array:
        """(K + 2,) coefficients and LOGITS, and what the ear told → (K + 4,) coefficients, scaled by ``ease`` 0…1, and
        SHOWN.

        Lips close in the way they usually do.
        """
        k = len(self.opening)
        closed, speech = out[k:]
        awake = ramp(min(speech, 1 - ramp(told.quiet, *SILENT)), *SPEAKING)
        spoken = out[:k] + np.float32(SPEAKING_WIDTH - ROUNDED_NARROWS * told.rounded) * self.spreading
        coefficients = spoken * (ease * awake)
        touch = ramp(_touching(closed, told), *TOUCHING)
        gap = max(np.float32(0.0), self.opening @ coefficients)
        shown = np.array([touch, *(awake * articulated(told.articulation))], np.float32)
        wider = np.float32((1 - ROUNDED_CLOSES * told.rounded) * (1 + OPEN_OPENS * told.low))
        return np.concatenate([coefficients + self.closing * (gap * (1 - (1 - touch) * wider)), shown])


def articulated(probable: Array) -> Array:
    """(n, 3) how probable bite, tip between the teeth and raised tip are around a step → (3,) 0…1 of each, eased."""
    part = np.minimum(np.float32(1.0), np.maximum(np.float32(0.0), (probable - _LOW) / (_HIGH - _LOW)))
    smooth: Array = part * part * (3 - 2 * part)
    return np.asarray(np.add.reduce(smooth) / np.float32(len(smooth)))


def _touching(network: float, told: Told) -> float:
    """How probable touching lips are: the ear knows all voices' b, m and p, the network knows one film's mouth, so its
    log odds count half. n and ng sound like m, but not the other way round: where they are sure, lips are apart."""
    both = _log_odds(told.lips) + _log_odds(network) / 2 - NASAL_COUNTS * max(0.0, _log_odds(told.nasal))
    return 1 / (1 + math.exp(-both))


def _log_odds(probability: float) -> float:
    p = min(max(float(probability), _SURE), 1 - _SURE)
    return math.log(p / (1 - p))


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

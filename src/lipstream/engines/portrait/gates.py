"""Where nobody speaks the mouth rests, and where lips must touch they do, whatever coefficients the network gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipstream.engines.portrait.phones import N_STATES, PHONES, STATES_PER_PHONE

Array = NDArray[np.float32]

ARTICULATIONS = ("closed", "lip_bite", "tongue", "speech")
"""What the network tells besides the coefficients, each as a probability."""
CLOSED, SPEECH = ARTICULATIONS.index("closed"), ARTICULATIONS.index("speech")

SPEAKING = (0.20, 0.50)
"""Below the first probability of speech the mouth rests, above the second it moves as the network says."""
TOUCHING = (0.22, 0.55)
"""Above the first probability of touching lips the gap shrinks, above the second there is none."""

QUIET = -34.0
"""Cepstrum 0, freed of its running mean, below which a hop is silent: 30 dB below usual speech of that voice."""
SILENT = (16, 36)
"""After the first number of silent hops in a row a mouth begins to rest, after the second it does, whatever the network
says: the closures of p, t and k are shorter than 160 ms."""

_LOWER_LIP, _UPPER_LIP = (14, 87, 317), (13, 82, 312)  # mesh points in the middle of the inner lips
_BILABIAL_STATES = [STATES_PER_PHONE * PHONES.index(p) + state for p in "BMP" for state in range(STATES_PER_PHONE)]


def bilabials(heard: Array) -> Array:
    """(n, 139) of a :class:`PhoneStream` → (n,) how probable b, m or p is in each hop of 10 ms.

    The network learned when lips touch from few voices. The posteriors of others are unlike what it knows, but what is
    great in them is right all the same: where the ear alone is sure, lips touch whatever the network says.
    """
    probabilities: Array = np.exp(heard[:, _BILABIAL_STATES]).sum(axis=1)
    return probabilities


def silent(heard: Array) -> NDArray[np.bool_]:
    """(n, 139) of a :class:`PhoneStream` → (n,) whether there is next to nothing to hear in each hop."""
    return np.asarray(heard[:, N_STATES] < QUIET)


@dataclass(frozen=True)
class Gates:
    """Turns the network's output into a mouth."""

    opening: Array
    """(K,) how much each coefficient opens the lips."""
    closing: Array
    """(K,) how the coefficients change when the lips come one inter-ocular distance closer."""

    def __call__(self, out: Array, ease: np.float32) -> Array:
        """(K + 4,) coefficients and probabilities → coefficients, scaled by ``ease`` 0…1, and probabilities.

        Lips close in the way they usually do.
        """
        k = len(self.opening)
        articulation = out[k:]
        coefficients = out[:k] * (ease * ramp(articulation[SPEECH], *SPEAKING))
        gap = max(np.float32(0.0), self.opening @ coefficients)
        coefficients = coefficients + self.closing * (gap * ramp(articulation[CLOSED], *TOUCHING))
        return np.concatenate([coefficients, articulation])


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

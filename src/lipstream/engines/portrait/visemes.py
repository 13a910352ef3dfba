"""What the ear alone says: which viseme is heard, and when there is nothing to hear.

The network learned from one filmed voice, and what other voices do escapes it where a single phone decides. Asked which
of two phones of voices that nothing was learned from is an f or v, it is right in .83 of the cases, the posteriors in
.99; .74 and .95 for the tip of the tongue. So these come from the posteriors, and touching lips from both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipstream.engines.portrait.phones import BLOCK, N_STATES, PHONES, STATES_PER_PHONE

Array = NDArray[np.float32]

VISEMES = {
    "lips": ("B", "M", "P"),
    "nasal": ("N", "NG"),
    "lip_bite": ("F", "V"),
    "dental": ("DH", "TH"),
    "tongue": ("D", "DH", "L", "N", "T", "TH"),
    "rounded": ("OW", "OY", "UH", "UW", "W"),
    "open": ("AA", "AE", "AW", "AY", "EH", "EY"),
}
"""Phones that are made so: lips on each other, lips apart but the nose open as for m, the lower lip at the upper teeth,
the tip of the tongue between the teeth or up behind them, lips rounded, the jaw low. Columns have this order."""
AHEAD_HOPS = 1
"""How much later than a step's own time, in hops of 10 ms, is what it shows: who hears so little ahead comes late
otherwise, by .1 film frames for the speaker that was learned from and by .5 for others."""
QUIET = -34.0
"""Cepstrum 0, freed of its running mean, below which a hop is silent: 30 dB below usual speech of that voice."""

HEARD_HOPS, HELD, EASED = 6, 5, 5
"""Teeth and tongue move more slowly than lips part, and posteriors come and go within a phone. So what counts for
them is the mean of so many hops, then the best of so many such means, and a step shows the mean of what so many of
those make of the mouth. All of it has been heard by then."""

_AROUND = 1  # hops around a step that rounding and a low jaw are heard in besides: they come and go more slowly
_BEFORE = (HEARD_HOPS + HELD + EASED - 2 - BLOCK) // 2  # hops before a step that come into it, and as many after it
_STATES = [
    [STATES_PER_PHONE * PHONES.index(phone) + state for phone in phones for state in range(STATES_PER_PHONE)]
    for phones in VISEMES.values()
]


def visemes(heard: Array) -> Array:
    """(n, 139) of a :class:`PhoneStream` → (n, 7) how probable each of :data:`VISEMES` is in each hop of 10 ms."""
    # No matrix product: its last bits would depend on n, and with it on how the audio was cut.
    return np.stack([np.exp(heard[:, states]).sum(axis=1) for states in _STATES], axis=1)


def silent(heard: Array) -> NDArray[np.bool_]:
    """(n, 139) of a :class:`PhoneStream` → (n,) whether there is next to nothing to hear in each hop."""
    return np.asarray(heard[:, N_STATES] < QUIET)


@dataclass(frozen=True)
class Told:
    """What the ear tells of one step."""

    lips: float
    """How probable touching lips are."""
    nasal: float
    """How probable n and ng are, which sound like m."""
    articulation: Array
    """(:data:`EASED`, 3) how probable a bite, a tip between the teeth and a raised one are around it."""
    rounded: float
    """How probable rounded lips are."""
    low: float
    """How probable a low jaw is."""
    quiet: int
    """How many silent hops in a row it ends."""


class Ear:
    """Tells of one step of 20 ms after the other what is heard in it. For one utterance; not thread-safe."""

    def __init__(self, early: int, quiet: int) -> None:
        """The first step is ``early`` hops before the first that is heard, after ``quiet`` silent ones."""
        self._visemes = np.zeros((_BEFORE - AHEAD_HOPS + early, len(VISEMES)), np.float32)
        self._silent = np.ones(early, np.bool_)
        self._quiet = quiet

    def hear(self, heard: Array) -> None:
        """Take (2 m, 139) of a :class:`PhoneStream`: m more steps."""
        self._visemes = np.concatenate([self._visemes, visemes(heard)])
        self._silent = np.concatenate([self._silent, silent(heard)])

    def step(self) -> Told:
        """What is heard in the next step; the hops that come into it must have been heard."""
        lips, nasal = np.add.reduce(self._visemes[_BEFORE : _BEFORE + BLOCK, :2]) / BLOCK
        articulation = held(self._visemes[: 2 * _BEFORE + BLOCK, 2:5])
        around = self._visemes[_BEFORE - _AROUND : _BEFORE + BLOCK + _AROUND, 5:]
        rounded, low = np.add.reduce(around) / len(around)
        for quiet in self._silent[AHEAD_HOPS : AHEAD_HOPS + BLOCK]:
            self._quiet = self._quiet + 1 if quiet else 0
        self._visemes, self._silent = self._visemes[BLOCK:], self._silent[BLOCK:]
        return Told(float(lips), float(nasal), articulation, float(rounded), float(low), self._quiet)


def held(probable: Array) -> Array:
    """(n, …) how probable something is in each hop → (n - 9, …) how surely it is heard around those that
    have enough on both sides."""
    means = np.add.reduce(_shifted(probable, HEARD_HOPS)) / np.float32(HEARD_HOPS)
    result: Array = np.maximum.reduce(_shifted(means, HELD))
    return result


def _shifted(values: Array, times: int) -> list[Array]:
    return [values[first : len(values) - times + 1 + first] for first in range(times)]

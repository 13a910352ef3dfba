"""Which visemes are heard at each moment, and where there is nothing to hear.

The motion was learned from the film of a single speaker. What a single phone decides, such as a contact of the lips, is
therefore taken from the phones, which carry over to other voices. Two witnesses tell them: the posteriors of the
acoustic model, and the network that gives the motion.
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
"""Each viseme and its phones, in the order of all columns below: the lips touch; they are apart, but the nose is open
as for m; the lower lip is at the upper teeth; the tip of the tongue is between the teeth; it is raised, behind them or
between them; the lips are rounded; the jaw is low."""
USUAL = (0.08, 0.10, 0.035, 0.01, 0.24, 0.06, 0.16)
"""The share of each viseme in the duration of English speech."""
NETWORK_COUNTS = 0.5
"""The weight of the second witness. The posteriors come from a model that learned from many people, but they see little
more than a moment and know nothing of noise. The network learned phones from fewer voices, but in noise and in rooms
too, and it sees what is around a step. The odds that it gives a viseme, divided by the usual odds, are raised to this
power and multiplied with the odds of the posteriors."""
AHEAD_HOPS = 1
"""A step shows what belongs to so many hops of 10 ms after its own time. With so little lookahead, the mouth would
otherwise be late: by .1 film frames for the speaker of the training data, and by .5 for others."""
QUIET = -34.0
"""A hop is silent if its cepstrum 0, minus the running mean, is below this: 30 dB below the usual speech of a voice."""

HEARD_HOPS, HELD, EASED = 6, 5, 5
"""Teeth and tongue move more slowly than lips, and posteriors come and go within a phone. So for teeth and tongue the
posteriors are averaged over the first number of hops, and of each second number of such means the greatest is kept. A
step shows the average of what the third number of these maxima, those around it, make of the mouth. All of these hops
are within the lookahead."""

_AROUND = 1  # hops on either side of a step that count for rounding and a low jaw, too: they come and go slowly
_BEFORE = (HEARD_HOPS + HELD + EASED - 2 - BLOCK) // 2  # hops before a step that count for it; as many count after it
_STATES = [
    STATES_PER_PHONE * PHONES.index(phone) + state
    for phones in VISEMES.values()
    for phone in phones
    for state in range(STATES_PER_PHONE)
]
_FIRST = np.cumsum([0, *(STATES_PER_PHONE * len(phones) for phones in VISEMES.values())])[:-1]  # of each in _STATES
_SMOOTHED = HEARD_HOPS + HELD - 2  # hops that are lost in :func:`held`
_GROUPS = np.array([[phone in phones for phones in VISEMES.values()] for phone in PHONES], np.float32)
_USUAL_ODDS = np.log(np.array(USUAL, np.float32) / (1 - np.array(USUAL, np.float32)))
_SURE, _ONE = np.float32(0.001), np.float32(1.0)


def visemes(heard: Array) -> Array:
    """(n, 139) of a :class:`PhoneStream` → (n, 7) how probable each of :data:`VISEMES` is in each hop of 10 ms."""
    # Not a matrix product: its last bits depend on n, and the result would depend on how the audio was cut.
    return np.asarray(np.add.reduceat(np.exp(heard[:, _STATES]), _FIRST, axis=1))


def silent(heard: Array) -> NDArray[np.bool_]:
    """(n, 139) of a :class:`PhoneStream` → (n,) whether there is next to nothing to hear in each hop of 10 ms."""
    return np.asarray(heard[:, N_STATES] < QUIET)


@dataclass(frozen=True)
class Told:
    """What is heard in one step of 20 ms."""

    lips: float
    """Probability of b, p or m."""
    nasal: float
    """Probability of n or ng, which sound like m."""
    articulation: Array
    """(:data:`EASED`, 3) probabilities of a bite, of a tip between the teeth and of a raised tip, around the step."""
    rounded: float
    """Probability of rounded lips."""
    low: float
    """Probability of a low jaw."""
    quiet: int
    """Number of consecutive silent hops up to this step."""


class Ear:
    """Tells what is heard in one step after another. For one utterance; not thread-safe."""

    def __init__(self, early: int, quiet: int) -> None:
        """The first step is ``early`` hops before the first one heard, and follows ``quiet`` silent hops."""
        self._visemes = np.zeros((_BEFORE - AHEAD_HOPS + early, len(VISEMES)), np.float32)
        self._held = self._visemes[_SMOOTHED:, 2:5]
        self._silent = np.ones(early, np.bool_)
        self._quiet = quiet

    def hear(self, heard: Array) -> None:
        """Add the hops of m more steps: (2 m, 139) of a :class:`PhoneStream`."""
        self._visemes = np.concatenate([self._visemes, visemes(heard)])
        self._held = np.concatenate([self._held, held(self._visemes[-len(heard) - _SMOOTHED :, 2:5])])
        self._silent = np.concatenate([self._silent, silent(heard)])

    def step(self, phones: Array) -> Told:
        """What is heard in the next step. ``phones`` (42,) are the network's probabilities of the phones in it. The
        hops that count for the step must have been added."""
        heard = np.empty((EASED, len(VISEMES)), np.float32)
        heard[:, :2] = np.add.reduce(self._visemes[_BEFORE : _BEFORE + BLOCK, :2]) / BLOCK
        heard[:, 2:5] = self._held[:EASED]
        around = self._visemes[_BEFORE - _AROUND : _BEFORE + BLOCK + _AROUND, 5:]
        heard[:, 5:] = np.add.reduce(around) / len(around)
        for quiet in self._silent[AHEAD_HOPS : AHEAD_HOPS + BLOCK]:
            self._quiet = self._quiet + 1 if quiet else 0
        self._visemes, self._held = self._visemes[BLOCK:], self._held[BLOCK:]
        self._silent = self._silent[BLOCK:]
        both = probability(log_odds(heard) + NETWORK_COUNTS * (log_odds(phones @ _GROUPS) - _USUAL_ODDS))
        lips, nasal, rounded, low = both[0, [0, 1, 5, 6]].tolist()
        return Told(lips, nasal, both[:, 2:5], rounded, low, self._quiet)


def held(probable: Array) -> Array:
    """Probabilities in each hop (n, …) → smoothed as :data:`HEARD_HOPS` says (n - 9, …), without the hops at both ends
    that have too few neighbours."""
    means = np.add.reduce(_shifted(probable, HEARD_HOPS)) / np.float32(HEARD_HOPS)
    result: Array = np.maximum.reduce(_shifted(means, HELD))
    return result


def _shifted(values: Array, times: int) -> list[Array]:
    return [values[first : len(values) - times + 1 + first] for first in range(times)]


def log_odds(probable: Array) -> Array:
    """log(p / (1 - p)) of probabilities; those closer than .001 to 0 or 1 are moved to this distance."""
    p = np.minimum(np.maximum(probable, _SURE), _ONE - _SURE)
    odds: Array = np.log(p / (_ONE - p))
    return odds


def probability(odds: Array) -> Array:
    """The inverse of :func:`log_odds`."""
    probable: Array = _ONE / (_ONE + np.exp(-odds))
    return probable

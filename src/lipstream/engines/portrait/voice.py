"""What is known about a voice: how its microphone and room colour it, how loud and how high it is.

When somebody begins to speak, nothing is known yet, so the first syllables over a telephone or of a soft voice differ
from what the acoustic model was trained on. But the next utterance is mostly by the same speaker, and of a whole
recording, a part can be heard in advance.
"""

from __future__ import annotations

from copy import deepcopy

import numpy as np
from numpy.typing import NDArray

from lipstream.engines.portrait.pitch import VoiceHeight

# Mean cepstra of speech at a usual level (about -26 dBFS), from recorded and synthetic voices: where the running mean
# begins.
_PRIOR_MEAN = np.array(
    [63.9, 5.5, 5.9, 19.0, 2.0, -3.6, -1.0, -7.4, -1.6, -0.6, -1.4, 1.1, 3.5],
    np.float64,
)
_PRIOR_HOPS = 30.0
"""Weight of the prior in hops: 0.3 s. (With a second, telephones and far microphones differed from what the model knows
for most of a sentence; with 0.1 s, the mean would soon be that of a single vowel.)"""
_KNOWN_HOPS = 100.0
"""Greatest weight of a voice that was heard before, in hops: somebody else may speak next."""
_MEMORY_HOPS = 1000.0
"""The running mean forgets: it never weighs more than ten seconds."""

# Only speech changes the running mean; otherwise a long pause would begin to look like speech. A hop counts as speech
# if its cepstrum 0 (5 × mean natural-log mel power: 11.5 units are 10 dB) is near the recent maximum.
_PEAK_PRIOR = 75.0
_PEAK_LOWEST = 74.0
_PEAK_DECAY = 0.03
_PEAK_RANGE = 34.0

# A hop counts the less, the more it is like those just before it: a vowel that is held tells nothing new of the voice,
# and would become its mean, and silence to whoever hears the difference from that.
_RECENT = 0.1
"""How fast the mean of what was just heard follows, per hop: 0.1 s."""
_CHANGE = 49.0
"""Mean square of the change of cepstra 1…12 from which a hop counts fully; half of the hops of speech change more."""


class Voice:
    """What is known so far about one voice at one microphone. Not thread-safe: each stream has its own."""

    def __init__(self) -> None:
        self.height = VoiceHeight()
        """How high it is."""
        self._mean = _PRIOR_MEAN.copy()
        self._hops = _PRIOR_HOPS
        self._recent = _PRIOR_MEAN.copy()
        self._peak = _PEAK_PRIOR

    def remembered(self) -> Voice:
        """What to expect when somebody speaks again: the same voice."""
        voice = deepcopy(self)
        voice._hops = min(self._hops, _KNOWN_HOPS)
        return voice

    def update(self, cepstra: NDArray[np.float64]) -> NDArray[np.float64]:
        """Hear (n, 13) cepstra; give the (n, 13) means of the speech so far, which are to be subtracted from them."""
        means = np.empty_like(cepstra)
        for i, cepstrum in enumerate(cepstra):
            level = float(cepstrum[0])
            self._peak = max(level, self._peak - _PEAK_DECAY, _PEAK_LOWEST)
            change = cepstrum - self._recent
            self._recent += _RECENT * change
            if level > self._peak - _PEAK_RANGE:
                counts = min(1.0, float(change[1:] @ change[1:]) / (12 * _CHANGE))
                self._hops = min(self._hops + counts, _MEMORY_HOPS)
                self._mean += (cepstrum - self._mean) * (counts / self._hops)
            means[i] = self._mean
        return means

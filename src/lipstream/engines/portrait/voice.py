"""What was learned of a voice: how its microphone and room colour it, how loud and how high it is.

Nothing is known when somebody begins to speak, so the first syllables of a telephone or of a soft voice are unlike what
the acoustic model was trained on. Who spoke a moment ago mostly goes on; and a whole recording can be heard beforehand.
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
"""How many hops the prior counts: 0.3 s. (With a second, telephones and far microphones stayed unlike what the model
knows for most of a sentence; with 0.1 s a single vowel would be all there is.)"""
_KNOWN_HOPS = 100.0
"""How many a voice counts that was heard before, at most: another one may speak next."""
_MEMORY_HOPS = 1000.0
"""The running mean forgets: it never weighs more than ten seconds."""

# Only speech moves the running mean; otherwise a long pause would come to look like speech. A hop counts as speech when
# its cepstrum 0 (5 × mean natural-log mel power: 11.5 units are 10 dB) is near the loudest of late.
_PEAK_PRIOR = 75.0
_PEAK_LOWEST = 74.0
_PEAK_DECAY = 0.03
_PEAK_RANGE = 34.0


class Voice:
    """One voice at one microphone, as far as it was heard. Not thread-safe: each stream has its own."""

    def __init__(self) -> None:
        self.height = VoiceHeight()
        """How high it is."""
        self._mean = _PRIOR_MEAN.copy()
        self._hops = _PRIOR_HOPS
        self._peak = _PEAK_PRIOR

    def remembered(self, pause: int = 0) -> Voice:
        """What to expect when somebody speaks after ``pause`` hops of silence: the same voice."""
        voice = deepcopy(self)
        voice._hops = min(self._hops, _KNOWN_HOPS)
        voice._peak += pause * _PEAK_DECAY
        return voice

    def update(self, cepstra: NDArray[np.float64]) -> NDArray[np.float64]:
        """Hear (n, 13) cepstra; give the (n, 13) means of the speech so far, which are to be subtracted from them."""
        means = np.empty_like(cepstra)
        for i, cepstrum in enumerate(cepstra):
            level = float(cepstrum[0])
            self._peak = max(level, self._peak - _PEAK_DECAY, _PEAK_LOWEST)
            if level > self._peak - _PEAK_RANGE:
                self._hops = min(self._hops + 1.0, _MEMORY_HOPS)
                self._mean += (cepstrum - self._mean) / self._hops
            means[i] = self._mean
        return means

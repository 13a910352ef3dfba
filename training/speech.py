"""Speech that nobody filmed: what its synthesisers have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipstream.engines.portrait.phones import SAMPLE_RATE
from lipstream.media.resample import Resampler

WORDS, SYLLABLES = (3, 7), (1, 3)
"""Ranges: words in a line and syllables in a word."""
LEVEL = 0.06
"""Effective value of what is spoken."""


@dataclass(frozen=True)
class Spoken:
    """Speech and the phones it consists of."""

    audio: NDArray[np.float32]
    """(n,) mono at 16 kHz."""
    phones: tuple[tuple[str, float, float], ...]
    """ARPAbet name, start and end in seconds, in order."""


def at_speech_level(sound: NDArray[np.float64], rate: int) -> NDArray[np.float32]:
    """Sound (n,) at ``rate`` Hz → at 16 kHz, its loud parts at :data:`LEVEL`."""
    resampler = Resampler(rate, SAMPLE_RATE)
    sound = np.concatenate([resampler.push(sound.astype(np.float32)), resampler.flush()])
    loud = sound[np.abs(sound) > 0.02]
    return np.asarray(sound * (LEVEL / max(float(np.sqrt((loud**2).mean())), 1e-3)), np.float32)


def pseudo_words(rng: np.random.Generator, onsets: Sequence[str], nuclei: Sequence[str], codas: Sequence[str]) -> str:
    """A line of words of no meaning."""
    return " ".join(
        "".join(
            str(rng.choice(onsets)) + str(rng.choice(nuclei)) + str(rng.choice(codas))
            for _ in range(rng.integers(SYLLABLES[0], SYLLABLES[1] + 1))
        )
        for _ in range(rng.integers(WORDS[0], WORDS[1] + 1))
    )

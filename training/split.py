"""Which clips are learned from, which decide between variants, and which only measure the result."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.prepare import Clip

_SEED = 20_240_601
_TEST = 100
_DEVELOPMENT = 100


@dataclass(frozen=True)
class Split:
    """Three disjoint parts of a corpus."""

    train: list[Clip]
    """Learned from."""
    development: list[Clip]
    """Used to choose between variants; learned from as well once the choice is made."""
    test: list[Clip]
    """Never learned from, never used for a choice."""


def split(clips: list[Clip]) -> Split:
    """The same parts every time, whatever the order of ``clips``."""
    ordered = sorted(clips, key=lambda clip: clip.name)
    shuffled = [ordered[i] for i in np.random.default_rng(_SEED).permutation(len(ordered))]
    return Split(shuffled[_TEST + _DEVELOPMENT :], shuffled[_TEST : _TEST + _DEVELOPMENT], shuffled[:_TEST])

"""What one curve tells of a mouth, its opening (n,) at 25 frames per second: when it closes, and how late it comes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.prepare import Array

Span = tuple[int, int]
"""First frame and the one after the last."""

CLOSED = 0.15
"""A mouth whose opening is below this part of the clip's 95th percentile counts as closed."""
OPEN = 0.35
"""Above this part it counts as open: a closure lies between two such frames."""
CLOSURE_REACH = 5
"""Frames before and after a closure's deepest point in which the mouth must be open: 200 ms."""
CLOSURE_TOLERANCE = 1
"""Frames by which a predicted closure may miss the true one: 40 ms."""

_LAG_REACH = 3  # frames that a lag is looked for in either direction
_EDGE = 4  # frames left out at both ends when lags are compared


def correlation(a: Array, b: Array) -> float:
    """Pearson's r; 0 if either does not move."""
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / size if size > 1e-12 else 0.0


def lag_correlations(fine: Array, true: Array, per_frame: int) -> Array:
    """Correlation of ``true`` (n,) with ``fine`` (n × per_frame,) read later by each lag from -3 to 3 frames."""
    frames = np.arange(_EDGE, len(true) - _EDGE)
    lags = range(-_LAG_REACH * per_frame, _LAG_REACH * per_frame + 1)
    return np.array([correlation(fine[frames * per_frame + lag], true[frames]) for lag in lags])


def peak(values: Array) -> float:
    """Where the greatest of an odd number of values is, counted from the middle one; a parabola refines it."""
    best = int(values.argmax())
    middle = len(values) // 2
    if best in (0, len(values) - 1):
        return float(best - middle)
    before, here, after = values[best - 1 : best + 2]
    bend = before - 2 * here + after
    return float(best - middle + ((before - after) / (2 * bend) if bend < 0 else 0.0))


def is_closed(opening: Array) -> NDArray[np.bool_]:
    """(n,) whether the mouth counts as closed in each frame."""
    return np.asarray(opening < CLOSED * float(np.percentile(opening, 95)))


def is_closed_near(opening: Array, frame: int) -> bool:
    """Whether the mouth is closed within the tolerance around a frame."""
    return bool(is_closed(opening)[max(0, frame - CLOSURE_TOLERANCE) : frame + CLOSURE_TOLERANCE + 1].any())


def chance(opening: Array, speech: Span) -> float:
    """Part of the frames in which somebody speaks for which :func:`is_closed_near` holds."""
    return float(np.mean([is_closed_near(opening, frame) for frame in range(*speech)]))


def closures(opening: Array) -> list[int]:
    """Frames (25 per second) in which the mouth is closed between two openings, one for each closure."""
    scale = float(np.percentile(opening, 95))
    found = []
    for i in range(1, len(opening) - 1):
        before, after = opening[max(0, i - CLOSURE_REACH) : i], opening[i + 1 : i + 1 + CLOSURE_REACH]
        deepest = before.min() > opening[i] <= after.min()
        if deepest and opening[i] < CLOSED * scale and min(before.max(), after.max()) > OPEN * scale:
            found.append(i)
    return found


def speech_span(opening: Array) -> Span:
    """From the first to the last frame in which the mouth is open."""
    wide = np.flatnonzero(opening > OPEN * float(np.percentile(opening, 95)))
    return (int(wide[0]), int(wide[-1]) + 1) if len(wide) else (0, len(opening))

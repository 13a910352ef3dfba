"""Two rows of teeth, drawn tooth by tooth: nobody's own, at any resolution, for portraits that show none.

An atlas is unrolled along the dental arch: the column is the arc length from the midline, the row the height over
the incisal edge. Sizes are mean crown dimensions (Wheeler, "Dental Anatomy, Physiology and Occlusion"), turned into
inter-ocular distances with 63 mm between the eyes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

MM = 1 / 63.0
"""One millimetre in inter-ocular distances."""
PER_IOD = 240
"""Atlas pixels per inter-ocular distance."""
HALF_ARC = 0.78
"""The atlas reaches this far to both sides of the midline, IOD of arc length."""
ABOVE, BELOW = 0.32, 0.06
"""The atlas reaches this far from the incisal edge towards the gum and away from it, IOD."""


@dataclass(frozen=True)
class Tooth:
    """One crown, seen from the front."""

    width: float
    """Mesiodistal, mm."""
    height: float
    """Incisal edge to gum, mm."""
    short: float
    """How far its edge stays behind that of the central incisors, mm."""
    rounding: float
    """Rise of the edge at its outer corners, mm."""
    point: float
    """Rise of the edge to both sides of a cusp, mm."""


UPPER = (
    Tooth(8.5, 10.2, 0.0, 0.9, 0.0),
    Tooth(6.5, 8.8, 0.6, 1.2, 0.0),
    Tooth(7.5, 9.8, 0.1, 0.8, 1.3),
    Tooth(7.0, 8.4, 0.7, 0.6, 0.9),
    Tooth(6.8, 7.6, 1.1, 0.5, 0.6),
    Tooth(9.8, 7.0, 1.4, 0.5, 0.4),
    Tooth(9.2, 6.6, 1.7, 0.5, 0.4),
)
LOWER = (
    Tooth(5.2, 8.6, 0.0, 0.4, 0.0),
    Tooth(5.8, 8.8, 0.1, 0.5, 0.0),
    Tooth(6.8, 10.0, -0.3, 0.6, 0.9),
    Tooth(7.0, 8.4, 0.3, 0.6, 0.7),
    Tooth(7.0, 8.0, 0.7, 0.5, 0.5),
    Tooth(10.8, 7.4, 1.0, 0.5, 0.4),
    Tooth(10.4, 7.0, 1.2, 0.5, 0.4),
)

# Linear reflectances relative to the enamel in the middle of a crown, BGR.
_NECK = np.array([0.66, 0.80, 0.90])
_EDGE = np.array([0.80, 0.78, 0.76])
_GUM = np.array([0.22, 0.20, 0.58])
_CREVICE = np.array([0.10, 0.12, 0.26])


@lru_cache(maxsize=2)
def draw_row(row: tuple[Tooth, ...]) -> NDArray[np.float32]:
    """An atlas of one row, edge down: (height, width, 4) float32, linear BGR reflectance, coverage 0…1. Read-only."""
    s = np.arange(-HALF_ARC, HALF_ARC, 1 / PER_IOD)[None, :]
    v = np.arange(-ABOVE, BELOW, 1 / PER_IOD)[:, None]
    colour = np.empty((v.size, s.size, 3))
    colour[:] = _GUM
    coverage = np.broadcast_to(_edge_step(-(v + 0.16)), (v.size, s.size)).copy()
    start = 0.0
    for tooth in row:
        width = tooth.width * MM
        for side in (-1.0, 1.0):
            _draw_tooth(colour, coverage, tooth, (side * s - start) / width, v)
        start += width
    atlas: NDArray[np.float32] = np.dstack([colour, coverage]).astype(np.float32)
    atlas.flags.writeable = False
    return atlas


def _draw_tooth(
    colour: NDArray[np.float64],
    coverage: NDArray[np.float64],
    tooth: Tooth,
    across: NDArray[np.float64],
    v: NDArray[np.float64],
) -> None:
    """Paint a crown over the atlas; ``across`` is 0 at its side towards the midline, 1 at the far side."""
    centred = 2 * across - 1
    outer = np.clip(centred, 0, None)
    rise = tooth.rounding * (np.abs(centred) ** 5 * 0.6 + outer**3 * 0.4) + tooth.point * np.abs(centred - 0.1) ** 1.4
    edge = -(tooth.short + rise) * MM
    height = tooth.height * MM
    gum = -tooth.short * MM - height * (1 - 0.22 * np.minimum(np.abs(centred), 1) ** 2)
    up = np.clip((edge - v) / height, 0, 1)
    # Crowns touch a third of the way up and narrow towards the gum.
    half = 1.0 - 0.16 * np.clip((up - 0.35) / 0.65, 0, 1) ** 1.6 - 0.05 * np.clip((0.15 - up) / 0.15, 0, 1) ** 2
    beside = (half - np.abs(centred)) * tooth.width / 2 * MM
    inside = _edge_step(edge - v) * _edge_step(v - gum) * _edge_step(beside)

    shade = 1 - 0.14 * np.minimum(np.abs(centred), 1) ** 2.2 - 0.46 * np.exp(-np.clip(beside, 0, None) / (0.55 * MM))
    shade += 0.05 * np.exp(-(((centred + 0.15) / 0.35) ** 2)) * np.exp(-(((up - 0.55) / 0.3) ** 2))
    neck = np.clip((up - 0.45) / 0.55, 0, 1)[..., None] ** 1.5
    tip = np.exp(-up / 0.13)[..., None]
    enamel = shade[..., None] * (1 - neck * (1 - _NECK)) * (1 - tip * (1 - _EDGE))
    # Between two crowns, below the gum's papilla, is a dark crevice.
    crevice = (_edge_step(edge - v) * _edge_step(v - gum) * (np.abs(centred) <= 1.0))[..., None]
    deep = np.clip(0.95 - 1.2 * np.clip((up - 0.30) / 0.35, 0, 1), 0, 1)[..., None]
    colour += crevice * deep * (_CREVICE - colour)
    colour += inside[..., None] * (enamel - colour)
    np.maximum(coverage, inside, out=coverage)


def _edge_step(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Anti-aliased step: 0 outside, 1 inside a border at distance 0 (IOD)."""
    step: NDArray[np.float64] = np.clip(distance * PER_IOD + 0.5, 0, 1)
    return step


def sample_row(
    atlas: NDArray[np.float32], s: NDArray[np.float64], v: NDArray[np.float64], blur: float
) -> NDArray[np.float32]:
    """Look an atlas up at arc lengths ``s`` and ``v`` below the edge, smoothed by ``blur`` (all IOD); zero outside."""
    premultiplied = atlas.copy()
    premultiplied[..., :3] *= atlas[..., 3:]
    smooth = cv2.GaussianBlur(premultiplied, (0, 0), max(0.5, blur * PER_IOD))
    x = ((s + HALF_ARC) * PER_IOD).astype(np.float32)
    y = ((v + ABOVE) * PER_IOD).astype(np.float32)
    return np.asarray(cv2.remap(smooth, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), np.float32)

"""Two rows of teeth in relief, shaped tooth by tooth, for portraits that show none of their own.

A row is unrolled along the dental arch: the column is the arc length from the midline, the row the height over the
incisal edge. It stores the surface itself (colour, direction, gloss), so that it can be lit like the portrait. Sizes
are mean crown dimensions (Wheeler, "Dental Anatomy, Physiology and Occlusion"), turned into inter-ocular distances with
63 mm between the eyes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.engines.portrait.colour import LUMA

Floats = NDArray[np.float32]
Values = NDArray[np.float64]

MM = 1 / 63.0
"""One millimetre in inter-ocular distances."""
PER_IOD = 400
"""Samples of a relief per inter-ocular distance."""
HALF_ARC = 0.78
"""A relief reaches this far to both sides of the midline, IOD of arc length."""
ABOVE, BELOW = 0.30, 0.05
"""A relief reaches this far from the incisal edge towards the gum and away from it, IOD."""


SURROUNDINGS_IOD, SEPARATION = 0.035, 0.6
"""How far around each place the surroundings reach that teeth are set off from, IOD, and by how much: see
:func:`separated`."""


@dataclass(frozen=True)
class Tooth:
    """One crown, seen from the front."""

    width: float
    """Mesiodistal, mm."""
    height: float
    """Incisal edge to gum, mm."""
    neck: float
    """Width at the gum over the greatest width."""
    short: float
    """How far its edge stays behind that of the central incisors, mm."""
    near: float
    """Radius of the edge's corner towards the midline, mm."""
    far: float
    """Radius of the other corner, mm."""
    point: float
    """Height of the cusp, mm; 0 = a straight edge."""
    clear: float
    """0…1: how translucent its edge is."""


UPPER = (
    Tooth(8.5, 10.4, 0.80, 0.0, 0.9, 1.7, 0.0, 1.0),
    Tooth(6.6, 9.0, 0.76, 0.7, 1.3, 2.1, 0.0, 0.9),
    Tooth(7.6, 10.0, 0.72, 0.2, 1.6, 2.0, 1.5, 0.3),
    Tooth(7.1, 8.6, 0.70, 0.8, 1.6, 1.8, 1.1, 0.2),
    Tooth(6.8, 7.8, 0.72, 1.2, 1.5, 1.6, 0.8, 0.2),
    Tooth(9.8, 7.2, 0.82, 1.5, 1.5, 1.5, 0.5, 0.1),
    Tooth(9.2, 6.8, 0.82, 1.8, 1.5, 1.5, 0.4, 0.1),
)
LOWER = (
    Tooth(5.3, 8.8, 0.72, 0.0, 0.5, 0.6, 0.0, 1.0),
    Tooth(5.8, 9.0, 0.72, 0.1, 0.6, 1.0, 0.0, 0.9),
    Tooth(6.8, 10.2, 0.74, -0.2, 1.3, 1.8, 1.0, 0.3),
    Tooth(7.0, 8.6, 0.72, 0.4, 1.5, 1.7, 0.9, 0.2),
    Tooth(7.1, 8.2, 0.74, 0.8, 1.5, 1.6, 0.6, 0.2),
    Tooth(10.8, 7.6, 0.84, 1.1, 1.5, 1.5, 0.5, 0.1),
    Tooth(10.4, 7.2, 0.84, 1.3, 1.5, 1.5, 0.4, 0.1),
)

# Linear reflectances relative to the enamel in the middle of a crown, BGR.
_NECK = np.array([0.66, 0.82, 0.92])
_EDGE = np.array([0.72, 0.70, 0.68])
_RIM = np.array([0.92, 0.92, 0.92])
_CANINE = np.array([0.86, 0.94, 0.97])
_GUM = np.array([0.20, 0.19, 0.50])
_CREVICE = np.array([0.10, 0.13, 0.24])

_BULGE = 1.15  # mm that the middle of a crown stands out before its sides
_CONTACT = 0.30  # height at which neighbours touch, of the crown's
_PAPILLA = 0.52  # height of the gum between two crowns, of theirs
_RIPPLES = 0.02  # mm of unevenness, which breaks the highlights
_OCCLUDED = 1.1  # mm around a place within which what stands out takes light from it


@dataclass(frozen=True)
class Relief:
    """The surface of one row, edge down: arrays (height, width) or (height, width, 3) float32, read-only."""

    albedo: Floats
    """Linear BGR reflectance over that of enamel, crevices already dark."""
    normal: Floats
    """Unit vectors: x along the arc to the picture's right, y down, z outwards."""
    gloss: Floats
    """0…1: how brightly it glints."""
    coverage: Floats
    """0…1."""


@lru_cache(maxsize=2)
def carve_row(row: tuple[Tooth, ...]) -> Relief:
    """Shape one row; takes 0.1 s."""
    s = np.arange(-HALF_ARC, HALF_ARC, 1 / PER_IOD) / MM
    v = (np.arange(-ABOVE, BELOW, 1 / PER_IOD) / MM)[:, None]
    shape = (v.size, s.size)
    albedo, depth, gloss, coverage = np.empty((*shape, 3)), np.zeros(shape), np.zeros(shape), np.zeros(shape)
    luck = np.random.default_rng(1)
    start = 0.0
    for number, tooth in enumerate(row):
        for side in (-1.0, 1.0):
            across = 2 * (side * s - start) / tooth.width - 1
            columns = np.flatnonzero(np.abs(across) <= 1 + 1e-9)
            part = (slice(None), slice(columns[0], columns[-1] + 1))
            crown = _carve_tooth(tooth, number, across[None, columns], v, luck)
            albedo[part], depth[part], gloss[part], coverage[part] = crown
        start += tooth.width
    beyond = np.abs(s) > start
    albedo[:, beyond], coverage[:, beyond] = _GUM, _step(-v - 10)
    return _finished(albedo, depth, gloss, coverage)


def _carve_tooth(
    tooth: Tooth, number: int, across: Values, v: Values, luck: np.random.Generator
) -> tuple[Values, Values, Values, Values]:
    """One crown with the gum above it, over its own columns: albedo, depth (mm), gloss, coverage.

    ``across`` (1, n) is -1 at its side towards the midline, 1 at the far side; ``v`` (m, 1) mm below the row's edge.
    """
    tilt, tone, lift = luck.normal(0, [0.012, 0.012, 0.08])
    half = tooth.width / 2
    x = across * half
    edge = -(tooth.short + lift) - _corner(half + x, tooth.near) - _corner(half - x, tooth.far) + tilt * x
    edge -= tooth.point * np.abs(across + 0.08) ** 1.3
    gum = -tooth.short - tooth.height * (1 - 0.16 * np.abs(across - 0.08) ** 2)
    up = (edge - v) / tooth.height
    narrow = 1 - (1 - tooth.neck) * np.clip((up - _CONTACT) / (1 - _CONTACT), 0, 1) ** 1.4
    beside = (narrow - np.abs(across)) * half - 0.03
    inside = _step(beside) * _step(v - gum)

    wide = np.clip(np.abs(across) / narrow, 0, 1.15)
    depth = _BULGE * (1 - wide**2.6) - 1.0 * (up - 0.55) ** 2 - 0.35 * np.exp(-np.clip(edge - v, -0.5, None) / 0.35)
    if tooth.clear > 0.5:  # the three lobes an incisor grew from
        depth += 0.05 * np.cos(3 * np.pi * across) * np.clip(1 - up, 0, 1)
    colour = np.ones((*inside.shape, 3)) * (_CANINE if number == 2 else 1.0) * (1 + tone) * (0.96 if number > 2 else 1)
    colour *= 1 - (np.clip((up - 0.40) / 0.60, 0, 1) ** 1.5)[..., None] * (1 - _NECK)
    below = np.clip(edge - v, 0, None)
    waist = np.clip(1.1 - 0.3 * np.cos(3 * np.pi * across), 0.7, 1.4)
    colour *= 1 - tooth.clear * np.exp(-((below / (1.5 * waist)) ** 2))[..., None] * (1 - _EDGE)
    colour += np.exp(-((below / 0.22) ** 2))[..., None] * 0.7 * (_RIM - colour)
    colour *= 1 - 0.30 * np.exp(-np.clip(beside, 0, None) / 0.22)[..., None]

    papilla = -tooth.short - tooth.height * _PAPILLA - 1.2 * (1 - np.abs(across))
    soft = _step((papilla - v) / 3) * (1 - inside)
    between = _step(edge - v) * (1 - inside) * (1 - soft)
    ridge = 0.55 * (1 - np.exp(-np.clip(gum - v, 0, None) / 0.7)) + 0.15 * np.cos(np.pi * across)
    depth = inside * depth + soft * (ridge - 0.1) + between * (-_BULGE - 0.6)
    albedo = inside[..., None] * colour + soft[..., None] * _GUM + between[..., None] * _CREVICE
    covered = np.clip(inside * _step(edge - v) + soft + between, 0, 1)
    missing = 1 - np.clip(inside + soft + between, 0, 1)
    gloss = inside + 0.6 * soft
    return albedo + missing[..., None] * colour, depth, gloss, covered


def _corner(distance: Values, radius: float) -> Values:
    """How far a quarter circle lifts an edge ``distance`` from its end, mm."""
    inward = np.clip(radius - distance, 0, radius)
    lift: Values = radius - np.sqrt(radius**2 - inward**2)
    return 0.85 * lift


def _finished(albedo: Values, depth: Values, gloss: Values, coverage: Values) -> Relief:
    """Directions from depth, and the light that crevices do not get."""
    per_mm = PER_IOD * MM
    smooth = cv2.GaussianBlur(depth, (0, 0), 0.10 * per_mm)
    ripples = cv2.GaussianBlur(
        np.random.default_rng(3).standard_normal(depth.shape), (0, 0), 1.1 * per_mm, sigmaY=0.4 * per_mm
    )
    smooth += _RIPPLES * ripples / ripples.std()
    down, along = np.gradient(smooth, 1 / per_mm)
    normal = np.dstack([-along, -down, np.ones_like(depth)])
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    around = cv2.GaussianBlur(depth, (0, 0), _OCCLUDED * per_mm)
    albedo = albedo * np.clip(1 - 0.40 * np.clip(around - smooth, 0, None), 0.25, 1)[..., None]
    arrays = [array.astype(np.float32) for array in (albedo, normal, gloss, coverage)]
    for array in arrays:
        array.flags.writeable = False
    return Relief(*arrays)


def _step(distance: Values) -> Values:
    """Anti-aliased step: 0 outside, 1 inside a border at distance 0 (mm)."""
    step: Values = np.clip(distance * PER_IOD * MM + 0.5, 0, 1)
    return step


def columns() -> Values:
    """Arc length of each column of a relief, IOD."""
    result: Values = np.arange(-HALF_ARC, HALF_ARC, 1 / PER_IOD)
    return result


def separated(layer: Floats, width: float) -> Floats:
    """A premultiplied layer (height, width, 4) whose teeth are set off from each other: whatever is darker than its
    surroundings within ``width`` samples is darkened further, by the power :data:`SEPARATION` of the ratio.

    In the small and soft pictures that need this, the shade between two teeth is hardly a pixel wide.
    """
    near = cv2.GaussianBlur(layer, (0, 0), width)
    coverage = np.maximum(layer[..., 3:], np.float32(1e-3))
    mean = near[..., :3] / np.maximum(near[..., 3:], np.float32(1e-3))
    luma, around = (np.maximum(colour @ LUMA, 1e-4)[..., None] for colour in (layer[..., :3] / coverage, mean))
    ratio = np.clip(luma / around, 0.4, 1.03)  # colour by colour, warm shades would turn orange
    return np.concatenate([layer[..., :3] * ratio**SEPARATION, layer[..., 3:]], axis=2).astype(np.float32)


def sample_row(lit: Floats, s: Values, v: Values, blur: float) -> Floats:
    """Look up a lit row (premultiplied) at arc lengths ``s`` and ``v`` below the edge, smoothed by ``blur`` (all IOD).

    Outside of it the result is zero. Blurring keeps edges in their place, also those as soft as the portrait's.
    """
    smooth = cv2.GaussianBlur(separated(lit, SURROUNDINGS_IOD * PER_IOD), (0, 0), max(0.5, blur * PER_IOD))
    x = ((s + HALF_ARC) * PER_IOD).astype(np.float32)
    y = ((v + ABOVE) * PER_IOD).astype(np.float32)
    return np.asarray(cv2.remap(smooth, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), np.float32)

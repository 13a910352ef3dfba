"""Adapts the motion to one face: its amplitude, complete closures, and room for teeth and tongue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipstream.engines.portrait import topology as mesh
from lipstream.engines.portrait.motion import MotionBasis
from lipstream.engines.portrait.warp import smoothstep
from lipstream.face.mesh import Face
from lipstream.face.pose import canonical_face

Floats = NDArray[np.float32]

EXAGGERATION = 1.3
"""Gain on all motion. The network hedges when it is unsure, and a picture needs larger motion than a real face."""
WIDE_GAP_IOD, WIDEST_GAP_IOD = 0.19, 0.28
"""Gaps up to the first value are shown as they are; larger ones approach the second. Inter-ocular distances (IOD)."""
PRESSED_GAP_IOD = -0.006
"""The lips may be pressed together by this much; anything beyond it in the network's output is noise."""
CALM_YAW, LAST_YAW = 35.0, 50.0
"""If the head is turned further than the first value, the motion shrinks, to half at the second value; degrees."""
BITE_LOWER_IOD, BITE_UPPER_IOD = 0.022, 0.020
"""For f and v, the lower lip is below the line of closed lips by the first value, and the upper lip above it by the
second, so that the teeth are visible and reach over the lower lip. IOD."""
TUCKED_IOD = 0.050
"""How far the outer edge of the lower lip moves up when the lip is rolled in under the teeth, IOD."""
BITE_GAP_IOD = BITE_LOWER_IOD + BITE_UPPER_IOD
TONGUE_GAP_IOD, TONGUE_LOWERS_IOD = 0.130, 0.040
"""The lower lip makes room for a raised tongue, which would be hidden otherwise: it moves down until the gap has the
first value, but by no more than the second. The upper lip stays: it would uncover teeth instead of the tongue. IOD."""
TONGUE_LOWERS_JAW = 0.5
"""The jaw moves down with it by this fraction."""
TONGUE_PARTS = (0.03, 0.07)
"""The lower lip makes no room if the gap is below the first value, and all of it above the second: lips that are closer
are about to close. IOD."""
DENTAL_GAP_IOD, WIDEST_DENTAL_GAP_IOD = 0.050, 0.100
"""For th, the tip of the tongue shows between teeth that are close, so gaps above the first value approach the second.
IOD."""
DENTAL_LIP_IOD, DENTAL_LOWERS_IOD = 0.100, 0.060
"""For th, the lower lip moves down to the first value below the line of closed lips, which is below the upper teeth,
but by no more than the second. IOD."""
ROUNDING = (0.010, 0.060)
"""A mouth that is narrower than at rest by more than the first value is pursed as well, and fully from the second on.
IOD. The measured motion purses the lips less than people expect, because the filmed speaker hardly does."""
NARROWED_BY_OPENING = 0.09
"""How much narrower a mouth becomes per unit of gap without being rounded."""
ROUNDED_IN = 0.12
"""In addition to the motion, fully rounded lips move towards the middle by this fraction of their distance from it."""
WIDEST_ROUNDED = 1.05
"""Wide mouths are drawn in further, at most by this factor."""
ROUNDED_UPPER_IOD, ROUNDED_LOWER_IOD, ROUNDED_FORWARD_IOD = 0.018, 0.004, 0.05
"""By how much the upper and the lower lip become thicker, and how far they come forward: the volume that they lose in
width. In the measured motion the lower lip already swells."""


@dataclass(frozen=True)
class MouthPose:
    """One frame's mouth, ready for the renderer."""

    weights: Floats
    """(columns,) of :func:`motion_vectors`; zero = the closed mouth at rest."""
    gap: float
    """Distance between the lips, IOD."""
    bite: float
    """0…1: how far the upper teeth rest on the lower lip."""
    tongue: float
    """0…1: how far the tip of the tongue is raised behind the teeth."""
    dental: float = 0.0
    """0…1: how far it is between the teeth."""
    light: float | None = None
    """The gap whose light is inside the mouth, IOD; None: that of :attr:`gap`. See :class:`.easing.Glow`."""

    @classmethod
    def rest(cls, columns: int) -> MouthPose:
        """The closed mouth."""
        return cls(np.zeros(columns, np.float32), 0.0, 0.0, 0.0)


class Style:
    """How one face performs the motion. Immutable."""

    def __init__(self, basis: MotionBasis, face: Face) -> None:
        self.gain = EXAGGERATION * _mouth_size(face) * _calm(face.yaw)
        gaps = _gap_operator(basis.points, basis.vectors)
        self._gap = gaps.mean(axis=0).astype(np.float32)
        self._width = _width_operator(basis.points, basis.vectors)
        self._rounding = float(np.clip(_mouth_width(face), 0.7, WIDEST_ROUNDED))
        upper, self._lower = (
            basis.vectors[:, np.isin(basis.points, lip[4:7]), 1].mean(axis=1)
            for lip in (mesh.INNER_UPPER_LIP, mesh.INNER_LOWER_LIP)
        )
        # The smallest change of coefficients that leaves no gap anywhere between the lips is c - P c.
        self._closing = (_least(gaps) @ gaps).astype(np.float32)
        # The teeth touch the lower lip at its height at rest. Lips that met further down would hide the teeth, and a
        # low jaw would swell the lip. So of the motion only the width is kept.
        alone = _least(np.concatenate([gaps, upper[None], self._width[None]]))[:, -1]
        self._biting = (np.eye(len(alone)) - np.outer(alone, self._width)).astype(np.float32)

    def pose(self, coefficients: Floats, closed: float, lip_bite: float, dental: float, tongue: float) -> MouthPose:
        """The mouth for one frame of a :class:`~lipstream.engines.portrait.motion.Motion`."""
        rounded = self._rounding * self._roundness(coefficients)
        motion = coefficients * np.float32(self.gain)
        motion = motion * np.float32(_limit(float(self._gap @ motion), WIDE_GAP_IOD, WIDEST_GAP_IOD))
        motion = motion - np.float32(lip_bite) * (self._biting @ motion)
        motion = motion - np.float32(closed) * (self._closing @ motion)
        gap = float(self._gap @ motion)
        if gap < PRESSED_GAP_IOD:
            motion = motion - np.float32(1 - PRESSED_GAP_IOD / gap) * (self._closing @ motion)
        free = 1 - max(closed, lip_bite)
        dental = free * dental
        narrower = dental * (1 - _limit(gap, DENTAL_GAP_IOD, WIDEST_DENTAL_GAP_IOD))
        motion = motion - np.float32(narrower) * (self._closing @ motion)
        gap = max(float(self._gap @ motion), PRESSED_GAP_IOD)
        lowered = max(free * tongue * _room(gap), dental * self._dental_room(motion))
        weights = np.append(motion, np.array([lip_bite, lowered / TONGUE_LOWERS_IOD, rounded], np.float32))
        gap += lip_bite * BITE_GAP_IOD + lowered
        return MouthPose(weights, gap, lip_bite, free * tongue * (1 - dental), dental)

    def _dental_room(self, motion: Floats) -> float:
        """How far the lower lip moves down for the tip between the teeth, IOD."""
        return min(max(DENTAL_LIP_IOD - float(self._lower @ motion), 0.0), DENTAL_LOWERS_IOD)

    def _roundness(self, coefficients: Floats) -> float:
        """0…1: how far the lips are drawn in, beyond what the opening jaw does."""
        narrowed = -float(self._width @ coefficients) - NARROWED_BY_OPENING * float(self._gap @ coefficients)
        start, full = ROUNDING  # linear, because anything steeper makes the lips jerk
        return float(np.clip((narrowed - start) / (full - start), 0, 1))


def motion_vectors(basis: MotionBasis) -> tuple[NDArray[np.int64], Floats]:
    """Mesh points and (columns, points, 3) displacement vectors, IOD: those of the basis, and one each for the bite of
    f and v, for the lower lip that makes room for the tongue, and for the rounding of oo and w."""
    added = np.stack([_bite(basis.points), _lowering(basis.points), _rounding(basis.points)])
    return basis.points, np.concatenate([basis.vectors, added]).astype(np.float32)


def _bite(points: NDArray[np.int64]) -> Floats:
    """Lips for f and v: slightly parted in the middle, with the lower lip rolled in, so that less of it is visible."""
    vector = np.zeros((len(points), 3), np.float32)
    x = canonical_face()[points, 0]
    middle = np.clip(1 - (x / 0.33) ** 2, 0, 1)
    for lips, shift in (
        (mesh.INNER_LOWER_LIP, BITE_LOWER_IOD),
        (mesh.OUTER_LOWER_LIP, -TUCKED_IOD),
        (mesh.INNER_UPPER_LIP, -BITE_UPPER_IOD),
        (mesh.OUTER_UPPER_LIP, -0.7 * BITE_UPPER_IOD),
    ):
        of_lip = np.isin(points, lips)
        vector[of_lip, 1] = shift * middle[of_lip]
    return vector


def _lowering(points: NDArray[np.int64]) -> Floats:
    """The middle of the lower lip moves down, and the jaw a part of the way."""
    vector = np.zeros((len(points), 3), np.float32)
    x = canonical_face()[points, 0]
    middle = np.clip(1 - (x / 0.42) ** 2, 0, 1)
    lip = np.isin(points, (*mesh.INNER_LOWER_LIP[1:-1], *mesh.OUTER_LOWER_LIP[1:-1]))
    jaw = np.isin(points, (*mesh.CHIN_PAD, *mesh.BELOW_CHIN))
    vector[lip, 1] = TONGUE_LOWERS_IOD * middle[lip]
    vector[jaw, 1] = TONGUE_LOWERS_IOD * TONGUE_LOWERS_JAW
    return vector


def _rounding(points: NDArray[np.int64]) -> Floats:
    """Pursed lips: narrower, thicker and further forward, with the same gap."""
    vector = np.zeros((len(points), 3), np.float32)
    x = canonical_face()[points, 0]
    middle = np.clip(1 - (x / 0.42) ** 2, 0, 1)
    lips = np.isin(points, mesh.LIPS)
    vector[lips, 0] = -ROUNDED_IN * x[lips]
    vector[lips, 2] = -ROUNDED_FORWARD_IOD * middle[lips]
    for outer, shift in ((mesh.OUTER_UPPER_LIP, -ROUNDED_UPPER_IOD), (mesh.OUTER_LOWER_LIP, ROUNDED_LOWER_IOD)):
        of_lip = np.isin(points, outer)
        vector[of_lip, 1] = shift * middle[of_lip]
    return vector


def _width_operator(points: NDArray[np.int64], vectors: Floats) -> Floats:
    """(K,): maps coefficients to the change of the mouth's width, IOD."""
    left, right = (int(np.flatnonzero(points == corner)[0]) for corner in mesh.OUTER_CORNERS)
    width: Floats = vectors[:, right, 0] - vectors[:, left, 0]
    return width


def _gap_operator(points: NDArray[np.int64], vectors: Floats) -> NDArray[np.float64]:
    """(5, K): maps coefficients to the gap at five places from a corner of the mouth to the middle, IOD."""
    place = {int(point): row for row, point in enumerate(points)}
    gaps = np.array(
        [
            vectors[:, place[low], 1] - vectors[:, place[up], 1]
            for up, low in zip(mesh.INNER_UPPER_LIP[1:-1], mesh.INNER_LOWER_LIP[1:-1], strict=True)
        ],
        np.float64,
    )
    halves = (gaps + gaps[::-1]) / 2
    result: NDArray[np.float64] = halves[: len(gaps) // 2 + 1]
    return result


def _least(measures: NDArray[np.float64]) -> NDArray[np.float64]:
    """Measures of coefficients (n, K) → for each measure the smallest coefficients that make it 1 and all others 0,
    (K, n)."""
    products = measures @ measures.T
    inverse = np.linalg.inv(products + 1e-3 * np.trace(products) / len(products) * np.eye(len(products)))
    return np.asarray(measures.T @ inverse)


def _mouth_size(face: Face) -> float:
    """Size of this mouth relative to the canonical one; small mouths move less, and a smile does not count as large."""
    return float(np.clip(_mouth_width(face), 0.75, 1.0))


def _mouth_width(face: Face) -> float:
    """Width of this mouth relative to that of the canonical face."""
    seen, usual = face.pose.to_canonical(face.landmarks), canonical_face()
    left, right = mesh.OUTER_CORNERS
    return float((seen[right, 0] - seen[left, 0]) / (usual[right, 0] - usual[left, 0]))


def _calm(yaw: float) -> float:
    return float(1 - 0.5 * np.clip((abs(yaw) - CALM_YAW) / (LAST_YAW - CALM_YAW), 0, 1))


def _room(gap: float) -> float:
    """How far the lower lip moves down for a raised tongue, IOD."""
    return min(max(TONGUE_GAP_IOD - gap, 0.0), TONGUE_LOWERS_IOD) * _between(gap, TONGUE_PARTS)


def _limit(gap: float, wide: float, widest: float) -> float:
    """Factor that smoothly brings gaps above ``wide`` below ``widest``."""
    if gap <= wide:
        return 1.0
    room = widest - wide
    return (wide + room * float(np.tanh((gap - wide) / room))) / gap


def _between(value: float, limits: tuple[float, float]) -> float:
    low, high = limits
    return float(smoothstep(np.array((value - low) / (high - low))))

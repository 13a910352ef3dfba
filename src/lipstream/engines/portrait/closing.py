"""A closed, relaxed mouth for portraits that smile or have an open mouth: the neutral that speech starts from.

Speech needs lips that meet, for m, b, p and for silence, and its motion is measured from a relaxed closed mouth. So the
motion that closes this portrait's mouth is worked out once and baked into the picture that the renderer samples.
"""

from __future__ import annotations

import numpy as np

from lipstream.engines.portrait import topology as mesh
from lipstream.engines.portrait.fields import Frame, Points
from lipstream.engines.portrait.lips import LipLine
from lipstream.face.pose import canonical_face

INCISORS_SHOWN_IOD = 0.055
"""How much of the upper teeth is below the line where relaxed lips meet, inter-ocular distances (about 3 mm)."""
UPPER_SHARE = (0.25, 0.62)
"""Least and greatest part of the gap that the upper lip closes; the lower lip closes the rest."""
RELAXED_WIDTH_IOD = 0.84
"""Width from corner to corner of a mouth at rest."""
BROAD_IOD = 0.22
"""A smile counts as broad if the mouth is this much wider, IOD."""
RELAX = 0.7
"""How much of a smile's excess width, and of the height of its corners, is taken back for the neutral; the rest stays
as the portrait's own expression."""


def fit_landmarks(landmarks: Points, line: LipLine, frame: Frame) -> Points:
    """Mesh points (468, 2) with the inner lips on the edges found in the picture, the outer lower lip with them."""
    fitted: Points = landmarks.copy()
    upper, lower = list(mesh.INNER_UPPER_LIP), list(mesh.INNER_LOWER_LIP)
    fitted[upper] = _onto(landmarks[upper], line.upper)
    fitted[lower] = _onto(landmarks[lower], line.lower)
    if line.is_open:
        fitted[list(mesh.OUTER_LOWER_LIP[1:-1])] += 0.8 * (fitted[lower] - landmarks[lower])[1:-1]
        thin = 0.05 * frame.scale
        for outer, inner in zip(mesh.OUTER_LOWER_LIP[2:-2], mesh.INNER_LOWER_LIP[2:-2], strict=True):
            short = thin - (fitted[outer] - fitted[inner]) @ frame.down
            fitted[outer] += max(0.0, short) * frame.down
    corners = (fitted[upper][[0, -1]] + fitted[lower][[0, -1]]) / 2
    fitted[list(mesh.INNER_CORNERS)] = corners
    return fitted


def _onto(points: Points, curve: Points) -> Points:
    """The points of ``curve`` beside ``points``: equal place along the mouth."""
    chord = curve[-1] - curve[0]
    along = (points - curve[0]) @ chord / (chord @ chord)
    t = np.linspace(0.0, 1.0, len(curve))
    on_curve: Points = np.column_stack([np.interp(along, t, curve[:, axis]) for axis in (0, 1)])
    return on_curve


def closing_motion(points: Points, line: LipLine, frame: Frame) -> Points:
    """Displacement in pixels of the mesh points (468, 2) that closes the mouth; zero where it is closed."""
    motion = np.zeros_like(points)
    if not line.is_open:
        return motion
    gaps = points[list(mesh.INNER_LOWER_LIP)] - points[list(mesh.INNER_UPPER_LIP)]
    widest = float(np.hypot(*gaps.T).max())
    share = float(np.clip(1 - INCISORS_SHOWN_IOD * frame.scale / max(widest, 1e-6), *UPPER_SHARE))
    for inner, outer, part, follow in (
        (mesh.INNER_UPPER_LIP, mesh.OUTER_UPPER_LIP, share, 0.85),
        (mesh.INNER_LOWER_LIP, mesh.OUTER_LOWER_LIP, share - 1, 0.85),
    ):
        for position, gap in enumerate(gaps[1:-1], start=1):
            motion[inner[position]] = part * gap
            motion[outer[position]] = follow * part * gap
    _lift_chin(motion, (1 - share) * widest, frame)
    _relax(motion, points, frame)
    return motion


def _lift_chin(motion: Points, gap: float, frame: Frame) -> None:
    """The chin follows the lower lip; the further below it a point is, the less it moves."""
    canonical = canonical_face()
    lip, chin = canonical[17, 1], canonical[mesh.CHIN_TIP, 1]
    for index in (*mesh.CHIN_PAD, *mesh.JAW):
        x, y, _ = canonical[index]
        depth = (y - lip) / (chin - lip)
        if depth < -0.1:
            continue
        follow = np.clip(0.7 - 0.6 * depth, 0.12, 0.7) * np.exp(-((x / 0.45) ** 2))
        motion[index] = -follow * gap * frame.down


def smile_of(points: Points, frame: Frame) -> float:
    """0…1: how much wider than at rest the mouth of the mesh points (468, 2) is; 1 from a broad smile on."""
    return float(np.clip(_excess(points, frame) / BROAD_IOD, 0, 1))


def _excess(points: Points, frame: Frame) -> float:
    """Width of the mouth beyond that at rest, IOD."""
    left, right = points[list(mesh.OUTER_CORNERS)]
    return float((right - left) @ frame.right) / frame.scale - RELAXED_WIDTH_IOD


def _relax(motion: Points, points: Points, frame: Frame) -> None:
    """Take most of a smile back: lip points move towards the middle, corners down to where the lips meet.

    On turned heads the far half of the mouth is shorter: each half moves by its own length.
    """
    inner = [mesh.INNER_UPPER_LIP[5], mesh.INNER_LOWER_LIP[5]]
    middle, corners = points[inner].mean(axis=0), points[list(mesh.OUTER_CORNERS)]
    halves = (corners - middle) @ frame.right
    width = float(halves[1] - halves[0])
    narrower = float(np.clip(_excess(points, frame), 0, 0.4)) * RELAX * frame.scale / width
    met = (points + motion)[inner].mean(axis=0)
    raised = max(0.0, float((met - corners.mean(axis=0)) @ frame.down)) * min(1.0, narrower / 0.11)
    for index in mesh.LIPS:
        away = float((points[index] - middle) @ frame.right)
        half = float(halves[int(away > 0)]) or 1e-6
        along = float(np.clip(away / half, 0, 1))
        motion[index] += RELAX * raised * along**2 * frame.down - narrower * along * half * frame.right

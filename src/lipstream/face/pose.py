"""Where a face looks: the similarity transform between a 468-point mesh and a canonical face.

The canonical frame has its origin between the eyes (mesh point 168), x along the line through the eye centres towards
the picture's right, y down, z away from the camera; its unit is the distance between the eye centres (IOD). The
vertical runs through the points 10 (top of the forehead) and 152 (chin).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = TypeVar("Array", bound=NDArray[Any])

MESH_POINTS = 468
"""Points of the face mesh."""

# Points that neither speech nor expression moves: eye corners, bridge of the nose, forehead, temples.
# fmt: off
RIGID = np.array([33, 133, 362, 263, 168, 6, 197, 9, 8, 151, 10, 127, 356, 234, 454, 54, 284, 103, 332, 195])
# fmt: on
RIGHT_EYE = np.array([33, 133])
"""Corners of the subject's right eye, which is on the picture's left."""
LEFT_EYE = np.array([362, 263])
"""Corners of the subject's left eye."""


@dataclass(frozen=True, eq=False)
class Pose:
    """Orientation, size and place of a head in the picture: ``picture = scale · rotation @ canonical + origin``."""

    yaw: float
    """Turn to the side in degrees; positive when the nose points to the picture's right."""
    pitch: float
    """Nod in degrees; positive when the nose points up."""
    roll: float
    """Tilt in degrees; positive when the head is turned clockwise in the picture."""
    rotation: NDArray[np.float64]
    """(3, 3), determinant 1, from the canonical frame to picture axes (x right, y down, z away)."""
    scale: float
    """Pixels per canonical unit: the distance between the eyes if the head looked straight ahead."""
    origin: NDArray[np.float64]
    """(3,), the canonical origin in picture pixels."""
    residual: float
    """RMS distance of the rigid points from the canonical face, in IOD: 0.02 to 0.09 on faces, more on misfits."""

    def project(self, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """Canonical points (..., 3) → picture pixels (..., 3)."""
        return np.asarray(self.scale * (points @ self.rotation.T) + self.origin, np.float32)

    def project_vectors(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """Canonical displacements (..., 3) in IOD → picture pixels (..., 3)."""
        return np.asarray(self.scale * (vectors @ self.rotation.T), np.float32)

    def to_canonical(self, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """Picture pixels (..., 3) → canonical frame (..., 3); the inverse of :meth:`project`."""
        return np.asarray((points - self.origin) @ self.rotation / self.scale, np.float32)


@lru_cache(maxsize=1)
def canonical_face() -> NDArray[np.float32]:
    """The (468, 3) canonical face, symmetric about x = 0. Read-only. ``docs/face.md`` says how it was made."""
    return _frozen(_read("points").astype(np.float32))


@lru_cache(maxsize=1)
def mirror_points() -> NDArray[np.intp]:
    """(468,): for each mesh point the one on the other side of the face; points on the midline map to themselves."""
    return _frozen(_read("mirror").astype(np.intp))


def _read(name: str) -> NDArray[np.generic]:
    with files("lipstream.face").joinpath("canonical.npz").open("rb") as stream, np.load(stream) as arrays:
        array: NDArray[np.generic] = arrays[name]
    return array


def _frozen(array: Array) -> Array:
    array.flags.writeable = False
    return array


def estimate_pose(landmarks: NDArray[np.floating]) -> Pose:
    """Pose of a (468, 3) mesh in picture pixels, by least squares over the rigid points (Umeyama, PAMI 1991)."""
    canonical = canonical_face()[RIGID].astype(np.float64)
    seen = landmarks[RIGID].astype(np.float64)
    scale, rotation, origin = similarity(canonical, seen)
    left_over = seen - (scale * canonical @ rotation.T + origin)
    residual = float(np.sqrt((left_over**2).sum(axis=1).mean())) / scale
    return Pose(*angles(rotation), rotation, scale, origin, residual)


def similarity(
    source: NDArray[np.float64], target: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Scale, rotation (3, 3) and shift (3,) that bring ``source`` (n, 3) closest to ``target`` (n, 3)."""
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    a, b = source - source_mean, target - target_mean
    u, singular, vt = np.linalg.svd(b.T @ a)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * signs) @ vt
    scale = float((singular * signs).sum() / (a**2).sum())
    return scale, rotation, target_mean - scale * rotation @ source_mean


def seen_yaw(landmarks: NDArray[np.floating]) -> float:
    """Yaw in degrees of a mesh (468, 3 or 2), from where its rigid points are in the picture alone.

    It is the yaw of the closest scaled orthographic view of the canonical face. Depth, which networks draw too shallow,
    is not used.
    """
    canonical, seen = canonical_face()[RIGID].astype(np.float64), landmarks[RIGID, :2].astype(np.float64)
    axes = np.linalg.lstsq(canonical - canonical.mean(axis=0), seen - seen.mean(axis=0), rcond=None)[0].T
    u, _, vt = np.linalg.svd(axes, full_matrices=False)
    right, down = u @ vt
    return angles(np.stack([right, down, np.cross(right, down)]))[0]


def angles(rotation: NDArray[np.float64]) -> tuple[float, float, float]:
    """(yaw, pitch, roll) in degrees of ``rotation = Rz(roll) · Ry(yaw) · Rx(pitch)``, signs as in :class:`Pose`.

    Roll comes last, so turning the picture changes nothing but the roll.
    """
    yaw = np.arcsin(np.clip(rotation[2, 0], -1.0, 1.0))
    pitch = np.arctan2(-rotation[2, 1], rotation[2, 2])
    roll = np.arctan2(rotation[1, 0], rotation[0, 0])
    return float(np.degrees(yaw)), float(np.degrees(pitch)), float(np.degrees(roll))


def rotation_from_angles(yaw: float, pitch: float, roll: float) -> NDArray[np.float64]:
    """The (3, 3) rotation for angles in degrees; the inverse of :func:`angles` for yaw within ±90°."""
    y, p, r = np.radians([yaw, pitch, roll])
    # When a head turns to the picture's right (x+), its right eye comes nearer: z falls where x falls.
    turn = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    nod = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    tilt = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    rotation: NDArray[np.float64] = tilt @ turn @ nod
    return rotation

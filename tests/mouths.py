"""Mouth motions for tests: a basis of three plain movements, and portraits that carry it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.avatar import Avatar, picture_digest
from lipstream.engines.portrait import topology as mesh
from lipstream.engines.portrait.motion import MotionBasis
from lipstream.engines.portrait.renderer import Renderer
from lipstream.engines.portrait.rig import Rig, build_rig, mesh_columns
from lipstream.engines.portrait.style import MouthPose, motion_vectors
from lipstream.face.finder import FaceFinder
from lipstream.face.pose import canonical_face

LIPS = (mesh.OUTER_UPPER_LIP, mesh.OUTER_LOWER_LIP, mesh.INNER_UPPER_LIP, mesh.INNER_LOWER_LIP)


def plain_basis() -> MotionBasis:
    """Three movements: the jaw opens so that the gap is 1 IOD per unit, the mouth widens, the upper lip rises."""
    face = canonical_face()
    points = np.array(sorted({*np.concatenate(LIPS), *mesh.JAW, *mesh.CHIN_PAD}), np.int64)
    x, y = face[points, 0], face[points, 1]
    vectors = np.zeros((3, len(points), 3), np.float32)
    middle = np.clip(1 - (x / 0.40) ** 2, 0, 1)
    lower = np.isin(points, np.concatenate(LIPS[1::2])) | (y > face[17, 1])
    vectors[0, lower, 1] = np.where(y[lower] > face[17, 1] + 0.05, 0.6 * np.exp(-(x[lower] ** 2)), middle[lower])
    lips = np.isin(points, np.concatenate(LIPS))
    vectors[1, lips, 0] = np.clip(x[lips] / 0.4, -1, 1)
    upper = np.isin(points, np.concatenate(LIPS[::2])) & ~np.isin(points, (*mesh.OUTER_CORNERS, *mesh.INNER_CORNERS))
    vectors[2, upper, 1] = -middle[upper]
    return MotionBasis(points, np.zeros(vectors.shape[1:], np.float32), vectors, face)


def avatar_of(picture: NDArray[np.uint8], finder: FaceFinder) -> Avatar:
    """Find the face in a BGR picture, cut to even sides."""
    height, width = picture.shape[:2]
    even = np.ascontiguousarray(picture[: height & ~1, : width & ~1])
    return Avatar(even, finder.largest(even), picture_digest(even))


def rig_of(avatar: Avatar) -> Rig:
    """A rig that moves by :func:`plain_basis`."""
    return build_rig(avatar, mesh_columns(*motion_vectors(plain_basis()), avatar.face))


def mouth(
    opening: float = 0.0,
    width: float = 0.0,
    lift: float = 0.0,
    *,
    bite: float = 0.0,
    lowering: float = 0.0,
    rounding: float = 0.0,
) -> MouthPose:
    """A pose by :func:`plain_basis`: IOD."""
    return MouthPose(np.array([opening, width, lift, bite, lowering, rounding], np.float32), opening + lift, bite, 0.0)


def frame_of(avatar: Avatar, rig: Rig, pose: MouthPose) -> NDArray[np.uint8]:
    """The whole picture with the mouth in ``pose``."""
    picture: NDArray[np.uint8] = avatar.picture.copy()
    rig.region.block(picture)[:] = Renderer(rig).draw(pose)
    return picture


def enlarged(picture: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """Resample a picture."""
    mode = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA
    return np.asarray(cv2.resize(picture, None, fx=factor, fy=factor, interpolation=mode), np.uint8)


def lip_gap(finder: FaceFinder, picture: NDArray[np.uint8]) -> float:
    """Distance between the lips as the face mesh sees it, IOD."""
    face = finder.largest(picture)
    upper, lower = face.landmarks[[13, 82, 312]], face.landmarks[[14, 87, 317]]
    return float(np.linalg.norm((lower - upper)[:, :2], axis=1).mean()) / face.scale


def mouth_width(finder: FaceFinder, picture: NDArray[np.uint8]) -> float:
    """Distance between the corners of the mouth as the face mesh sees it, IOD."""
    face = finder.largest(picture)
    return float(np.hypot(*(face.landmarks[291] - face.landmarks[61])[:2])) / face.scale


def lip_area(finder: FaceFinder, picture: NDArray[np.uint8]) -> float:
    """Area of both lips without what is between them as the face mesh sees it, square IOD."""
    face = finder.largest(picture)
    outer, inner = (
        cv2.contourArea(face.landmarks[[*upper, *lower[::-1]], :2])
        for upper, lower in ((LIPS[0], LIPS[1]), (LIPS[2], LIPS[3]))
    )
    return float(outer - inner) / face.scale**2

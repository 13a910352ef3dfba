"""The part of a face that speech moves: where it is, and how to blend something drawn into it without a seam."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.engines.box import Box
from lipstream.face.mesh import Face
from lipstream.face.topology import OUTER_LIPS

# Points of the 468-point mesh: from below the right ear along the jaw to the left ear, back over cheeks and nose tip.
_JAW = (93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323)
_CHEEKS_AND_NOSE = (280, 4, 50)
_RIGHT_SIDE, _LEFT_SIDE = 234, 454

BELOW_CHIN = 0.05
"""How far the outline extends below the photo's chin, because an opening mouth lowers the chin; widths of the face."""
TINT_BLUR = 0.12
"""The distance over which colours at the edge of the mask are carried inwards; widths of the face."""
_FEATHER = 0.10  # how far inside the outline the mask reaches its full value; widths of the face

_MAX_TINT = 32.0  # grey levels; what differs by more is not a tint


def lower_face_mask(
    shape: tuple[int, ...], face: Face, box: Box, limit: float, below_chin: float = BELOW_CHIN
) -> NDArray[np.float32]:
    """Weight of the drawn face per pixel of a photo of ``shape``, 0 to 1.

    0 outside the box, above the row ``limit`` and above the tip of the nose; 1 around mouth and chin. On turned heads,
    the lips reach the outline of the face and are drawn up to there. ``below_chin`` is how far the mask extends below
    the chin, in widths of the face.
    """
    feather = max(1.0, _FEATHER * face_width(face))
    allowed = np.ones((box.height, box.width), np.uint8)
    allowed[: max(0, int(np.ceil(limit)) - box.top)] = 0
    lower = _filled(_lower_outline(face, below_chin), box) & allowed
    lips = _filled(face.landmarks[OUTER_LIPS, :2], box) & allowed
    beside_lips = np.clip(1.0 - _distance(1 - lips) / feather, 0.0, 1.0)
    ramp = np.maximum(
        np.clip((_depth(lower) - 1.0) / feather, 0.0, 1.0),
        np.minimum(beside_lips, np.clip((_depth(allowed) - 1.0) / feather, 0.0, 1.0)),
    )
    mask = np.zeros(shape[:2], np.float32)
    mask[box.top : box.bottom, box.left : box.right] = ramp * ramp * (3.0 - 2.0 * ramp)
    return mask


def _lower_outline(face: Face, below_chin: float) -> NDArray[np.float32]:
    """(n, 2) points around the part of the face below the tip of the nose, a little beyond the chin."""
    jaw, top = face.landmarks[list(_JAW), :2], face.landmarks[list(_CHEEKS_AND_NOSE), :2]
    ears, chin = jaw[[0, -1], 1].mean(), jaw[:, 1].max()
    depth = np.clip((jaw[:, 1] - ears) / max(1.0, chin - ears), 0.0, 1.0)
    lowered = jaw + np.stack([np.zeros_like(depth), depth * below_chin * face_width(face)], axis=1)
    return np.concatenate([lowered, top])


def _filled(outline: NDArray[np.float32], box: Box) -> NDArray[np.uint8]:
    """(height, width) of the box: 1 inside the outline, given in the photo's pixels."""
    inside = np.zeros((box.height, box.width), np.uint8)
    cv2.fillPoly(inside, [np.rint(outline - (box.left, box.top)).astype(np.int32)], 1)
    return inside


def _depth(inside: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How far every pixel lies within the ones, pixels; the edge of the array is an edge too."""
    return _distance(np.pad(inside, 1))[1:-1, 1:-1]


def _distance(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Distance of every pixel to the nearest zero, pixels; far away where there is none."""
    if pixels.all():
        return np.full(pixels.shape, np.inf, np.float32)
    return np.asarray(cv2.distanceTransform(pixels, cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)


def match_colours(difference: NDArray[np.float32], share: NDArray[np.float32], blur: float) -> NDArray[np.float32]:
    """The correction to add to the drawn colours, (h, w, 3) grey levels: the ``difference`` (h, w, 3) where the mask
    fades, spread smoothly inwards over ``blur`` pixels. ``share`` is the mask, (h, w, 1)."""
    trust = 4.0 * share * (1.0 - share) + 1e-6
    limited = np.clip(difference, -_MAX_TINT, _MAX_TINT) * trust
    spread = cv2.GaussianBlur(limited, (0, 0), max(1.0, blur))
    total = cv2.GaussianBlur(trust, (0, 0), max(1.0, blur))
    return np.asarray(spread / total[:, :, np.newaxis], np.float32)


def extent(mask: NDArray[np.float32]) -> Box:
    """The smallest box around everything that is not zero."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        return Box(0, 0, 2, 2)
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def face_width(face: Face) -> float:
    """Pixels from ear to ear."""
    right, left = face.landmarks[_RIGHT_SIDE, :2], face.landmarks[_LEFT_SIDE, :2]
    return float(np.hypot(*(left - right)))

"""Whether something is in front of the mouth: a hand, a microphone, a mask, a cup.

There are two cheap signs, neither of which is enough alone. Networks guess lips that they cannot see, and guess
differently in each of the slightly different views in which a face is measured. And lips are redder than the skin
around them.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.face.mesh import Face
from lipstream.face.topology import INNER_LIPS, OUTER_LIPS

UNSTEADY = 0.9
"""If the jitter of the lips over that of the upper face is above this, and the lips are no redder than skin, then
something covers them. Faces with nothing in front of them have .4 to .9, and in rare cases up to 1.3."""
PALE = 0.7
"""Lips that are less red than this count as covered, see :func:`lip_redness`. Visible ones have .9 to 3.6 in
photographs and paintings, covered ones .6 and less."""
COLOURFUL = 6.0
"""Least CIELAB chroma of the skin for redness to say anything."""
VERY_UNSTEADY, VERY_UNSTEADY_IOD = 1.4, 0.0325
"""If the jitter exceeds both of these (relative to the upper face, and in IOD), the mouth is covered whatever its
colour."""
MIN_SCALE = 24.0
"""Smaller faces are not judged, because their meshes are unsteady anyway; pixels per IOD."""
_PIXELS_PER_IOD = 64
_RING_IOD = (0.03, 0.13)  # skin around the lips that they are compared with


def mouth_is_covered(picture: NDArray[np.uint8], face: Face) -> bool:
    """Whether something hides the mouth of a face that was measured precisely (:meth:`FaceMesh.refine`).

    ``picture`` (height, width, 3) BGR. Beards and paint do not count as covers. Thin things (a finger) and things
    beside the mouth are missed, see ``docs/face.md``.
    """
    if face.scale < MIN_SCALE or face.jitter == 0:
        return False
    ratio = face.lip_jitter / face.jitter
    if ratio > VERY_UNSTEADY and face.lip_jitter > VERY_UNSTEADY_IOD:
        return True
    if ratio <= UNSTEADY:
        return False
    redness, chroma = lip_redness(picture, face)
    return chroma > COLOURFUL and redness < PALE


def lip_redness(picture: NDArray[np.uint8], face: Face) -> tuple[float, float]:
    """How much redder lips are than the skin around them, standard deviations of CIELAB a*; and that skin's chroma."""
    factor = _PIXELS_PER_IOD / face.scale
    outer, inner = face.landmarks[OUTER_LIPS, :2], face.landmarks[INNER_LIPS, :2]
    margin = 0.2 * face.scale
    low = np.maximum(np.floor(outer.min(axis=0) - margin).astype(int), 0)
    high = np.ceil(outer.max(axis=0) + margin).astype(int) + 1
    crop = picture[low[1] : max(high[1], low[1] + 2), low[0] : max(high[0], low[0] + 2)]
    mode = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    seen = cv2.resize(crop, None, fx=factor, fy=factor, interpolation=mode)
    lab = cv2.cvtColor(seen.astype(np.float32) / 255, cv2.COLOR_BGR2LAB)
    mouth = np.zeros(lab.shape[:2], np.uint8)
    cv2.fillPoly(mouth, [_outline(outer, low, factor)], 255)
    near, far = (cv2.dilate(mouth, _disc(_PIXELS_PER_IOD * reach)) for reach in _RING_IOD)
    ring = lab[(far > 0) & (near == 0)]
    cv2.fillPoly(mouth, [_outline(inner, low, factor)], 0)
    lips = lab[mouth > 0]
    if not len(lips) or not len(ring):
        return 0.0, 0.0
    spread = float(np.sqrt((lips[:, 1].var() + ring[:, 1].var()) / 2)) + 0.5
    redness = float(np.median(lips[:, 1]) - np.median(ring[:, 1])) / spread
    return redness, float(np.hypot(*np.median(ring[:, 1:], axis=0)))


def _outline(points: NDArray[np.float32], corner: NDArray[np.intp], factor: float) -> NDArray[np.int32]:
    return np.round((points - corner) * factor).astype(np.int32)


def _disc(radius: float) -> NDArray[np.uint8]:
    size = 2 * round(radius) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), np.uint8)

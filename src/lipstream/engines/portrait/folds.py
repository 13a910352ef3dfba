"""The folds that a smile makes between nose and mouth, softened: lips that speak no longer smile.

A fold is a dark valley in a lighter cheek. Filling part of it, on a scale that leaves pores and grain alone, makes it
shallower; where there is no valley nothing changes.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.engines.portrait import topology as mesh
from lipstream.engines.portrait.fields import Frame, Points
from lipstream.engines.portrait.warp import Lattice, smoothstep

Pixels = NDArray[np.uint8]

SOFTENED = 0.80
"""How much of the depth of a wide smile's folds goes."""
VALLEY_IOD = 0.075
"""Half the width of the widest valley that counts as a fold."""
GRAIN_IOD = 0.004
"""Details finer than this (standard deviation) stay, and so do valleys that are no deeper than pores and grain here."""
COARSE_PIXELS = 80
"""Resolution at which valleys are filled, pixels per IOD: the cheek across a valley is smooth."""
BAND_IOD = 0.20
"""How far beside the mesh's fold the picture's may be."""
LIPS_IOD = (0.03, 0.11)
"""Up to the first distance from the lips nothing changes, from the second on everything may."""


def soften_folds(picture: Pixels, points: Points, frame: Frame, region: Lattice, smile: float) -> Pixels:
    """A copy of the (height, width, 3) BGR picture with shallower folds beside the mouth, inside ``region`` only.

    ``points`` (468, 2) are the mesh's, ``smile`` 0…1 tells how wide the mouth smiles; at 0 nothing changes.
    """
    if smile <= 0:
        return picture
    softened: Pixels = picture.copy()
    here = region.block(softened)
    scale = frame.scale
    smooth = np.asarray(cv2.GaussianBlur(here.astype(np.float32), (0, 0), max(0.4, GRAIN_IOD * scale)), np.float32)
    filled = _without_valleys(smooth, scale)
    beside = _beside_mouth(points, region, scale)
    depth = filled - smooth
    depth = np.maximum(depth - np.median(depth[beside > 0.3], axis=0), 0) if (beside > 0.3).any() else 0 * depth
    share = SOFTENED * smile * beside
    here[:] = np.clip(np.round(here + share[..., None] * depth), 0, 255).astype(np.uint8)
    return softened


def _without_valleys(image: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    """Grey-level closing: dark valleys narrower than twice :data:`VALLEY_IOD` filled, (height, width, 3)."""
    height, width = image.shape[:2]
    factor = min(1.0, COARSE_PIXELS / scale)
    coarse = cv2.resize(
        image, (max(1, round(width * factor)), max(1, round(height * factor))), interpolation=cv2.INTER_AREA
    )
    size = 2 * max(1, round(VALLEY_IOD * scale * factor)) + 1
    closed = cv2.morphologyEx(coarse, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    return np.asarray(cv2.resize(closed, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _beside_mouth(points: Points, region: Lattice, scale: float) -> NDArray[np.float64]:
    """1 on the folds of both sides, 0 away from them, at the lips and at the region's edge; (height, width)."""
    corner = np.array([region.x, region.y])

    def distance(rows: list[Points], *, closed: bool) -> NDArray[np.float64]:
        mask = np.full((region.height, region.width), 255, np.uint8)
        for row in rows:
            outline = [np.round((row - corner) * 16).astype(np.int32)]
            cv2.polylines(mask, outline, closed, 0, 1, cv2.LINE_8, 4)
            if closed:
                cv2.fillPoly(mask, outline, 0, cv2.LINE_8, 4)
        return np.asarray(cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float64) / scale

    folds = distance([points[list(side)] for side in mesh.FOLDS], closed=False)
    lips = distance([points[[*mesh.OUTER_UPPER_LIP, *mesh.OUTER_LOWER_LIP[::-1]]]], closed=True)
    near, far = LIPS_IOD
    x, y = np.arange(region.width), np.arange(region.height)[:, None]
    edge = np.minimum(np.minimum(x, region.width - 1 - x), np.minimum(y, region.height - 1 - y)) / scale
    weight: NDArray[np.float64] = np.exp(-((folds / BAND_IOD) ** 2)) * smoothstep((lips - near) / (far - near))
    return weight * smoothstep((edge - 0.05) / 0.15)

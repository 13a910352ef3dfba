"""Softens the folds that a smile makes between nose and mouth, because lips that speak no longer smile.

A fold is a dark valley in a lighter cheek. Filling part of it, on a scale that leaves pores and grain alone, makes it
shallower; where there is no valley nothing changes.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.engines.portrait import topology as mesh
from lipstream.engines.portrait.fields import Frame, Points
from lipstream.engines.portrait.warp import Floats, Lattice, smoothstep

Pixels = NDArray[np.uint8]

SOFTENED = 0.80
"""How much of their depth the folds of a wide smile lose."""
VALLEY_IOD = 0.075
"""Half the width of the widest valley that counts as a fold."""
GRAIN_IOD = 0.004
"""Details finer than this (standard deviation) stay, and so do valleys no deeper than the pores and the grain of this
picture."""
COARSE_PIXELS = 80
"""Resolution at which valleys are filled and weights are made, pixels per IOD: both are smooth."""
BAND_IOD = 0.20
"""How far the fold in the picture may be from the mesh's, IOD."""
LIPS_IOD = (0.03, 0.11)
"""Closer to the lips than the first distance nothing changes; from the second on, folds are softened fully."""


def soften_folds(picture: Pixels, points: Points, frame: Frame, region: Lattice, smile: float) -> Pixels:
    """A copy of the (height, width, 3) BGR picture with shallower folds beside the mouth, inside ``region`` only.

    ``points`` (468, 2) are the mesh's, ``smile`` 0…1 tells how wide the mouth smiles; at 0 nothing changes.
    """
    if smile <= 0:
        return picture
    softened: Pixels = picture.copy()
    here = region.block(softened)
    scale = frame.scale
    fine, factor = (region.width, region.height), min(1.0, COARSE_PIXELS / scale)
    coarse = max(1, round(region.width * factor)), max(1, round(region.height * factor))
    smooth = cv2.GaussianBlur(here.astype(np.float32), (0, 0), max(0.4, GRAIN_IOD * scale))
    size = 2 * max(1, round(VALLEY_IOD * scale * factor)) + 1
    shape = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    filled = cv2.morphologyEx(cv2.resize(smooth, coarse, interpolation=cv2.INTER_AREA), cv2.MORPH_CLOSE, shape)
    depth = cv2.subtract(cv2.resize(filled, fine, interpolation=cv2.INTER_LINEAR), smooth)
    beside = _beside_mouth(points, region, coarse, scale)
    near = beside > 0.3
    if not near.any():
        return picture
    share = cv2.resize(beside * np.float32(SOFTENED * smile), fine, interpolation=cv2.INTER_LINEAR)
    pores = np.median(cv2.resize(depth, coarse, interpolation=cv2.INTER_NEAREST)[near], axis=0)
    depth = np.maximum(depth - pores, 0) * share[..., None]
    here[:] = cv2.add(here, np.round(depth), dtype=cv2.CV_8U)
    return softened


def _beside_mouth(points: Points, region: Lattice, size: tuple[int, int], scale: float) -> Floats:
    """(height, width) weight: 1 on the folds of both sides, 0 away from them, at the lips and at the region's edge."""
    width, height = size
    factor = np.array(size) / [region.width, region.height]
    unit = scale * factor[0]

    def distance(rows: list[Points], *, closed: bool) -> NDArray[np.float64]:
        mask = np.full((height, width), 255, np.uint8)
        for row in rows:
            outline = [np.round((row - [region.x, region.y]) * factor * 16).astype(np.int32)]
            cv2.polylines(mask, outline, closed, 0, 1, cv2.LINE_8, 4)
            if closed:
                cv2.fillPoly(mask, outline, 0, cv2.LINE_8, 4)
        away = np.asarray(cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float64)
        return np.asarray(away / unit, np.float64)

    folds = distance([points[list(side)] for side in mesh.FOLDS], closed=False)
    lips = distance([points[[*mesh.OUTER_UPPER_LIP, *mesh.OUTER_LOWER_LIP[::-1]]]], closed=True)
    near, far = LIPS_IOD
    x, y = np.arange(width), np.arange(height)[:, None]
    edge = np.minimum(np.minimum(x, width - 1 - x), np.minimum(y, height - 1 - y)) / unit
    weight = np.exp(-((folds / BAND_IOD) ** 2)) * smoothstep((lips - near) / (far - near))
    return (weight * smoothstep((edge - 0.05) / 0.15)).astype(np.float32)

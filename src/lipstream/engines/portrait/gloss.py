"""Softens the highlights that a smile stretches over the lower lip: pursed lips would squeeze them into one patch.

A highlight is a light spot on darker lips. Removing a part of what stands out, on a scale that leaves creases and grain
alone, makes it fainter; where nothing stands out, nothing changes.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.engines.portrait import topology as mesh
from lipstream.engines.portrait.fields import Frame, Points
from lipstream.engines.portrait.warp import Lattice

Pixels = NDArray[np.uint8]

DULLED = 0.55
"""How much of what stands out is removed on a wide smile."""
SPOT_IOD = 0.10
"""Half the width of the widest spot that counts as a highlight."""
DETAIL_IOD = 0.008
"""Details finer than this (standard deviation) stay."""
SOFT_IOD = 0.02
"""Softness of the lip's border."""


def dull_gloss(picture: Pixels, points: Points, frame: Frame, region: Lattice, smile: float) -> Pixels:
    """A copy of the (height, width, 3) BGR picture with fainter highlights on the lower lip.

    ``points`` (468, 2) are the mesh's, ``smile`` 0…1 tells how wide the mouth smiles; at 0 nothing changes.
    """
    if smile <= 0:
        return picture
    lip = np.concatenate([points[list(mesh.OUTER_LOWER_LIP)], points[list(mesh.INNER_LOWER_LIP)][::-1]])
    reach = 2 * round(SPOT_IOD * frame.scale) + 2
    low = np.maximum(np.floor(lip.min(axis=0)).astype(int) - reach, [region.x, region.y])
    high = np.minimum(np.ceil(lip.max(axis=0)).astype(int) + reach, [region.x + region.width, region.y + region.height])
    dulled: Pixels = picture.copy()
    here = dulled[low[1] : high[1], low[0] : high[0]]
    mask = np.zeros(here.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round((lip - low) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    smooth = cv2.GaussianBlur(here.astype(np.float32), (0, 0), max(0.4, DETAIL_IOD * frame.scale))
    on_lip = np.where(mask[..., None] > 127, smooth, 255)
    size = 2 * max(1, round(SPOT_IOD * frame.scale)) + 1
    shape = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    # Everything beyond the lip was set to white, so that a spot is replaced by the colour of the lip, not of the skin.
    base = cv2.GaussianBlur(cv2.morphologyEx(on_lip, cv2.MORPH_OPEN, shape), (0, 0), size / 6)
    share = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), max(0.6, SOFT_IOD * frame.scale)) / 255
    share = np.minimum(share, mask / np.float32(255))[..., None] * np.float32(DULLED * smile)
    here[:] = np.round(np.clip(here - share * np.maximum(smooth - base, 0), 0, 255)).astype(np.uint8)
    return dulled

"""Portraits that must not blink: a lid drawn down would drag the rim of glasses along, or smear a flat drawing.

Both are recognised from the picture alone, by rough measures with wide margins; the docstrings say what they miss.
Callers who know better can ask for no blinks (:attr:`lipstream.engines.base.Liveliness.blink` of 0).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.engines.portrait.fields import Frame, Points

Pixels = NDArray[np.uint8]

BETWEEN_EYES = 168
"""Mesh point on the bridge of the nose."""
PIXELS_PER_IOD = 64
"""Size at which faces are looked at, so that large and small pictures compare."""
BRIDGE_WIDTH, BRIDGE_ABOVE, BRIDGE_BELOW = 0.13, 0.22, 0.42
"""Where the bridge of glasses may be: half width, and how far above and below the point between the eyes, IOD."""
LINE_ROWS = 4
"""A rim is recognised by comparing it with what is this many rows above and below it."""
BRIDGE_LINE = 0.16
"""A line all the way across the nose that differs in lightness by more than this, relative to the skin's, belongs to
glasses. Bare noses have up to .06, dark rims .30 to .78."""
BRIDGE_TINT = 4.0
"""The same for its colour, CIELAB a* and b*: bare noses have up to 3, in poor
pictures too; rims of metal, white or any colour mostly 8 to 46."""
NOISE = 3.0
"""A tint only counts beyond this many times the median over all rows; less is the noise of a poor picture."""
LEVEL_RANGE = 3
"""Grey levels that a surface without any texture may vary by."""
FLAT_SHARE = 0.18
"""A face with more such surface is drawn in flat colours. Photographs and paintings have up to .08, posterised ones
.22 to .43."""


def must_not_blink(picture: Pixels, landmarks: Points, frame: Frame) -> bool:
    """Whether a (height, width, 3) BGR picture with mesh points (468, 2) wears glasses or is a flat drawing."""
    return wears_glasses(picture, landmarks, frame) or flat_share(picture, landmarks, frame) > FLAT_SHARE


def wears_glasses(picture: Pixels, landmarks: Points, frame: Frame) -> bool:
    """Whether the face with mesh points (468, 2) has a bridge of glasses on its nose."""
    line, tint = bridge_line(picture, landmarks, frame)
    return line > BRIDGE_LINE or tint > BRIDGE_TINT


def bridge_line(picture: Pixels, landmarks: Points, frame: Frame) -> tuple[float, float]:
    """How strong the strongest line across the whole nose between the eyes is: in lightness, relative to the skin's,
    and in colour, CIELAB a*b* beyond the noise.

    Misses rims with the colour of the skin, and light rims in black-and-white pictures.
    """
    across = np.arange(-BRIDGE_WIDTH, BRIDGE_WIDTH, 1 / PIXELS_PER_IOD)
    down = np.arange(-BRIDGE_ABOVE, BRIDGE_BELOW, 1 / PIXELS_PER_IOD)
    at = across[None, :, None] * frame.right + down[:, None, None] * frame.down
    places = landmarks[BETWEEN_EYES] + at * frame.scale
    low = np.maximum(np.floor(places.min(axis=(0, 1))).astype(int) - 2, 0)
    high = np.ceil(places.max(axis=(0, 1))).astype(int) + 3
    near = cv2.GaussianBlur(
        picture[low[1] : high[1], low[0] : high[0]], (0, 0), max(0.3, 0.5 * frame.scale / PIXELS_PER_IOD)
    )
    x, y = (np.ascontiguousarray(p) for p in (places - low).astype(np.float32).transpose(2, 0, 1))
    nose = cv2.remap(near, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32) / 255
    lab = cv2.cvtColor(nose, cv2.COLOR_BGR2LAB).astype(np.float64)
    around = (lab[2 * LINE_ROWS :] + lab[: -2 * LINE_ROWS]) / 2
    line = np.median(lab[LINE_ROWS:-LINE_ROWS] - around, axis=1)
    lightness = float(np.abs(line[:, 0]).max() / (np.median(lab[..., 0]) + 8.0))
    tint = np.hypot(line[:, 1], line[:, 2])
    return lightness, float(tint.max() - NOISE * np.median(tint))


def flat_share(picture: Pixels, landmarks: Points, frame: Frame) -> float:
    """Part of the face that has no texture at all."""
    low = np.maximum(np.floor(landmarks.min(axis=0)).astype(int), 0)
    high = np.ceil(landmarks.max(axis=0)).astype(int)
    face = picture[low[1] : high[1], low[0] : high[0]]
    factor = PIXELS_PER_IOD / frame.scale
    mode = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    grey = cv2.cvtColor(cv2.resize(face, None, fx=factor, fy=factor, interpolation=mode), cv2.COLOR_BGR2GRAY)
    inside = np.zeros(grey.shape, np.uint8)
    hull = cv2.convexHull(((landmarks - low) * factor).astype(np.int32))
    cv2.fillConvexPoly(inside, hull, 1)
    around = np.ones((5, 5), np.uint8)
    variation = cv2.subtract(cv2.dilate(grey, around), cv2.erode(grey, around))
    return float((variation[inside > 0] <= LEVEL_RANGE).mean())

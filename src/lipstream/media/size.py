"""Reduces pictures for live streams, which must be drawn in real time."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SizeLimit:
    """How large a picture may be. Larger ones are reduced and keep their proportions."""

    pixels: int
    """Width × height."""
    width: int | None = None
    """Pixels; None for no limit."""


def shrink(picture: NDArray[np.uint8], limit: SizeLimit) -> NDArray[np.uint8]:
    """(height, width, 3) with even sides → the picture reduced to the limit, or unchanged if it is within it."""
    height, width = picture.shape[:2]
    factor = min(1.0, (limit.pixels / (width * height)) ** 0.5, (limit.width or width) / width)
    if factor == 1.0:
        return picture
    size = max(2, int(width * factor) & ~1), max(2, int(height * factor) & ~1)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)

"""Pictures as H.264 needs them: luma and two chroma planes of half the size, BT.601, limited range."""

from __future__ import annotations

import av.video.plane
import cv2
import numpy as np
from numpy.typing import NDArray

# BT.601, the same matrix as OpenCV's conversion: blue, green, red, offset → Cb and Cr from 16 to 240.
_CHROMA = np.array(
    [[112.0, -74.203, -37.797, 128 * 255], [-18.214, -93.786, 112.0, 128 * 255]], np.float32
) / np.float32(255)

Planes = tuple[NDArray[np.uint8], ...]
"""Y (h, w), Cb and Cr (h/2, w/2) of a picture with even sides."""


def to_planes(pixels: NDArray[np.uint8]) -> Planes:
    """(h, w, 3) BGR with even sides → planes.

    OpenCV's own 4:2:0 takes the chroma of every second pixel. The mean of four pixels keeps the edges of lips smooth.
    """
    height, width = pixels.shape[:2]
    luma = cv2.cvtColor(pixels, cv2.COLOR_BGR2YUV_I420)[:height]
    half = cv2.resize(pixels, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    chroma = cv2.transform(half, _CHROMA)
    return luma, chroma[..., 0], chroma[..., 1]  # type: ignore[return-value]


def to_bgr(planes: Planes) -> NDArray[np.uint8]:
    """Planes → (h, w, 3) BGR. Each chroma sample is used for its four pixels, so :func:`to_planes` gives the same
    chroma again, up to rounding."""
    luma = planes[0]
    packed = np.concatenate([np.ascontiguousarray(plane).reshape(-1) for plane in planes])
    return np.asarray(cv2.cvtColor(packed.reshape(-1, luma.shape[1]), cv2.COLOR_YUV2BGR_I420), np.uint8)


def plane_view(plane: av.video.plane.VideoPlane) -> NDArray[np.uint8]:
    """A (height, width) view of a frame's plane, without the padding of its rows; writable if the frame is."""
    return np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]

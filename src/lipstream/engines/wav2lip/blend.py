"""Putting the network's picture into the photo.

``lower`` replaces only the mouth side of the face, through a feathered mask shaped by the face mesh, in colours
matched to the photo. ``full`` pastes the whole box, as the original does. A face parser's mask and super-resolution
work with both.
"""

from __future__ import annotations

from typing import Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.engines.base import Patch
from lipstream.engines.box import Box
from lipstream.engines.lower_face import TINT_BLUR, extent, face_width, lower_face_mask, match_colours
from lipstream.enhance.upscaling import Upscaler
from lipstream.face.mesh import Face

Blend = Literal["lower", "full"]


class Compositor(Protocol):
    """Makes the patches of one avatar. Immutable and safe to share between threads."""

    @property
    def rest(self) -> Patch:
        """The photo's own pixels in the place of the patches."""
        ...

    @property
    def nbytes(self) -> int:
        """Memory of its arrays, bytes."""
        ...

    def compose(self, rows: NDArray[np.float32], weight: float) -> Patch:
        """A frame from the rows the network gives, (rows, side, 3) BGR in [0, 1], shown with ``weight`` 0 to 1."""
        ...


class FullBox:
    """As in the original: the whole picture is truncated to whole grey levels and stretched over the box."""

    def __init__(
        self,
        photo: NDArray[np.uint8],
        box: Box,
        *,
        replaceable: NDArray[np.float32] | None = None,
        upscaler: Upscaler | None = None,
    ) -> None:
        """``replaceable`` is the weight of the network's picture per pixel of the photo, 0 to 1; None = 1."""
        self._region = box.even(photo.shape)
        self._inside = box.within(self._region)
        self._share = None if replaceable is None else np.repeat(box.cut(replaceable)[:, :, np.newaxis], 3, axis=2)
        self._upscaler = upscaler
        self.rest = _patch(self._region, self._region.cut(photo).copy())
        self.nbytes = self.rest.pixels.nbytes + (0 if self._share is None else self._share.nbytes)

    def compose(self, rows: NDArray[np.float32], weight: float) -> Patch:
        """See :class:`Compositor`."""
        if self._upscaler is not None:
            rows = self._upscaler(rows[np.newaxis])[0]
        levels = np.ascontiguousarray(rows * np.float32(255.0)).astype(np.uint8)
        # The original filters linearly. Where super-resolution made the picture larger than the box, it is averaged.
        larger = self._upscaler is not None and rows.shape[1] > self._inside.width
        filter_ = cv2.INTER_AREA if larger else cv2.INTER_LINEAR
        size = (self._inside.width, self._inside.height)
        stretched = np.asarray(cv2.resize(levels, size, interpolation=filter_), np.uint8)
        pixels = self.rest.pixels.copy()
        view = self._inside.cut(pixels)
        if self._share is not None:
            stretched = np.rint(view + self._share * (stretched.astype(np.float32) - view)).astype(np.uint8)
        view[:] = stretched if weight >= 1.0 else cv2.addWeighted(stretched, weight, view, 1.0 - weight, 0.0)
        return _patch(self._region, pixels)


class LowerFace:
    """The mouth side only, feathered and colour-matched."""

    def __init__(
        self,
        photo: NDArray[np.uint8],
        face: Face,
        box: Box,
        side: int,
        first_row: int,
        silent: NDArray[np.float32],
        *,
        replaceable: NDArray[np.float32] | None = None,
        upscaler: Upscaler | None = None,
    ) -> None:
        """``first_row`` is the first row that the network gives; ``silent`` are its rows for silence.

        Colours are matched once, with ``silent``, where the mask fades: later changes there are motion of the face.
        """
        # One more row is left out, so that stretching never needs a row that does not exist.
        limit = box.top + (first_row + 1) * box.height / side if first_row else box.top
        mask = lower_face_mask(photo.shape, face, box, limit)
        if replaceable is not None:
            mask *= replaceable
        self._upscaler = upscaler if upscaler is not None and box.width > side else None
        # Rows that were enlarged beyond the box are averaged down again, because a warp would skip pixels.
        self._shrink = max(1, side * self._upscaler.scale // box.width) if self._upscaler else 1
        scale = self._upscaler.scale / self._shrink if self._upscaler else 1.0
        self._region = extent(mask).even(photo.shape)
        self._to_rows = _sampling(box, self._region, side * scale, first_row * scale)
        self.rest = _patch(self._region, self._region.cut(photo).copy())
        photo_here = self.rest.pixels.astype(np.float32)
        share = self._region.cut(mask)[:, :, np.newaxis]
        tint = match_colours(photo_here - self._stretch(silent), share, TINT_BLUR * face_width(face))
        self._share = np.repeat(share, 3, axis=2)
        self._ground = photo_here + self._share * (tint - photo_here)
        self.nbytes = self.rest.pixels.nbytes + self._share.nbytes + self._ground.nbytes

    def compose(self, rows: NDArray[np.float32], weight: float) -> Patch:
        """See :class:`Compositor`."""
        # Rounds and saturates.
        pixels = cv2.add(self._ground, self._share * self._stretch(rows), dtype=cv2.CV_8U)
        if weight < 1.0:
            pixels = cv2.addWeighted(pixels, weight, self.rest.pixels, 1.0 - weight, 0.0)
        return _patch(self._region, np.asarray(pixels, np.uint8))

    def _stretch(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """The network's rows over the region, grey levels."""
        size = (self._region.width, self._region.height)
        if self._upscaler is not None:
            rows = self._upscaler(rows[np.newaxis])[0]
            smaller = cv2.resize(rows, None, fx=1 / self._shrink, fy=1 / self._shrink, interpolation=cv2.INTER_AREA)
            rows = np.asarray(smaller, np.float32)
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        levels = np.ascontiguousarray(rows * np.float32(255.0))
        stretched = cv2.warpAffine(levels, self._to_rows, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(stretched, np.float32)


def _sampling(box: Box, region: Box, side: float, first_row: float) -> NDArray[np.float64]:
    """(2, 3) map from a pixel of the region to its place in the network's rows, pixel centres both."""
    across, down = side / box.width, side / box.height
    x = (region.left - box.left + 0.5) * across - 0.5
    y = (region.top - box.top + 0.5) * down - 0.5 - first_row
    return np.array([[across, 0.0, x], [0.0, down, y]])


def _patch(region: Box, pixels: NDArray[np.uint8]) -> Patch:
    pixels.flags.writeable = False
    return Patch(region.left, region.top, pixels)

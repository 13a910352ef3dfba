"""Putting the network's picture into the photo.

``lower`` replaces only the mouth side of the face, through a feathered mask shaped by the face mesh, in colours
matched to the photo. ``full`` pastes the whole box, as the original does.
"""

from __future__ import annotations

from typing import Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.engines.base import Patch
from lipstream.engines.wav2lip.box import Box
from lipstream.enhance.upscaling import Upscaler
from lipstream.face.mesh import Face
from lipstream.face.topology import OUTER_LIPS

Blend = Literal["lower", "full"]

# Points of the 468-point mesh: from below the right ear along the jaw to the left ear, back over cheeks and nose tip.
_JAW = (93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323)
_CHEEKS_AND_NOSE = (280, 4, 50)
_RIGHT_SIDE, _LEFT_SIDE = 234, 454

# In widths of the face:
_BELOW_CHIN = 0.05  # how far the outline goes beyond the photo's chin, because an opening mouth lowers it
_FEATHER = 0.10  # how far inside the outline the mask reaches its full value
_TINT_BLUR = 0.12  # over which distance colours at the mask's edge are carried into it

_MAX_TINT = 32.0  # grey levels; what differs by more is not a tint


class Compositor(Protocol):
    """Makes the patches of one avatar. Immutable and safe to share between threads."""

    @property
    def rest(self) -> Patch:
        """The photo's own pixels where patches go."""
        ...

    @property
    def nbytes(self) -> int:
        """Memory of its arrays, bytes."""
        ...

    def compose(self, rows: NDArray[np.float32], weight: float) -> Patch:
        """A frame from the rows the network gives, (rows, side, 3) BGR in [0, 1], shown with ``weight`` 0 to 1."""
        ...


class FullBox:
    """The original's way: the whole picture is cut to whole grey levels and stretched over the box."""

    def __init__(self, photo: NDArray[np.uint8], box: Box) -> None:
        self._region = box.even(photo.shape)
        self._inside = box.within(self._region)
        self.rest = _patch(self._region, self._region.cut(photo).copy())
        self.nbytes = self.rest.pixels.nbytes

    def compose(self, rows: NDArray[np.float32], weight: float) -> Patch:
        """See :class:`Compositor`."""
        levels = np.ascontiguousarray(rows * np.float32(255.0)).astype(np.uint8)
        stretched = cv2.resize(levels, (self._inside.width, self._inside.height))
        pixels = self.rest.pixels.copy()
        view = self._inside.cut(pixels)
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
        """``first_row`` is the network's first row that is given; ``silent`` are its rows for silence.

        Colours are matched on ``silent``, once, where the mask fades: what changes there later is the face moving.
        """
        # One row more stays out, so that stretching never needs a row that is not there.
        limit = box.top + (first_row + 1) * box.height / side if first_row else box.top
        mask = lower_face_mask(photo.shape, face, box, limit)
        if replaceable is not None:
            mask *= replaceable
        self._upscaler = upscaler if upscaler is not None and box.width > side else None
        # What is enlarged beyond the box is averaged down again: a warp would skip pixels.
        self._shrink = max(1, side * self._upscaler.scale // box.width) if self._upscaler else 1
        scale = self._upscaler.scale / self._shrink if self._upscaler else 1.0
        self._region = _extent(mask).even(photo.shape)
        self._to_rows = _sampling(box, self._region, side * scale, first_row * scale)
        self.rest = _patch(self._region, self._region.cut(photo).copy())
        photo_here = self.rest.pixels.astype(np.float32)
        share = self._region.cut(mask)[:, :, np.newaxis]
        tint = _tint(photo_here - self._stretch(silent), share, _TINT_BLUR * _face_width(face))
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


def lower_face_mask(shape: tuple[int, ...], face: Face, box: Box, limit: float) -> NDArray[np.float32]:
    """Weight of the network's picture per pixel of a photo of ``shape``, 0 to 1.

    Nothing outside the box, above the row ``limit`` or above the tip of the nose; full around mouth and chin. On turned
    heads the lips reach the outline of the face; they are the network's there too.
    """
    feather = max(1.0, _FEATHER * _face_width(face))
    allowed = np.ones((box.height, box.width), np.uint8)
    allowed[: max(0, int(np.ceil(limit)) - box.top)] = 0
    lower = _filled(_lower_outline(face), box) & allowed
    lips = _filled(face.landmarks[OUTER_LIPS, :2], box) & allowed
    beside_lips = np.clip(1.0 - _distance(1 - lips) / feather, 0.0, 1.0)
    ramp = np.maximum(
        np.clip((_depth(lower) - 1.0) / feather, 0.0, 1.0),
        np.minimum(beside_lips, np.clip((_depth(allowed) - 1.0) / feather, 0.0, 1.0)),
    )
    mask = np.zeros(shape[:2], np.float32)
    mask[box.top : box.bottom, box.left : box.right] = ramp * ramp * (3.0 - 2.0 * ramp)
    return mask


def _lower_outline(face: Face) -> NDArray[np.float32]:
    """(n, 2) points around the part of the face below the tip of the nose, a little beyond the chin."""
    jaw, top = face.landmarks[list(_JAW), :2], face.landmarks[list(_CHEEKS_AND_NOSE), :2]
    ears, chin = jaw[[0, -1], 1].mean(), jaw[:, 1].max()
    depth = np.clip((jaw[:, 1] - ears) / max(1.0, chin - ears), 0.0, 1.0)
    lowered = jaw + np.stack([np.zeros_like(depth), depth * _BELOW_CHIN * _face_width(face)], axis=1)
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


def _tint(difference: NDArray[np.float32], share: NDArray[np.float32], blur: float) -> NDArray[np.float32]:
    """What must be added to the network's colours: the difference where the mask fades, spread smoothly inwards."""
    trust = 4.0 * share * (1.0 - share) + 1e-6
    limited = np.clip(difference, -_MAX_TINT, _MAX_TINT) * trust
    spread = cv2.GaussianBlur(limited, (0, 0), max(1.0, blur))
    total = cv2.GaussianBlur(trust, (0, 0), max(1.0, blur))
    return np.asarray(spread / total[:, :, np.newaxis], np.float32)


def _sampling(box: Box, region: Box, side: float, first_row: float) -> NDArray[np.float64]:
    """(2, 3) map from a pixel of the region to its place in the network's rows, pixel centres both."""
    across, down = side / box.width, side / box.height
    x = (region.left - box.left + 0.5) * across - 0.5
    y = (region.top - box.top + 0.5) * down - 0.5 - first_row
    return np.array([[across, 0.0, x], [0.0, down, y]])


def _extent(mask: NDArray[np.float32]) -> Box:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        return Box(0, 0, 2, 2)
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def _face_width(face: Face) -> float:
    right, left = face.landmarks[_RIGHT_SIDE, :2], face.landmarks[_LEFT_SIDE, :2]
    return float(np.hypot(*(left - right)))


def _patch(region: Box, pixels: NDArray[np.uint8]) -> Patch:
    pixels.flags.writeable = False
    return Patch(region.left, region.top, pixels)

"""Clips: the lower face of one still frame is drawn, and set into every frame of the clip as the head has moved there.

A rig for every frame would take minutes and gigabytes, and a person who talks in the clip would show through. So there
is only one rig, made from the frame whose mouth is closed the furthest. What it draws is laid over each frame by a
smooth map that follows the tracked head in three dimensions, through a feathered mask, in the colours of that frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.avatar import Avatar, Footage
from lipstream.cache import PreparedCache, held_bytes
from lipstream.engines.base import Patch
from lipstream.engines.box import Box
from lipstream.engines.lower_face import TINT_BLUR, extent, face_width, lower_face_mask, match_colours
from lipstream.engines.portrait import topology as mesh
from lipstream.engines.portrait.renderer import Renderer
from lipstream.engines.portrait.rig import Rig
from lipstream.engines.portrait.style import MouthPose
from lipstream.engines.portrait.warp import NO_MAP
from lipstream.engines.reel import Reel
from lipstream.face.mesh import Face

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

OVERLAYS_BYTES = 96 * 2**20
"""Prepared frames of one clip that are kept; others are prepared again each time they are played."""
BELOW_CHIN = 0.16
"""How far below the chin the drawn neck is shown, widths of the face: room for the jaw to drop into."""

_HEAD = (*mesh.RIGID, *mesh.JAW, *mesh.CHIN_PAD, *mesh.OUTER_UPPER_LIP, *mesh.OUTER_LOWER_LIP)


@dataclass(frozen=True, eq=False)
class Overlay:
    """Where and how the drawn face goes into one frame."""

    region: Box
    """What changes, even-aligned."""
    source: Floats
    """(height, width, 2): for each pixel its place in the rig's region."""
    share: Floats
    """(height, width, 3): weight of what is drawn, 0 to 1."""
    ground: Floats
    """(height, width, 3): the frame's part of the sum, with the colours that are added to what is drawn."""


class ClipStage:
    """What all performances of one clip share. Thread-safe."""

    def __init__(self, avatar: Avatar, footage: Footage, rig: Rig) -> None:
        self.footage = footage
        self._still = rig.region.block(avatar.picture)
        self._rig = rig
        self._cache: PreparedCache[int, Overlay] = PreparedCache(OVERLAYS_BYTES, held_bytes)

    @property
    def nbytes(self) -> int:
        """The clip, and the most that prepared frames may take; bytes."""
        return self.footage.nbytes + OVERLAYS_BYTES

    def overlay(self, reel: Reel, index: int, face: Face) -> Overlay:
        """The overlay for frame ``index`` of the clip, prepared when it is first drawn."""
        return self._cache.get(index, lambda: self._prepare(reel.picture(index), face))

    def _prepare(self, picture: Pixels, face: Face) -> Overlay:
        mask = lower_face_mask(picture.shape, face, _around(face, picture.shape), 0.0, BELOW_CHIN)
        region = extent(mask).even(picture.shape)
        source = source_map(self.footage.still, face, region) - np.array(
            [self._rig.region.x, self._rig.region.y], np.float32
        )
        share = region.cut(mask)[:, :, np.newaxis]
        photo = region.cut(picture).astype(np.float32)
        # Match the light of this frame. The photos are compared, not what is drawn: a smile that relaxes is not light.
        still = _laid(self._still, source).astype(np.float32)
        tint = match_colours(photo - still, share, TINT_BLUR * face_width(face))
        return Overlay(region, source, np.repeat(share, 3, axis=2), photo + share * (tint - photo))


class ClipRenderer:
    """Draws the frames of one performance over the clip that goes on playing. Not thread-safe."""

    def __init__(self, stage: ClipStage, rig: Rig, reel: Reel) -> None:
        self._stage = stage
        self._renderer = Renderer(rig)
        self._reel = reel

    def draw(self, pose: MouthPose) -> Patch:
        """The next frame of the clip, speaking; unchanged if it shows no face."""
        index = self._reel.advance()
        face = self._stage.footage.faces[index]
        if face is None:
            return self._reel.unchanged(index)
        overlay = self._stage.overlay(self._reel, index, face)
        drawn = _laid(self._renderer.draw(pose), overlay.source)
        pixels = np.asarray(cv2.add(overlay.ground, overlay.share * drawn, dtype=cv2.CV_8U), np.uint8)
        return Patch(overlay.region.left, overlay.region.top, pixels, self._reel.planes(index))


def source_map(still: Face, now: Face, region: Box) -> Floats:
    """For each pixel of ``region`` in the picture of ``now`` its place in that of ``still``, (height, width, 2).

    The mesh of the still is moved by the two poses, so that expression and speech play no part, and then shifted to
    where the nose and the cheeks are seen. A second-degree polynomial fitted to it is smooth and follows perspective.
    """
    points = np.array(_HEAD)
    carried = now.pose.project(still.pose.to_canonical(still.landmarks))[:, :2].astype(np.float64)
    rigid = list(mesh.RIGID)
    carried += (now.landmarks[rigid, :2] - carried[rigid]).mean(axis=0)
    centre = carried[points].mean(axis=0)
    terms = _terms((carried[points] - centre) / now.scale)
    coefficients, *_ = np.linalg.lstsq(terms, still.landmarks[points, :2].astype(np.float64), rcond=None)
    x = (np.arange(region.left, region.right) - centre[0]) / now.scale
    y = (np.arange(region.top, region.bottom) - centre[1]) / now.scale
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    places = _terms(grid).astype(np.float32) @ coefficients.astype(np.float32)
    return places.reshape(region.height, region.width, 2)


def _terms(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 2) → (n, 6): the terms of a polynomial of second degree."""
    x, y = points.T
    return np.column_stack([np.ones_like(x), x, y, x * x, x * y, y * y])


def _laid(drawn: Pixels, source: Floats) -> Pixels:
    laid = cv2.remap(drawn, source, NO_MAP, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(laid, np.uint8)


def _around(face: Face, shape: tuple[int, ...]) -> Box:
    """The face and what is just below it, inside the picture."""
    left, top, right, bottom = face.box
    below = BELOW_CHIN * face_width(face)
    box = Box(
        max(0, int(left - below)),
        max(0, int(top)),
        min(shape[1], int(right + below) + 1),
        min(shape[0], int(bottom + below) + 1),
    )
    # A face at the very edge may have left the picture.
    return box if box.width > 1 and box.height > 1 else Box(0, 0, 2, 2)

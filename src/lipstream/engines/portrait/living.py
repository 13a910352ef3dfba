"""One frame of a living head: sway, breath and blinks around the mouth that :mod:`.renderer` draws.

The motion of mouth and head is one field over one picture that contains the mouth's lower layer, so that each pixel is
sampled only once.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.avatar import Avatar
from lipstream.engines.base import STILL, Liveliness, Patch
from lipstream.engines.portrait.eyelids import Eyelid, cut_eyelids, draw_eyelid
from lipstream.engines.portrait.head import Head, build_head, sway_weights
from lipstream.engines.portrait.renderer import Renderer, Sway
from lipstream.engines.portrait.rig import Rig, face_frame
from lipstream.engines.portrait.style import MouthPose
from lipstream.engines.portrait.warp import DAMPING, GENTLE, Floats, Lattice, followed, invert, resampled, seen_part

Pixels = NDArray[np.uint8]

AT_EDGES = cv2.BORDER_REFLECT_101
SEEN_BLINK = 0.01
"""Eyes that are closed by less than this are drawn open; 1 = shut."""


@dataclass(frozen=True)
class Life:
    """What a portrait needs to do more than speak. Never written to."""

    head: Head
    lids: tuple[Eyelid, ...]


def prepare_life(avatar: Avatar, rig: Rig) -> Life:
    """Prepare head and eyelids around a rig. Takes 0.05 s for a head of usual size, 0.3 s for one that fills 1080
    lines."""
    frame = face_frame(avatar.face)
    head = build_head(avatar, rig, frame)
    return Life(head, cut_eyelids(avatar, head, frame, rig.texture))


class LivingRenderer:
    """Draws the frames of one performance, alive."""

    def __init__(self, rig: Rig, life: Life) -> None:
        self._rig, self._life = rig, life
        self._mouth = Renderer(rig)
        self._identities = life.head.region.identity(), rig.block.identity()
        self._lid_identities = [lid.block.identity() for lid in life.lids]

    def draw(self, pose: MouthPose, liveliness: Liveliness) -> Patch:
        """The changed part of the picture: the mouth's region when nothing else moves, else the head's."""
        if liveliness == STILL:
            return Patch(self._rig.region.x, self._rig.region.y, self._mouth.draw(pose))
        rig, head = self._rig, self._life.head
        weights = sway_weights(liveliness)
        drawn = self._sampled(pose, weights)
        block = _part(drawn, rig.block, head.region)
        mouth_x, mouth_y = (float(d) for d in weights @ head.mouth)
        self._mouth.join(block, self._upper(pose, weights), pose, Sway(weights @ head.edges, (mouth_x, mouth_y)))
        blink = min(liveliness.blink, 1.0)
        if blink > SEEN_BLINK:
            for lid, identity in zip(self._life.lids, self._lid_identities, strict=True):
                draw_eyelid(_part(drawn, lid.block, head.region), lid, weights, blink, identity)
        pixels = np.asarray(cv2.cvtColor(drawn, cv2.COLOR_BGRA2BGR), np.uint8)
        return Patch(head.region.x, head.region.y, pixels)

    def _sampled(self, pose: MouthPose, weights: Floats) -> Pixels:
        """The head with the mouth's lower layer in it, (height, width, 4)."""
        rig, head, identity = self._rig, self._life.head, self._identities[0]
        field = (weights @ head.columns).reshape(identity.shape)
        mouth = _nodes_of(rig.region, head.region)
        field[mouth] += (pose.weights @ rig.lower).reshape(*rig.region.shape, 2)
        backward = invert(field, identity, GENTLE)
        backward[mouth] = followed(-field[mouth], field, identity[mouth], DAMPING)
        origin = (head.region.x, head.region.y)
        return resampled(head.source, head.region, identity + backward, origin, head.supersampling, AT_EDGES)

    def _upper(self, pose: MouthPose, weights: Floats) -> Pixels:
        """The mouth's upper layer, (height, width, 4) over as much of the mouth block as it covers."""
        rig, head, identity = self._rig, self._life.head, self._identities[1]
        field = (pose.weights @ rig.upper + weights @ head.upper).reshape(identity.shape)
        nodes = identity + invert(field, identity)
        origin = (head.upper_block.x, head.upper_block.y)
        part = seen_part(rig.block, nodes, rig.block.y + rig.layers.upper_end)
        return resampled(head.upper_sheet, part, nodes, origin, rig.layers.supersampling, AT_EDGES)


def _nodes_of(inner: Lattice, outer: Lattice) -> tuple[slice, slice]:
    """Where the nodes of ``inner`` are among those of ``outer``; both have the same step and padding."""
    rows, columns = inner.shape
    row, column = (inner.y - outer.y) // outer.step, (inner.x - outer.x) // outer.step
    return slice(row, row + rows), slice(column, column + columns)


def _part(image: Pixels, inner: Lattice, outer: Lattice) -> Pixels:
    """The pixels of ``inner`` in an image of ``outer``, a view."""
    x, y = inner.x - outer.x, inner.y - outer.y
    return image[y : y + inner.height, x : x + inner.width]

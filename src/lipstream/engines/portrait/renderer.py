"""One frame: a rig and a mouth pose in, the changed pixels out."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.engines.portrait.inside import Inside, Part, masked, pixels, shifted
from lipstream.engines.portrait.rig import Rig
from lipstream.engines.portrait.style import MouthPose
from lipstream.engines.portrait.warp import Floats, Lattice, invert, resampled, seen_part

Pixels = NDArray[np.uint8]

GUARD_IOD = 0.03
"""How far beyond the lips' edges the interior may show (through soft edges), IOD."""
BITE_REACH_IOD, BITE_INSET_IOD = 0.035, 0.14
"""How far beyond the lower lip's edge the upper teeth may show on it for f and v, and how far from the corners, IOD."""
BITE_SHADOW, BITE_SHADOW_IOD = 0.45, 0.018
"""Darkness of the shadow they throw on it, and how far it reaches, IOD."""
BITE_SHADOW_COLOUR = np.array([0.20, 0.10, -0.25])
"""How much more that shadow takes from blue, green and red, so that the highlight of a wet lip does not turn blue in
it."""

OUTWARDS = 1.2
"""The remaining cover of a softened edge is raised to this power. This moves the edge outwards onto the lips by .2
standard deviations, so that lips a little apart do not seem to touch. With more, mouths would seem wider and further
open."""
_OUTWARDS = np.round(255 * (1 - (1 - np.arange(256) / 255) ** OUTWARDS)).astype(np.uint8)


@dataclass(frozen=True)
class Sway:
    """What a moving head does to the mouth, in picture pixels."""

    edges: Floats
    """(4 * GUARD_POINTS,) motion of the lips' edges, laid out as :attr:`Rig.edges`; or zero."""
    mouth: tuple[float, float]
    """Motion of the skull at the mouth."""


NO_SWAY = Sway(np.zeros(1, np.float32), (0.0, 0.0))


class Renderer:
    """Draws the frames of one performance."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._inside = Inside(rig)
        self._identities = rig.region.identity(), rig.block.identity()

    def draw(self, pose: MouthPose) -> Pixels:
        """The region's pixels, (height, width, 3) BGR."""
        rig, block = self._rig, self._rig.block
        nodes = _nodes(rig.lower, self._identities[0], pose.weights)
        lower = self._moved(rig.layers.lower, rig.region, nodes)
        nodes = _nodes(rig.upper, self._identities[1], pose.weights)
        upper = self._moved(rig.layers.upper, block, nodes, seen_part(block, nodes, block.y + rig.layers.upper_end))
        top, left = block.y - rig.region.y, block.x - rig.region.x
        self.join(lower[top : top + block.height, left : left + block.width], upper, pose)
        return pixels(cv2.cvtColor(lower, cv2.COLOR_BGRA2BGR))

    def join(self, mouth: Pixels, upper: Pixels, pose: MouthPose, sway: Sway = NO_SWAY) -> None:
        """Put the mouth's inside and the moved upper layer onto ``mouth``, the moved lower layer over the block.

        Both are (height, width, 4); ``upper`` is only as high as the area that it covers, and ``mouth`` is painted
        over. ``sway`` is the additional motion of the head.
        """
        uncovered = np.full(mouth.shape[:2], 255, np.uint8)
        cv2.bitwise_not(cv2.extractChannel(upper, 3), dst=uncovered[: len(upper)])
        edges = self._edges(pose, sway)
        around = _part(edges, mouth.shape, (GUARD_IOD + BITE_REACH_IOD) * self._rig.scale)
        clear = self._see_through(_view(mouth, around), edges, around, pose, sway)
        opening = masked(clear, _view(uncovered, around))
        wider = _softened(opening, self._rig.layers.edge_blur)
        x, y, width, height = cv2.boundingRect((wider > 1).astype(np.uint8))
        opens = width > 1 and height > 1
        if opens:
            within, part = (x, y, width, height), (around[0] + x, around[1] + y, width, height)
            opening, wider, seen = _view(opening, within), _view(wider, within), _view(mouth, part)
            inside = pixels(cv2.cvtColor(self._inside.draw(opening, part, pose, sway.mouth), cv2.COLOR_BGR2BGRA))
            _blend(seen, inside, _view(clear, within))
        behind = mouth[: len(upper)]
        cv2.add(masked(behind, uncovered[: len(upper)]), upper, dst=behind)
        if opens and self._rig.layers.edge_blur > 0:
            more = cv2.divide(cv2.subtract(wider, opening), cv2.bitwise_not(opening), scale=255)
            _blend(seen, inside, pixels(more))

    def _moved(self, source: Pixels, lattice: Lattice, nodes: Floats, part: Lattice | None = None) -> Pixels:
        """A layer over a lattice's block, or the top of it, after its motion, (height, width, 4)."""
        origin, supersampling = (lattice.x, lattice.y), self._rig.layers.supersampling
        return resampled(source, part or lattice, nodes, origin, supersampling, cv2.BORDER_REPLICATE)

    def _edges(self, pose: MouthPose, sway: Sway) -> Floats:
        """The lips' edges as a polygon in the block, (2 * GUARD_POINTS, 2) pixels."""
        edges = np.append(pose.weights, np.float32(1)) @ self._rig.edges + sway.edges
        corner = np.array([self._rig.block.x, self._rig.block.y], np.float32)
        return np.asarray(edges.reshape(-1, 2) - corner, np.float32)

    def _see_through(self, mouth: Pixels, edges: Floats, part: Part, pose: MouthPose, sway: Sway) -> Pixels:
        """How far the lower layer is transparent in a part of the block, 0…255: only between the lips as they are now,
        and under biting teeth.
        """
        fixed = np.round((edges - np.array(part[:2], np.float32)) * 16).astype(np.int32)
        margin = 2 * max(1, round(GUARD_IOD * self._rig.scale))
        guard = np.zeros(mouth.shape[:2], np.uint8)
        cv2.fillPoly(guard, [fixed], 255, cv2.LINE_8, 4)
        cv2.polylines(guard, [fixed], True, 255, margin, cv2.LINE_8, 4)
        guard = pixels(cv2.blur(guard, (margin | 1, margin | 1)))
        clear = masked(pixels(cv2.bitwise_not(cv2.extractChannel(mouth, 3))), guard)
        if pose.bite > 0:
            clear = pixels(cv2.max(clear, self._bite(mouth, guard, part, pose, sway)))
        return clear

    def _bite(self, mouth: Pixels, guard: Pixels, part: Part, pose: MouthPose, sway: Sway) -> Pixels:
        """Where the upper teeth are on the lower lip, 0…255; ``mouth`` gets their shadow."""
        scale, here = self._rig.scale, (0, 0, part[2], part[3])
        reach, drop = round(BITE_REACH_IOD * scale), round(BITE_SHADOW_IOD * scale)
        left, right = (shifted(guard, here, side * BITE_INSET_IOD * scale, reach) for side in (-1, 1))
        guard = pixels(cv2.max(guard, cv2.min(left, right)))
        teeth = self._inside.upper_teeth(part, sway.mouth)
        teeth = pixels(cv2.multiply(teeth, guard, scale=pose.bite / 255))
        shadow = cv2.blur(shifted(teeth, here, 0, drop), (2 * drop + 1, 2 * drop + 1))
        dark = BITE_SHADOW * (1 + self._rig.interior.redness * BITE_SHADOW_COLOUR)
        light = cv2.merge([cv2.convertScaleAbs(shadow, alpha=-strength, beta=255) for strength in (*dark, 0.0)])
        mouth[...] = cv2.multiply(mouth, light, scale=1 / 255)
        return teeth


def _nodes(columns: Floats, identity: Floats, weights: Floats) -> Floats:
    """Where a layer's nodes come from, (rows, columns, 2) in nodes."""
    field = (weights @ columns).reshape(identity.shape)
    moved: Floats = identity + invert(field, identity)
    return moved


def _part(edges: Floats, shape: tuple[int, ...], margin: float) -> Part:
    """The pixels around a polygon, at least one."""
    height, width = shape[:2]
    low, high = np.floor(edges.min(axis=0) - margin), np.ceil(edges.max(axis=0) + margin) + 1
    x, y = (int(value) for value in np.clip(low, 0, [width - 1, height - 1]))
    right, bottom = (int(value) for value in np.clip(high, [x + 1, y + 1], [width, height]))
    return x, y, right - x, bottom - y


def _softened(opening: Pixels, sigma: float) -> Pixels:
    """An opening (height, width) with softer edges, which lie more on the lips than between them."""
    return opening if sigma == 0 else pixels(cv2.LUT(cv2.GaussianBlur(opening, (0, 0), sigma), _OUTWARDS))


def _blend(onto: Pixels, image: Pixels, weight: Pixels) -> None:
    """Put an image over another, both (height, width, 4), with a weight of 0…255 (height, width)."""
    onto[...] = cv2.add(masked(onto, pixels(cv2.bitwise_not(weight))), masked(image, weight))


def _view(image: Pixels, part: Part) -> Pixels:
    x, y, width, height = part
    return image[y : y + height, x : x + width]

"""One frame: a rig and a mouth pose in, the changed pixels out."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.engines.portrait.colour import GAMMA
from lipstream.engines.portrait.interior import Sheet
from lipstream.engines.portrait.rig import Rig
from lipstream.engines.portrait.style import MouthPose
from lipstream.engines.portrait.warp import Floats, Lattice, invert, sampling_maps

Pixels = NDArray[np.uint8]

SHADOW_IOD = 0.035
"""Width of the shadow that the lips throw on what is behind them, inter-ocular distances."""
FULL_LIGHT_GAP = 0.14
"""Lips this far apart (IOD) let enough light in for teeth to look as bright as in a smile."""
SHADOW_FLOOR = 0.35
"""Light that reaches everything between the lips, as a part of the full light."""
GUARD_IOD = 0.03
"""How far beyond the lips' edges the interior may show (through soft edges), IOD."""
REDDENING = np.array([0.22, 0.05, -0.14])
"""How much faster blue, green and red fall than brightness does: in the dark of the mouth the lips light each other."""
BITE_REACH_IOD, BITE_INSET_IOD = 0.035, 0.14
"""How far beyond the lower lip's edge the upper teeth may show on it for f and v, and how far from the corners, IOD."""
BITE_LIGHT = 0.7
"""Light that reaches everything then, as a part of the full light."""
BITE_SHADOW, BITE_SHADOW_IOD = 0.45, 0.012
"""Darkness of the shadow they throw on it, and how far it reaches, IOD."""
TONGUE_HIDDEN, TONGUE_UP = 0.10, 0.030
"""Tip of the tongue below the line of closed lips, IOD: behind the lower lip, moving with the jaw, when it is down; at
the upper teeth's edges, standing with the skull, for l, n, t, th."""


Part = tuple[int, int, int, int]
"""x, y, width, height in the mouth block."""


@dataclass(frozen=True)
class Sway:
    """What a moving head does to the mouth, in picture pixels."""

    edges: Floats
    """(4 * GUARD_POINTS,) motion of the lips' edges, laid out as :attr:`Rig.edges`; or zero."""
    mouth: tuple[float, float]
    """Motion of the skull at the mouth."""


NO_SWAY = Sway(np.zeros(1, np.float32), (0.0, 0.0))


_GRAIN_STRENGTH = np.round(255 * np.clip(0.45 + 0.55 * np.arange(256) / 140, 0, 1)).astype(np.uint8)
"""Strength of the grain, 0…255, on pixels of each brightness: less in the dark, as in photographs."""
_NO_GRAIN = np.array([128.0, 128.0, 128.0, 0.0])


class Renderer:
    """Draws the frames of one performance."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._identities = rig.region.identity(), rig.block.identity()

    def draw(self, pose: MouthPose) -> Pixels:
        """The region's pixels, (height, width, 3) BGR."""
        rig, block = self._rig, self._rig.block
        lower = self._moved(rig.layers.lower, rig.region, rig.lower, self._identities[0], pose.weights)
        upper = self._moved(rig.layers.upper, block, rig.upper, self._identities[1], pose.weights)
        top, left = block.y - rig.region.y, block.x - rig.region.x
        self.join(lower[top : top + block.height, left : left + block.width], upper, pose)
        return _bytes(cv2.cvtColor(lower, cv2.COLOR_BGRA2BGR))

    def join(self, mouth: Pixels, upper: Pixels, pose: MouthPose, sway: Sway = NO_SWAY) -> None:
        """Put the mouth's inside and the moved upper layer onto ``mouth``, the moved lower layer over the block.

        All are (height, width, 4); ``mouth`` is painted over. ``sway`` is how the head moved besides.
        """
        rig = self._rig
        uncovered = _bytes(cv2.bitwise_not(cv2.extractChannel(upper, 3)))
        clear = self._see_through(mouth, pose, sway)
        opening = _masked(clear, uncovered)
        x, y, width, height = part = _bounds(opening)
        if width > 1 and height > 1:
            here = (slice(y, y + height), slice(x, x + width))
            inside = self._lit(self._inside(part, pose, sway.mouth), _shadow(opening, part, rig.scale, pose.bite), pose)
            inside = _masked(self._grained(inside, part, sway.mouth), clear[here])
            lips = _masked(mouth[here], _bytes(cv2.bitwise_not(clear[here])))
            mouth[here] = cv2.add(lips, cv2.cvtColor(inside, cv2.COLOR_BGR2BGRA))
        mouth[...] = cv2.add(_masked(mouth, uncovered), upper)

    def _moved(self, source: Pixels, lattice: Lattice, columns: Floats, identity: Floats, weights: Floats) -> Pixels:
        """A layer after its motion, (height, width, 4) over the lattice's block."""
        field = (weights @ columns).reshape(identity.shape)
        nodes = identity + invert(field, identity)
        maps = sampling_maps(lattice, nodes, (lattice.x, lattice.y), self._rig.layers.supersampling)
        return _bytes(cv2.remap(source, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))

    def _see_through(self, mouth: Pixels, pose: MouthPose, sway: Sway) -> Pixels:
        """What the lower layer lets through, 0…255: only between the lips as they are now, and under biting teeth."""
        rig = self._rig
        edges = np.append(pose.weights, np.float32(1)) @ rig.edges + sway.edges
        outline = edges.reshape(-1, 2) - np.array([rig.block.x, rig.block.y], np.float32)
        fixed = np.round(outline * 16).astype(np.int32)
        margin = 2 * max(1, round(GUARD_IOD * rig.scale))
        guard = np.zeros(mouth.shape[:2], np.uint8)
        cv2.fillPoly(guard, [fixed], 255, cv2.LINE_8, 4)
        cv2.polylines(guard, [fixed], True, 255, margin, cv2.LINE_8, 4)
        guard = _bytes(cv2.blur(guard, (margin | 1, margin | 1)))
        clear = _masked(_bytes(cv2.bitwise_not(cv2.extractChannel(mouth, 3))), guard)
        if pose.bite > 0:
            clear = self._bitten(mouth, clear, guard, pose, sway)
        return clear

    def _bitten(self, mouth: Pixels, clear: Pixels, guard: Pixels, pose: MouthPose, sway: Sway) -> Pixels:
        """``clear`` with the upper teeth on the lower lip, which gets their shadow."""
        rig, (dx, dy) = self._rig, self._of_skull(sway.mouth)
        whole = (0, 0, rig.block.width, rig.block.height)
        reach, drop = round(BITE_REACH_IOD * rig.scale), round(BITE_SHADOW_IOD * rig.scale)
        left, right = (_shifted(guard, whole, side * BITE_INSET_IOD * rig.scale, reach) for side in (-1, 1))
        guard = _bytes(cv2.max(guard, cv2.min(left, right)))
        teeth = _bytes(cv2.bitwise_not(_shifted(rig.interior.upper.clear, whole, dx, dy)))
        teeth = _bytes(cv2.multiply(teeth, guard, scale=pose.bite / 255))
        shadow = cv2.blur(_shifted(teeth, whole, 0, drop), (2 * drop + 1, 2 * drop + 1))
        cv2.multiply(mouth, cv2.merge([cv2.convertScaleAbs(shadow, alpha=-BITE_SHADOW, beta=255)] * 4), mouth, 1 / 255)
        return _bytes(cv2.max(clear, teeth))

    def _inside(self, part: Part, pose: MouthPose, sway: tuple[float, float]) -> Pixels:
        """Teeth, tongue and darkness behind the lips, for a part of the block."""
        interior = self._rig.interior
        skull_x, skull_y = self._of_skull(sway)
        opened_x, opened_y = (float(d) for d in pose.weights @ self._rig.jaw)
        jaw_x, jaw_y = skull_x + opened_x, skull_y + opened_y
        inside = _shifted(interior.floor, part, jaw_x, jaw_y)
        if pose.tongue > 0:
            hidden, up = jaw_y + TONGUE_HIDDEN * self._rig.scale, skull_y + TONGUE_UP * self._rig.scale
            inside = _covered(inside, interior.tongue, part, jaw_x, hidden + pose.tongue * min(0.0, up - hidden))
        inside = _covered(inside, interior.lower, part, jaw_x, jaw_y)
        return _covered(inside, interior.upper, part, skull_x, skull_y)

    def _of_skull(self, sway: tuple[float, float]) -> tuple[float, float]:
        """Where the interior's sheets stand in the block, pixels."""
        return self._rig.interior.x + sway[0], self._rig.interior.y + sway[1]

    def _lit(self, inside: Pixels, shadow: Pixels, pose: MouthPose) -> Pixels:
        """What is inside in the light that gets there: little between lips that are hardly open, and they redden it."""
        level = self._light(pose) * np.arange(256, dtype=np.float32) / 255
        reddened = 1 + self._rig.interior.redness * REDDENING
        tables = np.round(255 * level[:, None] ** reddened).astype(np.uint8)
        light = cv2.merge([cv2.LUT(shadow, table) for table in tables.T.copy()])
        return _bytes(cv2.multiply(inside, light, scale=1 / 255))

    def _grained(self, inside: Pixels, part: Part, sway: tuple[float, float]) -> Pixels:
        """With the portrait's grain, moved by whole pixels: between them it would fade."""
        x, y = (round(d) for d in self._of_skull(sway))
        grain = cv2.subtract(_shifted(self._rig.interior.grain, part, x, y), _NO_GRAIN, dtype=cv2.CV_16S)
        grain = cv2.multiply(grain, cv2.LUT(inside, _GRAIN_STRENGTH), scale=1 / 255, dtype=cv2.CV_16S)
        return _bytes(cv2.add(inside, grain, dtype=cv2.CV_8U))

    def _light(self, pose: MouthPose) -> float:
        """Factor on gamma-encoded light for how far the lips are apart."""
        own = self._rig.interior.own_teeth
        full = max(self._rig.shown, 0.10) if own else FULL_LIGHT_GAP
        linear = float(np.clip((max(pose.gap, 0.0) / full) ** 0.55, 0.25, 1.0))
        linear += pose.bite * max(0.0, 0.8 - linear)
        return float((linear if own else 0.9 * linear) ** (1 / GAMMA))


def _bounds(opening: Pixels) -> Part:
    """Where there is an opening."""
    x, y, width, height = cv2.boundingRect((opening > 1).astype(np.uint8))
    return x, y, width, height


def _shadow(opening: Pixels, part: Part, scale: float, bite: float) -> Pixels:
    """Light between the lips at each pixel of ``part``, 0…255: less near the lips, least under the upper one.

    Teeth that ``bite`` (0…1) the lower lip are before it.
    """
    x, y, width, height = part
    reach, down = max(1, int(SHADOW_IOD * scale)), max(1, int(0.012 * scale))
    pad = 2 * reach + down
    shape = (height + 2 * pad, width + 2 * pad)
    around = np.zeros(shape, np.uint8)
    around[pad : pad + height, pad : pad + width] = opening[y : y + height, x : x + width]
    kernel = (2 * reach + 1, 2 * reach + 1)
    light = _bytes(cv2.blur(cv2.blur(around, kernel), kernel))
    light = light[pad - down : pad - down + height, pad : pad + width]
    return _bytes(cv2.convertScaleAbs(light, alpha=1.0, beta=(SHADOW_FLOOR + bite * (BITE_LIGHT - SHADOW_FLOOR)) * 255))


def _shifted(image: Pixels, part: Part, dx: float, dy: float) -> Pixels:
    """A part of an image that was moved by (dx, dy) pixels."""
    x, y, width, height = part
    centre = (x + (width - 1) / 2 - dx, y + (height - 1) / 2 - dy)
    return _bytes(cv2.getRectSubPix(image, (width, height), centre))


def _covered(behind: Pixels, sheet: Sheet, part: Part, dx: float, dy: float) -> Pixels:
    """``behind``, a part of the block, with a sheet before it that was moved by (dx, dy) pixels."""
    through = _masked(behind, _shifted(sheet.clear, part, dx, dy))
    return _bytes(cv2.add(through, _shifted(sheet.colour, part, dx, dy)))


def _masked(image: Pixels, mask: Pixels) -> Pixels:
    """``image`` (height, width) or (height, width, channels) times ``mask`` (height, width) / 255."""
    if image.ndim == 3:
        mask = _bytes(cv2.merge([mask] * image.shape[2]))
    return _bytes(cv2.multiply(image, mask, scale=1 / 255))


def _bytes(image: object) -> Pixels:
    """OpenCV's results are typed too loosely; this costs nothing."""
    return np.asarray(image, np.uint8)

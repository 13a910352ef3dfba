"""What shows between the lips in one frame: the painted sheets, moved, lit and covered with the portrait's grain."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.engines.portrait.colour import GAMMA
from lipstream.engines.portrait.interior import Sheet
from lipstream.engines.portrait.rig import Rig
from lipstream.engines.portrait.style import MouthPose

Pixels = NDArray[np.uint8]
Part = tuple[int, int, int, int]
"""x, y, width, height in the mouth block."""

SHADOW_IOD = 0.035
"""Width of the shadow that the lips throw on what is behind them, inter-ocular distances."""
FULL_LIGHT, DIMMING, LEAST_LIGHT = 0.93, 0.55, 0.32
"""Light between lips that are wide apart, the power with which it falls as they close, and the least part of it that
remains. In addition, the closer the lips, the more of what is between them lies in their shadow."""
SHADOW_FLOOR = 0.45
"""Light that reaches everything between the lips, as a part of the full light."""
BITE_LIT, BITE_LIGHT = 0.7, 0.6
"""The least light, and the light that reaches everything, for teeth in front of the lower lip."""
REDDENING = np.array([0.22, 0.05, -0.14])
"""How much faster blue, green and red fall than brightness does: in the dark of the mouth, light is reflected by the
red lips."""
TONGUE_HIDDEN, TONGUE_UP = 0.10, 0.008
"""Place of the tip of the tongue, IOD. When it is down: how far below the line of closed lips, where it is hidden
behind the lower lip and moves with the jaw. When it is up for l, n, t, d: how far above the edges of the upper teeth,
where it moves with the skull."""
DENTAL_HIDDEN, DENTAL_UP = 0.08, 0.018
"""The same for th, where the tip comes in front of the upper teeth."""
_GRAIN_STRENGTH = np.round(255 * np.clip(0.45 + 0.55 * np.arange(256) / 140, 0, 1)).astype(np.uint8)
"""Strength of the grain, 0…255, on pixels of each brightness: less in the dark, as in photographs."""
_NO_GRAIN = np.array([128.0, 128.0, 128.0, 0.0])


class Inside:
    """Draws the inside of one mouth."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        dark = rig.interior.dark.astype(np.float64)
        levels = dark + np.arange(256)[:, None] * (255 - dark) / 255
        self._not_darker = np.round(levels).astype(np.uint8)[None]
        """(1, 256, 3) lookup table that raises the darkest values in a picture whose dark parts are not black."""

    def draw(self, opening: Pixels, part: Part, pose: MouthPose, sway: tuple[float, float]) -> Pixels:
        """The inside's pixels in a part of the block, (height, width, 3) BGR.

        ``opening`` (height, width) says how far each pixel is free of the lips, 0…255; ``sway`` is the motion of the
        skull, pixels.
        """
        sheets = self._sheets(part, pose, sway)
        return self._grained(self._lit(sheets, _shadow(opening, self._rig.scale, pose.bite), pose), part, sway)

    def upper_teeth(self, part: Part, sway: tuple[float, float]) -> Pixels:
        """Where the upper teeth are in a part of the block, whether or not lips hide them, 0…255."""
        return pixels(cv2.bitwise_not(self._moved(self._rig.interior.upper.clear, part, *self._of_skull(sway))))

    def _sheets(self, part: Part, pose: MouthPose, sway: tuple[float, float]) -> Pixels:
        """Teeth, tongue and darkness behind the lips, in full light."""
        interior = self._rig.interior
        skull_x, skull_y = self._of_skull(sway)
        opened_x, opened_y = (float(d) for d in pose.weights @ self._rig.jaw)
        jaw_x, jaw_y = skull_x + opened_x, skull_y + opened_y
        inside = self._moved(interior.floor, part, jaw_x, jaw_y)
        inside = self._covered(inside, interior.lower, part, jaw_x, jaw_y)
        if pose.tongue > 0:
            hidden = jaw_y + TONGUE_HIDDEN * self._rig.scale
            up = skull_y + (interior.upper_edge - TONGUE_UP) * self._rig.scale
            inside = self._covered(inside, interior.tongue, part, jaw_x, hidden + pose.tongue * min(0.0, up - hidden))
        inside = self._covered(inside, interior.upper, part, skull_x, skull_y)
        if pose.dental > 0:
            hidden = jaw_y + DENTAL_HIDDEN * self._rig.scale
            up = skull_y + (interior.upper_edge - DENTAL_UP) * self._rig.scale
            inside = self._covered(inside, interior.tip, part, jaw_x, hidden + pose.dental * min(0.0, up - hidden))
        return inside

    def _covered(self, behind: Pixels, sheet: Sheet, part: Part, dx: float, dy: float) -> Pixels:
        """``behind``, a part of the block, with a sheet in front of it that was moved by (dx, dy) pixels."""
        through = masked(behind, self._moved(sheet.clear, part, dx, dy))
        return pixels(cv2.add(through, self._moved(sheet.colour, part, dx, dy)))

    def _moved(self, samples: Pixels, part: Part, dx: float, dy: float) -> Pixels:
        """A part of the block, from samples that were moved by (dx, dy) pixels; beyond their edges as at the edge."""
        x, y, width, height = part
        per_pixel = self._rig.interior.supersampling
        there = np.array([[per_pixel, 0, per_pixel * (x - dx)], [0, per_pixel, per_pixel * (y - dy)]], np.float64)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return pixels(cv2.warpAffine(samples, there, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE))

    def _of_skull(self, sway: tuple[float, float]) -> tuple[float, float]:
        """Where the interior's sheets stand in the block, pixels."""
        return self._rig.interior.x + sway[0], self._rig.interior.y + sway[1]

    def _lit(self, inside: Pixels, shadow: Pixels, pose: MouthPose) -> Pixels:
        """The inside in the light that reaches it: little between lips that are hardly open, and reddened by them."""
        level = self._light(pose) * np.arange(256, dtype=np.float32) / 255
        reddened = 1 + self._rig.interior.redness * REDDENING
        tables = np.round(255 * level[:, None] ** reddened).astype(np.uint8)
        light = cv2.merge([cv2.LUT(shadow, table) for table in tables.T.copy()])
        return pixels(cv2.LUT(cv2.multiply(inside, light, scale=1 / 255), self._not_darker))

    def _light(self, pose: MouthPose) -> float:
        """Factor on gamma-encoded light for how far the lips are apart."""
        gap = pose.gap if pose.light is None else pose.light
        linear = float(np.clip((max(gap, 0.0) / self._rig.interior.full_gap) ** DIMMING, LEAST_LIGHT, 1.0))
        linear += pose.bite * max(0.0, BITE_LIT - linear)
        return float((FULL_LIGHT * linear) ** (1 / GAMMA))

    def _grained(self, inside: Pixels, part: Part, sway: tuple[float, float]) -> Pixels:
        """Add the portrait's grain, moved by whole pixels: between pixels it would fade."""
        x, y = (round(d) for d in self._of_skull(sway))
        grain = cv2.subtract(shifted(self._rig.interior.grain, part, x, y), _NO_GRAIN, dtype=cv2.CV_16S)
        grain = cv2.multiply(grain, cv2.LUT(inside, _GRAIN_STRENGTH), scale=1 / 255, dtype=cv2.CV_16S)
        return pixels(cv2.add(inside, grain, dtype=cv2.CV_8U))


def _shadow(opening: Pixels, scale: float, bite: float) -> Pixels:
    """Light between the lips at each pixel, 0…255: less near the lips, least under the upper one.

    Teeth that ``bite`` (0…1) the lower lip are in front of it, so more light reaches them.
    """
    height, width = opening.shape
    reach, down = max(1, int(SHADOW_IOD * scale)), max(1, int(0.012 * scale))
    pad = 2 * reach + down
    shape = (height + 2 * pad, width + 2 * pad)
    around = np.zeros(shape, np.uint8)
    around[pad : pad + height, pad : pad + width] = opening
    kernel = (2 * reach + 1, 2 * reach + 1)
    light = pixels(cv2.blur(cv2.blur(around, kernel), kernel))
    light = light[pad - down : pad - down + height, pad : pad + width]
    return pixels(cv2.convertScaleAbs(light, alpha=1.0, beta=(SHADOW_FLOOR + bite * (BITE_LIGHT - SHADOW_FLOOR)) * 255))


def shifted(image: Pixels, part: Part, dx: float, dy: float) -> Pixels:
    """A part of an image that was moved by (dx, dy) pixels."""
    x, y, width, height = part
    centre = (x + (width - 1) / 2 - dx, y + (height - 1) / 2 - dy)
    return pixels(cv2.getRectSubPix(image, (width, height), centre))


def masked(image: Pixels, mask: Pixels) -> Pixels:
    """``image`` (height, width) or (height, width, channels) times ``mask`` (height, width) / 255."""
    if image.ndim == 3:
        mask = pixels(cv2.merge([mask] * image.shape[2]))
    return pixels(cv2.multiply(image, mask, scale=1 / 255))


def pixels(image: object) -> Pixels:
    """Give OpenCV's result its real type; costs nothing."""
    return np.asarray(image, np.uint8)

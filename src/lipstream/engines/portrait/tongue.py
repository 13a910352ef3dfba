"""An invented tongue: on the floor of the mouth, with a raised tip for l, n, t and d, or between the teeth for th."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from lipstream.engines.portrait.colour import LUMA, Palette, Values, hue
from lipstream.engines.portrait.lighting import Light
from lipstream.engines.portrait.warp import Floats, smoothstep

FLESH_LEVEL = 0.45
"""Luminance of a tongue in full light over that of enamel."""
RESTING_HALF_WIDTH, RAISED_HALF_WIDTH = 0.28, 0.19
"""Half the width of what is seen of a tongue, IOD."""
RESTING_DEPTH, RAISED_DEPTH = 0.12, 0.09
"""Height in the picture over which a tongue's surface turns from facing up to facing the viewer, IOD."""
DEEPENED, TIP_DEEPENED = 1.6, 1.3
"""Power of the flesh's colour: light between tongue and palate is reflected several times and takes the colour on each
time; light on a tip between the teeth does so less often."""
REDDENED = np.array([1.10, 1.03, 0.88])
"""Powers with which blue, green and red fall where less light arrives."""
GLOSS = 0.22
"""How brightly it glints beside enamel."""
NEARER = 1.35
"""Light on a raised tongue, whose tip is close to the lips, relative to that on a resting one."""
GRAIN_SIZE, GRAIN = 0.007, 0.20
"""Size of the papillae, IOD, and how much they tilt the surface."""
TIP_HALF_WIDTH = 0.17
"""Half the width of the tip that shows between the teeth, IOD."""


@dataclass(frozen=True)
class _Surface:
    """What is seen of a tongue, arrays (height, width)."""

    depth: Values
    """How far below its upper outline, IOD; negative outside."""
    tilt: Values
    """How far it is turned to the side, radians."""
    turn: Values
    """How far it is turned upwards, radians."""
    reached: Values
    """0…1: how much light gets there."""
    half_width: float
    """IOD."""
    fading: float
    """Width of its outline, which is far back in the dark or near, IOD."""
    deepened: float = DEEPENED
    """Power of the flesh's colour."""


def resting_tongue(u: Values, v: Values, palette: Palette, light: Light, soft: float, scale: float) -> Floats:
    """A broad back with a groove, its top at ``v`` = 0: linear premultiplied BGR and coverage, (height, width, 4).

    ``u``, ``v`` are positions along and across the mouth, ``soft`` is the portrait's own softness (IOD), ``scale``
    pixels per IOD.
    """
    groove = np.exp(-((u / 0.022) ** 2))
    depth = v - 0.10 * (np.abs(u) / 0.24) ** 2.4 - 0.008 * groove
    turn = np.radians(78) * (1 - np.clip(depth / RESTING_DEPTH, 0, 1.4))
    tilt = np.radians(45) * np.clip(u / RESTING_HALF_WIDTH, -1, 1) - 0.35 * u / 0.022 * groove
    reached = (0.25 + 0.75 * smoothstep(depth / (0.95 * RESTING_DEPTH))) * (1 - 0.22 * groove)
    return _lit(_Surface(depth, tilt, turn, reached, RESTING_HALF_WIDTH, 0.03), u, palette, light, soft, scale)


def raised_tongue(u: Values, v: Values, palette: Palette, light: Light, soft: float, scale: float) -> Floats:
    """The blade of a raised tongue, its tip at ``v`` = 0, and its underside; as :func:`resting_tongue`."""
    depth = v - 0.045 * (np.abs(u) / 0.13) ** 2.2
    turn = np.radians(65) - np.radians(115) * np.clip(depth / RAISED_DEPTH, 0, 1) ** 0.7
    tilt = np.radians(65) * np.clip(u / RAISED_HALF_WIDTH, -1, 1)
    under = smoothstep((depth - 0.35 * RAISED_DEPTH) / RAISED_DEPTH)
    frenulum = np.exp(-((u / 0.012) ** 2)) * under
    reached = NEARER * (0.45 + 0.55 * smoothstep(depth / 0.035)) * (1 - 0.5 * under) * (1 + 0.25 * frenulum)
    return _lit(_Surface(depth, tilt, turn, reached, RAISED_HALF_WIDTH, 0.014), u, palette, light, soft, scale)


def dental_tongue(u: Values, v: Values, palette: Palette, light: Light, soft: float, scale: float) -> Floats:
    """The flat tip that comes out between the teeth, its top at ``v`` = 0; as :func:`resting_tongue`."""
    depth = v - 0.020 * (np.abs(u) / 0.13) ** 3
    turn = np.radians(60) - np.radians(85) * np.clip(depth / 0.07, 0, 1) ** 0.8
    tilt = np.radians(55) * np.clip(u / TIP_HALF_WIDTH, -1, 1)
    groove = np.exp(-((u / 0.018) ** 2)) * smoothstep(depth / 0.03)
    tilt = tilt - 0.25 * u / 0.018 * groove
    reached = 1.45 * (0.55 + 0.45 * smoothstep(depth / 0.025)) * (1 - 0.12 * groove)
    surface = _Surface(depth, tilt, turn, reached, TIP_HALF_WIDTH, 0.010, TIP_DEEPENED)
    return _lit(surface, u, palette, light, soft, scale)


def _lit(surface: _Surface, u: Values, palette: Palette, light: Light, soft: float, scale: float) -> Floats:
    depth, tilt, turn = surface.depth, surface.tilt, surface.turn
    rough = _papillae(depth.shape, scale)
    across, out = np.sin(tilt) * np.cos(turn), -np.cos(tilt) * np.cos(turn)
    normal = np.dstack([across + rough[0], -np.sin(turn) + rough[1], out])
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    albedo = FLESH_LEVEL * float(palette.tooth @ LUMA) * hue(palette.flesh**surface.deepened) * np.ones_like(normal)
    colour = light.on(albedo, normal, np.full(depth.shape, GLOSS)) * surface.reached[..., None] ** REDDENED
    inside = np.clip(depth / surface.fading, 0, 1) * np.clip((surface.half_width - np.abs(u)) / 0.04, 0, 1)
    layer = np.dstack([colour * inside[..., None], inside]).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(layer, (0, 0), max(0.5, soft * scale)), np.float32)


def _papillae(shape: tuple[int, ...], scale: float) -> Values:
    """(2, height, width) slopes of a bumpy surface; the bumps have one size, whatever the picture's resolution."""
    bumps = np.random.default_rng(2).standard_normal(shape)
    sigma = max(0.6, GRAIN_SIZE * scale)
    fine, broad = (cv2.GaussianBlur(bumps, (0, 0), factor * sigma) for factor in (1.0, 4.0))
    slopes = np.stack(np.gradient(fine / fine.std() + 1.5 * broad / broad.std())[::-1])
    result: Values = GRAIN * slopes / slopes.std()
    return result

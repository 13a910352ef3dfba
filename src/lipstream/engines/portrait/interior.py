"""What shows between the lips: teeth, tongue and the dark behind them, drawn once per portrait.

Everything is painted in linear light on the pixels of the mouth block: the upper teeth, which belong to the skull and
stand still, and what moves with the jaw: lower teeth, tongue, floor of the mouth. The renderer shifts the jaw's part
and darkens all of it by how far the lips are apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lipstream.engines.portrait import teeth
from lipstream.engines.portrait.colour import LUMA, Palette, Pixels, Values, encoded
from lipstream.engines.portrait.fields import Frame, Points
from lipstream.engines.portrait.lips import LipLine
from lipstream.engines.portrait.own_teeth import find_own_teeth
from lipstream.engines.portrait.warp import Floats, Lattice
from lipstream.face.pose import Pose

ARCH_WIDTH, ARCH_DEPTH = 0.40, 0.42
"""Half axes of the ellipse on which the teeth stand, seen from above, IOD."""
TEETH_SHARE = 0.9
"""Part of the way from the middle of the mouth to a corner that teeth reach, also on a turned head's far side."""
UPPER_EDGE, LOWER_EDGE = 0.042, 0.018
"""Incisal edges of the upper and lower teeth below the line of closed lips, IOD; the upper ones overlap the lower."""
SMILE_ARC = 0.05
"""Rise of the upper edges towards the back, IOD per radian² of the arch."""
TONGUE_AT_REST = -0.035
"""Top of the tongue below the line of closed lips, IOD: it lies on the lower teeth."""
SHARPEST, SOFTEST = 0.006, 0.035
"""Least and greatest softness of what is drawn, IOD: softer, teeth and darkness would run into one grey."""


@dataclass(frozen=True)
class Interior:
    """Pictures over the mouth block at rest, (height, width, 3) uint8 BGR."""

    jaw: Pixels
    """Floor of the mouth, tongue and lower teeth; opaque; moves with the jaw."""
    tongue: Pixels
    """Raised tongue, premultiplied by its coverage."""
    tongue_clear: Pixels
    """255 where the raised tongue lets through, in all three channels."""
    upper: Pixels
    """Upper teeth and gum, premultiplied by their coverage; stand still."""
    upper_clear: Pixels
    """255 where the upper teeth let through, in all three channels."""
    own_teeth: bool
    """Whether ``upper`` shows the portrait's own teeth."""
    redness: float
    """0…1: how much redder the mouth gets as it gets darker; none in a black-and-white picture."""


def paint_interior(
    picture: Pixels,
    palette: Palette,
    photo: LipLine,
    rest: Points,
    frame: Frame,
    pose: Pose,
    block: Lattice,
    blur: float,
) -> Interior:
    """Paint the mouth of one portrait.

    ``photo`` is the mouth in the picture, ``rest`` (n, 2) the line of the closed lips, ``blur`` the standard deviation
    of the portrait's own softness in pixels.
    """
    u, v = _mouth_axes(rest, frame, block)
    left, right = ((rest[[0, -1]] - rest[len(rest) // 2]) @ frame.right) / frame.scale
    arc, turn = _along_arch(u, pose, (-TEETH_SHARE * left, TEETH_SHARE * right))
    light = palette.light(u)
    facing = np.clip(np.cos(turn), 0.02, 1) ** 1.2 * light
    soft = float(np.clip(blur / frame.scale, SHARPEST, SOFTEST))
    own = find_own_teeth(picture, photo, frame, block, palette.skin)
    tooth = palette.tooth if own is None else own.trust * own.colour + (1 - own.trust) * palette.tooth

    tongue = _tongue(u, v - TONGUE_AT_REST, palette, tooth, light, soft)
    lower = teeth.sample_row(teeth.draw_row(teeth.LOWER), arc, LOWER_EDGE - v, soft)
    jaw = _over(_cavity(u, v, palette, tooth, light), tongue)
    jaw = _over(jaw, _lit(lower, 0.74 * tooth, facing))
    if own is not None and own.layer is not None:
        upper = own.layer
    else:
        row = teeth.draw_row(teeth.UPPER)
        upper = _lit(teeth.sample_row(row, arc, v - UPPER_EDGE + SMILE_ARC * turn**2, soft), tooth, facing)
    raised = _tongue(u, v, palette, tooth, light, soft)
    drawn_own = own is not None and own.layer is not None
    return Interior(
        encoded(palette.tinted(jaw[..., :3])),
        *_split(raised, palette),
        *_split(upper, palette),
        own_teeth=drawn_own,
        redness=palette.colourful,
    )


def _mouth_axes(rest: Points, frame: Frame, block: Lattice) -> tuple[Values, Values]:
    """Position of each pixel of the block along the mouth and below the lips' meeting point, IOD."""
    stomion = rest[len(rest) // 2]
    x = block.x + np.arange(block.width) - stomion[0]
    y = (block.y + np.arange(block.height) - stomion[1])[:, None]
    along = (x * frame.right[0] + y * frame.right[1]) / frame.scale
    below = (x * frame.down[0] + y * frame.down[1]) / frame.scale
    return along, below


def _along_arch(u: Values, pose: Pose, reach: tuple[float, float]) -> tuple[Values, Values]:
    """Arc length along the turned dental arch and the teeth's direction there (radians), at ``u`` in the picture.

    ``reach`` is how far teeth show to the left and right of the mouth's middle at least, IOD.
    """
    theta = np.linspace(-1.5, 1.5, 401)
    x, z = ARCH_WIDTH * np.sin(theta), ARCH_DEPTH * (1 - np.cos(theta))
    arc = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(z)))])
    middle = len(theta) // 2
    arc -= arc[middle]
    foreshortening = float(np.hypot(*pose.rotation[:2, 0]))
    recession = float(pose.rotation[:2, 0] @ pose.rotation[:2, 2]) / foreshortening
    seen = x * foreshortening + z * recession
    rising = np.gradient(seen) > 1e-5
    first = middle - int(np.argmin(rising[middle::-1])) + 1 if not rising[: middle + 1].all() else 0
    last = middle + int(np.argmin(rising[middle:])) if not rising[middle:].all() else len(theta)
    # On the far side of a turned head the lips lie close around the teeth: these reach as far as the mouth does.
    left, right = max(1.0, reach[0] / -seen[first]), max(1.0, reach[1] / seen[last - 1])
    seen = (seen * np.where(seen < 0, left, right))[first:last]
    return (
        np.interp(u, seen, arc[first:last], left=-9.0, right=9.0),
        np.interp(u, seen, theta[first:last], left=-1.5, right=1.5),
    )


def _cavity(u: Values, v: Values, palette: Palette, tooth: Values, light: Values) -> Floats:
    """Floor and back of the mouth: dark, warm, darker towards the corners and the top."""
    depth = np.clip(0.5 + v / 0.35, 0.25, 1.2) * np.clip(1.1 - (u / 0.42) ** 2, 0.25, 1) * light
    base = 0.045 * _hue(palette.lip) * max(float(tooth @ LUMA), 0.05)
    return np.dstack([base * depth[..., None], np.ones_like(depth)]).astype(np.float32)


def _tongue(u: Values, v: Values, palette: Palette, tooth: Values, light: Values, soft: float) -> Floats:
    """A rounded tongue whose top is at ``v`` = 0: linear premultiplied BGR and coverage."""
    depth = v - 0.10 * (np.abs(u) / 0.24) ** 2.4
    inside = np.clip(depth / max(0.03, soft) + 0.5, 0, 1) * np.clip((0.28 - np.abs(u)) / 0.05, 0, 1)
    below = np.clip(depth / 0.05, 0, 1)
    shade = 0.05 + 0.10 * below + 0.26 * np.exp(-(((depth - 0.09) / 0.06) ** 2))
    shade *= 1 - 0.25 * np.exp(-((u / 0.02) ** 2)) * below
    flesh = 0.5 * _hue(palette.lip) + 0.5 * np.array([0.62, 0.72, 1.60])
    colour = flesh * float(tooth @ LUMA) * (shade * np.clip(light, 0.5, 1.4))[..., None]
    return np.dstack([colour * inside[..., None], inside]).astype(np.float32)


def _hue(colour: Values) -> Values:
    result: Values = colour / max(float(colour @ LUMA), 1e-3)
    return result


def _lit(row: Floats, tooth: Values, facing: Values) -> Floats:
    """Colour a row of teeth (premultiplied reflectance) under this portrait's light."""
    lit: Floats = row.copy()
    lit[..., :3] *= (tooth * facing[..., None]).astype(np.float32)
    return lit


def _over(below: Floats, above: Floats) -> Floats:
    """Composite premultiplied layers."""
    result: Floats = above + below * (1 - above[..., 3:])
    return result


def _split(layer: Floats, palette: Palette) -> tuple[Pixels, Pixels]:
    """Linear premultiplied layer → gamma-encoded premultiplied BGR and what it lets through."""
    coverage = layer[..., 3:]
    straight = palette.tinted(layer[..., :3] / np.maximum(coverage, np.float32(1e-3)))
    colour = np.round(encoded(straight) * coverage).astype(np.uint8)
    clear = np.repeat(np.round((1 - coverage) * 255).astype(np.uint8), 3, axis=2)
    return colour, clear

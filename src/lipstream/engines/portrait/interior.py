"""What shows between the lips: teeth, tongue and the dark behind them, painted once per portrait.

Everything is painted in linear light on the pixels of the mouth block, as a stack of sheets. From back to front: the
floor of the mouth with the resting tongue, the lower teeth, the raised tongue, the upper teeth, and the tip of the
tongue that comes in front of them for th. The upper teeth move with the skull, the other sheets with the jaw. For each
frame, :mod:`.inside` shifts the sheets and darkens them by how far the lips are apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from lipstream.engines.portrait import teeth
from lipstream.engines.portrait.arch import DentalArch
from lipstream.engines.portrait.colour import LUMA, Palette, Pixels, Values, encoded, hue
from lipstream.engines.portrait.fields import Frame, Points
from lipstream.engines.portrait.lighting import Light
from lipstream.engines.portrait.lips import LipLine
from lipstream.engines.portrait.own_teeth import OwnTeeth, find_own_teeth
from lipstream.engines.portrait.texture import Texture
from lipstream.engines.portrait.tongue import dental_tongue, raised_tongue, resting_tongue
from lipstream.engines.portrait.warp import Floats, Lattice, smoothstep, supersample
from lipstream.face.pose import Pose

TEETH_SHARE = 0.9
"""Part of the way from the middle of the mouth to a corner that teeth reach, also on a turned head's far side."""
UPPER_EDGE, LOWER_EDGE = 0.045, 0.004
"""Incisal edges of the upper and lower teeth below the line of closed lips, IOD; the upper ones overlap the lower."""
OWN_EDGE = 0.035
"""The least such distance for a portrait's own upper teeth, because lips that close from a laugh meet lower down."""
SMILE_ARC = 0.05
"""Rise of the upper edges towards the back, IOD per radian² of the arch."""
LOWER_LIGHT, LOWER_FALLOFF = 0.75, np.array([2.9, 2.6, 2.2])
"""Light on the lower teeth over that on the upper ones, and how much faster blue, green and red
of it fall towards the corners."""
TOWARDS_CORNERS = 0.72
"""How fast the light falls towards the corners of the mouth: exp(-this · u²), u = 1 at the corner."""
TONGUE_AT_REST = -0.085
"""Top of the tongue below the line of closed lips, IOD: it lies on the lower teeth."""
OWN_FALLOFF = 0.5
"""Power of this falloff for a portrait's own upper teeth, which the photo shows with some of it already."""
FULL_GAP, LEAST_FULL_GAP = 0.16, 0.10
"""Lips this far apart (IOD) let in enough light for teeth to look as bright as in a smile. On portraits that show their
own teeth, the distance in the photo is used instead, but at least the second value."""
CAVITY, DEEPENED = 0.05, 1.6
"""Luminance of the back of the mouth over that of the lips, and the power of the flesh's colour that it has."""
CHEEKS, CHEEK_LIGHT, CHEEK_RED = (0.45, 0.95), 0.17, 1.7
"""From where to where the lining of the cheeks becomes visible, as parts of the way to a corner; its luminance over
that of the lips; and the power of the flesh's colour that it has. Beside the teeth a mouth is dark, but not as dark as
at its back."""
DARKEST, DARK_RED = 0.6, 1.4
"""Luminance of the darkest part of the mouth over that of the darkest part of the face, and the power of the flesh's
colour that it has."""
MARGINS = 0.15, 0.35, 0.50
"""Room beside, above and below the lips' line, IOD."""
SHARPEST, SOFTEST = 0.003, 0.035
"""Least and greatest softness of what is painted, IOD. Softer than that, teeth and darkness would merge into one
grey."""


@dataclass(frozen=True)
class Sheet:
    """Something that covers a part of what is behind it, at rest."""

    colour: Pixels
    """(height, width, 3) samples of BGR, premultiplied by its coverage."""
    clear: Pixels
    """(height, width) samples, 255 where it lets through."""


@dataclass(frozen=True)
class Interior:
    """The sheets, back to front, over the part of the mouth block where an opening can be."""

    x: int
    """Left edge of the sheets in the mouth block, pixels."""
    y: int
    """Top edge of the sheets in the mouth block, pixels."""
    floor: Pixels
    """(height, width, 3) samples of the floor of the mouth and the resting tongue, opaque; moves with the jaw."""
    tongue: Sheet
    """Raised tongue, its tip at the line of closed lips."""
    tip: Sheet
    """Tip of the tongue that comes between the teeth, its top at the line of closed lips."""
    lower: Sheet
    """Lower teeth and gum; move with the jaw."""
    upper: Sheet
    """Upper teeth and gum; stand still."""
    grain: Pixels
    """(height, width, 3) pixels, what the portrait's own grain adds, 128 = nothing; stands still. Its own teeth have
    theirs."""
    supersampling: int
    """Samples per pixel of the sheets and the floor, the same as of the lips around them. With a single one, fine teeth
    would lose half of their sharpness when moved by half a pixel and regain it at the next pixel, and so flicker on a
    swaying head."""
    full_gap: float
    """Distance between the lips, IOD, that lets the full light in."""
    upper_edge: float
    """Edges of the upper front teeth below the line of closed lips, IOD."""
    own_teeth: bool
    """Whether ``upper`` shows the portrait's own teeth."""
    redness: float
    """0…1: how much redder the mouth gets as it gets darker; none in a black-and-white picture."""
    dark: Pixels
    """(3,) BGR of the mouth where no light gets."""


def paint_interior(
    picture: Pixels,
    palette: Palette,
    photo: LipLine,
    rest: Points,
    frame: Frame,
    pose: Pose,
    block: Lattice,
    texture: Texture,
    supersampling: int,
) -> Interior:
    """Paint the mouth of one portrait.

    ``photo`` is the mouth in the (height, width, 3) BGR picture, ``rest`` (n, 2) the line of the closed lips in picture
    pixels, ``texture`` the portrait's sharpness and grain, and ``supersampling`` the number of samples per pixel that
    the sheets are to have.
    """
    area = _area(rest, frame, block)
    mouth = _Mouth.of(rest, frame, area, pose, palette, float(np.clip(texture.blur / frame.scale, SHARPEST, SOFTEST)))
    own = find_own_teeth(picture, photo, frame, area, palette.skin)
    trust = own.trust if own is not None else 0.0
    tooth = trust * own.colour + (1 - trust) * palette.tooth if own is not None else palette.tooth
    shown = float(np.median((photo.lower - photo.upper) @ frame.down)) / frame.scale
    upper, upper_edge = _upper_teeth(mouth, own, tooth)
    shows_own = own is not None and own.layer is not None
    u, v, soft, light = mouth.u, mouth.v, mouth.soft, mouth.light
    raised = _dimmed(raised_tongue(u, v, palette, light, soft, frame.scale), mouth.reached)
    tip = _dimmed(dental_tongue(u, v, palette, light, soft, frame.scale), mouth.reached)
    return Interior(
        area.x - block.x,
        area.y - block.y,
        supersample(encoded(palette.tinted(_floor(mouth)[..., :3])), supersampling),
        _sheet(raised, palette, supersampling),
        _sheet(tip, palette, supersampling),
        _sheet(_lower_teeth(mouth, own, tooth), palette, supersampling),
        _sheet(upper, palette, supersampling),
        _grain(texture, upper if shows_own else None, palette, area),
        supersampling,
        full_gap=FULL_GAP + trust * (max(shown, LEAST_FULL_GAP) - FULL_GAP),
        upper_edge=upper_edge,
        own_teeth=shows_own,
        redness=palette.colourful,
        dark=_dark(palette),
    )


@dataclass(frozen=True)
class _Mouth:
    """Where the sheets are painted, and in which light."""

    u: Values
    """(height, width) place of each pixel along the mouth, IOD from its middle."""
    v: Values
    """(height, width) how far each pixel is below the line of closed lips, IOD."""
    corner: Values
    """(height, width) the same as ``u`` in parts of the way to the corner on its side, ±1 there."""
    reached: Values
    """(height, width, 1) how much light gets there between lips that are wide apart; less towards the corners."""
    arch: DentalArch
    palette: Palette
    light: Light
    frame: Frame
    soft: float
    """Softness of what is painted, IOD."""

    @classmethod
    def of(cls, rest: Points, frame: Frame, area: Lattice, pose: Pose, palette: Palette, soft: float) -> _Mouth:
        """The mouth whose lips meet along ``rest`` (n, 2), over the pixels of ``area``."""
        u, v = _mouth_axes(rest, frame, area)
        left, right = ((rest[[0, -1]] - rest[len(rest) // 2]) @ frame.right) / frame.scale
        corner = u / np.where(u < 0, -left, right)
        reached = (palette.light(u) * np.exp(-TOWARDS_CORNERS * corner**2))[..., None]
        arch = DentalArch.of(pose, (-TEETH_SHARE * left, TEETH_SHARE * right))
        return cls(u, v, corner, reached, arch, palette, Light.of(palette), frame, soft)

    def lowered(self, layer: Floats, distance: float) -> Floats:
        """A layer moved down the face by a distance, IOD."""
        return _moved(layer, distance * self.frame.scale * self.frame.down)


def _floor(mouth: _Mouth) -> Floats:
    """The back and the floor of the mouth with the resting tongue, opaque."""
    below = mouth.v - TONGUE_AT_REST
    tongue = resting_tongue(mouth.u, below, mouth.palette, mouth.light, mouth.soft, mouth.frame.scale)
    return _over(_cavity(mouth), _dimmed(tongue, mouth.reached))


def _lower_teeth(mouth: _Mouth, own: OwnTeeth | None, tooth: Values) -> Floats:
    """Ours, their enamel coloured as ``tooth`` (3,), with the portrait's own before them where it shows some."""
    relief = mouth.arch.lit(teeth.carve_row(teeth.LOWER), tooth, mouth.light, upright=False)
    arc, _ = mouth.arch.at(mouth.u)
    row = teeth.sample_row(relief, arc, LOWER_EDGE - mouth.v, mouth.soft)
    lower = _dimmed(row, LOWER_LIGHT * mouth.reached**LOWER_FALLOFF)
    if own is None or own.lower is None:
        return lower
    below = float(mouth.v[own.lower_edge[1], own.lower_edge[0]])
    return _over(lower, mouth.lowered(own.lower, LOWER_EDGE - below))


def _upper_teeth(mouth: _Mouth, own: OwnTeeth | None, tooth: Values) -> tuple[Floats, float]:
    """The portrait's own if it shows enough of them, else ours; and how far below closed lips they end, IOD."""
    if own is not None and own.layer is not None:
        below = float(mouth.v[own.edge[1], own.edge[0]])
        edge = max(OWN_EDGE, below)
        upper = teeth.separated(own.layer, teeth.SURROUNDINGS_IOD * mouth.frame.scale)
        return mouth.lowered(_dimmed(upper, mouth.reached**OWN_FALLOFF), edge - below), edge
    relief = mouth.arch.lit(teeth.carve_row(teeth.UPPER), tooth, mouth.light, upright=True)
    arc, turn = mouth.arch.at(mouth.u)
    row = teeth.sample_row(relief, arc, mouth.v - UPPER_EDGE + SMILE_ARC * turn**2, mouth.soft)
    return _dimmed(row, mouth.reached), UPPER_EDGE


def _area(rest: Points, frame: Frame, block: Lattice) -> Lattice:
    """The part of the block around the lips' line where teeth and tongue can come to be seen."""
    side, top, bottom = (round(margin * frame.scale) for margin in MARGINS)
    low, high = np.floor(rest.min(axis=0)).astype(int), np.ceil(rest.max(axis=0)).astype(int) + 1
    x0, y0 = max(block.x, low[0] - side), max(block.y, low[1] - top)
    x1, y1 = min(block.x + block.width, high[0] + side), min(block.y + block.height, high[1] + bottom)
    return Lattice(int(x0), int(y0), int(x1 - x0), int(y1 - y0), block.step)


def _mouth_axes(rest: Points, frame: Frame, area: Lattice) -> tuple[Values, Values]:
    """Position of each pixel of the area along the mouth and below the lips' meeting point, IOD."""
    stomion = rest[len(rest) // 2]
    x = area.x + np.arange(area.width) - stomion[0]
    y = (area.y + np.arange(area.height) - stomion[1])[:, None]
    along = (x * frame.right[0] + y * frame.right[1]) / frame.scale
    below = (x * frame.down[0] + y * frame.down[1]) / frame.scale
    return along, below


def _cavity(mouth: _Mouth) -> Floats:
    """Floor and back of the mouth: dark, warm, darker towards the top; lighter where the cheeks line it."""
    palette = mouth.palette
    cheeks = smoothstep((np.abs(mouth.corner) - CHEEKS[0]) / (CHEEKS[1] - CHEEKS[0]))
    depth = np.clip(0.5 + mouth.v / 0.35, 0.25, 1.2)[..., None] * np.ones_like(mouth.u)[..., None] * mouth.reached
    colour = CAVITY * float(palette.lip @ LUMA) * palette.flesh**DEEPENED
    lining = CHEEK_LIGHT * float(palette.lip @ LUMA) * palette.flesh**CHEEK_RED * cheeks[..., None]
    return np.concatenate([colour * depth + lining, np.ones_like(depth)], axis=2).astype(np.float32)


def _dark(palette: Palette) -> Pixels:
    """(3,) BGR of the mouth where no light gets: about as dark as the face, and warm, as lips and tongue are."""
    return encoded(palette.tinted(DARKEST * palette.dark * hue(palette.flesh**DARK_RED)))


def _moved(layer: Floats, motion: Values) -> Floats:
    """A layer moved by (2,) pixels."""
    there = np.array([[1, 0, motion[0]], [0, 1, motion[1]]], np.float64)
    return np.asarray(cv2.warpAffine(np.ascontiguousarray(layer), there, layer.shape[1::-1]), np.float32)


def _dimmed(layer: Floats, light: Values) -> Floats:
    """A premultiplied layer (height, width, 4) with its colours times ``light`` (height, width, 1)."""
    colour = layer[..., :3] * light.astype(np.float32)
    return np.concatenate([colour, layer[..., 3:]], axis=2)


def _over(below: Floats, above: Floats) -> Floats:
    """Composite premultiplied layers."""
    result: Floats = above + below * (1 - above[..., 3:])
    return result


def _grain(texture: Texture, own: Floats | None, palette: Palette, area: Lattice) -> Pixels:
    grain = texture.grain(area.height, area.width)
    if own is not None:
        grain *= 1 - own[..., 3:]
    return np.asarray(np.round(np.clip(128 + palette.tinted(grain), 0, 255)), np.uint8)


def _sheet(layer: Floats, palette: Palette, supersampling: int) -> Sheet:
    """Gamma-encode a linear premultiplied layer."""
    coverage = layer[..., 3:]
    straight = palette.tinted(layer[..., :3] / np.maximum(coverage, np.float32(1e-3)))
    colour = np.round(encoded(straight) * coverage).astype(np.uint8)
    clear = np.round((1 - coverage[..., 0]) * 255).astype(np.uint8)
    return Sheet(supersample(colour, supersampling), supersample(clear, supersampling))

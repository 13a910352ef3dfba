"""The teeth that a portrait shows itself, which look better on it than anything drawn."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.engines.portrait.colour import LUMA, Pixels, Values, linear
from lipstream.engines.portrait.fields import Frame
from lipstream.engines.portrait.lips import MIN_REDNESS, LipLine, smooth_path
from lipstream.engines.portrait.warp import Floats, Lattice

ENOUGH_HEIGHT_IOD = 0.095
"""Teeth are cut out of the photo if at least this much of their height shows; with less, they would have no edges."""
ENOUGH_SHARE = 0.4
"""Part of what shows between the lips that must be teeth."""
LEAST_LIGHT = 0.3
"""Least luminance of teeth over that of the skin; anything darker is the mouth behind them."""
BRIDGED_IOD = 0.02
"""Shadows no taller than this are part of a row of teeth and do not end it."""
LOWER_HEIGHT_IOD, PARTING = 0.03, 0.7
"""Lower teeth show at least this much of their height, and the shadow above them is darker than this times teeth."""
FRAGMENT_IOD = 0.10
"""Whatever hangs from the row of teeth and is narrower than this does not belong to it."""
EMBRASURE_IOD = 0.06
"""Notches between the edges of two crowns are narrower than this."""
SOFT_PX, SOFT_IOD = 0.6, 0.006
"""Standard deviation by which the edges of teeth are softened in addition to the picture's own softness; the larger one
counts."""
TIPS_IOD = 0.06
"""Height of the crowns' edges that are cut out pixel by pixel; above, shades between crowns are part of the row."""
AROUND_IOD, SHADED = 0.08, 0.5
"""Whatever is darker than the second value times the teeth within the first distance (IOD) does not belong to their
edges."""
EDGE = 0.72
"""Brightness of the very edges over that of the crowns; edges are translucent."""
GUM_IOD = 0.12
"""How far the teeth are continued upwards, in case the upper lip rises: a little tooth, then gum."""
GUM = np.array([0.25, 0.24, 0.60])
"""Colour of gum over that of teeth, linear BGR."""


@dataclass(frozen=True)
class OwnTeeth:
    """Teeth found between the lips of a picture."""

    colour: Values
    """(3,) linear BGR of the brighter ones."""
    trust: float
    """0…1: how far to trust the colour; little if only a glimpse of teeth shows."""
    layer: Floats | None
    """(height, width, 4) the upper row over the mouth block, linear BGR premultiplied by coverage; None when too little
    shows."""
    edge: tuple[int, int] = (0, 0)
    """Column and row of the block where the middle of it ends at the bottom."""
    lower: Floats | None = None
    """The same of the lower row, where the picture has it; None when it shows none, or when ``layer`` is None."""
    lower_edge: tuple[int, int] = (0, 0)
    """Column and row of the block where the middle of the lower row ends at the top."""


def find_own_teeth(picture: Pixels, photo: LipLine, frame: Frame, block: Lattice, skin: float) -> OwnTeeth | None:
    """Look between open lips; None when closed or without teeth. ``skin`` is the luminance of the cheeks."""
    if not photo.is_open:
        return None
    pixels = block.block(picture)
    shown = _between(photo, block)
    if np.count_nonzero(shown) < 8:
        return None
    light = linear(pixels)
    likeness = _tooth_likeness(pixels, shown, photo, frame, block) * (light @ LUMA > LEAST_LIGHT * skin)
    teeth = likeness > 0.5
    bright = light[teeth & shown]
    share = float(np.count_nonzero(teeth & shown) / np.count_nonzero(shown))
    if share < 0.15 or len(bright) < 8:
        return None
    luma = bright @ LUMA
    colour = np.clip(bright[luma >= np.percentile(luma, 60)].mean(axis=0) * 0.95, 0, 0.9)
    # Partly covered pixels count as well: in clips of small faces, whose colours are coarse, they are a quarter of the
    # height.
    height = float((likeness * shown).sum(axis=0)[_middle(photo, block)].mean()) / frame.scale
    usable = height >= ENOUGH_HEIGHT_IOD and share >= ENOUGH_SHARE
    trust = float(np.clip(height / ENOUGH_HEIGHT_IOD, 0, 1))
    if not usable:
        return OwnTeeth(colour, trust, None)
    parting = _parting(light @ LUMA, teeth, shown, frame.scale)
    likeness = np.minimum(likeness, _brightness(light @ LUMA, teeth & shown, frame.scale))
    teeth = teeth & (likeness > 0.5)
    row = np.arange(len(shown))[:, None]
    upper = _ends(teeth & (row < parting) if parting is not None else teeth, shown, frame.scale)
    if not upper:  # all in the shade of lower ones
        return OwnTeeth(colour, trust, None)
    soft = max(SOFT_PX, SOFT_IOD * frame.scale)
    layer, edge = _cut(light, likeness, upper, colour, frame.scale, soft), _edge(upper)
    below = teeth & (row > parting) if parting is not None else np.zeros_like(teeth)
    lower = _ends(below[::-1], shown[::-1], frame.scale)  # upside down
    if not lower:
        return OwnTeeth(colour, trust, layer, edge)
    column, above = _edge(lower)
    lower_layer = _cut(light[::-1], likeness[::-1], lower, colour, frame.scale, soft)[::-1]
    return OwnTeeth(colour, trust, layer, edge, lower_layer, (column, len(shown) - 1 - above))


def _parting(luma: Values, teeth: NDArray[np.bool_], shown: NDArray[np.bool_], scale: float) -> Values | None:
    """(width,) row per column of the shadow between upper and lower teeth; None where there is one row alone.

    Clenched teeth are separated by a line that is thinner than shadows within a row, but goes all the way across.
    """
    columns = np.flatnonzero(shown.any(axis=0))
    top, bottom = shown.argmax(axis=0)[columns], len(shown) - 1 - shown[::-1].argmax(axis=0)[columns]
    if len(columns) < 16:
        return None
    cost = np.where(shown, (luma - luma[shown].mean()) / (luma[shown].std() + 1e-6), 3.0)[:, columns]
    reach = max(2, int(0.35 * np.max(bottom - top)))
    path = smooth_path(cost, top + 0.6 * (bottom - top), reach)
    found = 0
    middle = range(3 * len(columns) // 10, len(columns) - 3 * len(columns) // 10)
    for index in middle:
        x, row = columns[index], round(float(path[index]))
        above, below = (
            luma[part, x][teeth[part, x] & shown[part, x]] for part in (slice(0, row), slice(row + 1, None))
        )
        if min(len(above), len(below)) >= max(2, LOWER_HEIGHT_IOD * scale):
            line = luma[max(0, row - 1) : row + 2, x].min()
            found += bool(line < PARTING * min(np.median(above), np.median(below)))
    if found < 0.6 * len(middle):
        return None
    return np.interp(np.arange(shown.shape[1]), columns, path)


def _between(photo: LipLine, block: Lattice) -> NDArray[np.bool_]:
    mask = np.zeros((block.height, block.width), np.uint8)
    outline = np.concatenate([photo.upper, photo.lower[::-1]]) - [block.x, block.y]
    cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_8, 4)
    return mask > 0


def _middle(photo: LipLine, block: Lattice) -> slice:
    """Columns of the block in the middle third of the mouth."""
    third = len(photo.middle) // 3
    left, right = photo.middle[third, 0] - block.x, photo.middle[-third, 0] - block.x
    return slice(int(min(left, right)), max(int(max(left, right)), int(min(left, right)) + 1))


def _tooth_likeness(pixels: Pixels, shown: NDArray[np.bool_], photo: LipLine, frame: Frame, block: Lattice) -> Values:
    """0…1: less red than the lips and not dark, by CIELAB."""
    lab = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_BGR2LAB)
    light, red = lab[..., 0], lab[..., 1]
    bright = shown & (light >= np.percentile(light[shown], 60))
    tooth_red, tooth_light = np.percentile(red[bright], 30), np.median(light[bright])
    band = np.zeros(shown.shape, np.uint8)
    third = len(photo.lower) // 3
    edge = photo.lower[third:-third] - [block.x, block.y]
    near, far = 0.02 * frame.scale * frame.down, 0.07 * frame.scale * frame.down
    cv2.fillPoly(band, [np.round(np.concatenate([edge + near, (edge + far)[::-1]])).astype(np.int32)], 255)
    lip_red = np.median(red[band > 0]) if band.any() else tooth_red + 15
    if lip_red - tooth_red < MIN_REDNESS:  # a black-and-white picture
        lip_light = np.median(light[band > 0]) if band.any() else 0.6 * tooth_light
        return _ramp((light - lip_light) / max(1.0, tooth_light - lip_light))
    return np.minimum(_ramp((lip_red - red) / (lip_red - tooth_red)), _ramp(light / max(1.0, tooth_light) - 0.05))


def _brightness(luma: Values, teeth: NDArray[np.bool_], scale: float) -> Values:
    """0…1: whether a pixel is as bright as the teeth around it; shadows and lower teeth further behind are not."""
    size = 2 * max(1, round(AROUND_IOD * scale)) + 1
    weight = teeth.astype(np.float64)
    total, count = (cv2.blur(image, (size, size)) for image in (luma * weight, weight))
    return _ramp(luma * count / np.maximum(total, 1e-6) + 0.5 - SHADED)


def _ramp(value: NDArray[np.floating]) -> Values:
    """From 0 at a quarter to 1 at three quarters."""
    result: Values = np.clip(2 * value.astype(np.float64) - 0.5, 0, 1)
    return result


def _edge(ends: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """Column and row at which the middle of a row of teeth ends."""
    columns = sorted(ends)
    middle = columns[len(columns) // 3 : -(len(columns) // 3) or None]
    return middle[len(middle) // 2], int(np.median([ends[x][1] for x in middle]))


def _cut(
    light: Values, likeness: Values, ends: dict[int, tuple[int, int]], colour: Values, scale: float, soft_px: float
) -> Floats:
    """A row, column by column: from the upper lip down to where the teeth end, continued upwards by gum.

    At their edges the crowns are as round and as soft as in the picture.
    """
    image, coverage = light.copy(), np.zeros(light.shape[:2], np.float32)
    reach, tips = max(2, int(GUM_IOD * scale)), max(2, int(TIPS_IOD * scale))
    for x, (top, bottom) in ends.items():
        above = np.arange(max(0, top - reach), top)
        coverage[above[0] if len(above) else top : bottom + 1, x] = 1
        tip = slice(max(top, bottom + 1 - tips), bottom + 2)
        whole = tip.start + int(likeness[tip, x].argmax())
        coverage[whole : tip.stop, x] = np.minimum.accumulate(likeness[whole : tip.stop, x])
        fade = np.clip((top - above) / (0.05 * scale), 0, 1)[:, None]
        image[above, x] = 0.9 * image[top, x] * (1 - fade) + GUM * colour * fade
    # Where lip and shadow mix in, use the colour of the crown nearby.
    solid = np.clip(2 * cv2.GaussianBlur(coverage, (0, 0), max(0.6, 0.012 * scale)) - 1, 0, 1)[..., None]
    near = cv2.GaussianBlur(np.dstack([image * solid, solid]), (0, 0), max(0.8, 0.025 * scale))
    image = solid * image + (1 - solid) * EDGE * near[..., :3] / np.maximum(near[..., 3:], 1e-4)
    soft = cv2.GaussianBlur(coverage, (0, 0), soft_px)
    return np.dstack([image * soft[..., None], soft]).astype(np.float32)


def _ends(teeth: NDArray[np.bool_], shown: NDArray[np.bool_], scale: float) -> dict[int, tuple[int, int]]:
    """First and last row of the upper teeth in each column that has some. The edge passes over the notches between
    crowns."""
    inset, bridged = max(1, int(0.010 * scale)), max(1, int(BRIDGED_IOD * scale))
    tops, bottoms = {}, {}
    for x in range(shown.shape[1]):
        rows = np.flatnonzero(shown[:, x])[inset:]
        row_of_teeth = rows[teeth[rows, x]]
        if len(row_of_teeth):
            breaks = np.flatnonzero(np.diff(row_of_teeth) > bridged)
            tops[x] = int(rows[0])
            bottoms[x] = int(row_of_teeth[breaks[0]] if len(breaks) else row_of_teeth[-1])
    # Notches are closed first, or single crowns would stick out and be cut short. Whatever sticks out after that and is
    # narrower than a tooth is a glimpse of the lower teeth or of a wet lip.
    between, narrow = (max(1, int(width * scale / 2)) for width in (EMBRASURE_IOD, FRAGMENT_IOD))
    opened = bottoms
    for reach, pick in ((between, max), (between + narrow, min), (narrow, max)):
        opened = {x: pick(opened.get(n, opened[x]) for n in range(x - reach, x + reach + 1)) for x in opened}
    return {x: (tops[x], max(tops[x], opened[x] + inset // 2)) for x in bottoms}

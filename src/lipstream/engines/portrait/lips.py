"""Where the lips of a portrait meet or end: the mesh finds the mouth, the colours of the picture find its edges.

Around the lips, the mesh is off by a few per cent of the inter-ocular distance. Cutting the picture there would leave a
strip of one lip on the other. So the mouth is resampled onto a straight grid (rows across it, columns along it), and
the edges are found as the cheapest paths from left to right. Between closed lips this is the darkest path, and the
lower lip is then searched below it. Between open lips it is the two borders of what shows between them.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.engines.portrait import topology as mesh
from lipstream.engines.portrait.fields import Frame, Points
from lipstream.engines.portrait.warp import smoothstep

COLUMNS = 65
"""Samples along the mouth from corner to corner."""
ROW_IOD = 0.004
"""Distance between rows of the straightened mouth, inter-ocular distances."""
REACH_IOD = 0.05
"""How far an edge may be from where the mesh puts it."""
MIN_REDNESS = 6.0
"""If lips and teeth differ by less than this in CIELAB a*, colour cannot tell them apart."""
OPEN_IOD = 0.030
"""Lips that the mesh sees this far apart in the middle third of the mouth count as open; less is a shadow between
closed lips."""
LIT_WITHIN_IOD, LIT = 0.06, 0.5
"""The brightest point of the lower lip is searched within the first distance (IOD) below the darkest line between
closed lips. The lower lip begins where this part of the rise in brightness is reached."""
SHADOW_IOD, LEAST_RISE = 0.028, 10.0
"""The furthest that the lower lip may begin below that line (IOD), and the rise in CIELAB L* from which on its
beginning is fully believed."""
MIN_LIGHTNESS = 15.0
"""The same for CIELAB L*, which is used in black-and-white pictures."""


@dataclass(frozen=True)
class LipLine:
    """The edges between which the mouth opens, as (COLUMNS, 2) picture pixels from the left corner to the right."""

    upper: Points
    """Lower edge of the upper lip."""
    lower: Points
    """Upper edge of the lower lip; the same as ``upper`` where the lips touch."""
    is_open: bool
    """Whether something shows between the lips."""

    @property
    def middle(self) -> Points:
        """Halfway between the lips, (COLUMNS, 2)."""
        return (self.upper + self.lower) / 2


def find_lip_line(picture: NDArray[np.uint8], landmarks: Points, frame: Frame) -> LipLine:
    """Edges of the lips in a (height, width, 3) BGR picture near mesh ``landmarks`` (468, 2)."""
    mouth = _Straightened(picture, landmarks, frame)
    third = slice(COLUMNS // 3, COLUMNS - COLUMNS // 3)
    if np.median((mouth.inner_lower - mouth.inner_upper)[third]) * ROW_IOD >= OPEN_IOD:
        upper, lower = _open_edges(mouth)
        middle, apart = (upper + lower) / 2, from_corners(COLUMNS, 0.07)
        upper, lower = middle + apart * (upper - middle), middle + apart * (lower - middle)
        return LipLine(mouth.to_picture(upper), mouth.to_picture(lower), True)
    line = mouth.to_picture(_below_shadow(mouth, _darkest_path(mouth)))
    return LipLine(line, line, False)


def from_corners(count: int, share: float) -> NDArray[np.float64]:
    """(count,) weights along the mouth: 0 at both corners, 1 beyond ``share`` of the width from them."""
    t = np.linspace(0.0, 1.0, count)
    return smoothstep(np.minimum(t, 1 - t) / share)


class _Straightened:
    """The mouth resampled on a grid along its chord, with the mesh's lip curves as row numbers per column."""

    def __init__(self, picture: NDArray[np.uint8], landmarks: Points, frame: Frame) -> None:
        left, right = (landmarks[list(mesh.INNER_CORNERS)] + landmarks[list(mesh.OUTER_CORNERS)]) / 2
        self._left, self._chord, self._frame = left, right - left, frame
        half = int(0.6 / ROW_IOD)
        self._zero = half
        t = np.linspace(0.0, 1.0, COLUMNS)
        rows = np.arange(-half, half + 1) * ROW_IOD * frame.scale
        at = left + t[None, :, None] * self._chord + rows[:, None, None] * frame.down
        low = np.clip(np.floor(at.min(axis=(0, 1))).astype(int) - 2, 0, np.array(picture.shape[1::-1]) - 2)
        high = np.ceil(at.max(axis=(0, 1))).astype(int) + 3
        crop = picture[low[1] : max(high[1], low[1] + 1), low[0] : max(high[0], low[0] + 1)]
        smooth = cv2.GaussianBlur(crop, (0, 0), max(0.5, 0.006 * frame.scale))
        x, y = (at - low).astype(np.float32).transpose(2, 0, 1)
        pixels = cv2.remap(smooth, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        self.lab = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_BGR2LAB)
        self.skin = _skin(picture, landmarks)
        self.outer_upper = self._curve(landmarks, mesh.OUTER_UPPER_LIP)
        self.inner_upper = self._curve(landmarks, mesh.INNER_UPPER_LIP)
        self.inner_lower = self._curve(landmarks, mesh.INNER_LOWER_LIP)
        self.outer_lower = self._curve(landmarks, mesh.OUTER_LOWER_LIP)

    def _curve(self, landmarks: Points, indices: tuple[int, ...]) -> NDArray[np.float64]:
        relative = landmarks[list(indices)] - self._left
        length = float(np.hypot(*self._chord))
        along = relative @ (self._chord / length) / length
        down = relative @ self._frame.down / self._frame.scale - along * (
            self._chord @ self._frame.down / self._frame.scale
        )
        order = np.argsort(along)
        rows = np.interp(np.linspace(0, 1, COLUMNS), along[order], down[order])
        on_rows: NDArray[np.float64] = _smooth(rows) / ROW_IOD + self._zero
        return on_rows

    def to_picture(self, rows: NDArray[np.float64]) -> Points:
        """Row number per column → (COLUMNS, 2) picture pixels."""
        t = np.linspace(0.0, 1.0, COLUMNS)[:, None]
        down = (rows - self._zero)[:, None] * ROW_IOD * self._frame.scale
        points: Points = self._left + t * self._chord + down * self._frame.down
        return points


def _skin(picture: NDArray[np.uint8], landmarks: Points) -> NDArray[np.float64]:
    """Median CIELAB colour of the cheeks."""
    limit = np.array(picture.shape[1::-1]) - 1
    x, y = np.clip(np.round(landmarks[list(mesh.CHEEKS)]).astype(int), 0, limit).T
    lab = cv2.cvtColor(picture[y, x][None].astype(np.float32) / 255, cv2.COLOR_BGR2LAB)[0]
    colour: NDArray[np.float64] = np.median(lab.astype(np.float64), axis=0)
    return colour


def _open_edges(mouth: _Straightened) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows of both lips' edges of an open mouth: where what lies between the lips begins and ends."""
    inside = _inside_likeness(mouth)
    summed = np.vstack([np.zeros((1, COLUMNS)), np.cumsum(inside, axis=0)])
    reach = int(REACH_IOD / ROW_IOD)
    span = int(0.03 / ROW_IOD)
    column = np.broadcast_to(np.arange(len(inside))[:, None], inside.shape)
    step = _mean_of(summed, column, column + span) - _mean_of(summed, column - span, column)
    upper = smooth_path(-step, mouth.inner_upper, reach)
    lower = smooth_path(step, mouth.inner_lower, reach)
    return upper, np.maximum(lower, upper)


def _mean_of(summed: NDArray[np.float64], first: NDArray[np.intp], last: NDArray[np.intp]) -> NDArray[np.float64]:
    """Mean over rows first…last-1 of each column, from cumulative sums (rows + 1, columns)."""
    low, high = np.clip(first, 0, len(summed) - 1), np.clip(last, 0, len(summed) - 1)
    total = np.take_along_axis(summed, high, 0) - np.take_along_axis(summed, low, 0)
    mean: NDArray[np.float64] = total / np.maximum(high - low, 1)
    return mean


def _inside_likeness(mouth: _Straightened) -> NDArray[np.float64]:
    """0…1 per pixel: how much it looks like teeth or like the dark of an open mouth.

    Whatever the light, lips are the reddest thing here, and teeth the least red of the bright things (CIELAB a*).
    """
    rows = np.arange(len(mouth.lab))[:, None]
    lightness, red = mouth.lab[..., 0].astype(np.float64), _redness(mouth)
    zone = _band(rows, mouth.outer_upper, mouth.outer_lower, 0.0, 1.0)
    lip_red, lip_light = np.percentile(red[zone], 80), np.percentile(lightness[zone], 35)
    bright = zone & (lightness >= np.percentile(lightness[zone], 60))
    tooth_red = np.percentile(red[bright], 10)
    dark = _sigmoid((0.5 * lip_light - lightness) / 4)
    if lip_red - tooth_red < MIN_REDNESS:
        tooth_light = np.percentile(lightness[zone], 95)
        if tooth_light - lip_light < MIN_LIGHTNESS:
            return dark
        return np.maximum(dark, _sigmoid((lightness - (tooth_light + lip_light) / 2) / 4))
    pale = _sigmoid(((lip_red + tooth_red) / 2 - red) / (0.08 * (lip_red - tooth_red)))
    light = _sigmoid((lightness - mouth.skin[0] * 0.72) / 4)
    return np.maximum(dark, pale * light)


def _redness(mouth: _Straightened) -> NDArray[np.float64]:
    """The quantity that lips have most of and teeth least: CIELAB a*, or chroma where the skin is green or blue."""
    colour = mouth.lab[..., 1:].astype(np.float64)
    if mouth.skin[1] > -MIN_REDNESS:
        return colour[..., 0]
    chroma: NDArray[np.float64] = np.hypot(colour[..., 0], colour[..., 1])
    return chroma


def _sigmoid(value: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(value, -30, 30)))
    return result


def _band(
    rows: NDArray[np.intp], top: NDArray[np.float64], bottom: NDArray[np.float64], start: float, stop: float
) -> NDArray[np.bool_]:
    """Pixels between two curves, without the ends of the mouth."""
    inside: NDArray[np.bool_] = (rows >= top + start * (bottom - top)) & (rows <= top + stop * (bottom - top))
    edge = COLUMNS // 8
    inside[:, :edge] = inside[:, -edge:] = False
    return inside


def _darkest_path(mouth: _Straightened) -> NDArray[np.float64]:
    """Row per column of the shadow between closed lips."""
    lightness = mouth.lab[..., 0].astype(np.float64)
    middle = (mouth.inner_upper + mouth.inner_lower) / 2
    cost = (lightness - lightness.mean(0)) / (lightness.std() + 1e-3)
    return smooth_path(cost, middle, int(REACH_IOD / ROW_IOD))


def _below_shadow(mouth: _Straightened, path: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the lower lip begins below the shadow whose darkest ``path`` is known.

    The shadow belongs to the upper lip and moves with it. On the lower lip it would be a dark outline of the open
    mouth.
    """
    lightness = mouth.lab[..., 0].astype(np.float64)
    rows = np.round(path).astype(np.intp) + np.arange(round(LIT_WITHIN_IOD / ROW_IOD) + 1)[:, None]
    below = np.take_along_axis(lightness, np.clip(rows, 0, len(lightness) - 1), 0)
    rise = below.max(axis=0) - below[0]
    lit = (below >= below[0] + LIT * rise).argmax(axis=0)
    shift = np.minimum(lit * np.clip(rise / LEAST_RISE, 0, 1), SHADOW_IOD / ROW_IOD)
    shifted: NDArray[np.float64] = path + _smooth(shift) * from_corners(COLUMNS, 0.2)
    return shifted


def smooth_path(cost: NDArray[np.float64], expected: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Smooth left-to-right path of least cost within ``reach`` rows of ``expected``, by dynamic programming."""
    offsets = np.arange(-reach, reach + 1)
    rows = np.clip(np.round(expected)[None].astype(np.intp) + offsets[:, None], 0, len(cost) - 1)
    away = (offsets / reach) ** 2
    taper = 1 + 4 * (2 * np.abs(np.linspace(0, 1, cost.shape[1]) - 0.5)) ** 6  # the corners are the mesh's
    band = np.take_along_axis(cost, rows, 0) + 0.5 * away[:, None] * taper[None]
    steps = np.arange(-2, 3)
    total = band[:, 0]
    back = np.zeros(band.shape, np.intp)
    for column in range(1, band.shape[1]):
        padded = np.pad(total, 2, constant_values=np.inf)
        options = np.stack([padded[2 + s : 2 + s + len(total)] + 0.1 * abs(s) for s in steps])
        best = options.argmin(0)
        back[:, column] = np.arange(len(total)) + steps[best]
        total = options.min(0) + band[:, column]
    index = int(total.argmin())
    path = np.zeros(band.shape[1])
    for column in range(band.shape[1] - 1, -1, -1):
        path[column] = offsets[index]
        index = int(back[index, column])
    return _smooth(np.round(expected) + path)


def _smooth(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """A curve (n,) without its jitter."""
    smooth: NDArray[np.float64] = np.empty_like(rows[None])
    cv2.GaussianBlur(rows[None], (11, 1), 2.0, dst=smooth, borderType=cv2.BORDER_REPLICATE)
    return smooth.ravel()

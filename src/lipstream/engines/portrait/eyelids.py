"""Blinking: each upper eyelid is a sheet of the portrait's own skin, drawn down over the eye.

The sheet reaches from the brow to the lid's edge, lashes included. Its edge moves to the lower lid's, the brow stays:
the skin between is stretched, as it is on a face. The sheet uncovers nothing, so nothing has to be invented.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.avatar import Avatar
from lipstream.engines.portrait import topology as mesh
from lipstream.engines.portrait.closed_lid import LidCurves, closed_lid
from lipstream.engines.portrait.fields import Frame, Points
from lipstream.engines.portrait.head import Head, sampled
from lipstream.engines.portrait.lips import smooth_path
from lipstream.engines.portrait.texture import Texture
from lipstream.engines.portrait.unblinking import must_not_blink
from lipstream.engines.portrait.warp import Floats, Lattice, invert, resampled, smoothstep, supersample

Pixels = NDArray[np.uint8]

NODES_PER_IOD = 40
"""Density of the lids' lattices."""
MIN_WIDTH_PX = 6.0
"""Narrower eyes are mere dots and do not blink, pixels."""
MIN_OPENING_IOD = 0.06
"""Eyes less open than this count as closed."""
LASHES_IOD = 0.014
"""How far rim and lashes reach below the edge of the lid's skin."""
BAND_IOD = 0.032
"""Height above that edge which moves as one piece: stretched lashes would smear."""
HAIRS_IOD = 0.02
"""How far below the edge of the brow single hairs may reach."""
MIN_SKIN_IOD = 0.05
"""Least height of the skin that is stretched; if the brow is closer than this, a part of it is stretched too."""
STRETCH = 1.2
"""Exponent of the stretched skin's motion over its height: 1 = evenly, more = less near the brow."""
MARGIN_IOD, CURVE = 0.14, 65
"""How far the curves of an eye continue beside it, IOD, and their number of samples."""
DRAPE = 6.0
"""Smoothing along the eye of the skin's motion near the brow, as a standard deviation in samples."""
OVERLAP_IOD = 0.014
"""How far the closed lid reaches over the lower lid's edge, so that nothing of the eye shines through."""
SOFT_IOD, SOFT_PX = 0.008, 0.6
"""Softness of the sheet's edge as a standard deviation; the larger of the two."""
COLUMNS, ROW_IOD, SPAN_IOD = 33, 0.004, 0.024
"""How edges are looked for: samples along the eye, distance of the rows, and the height over which brightness is
compared."""
EDGE_REACH_IOD, HAIR_REACH_IOD = 0.045, 0.08
"""How far the mesh may be wrong about the lid's edge and the brow's."""
DARKEST_LID = 0.56
"""If a lid's lightness over that of the skin below the eye is less than this, lid and iris are painted as one, or lie
in deep shade. Drawn down, the lid would be a dark patch, so neither eye blinks. Portraits that blink well have .62 to
1.0, two others .42 and .51."""
TURNS = (0.7, 0.6, 0.6, 0.5, 0.5)
"""Step sizes of the inversion; small, because a wide-open lid moves far within a few nodes."""


@dataclass(frozen=True)
class Eyelid:
    """One upper eyelid. Never written to."""

    block: Lattice
    """The part of the picture it may cover."""
    closing: Floats
    """(rows, columns, 2) of nodes: displacement that closes the eye, in nodes."""
    sway: Floats
    """(7, nodes * 2) displacement by :func:`lipstream.engines.portrait.head.sway_weights`, in nodes."""
    sheet: Pixels
    """(height, width, 4) samples over ``block``, BGR premultiplied by alpha."""
    closed: Pixels
    """The same as a closed lid looks: ``sheet`` turns into it as it closes."""
    grain: NDArray[np.int16]
    """(height, width, 4) pixels of ``block``: the portrait's grain where a closed lid's skin was stretched, grey levels
    of BGR, and 0. It stands still."""
    supersampling: int
    """Samples per picture pixel."""


def cut_eyelids(avatar: Avatar, head: Head, frame: Frame, texture: Texture) -> tuple[Eyelid, ...]:
    """The eyelids that can close. None if the eyes are closed already, too small, or must not blink.

    If the picture's edge cuts off one eye, the other one does not blink either: it would wink.
    """
    landmarks = avatar.face.landmarks[:, :2].astype(np.float64)
    eyes = landmarks[[index for eye in mesh.EYES for index in eye]]
    cut_off = eyes.min() < 0 or (eyes > np.array(avatar.size) - 1).any()
    if cut_off or must_not_blink(avatar.picture, landmarks, frame):
        return ()
    lids = []
    for rows in zip(mesh.UPPER_LIDS, mesh.LOWER_LIDS, mesh.LOWER_BROWS, mesh.UPPER_BROWS, strict=True):
        eye = _Eye(*(landmarks[list(row)] for row in rows))
        if _can_close(eye, frame):
            edge = _edge_near(avatar.picture, eye.edge, frame, EDGE_REACH_IOD, darker_below=True)
            hair = _edge_near(avatar.picture, eye.hair, frame, HAIR_REACH_IOD, darker_below=False)
            found = replace(eye, edge=edge, hair=hair)
            if _lid_light(avatar.picture, frame, found) < DARKEST_LID:
                return ()
            lids.append(_cut(avatar, head, frame, found, texture))
    return tuple(lids)


@dataclass(frozen=True)
class _Eye:
    """Rows of points (n, 2) in picture pixels, each from left to right."""

    edge: Points
    """The upper lid's edge."""
    lower: Points
    """The lower lid's edge, beside it."""
    hair: Points
    """Lower edge of the brow."""
    brow: Points
    """Upper edge of the brow."""


def _can_close(eye: _Eye, frame: Frame) -> bool:
    opening = float(((eye.lower - eye.edge) @ frame.down).max())
    return float(np.hypot(*(eye.edge[-1] - eye.edge[0]))) >= MIN_WIDTH_PX and opening >= MIN_OPENING_IOD * frame.scale


def _lid_light(picture: Pixels, frame: Frame, eye: _Eye) -> float:
    """Lightness (CIELAB) of the skin that would be stretched, over that of the skin below the eye."""
    left, right = (float(end @ frame.right) / frame.scale for end in eye.edge[[0, -1]])
    place = left + np.linspace(0.15, 0.85, 15) * (right - left)
    edge, hair, lower = (_curve(row, place, frame) for row in (eye.edge, eye.hair, eye.lower))
    bottom = edge - BAND_IOD
    top = np.minimum(hair + HAIRS_IOD, bottom - MIN_SKIN_IOD)
    height = np.linspace(0.1, 1.0, 8)[:, None]
    lightness = []
    for rows in (top + height * (bottom - top), lower + 0.08 + 0.08 * height):
        at = (place[:, None] * frame.right + rows[..., None] * frame.down) * frame.scale
        x, y = np.clip(np.round(at).astype(int), 0, np.array(picture.shape[1::-1]) - 1).reshape(-1, 2).T
        skin = cv2.cvtColor(picture[y, x][None].astype(np.float32) / 255, cv2.COLOR_BGR2LAB)
        lightness.append(float(np.median(skin[..., 0])))
    return lightness[0] / max(lightness[1], 1.0)


def _cut(avatar: Avatar, head: Head, frame: Frame, eye: _Eye, texture: Texture) -> Eyelid:
    block = _block(np.concatenate([eye.edge, eye.lower, eye.hair, eye.brow]), frame, head.region)
    curves, shut = _curves(frame, eye)
    closing = _closing(block, frame, curves, shut)
    picture = supersample(np.ascontiguousarray(block.block(avatar.picture)), 2)
    alpha = np.round(_sheet(block, frame, eye.edge) * 255).astype(np.uint8)
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]] / 2 + np.array([block.y, block.x])[:, None, None]
    along, down = ((x * axis[0] + y * axis[1]) / frame.scale for axis in (frame.right, frame.down))
    closed, even = closed_lid(picture, along, down, curves)
    sheet, closed = (
        np.dstack([cv2.multiply(skin, cv2.merge([alpha] * 3), scale=1 / 255), alpha]).astype(np.uint8)
        for skin in (picture, closed)
    )
    identity = block.identity()
    nodes = identity + invert(closing, identity, TURNS)
    even = resampled(even, block, nodes, (block.x, block.y), 2, cv2.BORDER_CONSTANT)
    grain = np.zeros((block.height, block.width, 4), np.int16)
    grain[..., :3] = np.round(texture.grain(block.height, block.width) * (even / 255)[..., None])
    sway = sampled(head.columns.reshape(len(head.columns), *head.region.shape, 2), head.region, block.nodes())
    # Fields are in units of nodes, and the two lattices differ in theirs.
    scaled = sway.reshape(len(sway), -1) * np.float32(head.region.step / block.step)
    return Eyelid(block, closing, scaled, sheet, closed, grain, 2)


def _edge_near(picture: Pixels, edge: Points, frame: Frame, reach: float, *, darker_below: bool) -> Points:
    """An edge of the lid's skin, (n, 2): where the picture gets darker or lighter downwards, near the mesh's (n, 2).

    The mesh is off by a few per cent of the inter-ocular distance, and skin that is stretched together with iris or
    hairs would be a smear.
    """
    t = np.linspace(0, len(edge) - 1, COLUMNS)
    line = np.column_stack([np.interp(t, np.arange(len(edge)), edge[:, axis]) for axis in (0, 1)])
    half = round((reach + SPAN_IOD) / ROW_IOD) + 2
    rows = np.arange(-half, half + 1) * ROW_IOD * frame.scale
    at = (line[None] + rows[:, None, None] * frame.down).astype(np.float32)
    low = np.maximum(np.floor(at.min(axis=(0, 1))).astype(int) - 2, 0)
    high = np.ceil(at.max(axis=(0, 1))).astype(int) + 3
    crop = picture[low[1] : max(high[1], low[1] + 1), low[0] : max(high[0], low[0] + 1)]
    if not crop.size:
        return edge
    grey = cv2.GaussianBlur(cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY), (0, 0), max(0.5, 0.006 * frame.scale))
    x, y = (np.ascontiguousarray(p) for p in (at - low.astype(np.float32)).transpose(2, 0, 1))
    light = np.asarray(
        cv2.remap(grey.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float64
    )
    span = round(SPAN_IOD / ROW_IOD)
    means = cv2.blur(light, (1, span), borderType=cv2.BORDER_REPLICATE)
    step = np.roll(means, span // 2 + 1, axis=0) - np.roll(means, -(span // 2), axis=0)
    if darker_below:
        step = -step
    path = smooth_path(step / (light.std() + 1e-3), np.full(COLUMNS, float(half)), round(reach / ROW_IOD))
    shifts = np.interp(np.arange(len(edge)), t, path - half) * ROW_IOD * frame.scale
    shifts *= np.minimum(1, 2 * np.sin(np.linspace(0, np.pi, len(edge))))
    found: Points = edge + shifts[:, None] * frame.down
    return found


def _block(points: Points, frame: Frame, region: Lattice) -> Lattice:
    margin = np.array([0.14, 0.10]) * frame.scale
    low, high = np.floor(points.min(axis=0) - margin).astype(int), np.ceil(points.max(axis=0) + margin).astype(int)
    x0, y0 = max(region.x, int(low[0])), max(region.y, int(low[1]))
    x1, y1 = min(region.x + region.width, int(high[0])), min(region.y + region.height, int(high[1]))
    return Lattice(x0, y0, max(1, x1 - x0), max(1, y1 - y0), max(1, round(frame.scale / NODES_PER_IOD)))


def _curves(frame: Frame, eye: _Eye) -> tuple[LidCurves, NDArray[np.float64]]:
    """The lid's curves, and how far its edge moves at each of their places, IOD."""
    scale = frame.scale
    left, right = (float(end @ frame.right) / scale for end in eye.edge[[0, -1]])
    place = np.linspace(left - MARGIN_IOD, right + MARGIN_IOD, CURVE)
    bow = np.sin(np.pi * np.clip((place - left) / (right - left), 0, 1))
    edge, lower, hair = (_curve(row, place, frame) for row in (eye.edge, eye.lower, eye.hair))
    open_here = (place > left) & (place < right)
    shut = _smooth(np.where(open_here, lower - edge, 0) + (OVERLAP_IOD - LASHES_IOD) * bow)
    band = edge - BAND_IOD * bow
    top = _smooth(np.minimum(hair + HAIRS_IOD, band - MIN_SKIN_IOD))
    return LidCurves(place, top, band, edge, bow), shut


def _closing(block: Lattice, frame: Frame, curves: LidCurves, shut: NDArray[np.float64]) -> Floats:
    """Forward displacement of the sheet, (rows, columns, 2) in nodes.

    All skin between the hairs of the brow and the band of lashes is stretched alike. The opening of the eye moves like
    the edge above it, so that the backward motion there ends below the sheet.
    """
    scale = frame.scale
    at = block.nodes()
    along, down = (at @ axis / scale for axis in (frame.right, frame.down))
    top, bottom, at_edge, at_brow = (
        np.interp(along, curves.place, c) for c in (curves.top, curves.band, shut, _smooth(shut, DRAPE))
    )
    part = np.clip((down - top) / (bottom - top), 0, 1)
    by = at_brow + part * (at_edge - at_brow)
    ramp = 0.08 * scale
    weight = smoothstep((at[:, 0] - block.x) / ramp) * smoothstep((block.x + block.width - at[:, 0]) / ramp)
    field = (part**STRETCH * by * weight)[:, None] * frame.down * scale / block.step
    return field.reshape(*block.shape, 2).astype(np.float32)


def _curve(row: Points, place: NDArray[np.float64], frame: Frame) -> NDArray[np.float64]:
    """Height of a row of points (n, 2) at places along the eye, IOD in the face's axes."""
    along, down = row @ frame.right / frame.scale, row @ frame.down / frame.scale
    order = np.argsort(along)
    return np.asarray(np.interp(place, along[order], down[order]), np.float64)


def _smooth(curve: NDArray[np.float64], sigma: float = 2.0) -> NDArray[np.float64]:
    smooth: NDArray[np.float64] = np.empty_like(curve[None])
    cv2.GaussianBlur(curve[None], (0, 0), sigma, dst=smooth, borderType=cv2.BORDER_REPLICATE)
    return smooth.ravel()


def _sheet(block: Lattice, frame: Frame, edge: Points) -> Floats:
    """Opacity of the lid's sheet at twice the resolution: 1 from the lid's edge up, 0 at the block's borders."""
    lashes = LASHES_IOD * frame.scale * np.sin(np.linspace(0, np.pi, len(edge)))[:, None] * frame.down
    # Beside the eye the sheet does not move, so there it shows exactly what it covers.
    out = 2 * block.width * frame.right
    line = np.concatenate([[edge[0] - out], edge + lashes, [edge[-1] + out]])
    up = -2 * block.height * frame.down
    outline = (np.concatenate([line, [line[-1] + up, line[0] + up]]) - [block.x, block.y]) * 2
    mask = np.zeros((2 * block.height, 2 * block.width), np.uint8)
    cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    sigma = 2 * max(SOFT_PX, SOFT_IOD * frame.scale)
    soft = np.asarray(cv2.GaussianBlur(mask, (0, 0), sigma), np.float32) / np.float32(255)
    ramp = 0.05 * frame.scale
    x, y = np.arange(soft.shape[1]) / 2, np.arange(soft.shape[0])[:, None] / 2
    inside = smoothstep(x / ramp) * smoothstep((block.width - 1 - x) / ramp) * smoothstep(y / ramp)
    return np.asarray(soft * inside, np.float32)


def draw_eyelid(onto: Pixels, lid: Eyelid, sway: Floats, blink: float, identity: Floats) -> None:
    """Draw the lid over its block of the frame, ``onto`` (height, width, 4); ``blink`` 0…1."""
    forward = (sway @ lid.sway).reshape(identity.shape) + np.float32(blink) * lid.closing
    nodes = identity + invert(forward, identity, TURNS)
    origin = (lid.block.x, lid.block.y)
    skin = np.asarray(cv2.addWeighted(lid.sheet, 1 - blink, lid.closed, blink, 0), np.uint8)
    sheet = resampled(skin, lid.block, nodes, origin, lid.supersampling, cv2.BORDER_CONSTANT)
    covered = np.asarray(cv2.extractChannel(sheet, 3), np.uint8)
    cv2.add(cv2.multiply(onto, cv2.merge([cv2.bitwise_not(covered)] * 4), scale=1 / 255), sheet, dst=onto)
    # The more the skin is stretched, the less grain of its own it has.
    grain = cv2.multiply(lid.grain, cv2.merge([covered] * 4), scale=blink**2 / 255, dtype=cv2.CV_16S)
    cv2.add(onto, grain, dst=onto, dtype=cv2.CV_8U)

"""What a closed eyelid looks like: the skin of an open one, spread evenly, shaded, and lined by lashes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.engines.portrait.warp import smoothstep

Pixels = NDArray[np.uint8]
Values = NDArray[np.float64]

ROWS, COLUMNS = 24, 64
"""Samples of the stretched skin from the brow to the lashes, and along the eye."""
EVEN_ALONG, EVEN_DOWN = 4.0, 1.2
"""Standard deviations, in those samples, by which the skin is blurred. It is stretched up to fivefold, and pores and
single hairs of the brow would become stripes."""
KEPT_NEAR_BROW = 0.3
"""Part of the skin's height, from the brow down, over which the photo's skin turns into the even one."""
UNDERSIDE = 0.07
"""How much darker the lid is at its lashes, where it turns away from the light, than below the brow."""
LASH_LINE, LASH_LINE_IOD = 0.42, 0.0085
"""Least darkness of the line of lashes, and its standard deviation, IOD. Darker lashes of the photo are kept."""
LASH_SHADE, LASH_SHADE_IOD = 0.10, 0.030
"""The same for the soft shade around that line."""
LASHES_BELOW_IOD = 0.006
"""How far the middle of that line is below the edge of the lid's skin."""


@dataclass(frozen=True)
class LidCurves:
    """Heights along one eye, (n,) IOD in the face's axes."""

    place: Values
    """Where along the eye, increasing."""
    top: Values
    """Upper end of the skin that is stretched."""
    band: Values
    """Its lower end; below is the band of lashes, which moves as one piece."""
    edge: Values
    """Edge of the lid's skin."""
    bow: Values
    """0 at both corners and beyond, 1 in the middle."""


def closed_lid(picture: Pixels, along: Values, down: Values, curves: LidCurves) -> tuple[Pixels, Pixels]:
    """The picture (height, width, 3) around an open eye, with the lid's skin and lashes as they look when it is closed.

    The second result says how much of each sample is evened skin, which lacks the portrait's grain: (height, width)
    0…255. ``along`` and ``down`` (height, width) are each sample's place in the face's axes, IOD.
    """
    top, band, edge, bow = (
        np.interp(along, curves.place, c) for c in (curves.top, curves.band, curves.edge, curves.bow)
    )
    part = (down - top) / (band - top)
    skin = _even_skin(picture, along, down, curves)
    across = np.interp(along, curves.place, np.linspace(0, COLUMNS - 1, len(curves.place)))
    rows = np.clip(part, 0, 1) * (ROWS - 1)
    even = cv2.remap(skin, across.astype(np.float32), rows.astype(np.float32), cv2.INTER_LINEAR)
    below = np.clip((down - band) / np.maximum(edge - band, 1e-6), 0, 1)
    share = smoothstep(part / KEPT_NEAR_BROW) * smoothstep(3 * bow) * (1 - smoothstep(below / 0.6))
    shaded = picture.astype(np.float64)
    shaded += share[..., None] * (even - picture)
    shaded *= 1 - (UNDERSIDE * np.clip(part, 0, 1) ** 2 * smoothstep(2 * bow))[..., None]
    off = down - edge - LASHES_BELOW_IOD
    dark = sum(
        strength * np.exp(-((off / width) ** 2) / 2)
        for strength, width in ((LASH_LINE, LASH_LINE_IOD), (LASH_SHADE, LASH_SHADE_IOD))
    )
    lined = even * (1 - (np.asarray(dark) * np.sqrt(bow))[..., None])
    near = smoothstep(3 - np.abs(off) / LASH_SHADE_IOD) * smoothstep(3 * bow)
    shaded += near[..., None] * np.minimum(lined - shaded, 0)
    return np.round(np.clip(shaded, 0, 255)).astype(np.uint8), np.round(255 * share).astype(np.uint8)


def _even_skin(picture: Pixels, along: Values, down: Values, curves: LidCurves) -> NDArray[np.float32]:
    """(ROWS, COLUMNS, 3) the stretched skin laid straight, without its stripes."""
    height, width = along.shape
    place = np.linspace(curves.place[0], curves.place[-1], COLUMNS)
    top, band = (np.interp(place, curves.place, curve) for curve in (curves.top, curves.band))
    wanted = np.stack(np.broadcast_arrays(place, top + np.linspace(0, 1, ROWS)[:, None] * (band - top)), -1)
    # Both axes are linear in the samples' places.
    origin = np.array([along[0, 0], down[0, 0]])
    axes = np.array([[along[0, -1], down[0, -1]], [along[-1, 0], down[-1, 0]]]) - origin
    at = (wanted - origin) @ np.linalg.inv(axes) * [width - 1, height - 1]
    x, y = (np.ascontiguousarray(p, np.float32) for p in at.transpose(2, 0, 1))
    straight = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    even = cv2.GaussianBlur(
        straight.astype(np.float32), (0, 0), EVEN_ALONG, sigmaY=EVEN_DOWN, borderType=cv2.BORDER_REPLICATE
    )
    return np.asarray(even, np.float32)

"""Dense image warps from coarse lattices: forward displacement → inverse → sampling maps.

Motion is known *forward*: where each point of the portrait goes. Sampling needs it *backward*: where each pixel of the
frame comes from. Both are smooth, so they are kept on a lattice with one node every ``step`` pixels, inverted there by
a damped fixed-point iteration and enlarged to pixels with one bilinear resize. NumPy and OpenCV only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

NO_MAP = np.zeros(0, np.float32)
"""What cv2.remap wants as its second map when the first holds both coordinates."""
DAMPING = (0.7, 0.6, 0.6, 0.5)
"""Step sizes of the inversion. Undamped it diverges where the field folds (lip corners)."""
GENTLE = (1.0,)
"""The same for fields that bend by a few hundredths at most, such as the sway of a head; the error is a hundredth of a
pixel."""
FETCHED_BYTES = 650_000
"""How much of a source is sampled at a time, so that it stays in a core's own cache."""


@dataclass(frozen=True)
class Lattice:
    """Nodes over a block of pixels, on cell corners offset so that ``cv2.resize`` lands exactly on pixel centres."""

    x: int
    """Left edge of the block in the picture, pixels."""
    y: int
    """Top edge of the block in the picture, pixels."""
    width: int
    """Width of the block, pixels."""
    height: int
    """Height of the block, pixels."""
    step: int
    """Distance between nodes, pixels."""
    pad: int = 1
    """Nodes outside the block on each side, at least 1; more where motion crosses the block's edge."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of nodes."""
        return -(-self.height // self.step) + 2 * self.pad, -(-self.width // self.step) + 2 * self.pad

    def nodes(self) -> NDArray[np.float64]:
        """Positions of the nodes in the picture, (rows * columns, 2) pixels."""
        rows, columns = self.shape
        x = self.x + self.step * (np.arange(columns) - self.pad + 0.5) - 0.5
        y = self.y + self.step * (np.arange(rows) - self.pad + 0.5) - 0.5
        return np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)

    def identity(self) -> Floats:
        """Index of each node in the lattice, (rows, columns, 2) as (column, row)."""
        rows, columns = self.shape
        return np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).astype(np.float32)

    def block(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The block's pixels, a view into ``image``."""
        return image[self.y : self.y + self.height, self.x : self.x + self.width]


def invert(forward: Floats, identity: Floats, damping: tuple[float, ...] = DAMPING) -> Floats:
    """Backward displacement E with E(y) = -F(y + E(y)), both (rows, columns, 2) in units of nodes."""
    return followed(-forward, forward, identity, damping)


def followed(backward: Floats, forward: Floats, identity: Floats, damping: tuple[float, ...]) -> Floats:
    """The iteration behind :func:`invert`, starting from ``backward``. It and ``identity`` may cover only some
    nodes."""
    for rate in damping:
        there = cv2.remap(forward, identity + backward, NO_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        backward = np.asarray(cv2.addWeighted(backward, 1 - rate, there, -rate, 0), np.float32)
    return backward


def seen_part(lattice: Lattice, nodes: Floats, end: float) -> Lattice:
    """The top of a block: the part that samples anything above row ``end`` of the picture; never empty."""
    above = nodes[..., 1].min(axis=1) < (end - lattice.y + 0.5) / lattice.step + lattice.pad - 0.5
    last = int(np.flatnonzero(above)[-1]) if above.any() else lattice.pad
    return replace(lattice, height=min(lattice.height, max(1, last + 2 - lattice.pad) * lattice.step))


def resampled(
    source: NDArray[np.uint8], lattice: Lattice, nodes: Floats, origin: tuple[int, int], supersampling: int, border: int
) -> NDArray[np.uint8]:
    """The lattice's block, (height, width, channels), out of a source; beyond its edges by OpenCV's ``border`` mode.

    The other arguments are those of :func:`sampling_maps`. Rows are sampled in bands, and each band's part of the
    source is read through first: on a tilted head every row jumps between rows of the source, which no processor can
    prefetch.
    """
    drawn = np.empty((lattice.height, lattice.width, *source.shape[2:]), np.uint8)
    step, (left, top) = lattice.step, origin
    fetched = max(1, FETCHED_BYTES // (source[0].nbytes * supersampling))
    rows = -(-2 * fetched // step) * step
    for start in range(0, lattice.height, rows):
        band = replace(lattice, y=lattice.y + start, height=min(rows, lattice.height - start))
        within = nodes[start // step :][: band.shape[0]]
        maps = sampling_maps(band, within, (left, top + start), supersampling)
        for first in range(0, band.height, fetched):
            x, y = (axis[first : first + fetched] for axis in maps)
            low, high = max(0, int(y[0].min())), int(y[-1].max()) + 2
            source[low:high].max(initial=0)
            cv2.remap(source, x, y, cv2.INTER_LINEAR, dst=drawn[start + first :][: len(y)], borderMode=border)
    return drawn


def sampling_maps(
    lattice: Lattice, nodes: Floats, origin: tuple[int, int], supersampling: int
) -> tuple[Floats, Floats]:
    """Where every pixel of the lattice's block samples a source image: x and y maps, (height, width) each.

    ``nodes`` is identity plus backward displacement, (rows, columns, 2). The source begins at ``origin`` in the
    picture and has ``supersampling`` samples per pixel, sample ``supersampling * i`` being pixel i exactly (see
    :func:`supersample`).
    """
    pad, step = lattice.pad, lattice.step
    inner = nodes[pad - 1 : nodes.shape[0] - pad + 1, pad - 1 : nodes.shape[1] - pad + 1]
    size = (inner.shape[1] * step, inner.shape[0] * step)
    crop = (slice(step, step + lattice.height), slice(step, step + lattice.width))
    maps = []
    for axis, (start, zero) in enumerate(((lattice.x, origin[0]), (lattice.y, origin[1]))):
        offset = supersampling * (start - zero + step * (0.5 - pad) - 0.5)
        positions = inner[..., axis] * np.float32(supersampling * step) + np.float32(offset)
        maps.append(np.asarray(cv2.resize(positions, size), np.float32)[crop])
    return maps[0], maps[1]


def supersample(image: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Enlarge by Lanczos so that sample ``factor * i`` is pixel i exactly: a still mouth then reproduces the photo."""
    return image if factor == 1 else np.asarray(_enlarged(image, factor, cv2.INTER_LANCZOS4), np.uint8)


def supersample_map(positions: Floats, factor: int) -> Floats:
    """Enlarge a sampling map (height, width) linearly in the same way."""
    return np.asarray(_enlarged(positions, factor, cv2.INTER_LINEAR), np.float32)


def _enlarged(image: NDArray[Any], factor: int, interpolation: int) -> NDArray[Any]:
    height, width = image.shape[:2]
    back = np.array([[1 / factor, 0, 0], [0, 1 / factor, 0]])
    size, flags = (width * factor, height * factor), interpolation | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(image, back, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))


def smoothstep(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """0 below 0, 1 above 1, and 3v² - 2v³ between."""
    v = np.clip(value, 0.0, 1.0)
    result: NDArray[np.float64] = v * v * (3.0 - 2.0 * v)
    return result

"""From motions of a few dozen mesh points to dense displacement fields: thin-plate splines on a lattice.

The fields are linear in the motion, so each column of the motion basis becomes one field, once per portrait; a frame is
then one matrix product. There are two fields per column: one follows the upper lip, one the lower lip and the jaw.
They agree on the cheeks and part along the line between the lips.

Bookstein, "Principal Warps: Thin-Plate Splines and the Decomposition of Deformations", PAMI 1989.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipstream.engines.portrait import topology as mesh
from lipstream.engines.portrait.warp import Floats, Lattice, smoothstep

Points = NDArray[np.float64]

SMOOTHING = 2e-3
"""Regularisation of the spline: it may miss noisy landmarks slightly instead of folding."""
WINDOW_IOD = 0.18
"""Width of the ramp to no motion along the edges of the changed region, inter-ocular distances."""
NECK_IOD = 0.42
"""How far below the chin the neck no longer moves, inter-ocular distances."""
TOP_RAMP_IOD = 0.22
"""Height over which the lower field turns into the upper one below the mouth block's top."""
SIDE_RAMP_IOD = 0.15
"""Width over which the upper field turns into the lower one at the mouth block's sides."""

UPPER_POINTS = (*mesh.OUTER_UPPER_LIP, *mesh.INNER_UPPER_LIP)
LOWER_POINTS = (*mesh.OUTER_LOWER_LIP, *mesh.INNER_LOWER_LIP, *mesh.CHIN_PAD)
SIDE_POINTS = tuple(i for i in mesh.JAW if i not in mesh.BELOW_CHIN)


@dataclass(frozen=True)
class Frame:
    """The face's own axes in the picture."""

    scale: float
    """Inter-ocular distance of the canonical face as seen here, pixels."""
    right: Points
    """(2,) unit vector along the mouth, towards the picture's right."""
    down: Points
    """(2,) unit vector towards the chin, at right angles to ``right``."""


class ThinPlate:
    """The thin-plate spline with affine part through values at fixed control points."""

    def __init__(self, control: Points, smoothing: float = SMOOTHING) -> None:
        """``control`` (n, 2), in a unit in which the points are some tenths apart."""
        n = len(control)
        system = np.zeros((n + 3, n + 3))
        system[:n, :n] = _kernel(control, control) + smoothing * np.eye(n)
        system[:n, n:] = np.column_stack([np.ones(n), control])
        system[n:, :n] = system[:n, n:].T
        self._control = control
        self._solution = np.linalg.solve(system, np.eye(n + 3)[:, :n])

    def __call__(self, values: NDArray[np.float64], query: Points) -> NDArray[np.float64]:
        """Values (n, k) at the control points → values (m, k) at ``query`` (m, 2)."""
        weights = self._solution @ values
        n = len(self._control)
        bent: NDArray[np.float64] = _kernel(query, self._control) @ weights[:n]
        bent += weights[n] + query @ weights[n + 1 :]
        return bent


def _kernel(a: Points, b: Points) -> NDArray[np.float64]:
    squared = (a[:, None, 0] - b[None, :, 0]) ** 2 + (a[:, None, 1] - b[None, :, 1]) ** 2
    result: NDArray[np.float64] = 0.5 * squared * np.log(squared + 1e-12)
    return result


class FieldOperators:
    """Maps displacements of the 468 mesh points (pixels) to displacements anywhere, for both layers."""

    def __init__(self, points: Points, frame: Frame, region: Lattice, picture_size: tuple[int, int]) -> None:
        """``points`` (468, 2) pixels, at rest. Motion fades at ``region``'s edges unless they are the picture's."""
        self._frame = frame
        self._region = region
        self._picture_size = picture_size
        self._upper = _unique((*UPPER_POINTS, *SIDE_POINTS, *mesh.RIGID))
        self._lower = _unique((*LOWER_POINTS, *SIDE_POINTS, *mesh.BELOW_CHIN, *mesh.RIGID))
        still = np.concatenate([self._border(), self._neck(points)])
        self._upper_spline = ThinPlate(np.concatenate([points[self._upper], still]) / frame.scale)
        self._lower_spline = ThinPlate(np.concatenate([points[self._lower], still]) / frame.scale)
        self._still = len(still)

    def upper(self, query: Points, motion: Points) -> Points:
        """Displacements of the upper layer, (columns, queries, 2), for mesh motions (columns, 468, 2)."""
        return self._apply(self._upper_spline, motion[:, self._upper], query)

    def lower(self, query: Points, motion: Points) -> Points:
        """Displacements of the lower layer, (columns, queries, 2), for mesh motions (columns, 468, 2)."""
        return self._apply(self._lower_spline, motion[:, self._lower], query)

    def _apply(self, spline: ThinPlate, motion: Points, query: Points) -> Points:
        columns = len(motion)
        moving = motion.transpose(1, 0, 2).reshape(-1, columns * 2)
        values = np.concatenate([moving, np.zeros((self._still, columns * 2))])
        field = spline(values, query / self._frame.scale) * self._window(query)[:, None]
        result: Points = field.reshape(-1, columns, 2).transpose(1, 0, 2)
        return result

    def _border(self) -> Points:
        """Points along the region's edge that do not move."""
        r = self._region
        t = np.linspace(0.0, 1.0, 9)
        x, y = r.x + t * r.width, r.y + t * r.height
        sides = []
        left, top, right, bottom = self._open_sides()
        if not left:
            sides.append(np.column_stack([np.full(9, r.x), y]))
        if not right:
            sides.append(np.column_stack([np.full(9, r.x + r.width), y]))
        if not top:
            sides.append(np.column_stack([x, np.full(9, r.y)]))
        if not bottom:
            sides.append(np.column_stack([x, np.full(9, r.y + r.height)]))
        return np.unique(np.concatenate(sides), axis=0) if sides else np.zeros((0, 2))

    def _neck(self, points: Points) -> Points:
        """Places below the chin that do not move."""
        neck = points[list(mesh.BELOW_CHIN)] + self._frame.down * NECK_IOD * self._frame.scale
        inside = neck[:, 1] < self._region.y + self._region.height - 1
        result: Points = neck[inside]
        return result

    def _open_sides(self) -> tuple[bool, bool, bool, bool]:
        """For left, top, right and bottom: whether this edge of the region is the picture's own edge, so that motion
        there tears nothing apart."""
        r, (width, height) = self._region, self._picture_size
        return r.x <= 0, r.y <= 0, r.x + r.width >= width, r.y + r.height >= height

    def _window(self, query: Points) -> NDArray[np.float64]:
        """1 inside, exactly 0 at the outermost nodes of the region, so that its outermost pixels are left untouched."""
        r, ramp = self._region, WINDOW_IOD * self._frame.scale
        left, top, right, bottom = self._open_sides()
        hold = r.step + 2.0
        weight = np.ones(len(query))
        x, y = query[:, 0], query[:, 1]
        for is_open, distance in (
            (left, x - r.x),
            (top, y - r.y),
            (right, r.x + r.width - x),
            (bottom, r.y + r.height - y),
        ):
            if not is_open:
                weight *= smoothstep((distance - hold) / ramp)
        return weight


def motion_fields(
    operators: FieldOperators, region: Lattice, block: Lattice, motion: Points, scale: float
) -> tuple[Floats, Floats]:
    """Lower and upper displacement fields in units of nodes, (columns, rows, columns of nodes, 2) each.

    They are equal where the layers overlap outside the mouth, so that nothing tears at the block's edges.
    """
    at = region.nodes()
    lower = operators.lower(at, motion)
    to_upper = smoothstep((block.y + TOP_RAMP_IOD * scale - at[:, 1]) / (TOP_RAMP_IOD * scale))
    near = to_upper > 0
    lower[:, near] += to_upper[near, None] * (operators.upper(at[near], motion) - lower[:, near])

    at = block.nodes()
    upper, below = operators.upper(at, motion), operators.lower(at, motion)
    ramp = SIDE_RAMP_IOD * scale
    inside = smoothstep((at[:, 0] - block.x) / ramp) * smoothstep((block.x + block.width - at[:, 0]) / ramp)
    upper = below + inside[:, None] * (upper - below)

    def packed(field: Points, lattice: Lattice) -> Floats:
        return (field / lattice.step).reshape(len(motion), *lattice.shape, 2).astype(np.float32)

    return packed(lower, region), packed(upper, block)


def _unique(indices: tuple[int, ...]) -> list[int]:
    return list(dict.fromkeys(indices))

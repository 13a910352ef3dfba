"""The curve that teeth stand on, as the picture sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lipstream.engines.portrait import teeth
from lipstream.engines.portrait.colour import Values
from lipstream.engines.portrait.lighting import Light
from lipstream.engines.portrait.warp import Floats
from lipstream.face.pose import Pose

WIDTH, DEPTH = 0.40, 0.42
"""Half axes of the ellipse on which the teeth stand, seen from above, IOD."""


@dataclass(frozen=True)
class DentalArch:
    """The visible part of a turned dental arch: arrays (n,) from the picture's left to its right."""

    place: Values
    """Place along the mouth, IOD from its middle."""
    arc: Values
    """Arc length from the midline, IOD."""
    theta: Values
    """Where the teeth face, radians from the face's own straight ahead."""
    pose: Pose

    @classmethod
    def of(cls, pose: Pose, reach: tuple[float, float]) -> DentalArch:
        """The arch of a head. Left and right of the middle of the mouth, teeth show at least as far as ``reach``,
        IOD."""
        theta = np.linspace(-1.5, 1.5, 401)
        x, z = WIDTH * np.sin(theta), DEPTH * (1 - np.cos(theta))
        arc = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(z)))])
        middle = len(theta) // 2
        arc -= arc[middle]
        foreshortening = float(np.hypot(*pose.rotation[:2, 0]))
        recession = float(pose.rotation[:2, 0] @ pose.rotation[:2, 2]) / foreshortening
        seen = x * foreshortening + z * recession
        rising = np.gradient(seen) > 1e-5
        first = middle - int(np.argmin(rising[middle::-1])) + 1 if not rising[: middle + 1].all() else 0
        last = middle + int(np.argmin(rising[middle:])) if not rising[middle:].all() else len(theta)
        # On the far side of a turned head the lips lie close to the teeth, so these reach as far as the mouth does.
        left, right = max(1.0, reach[0] / -seen[first]), max(1.0, reach[1] / seen[last - 1])
        seen = seen * np.where(seen < 0, left, right)
        return cls(seen[first:last], arc[first:last], theta[first:last], pose)

    def at(self, u: Values) -> tuple[Values, Values]:
        """Arc length (IOD) and direction (radians) at places ``u`` along the mouth."""
        return (
            np.interp(u, self.place, self.arc, left=-9.0, right=9.0),
            np.interp(u, self.place, self.theta, left=-1.5, right=1.5),
        )

    def lit(self, row: teeth.Relief, tooth: Values, light: Light, *, upright: bool) -> Floats:
        """A row under a light: (height, width, 4) float32 as the relief, linear BGR premultiplied by coverage.

        ``tooth`` (3,) is the colour of enamel; a row that is not ``upright`` has its edges up.
        """
        theta = np.interp(teeth.columns(), self.arc, self.theta)
        along, down, out = np.moveaxis(row.normal, 2, 0)
        normal = np.stack(
            [
                along * np.cos(theta) + out * np.sin(theta),
                down if upright else -down,
                along * np.sin(theta) - out * np.cos(theta),
            ],
            axis=-1,
        )
        colour = light.on(row.albedo * tooth, normal @ self.pose.rotation.T, row.gloss)
        coverage = row.coverage[..., None]
        return np.concatenate([colour * coverage, coverage], axis=2).astype(np.float32)

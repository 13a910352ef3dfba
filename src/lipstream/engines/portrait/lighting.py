"""The light of one portrait, falling on the surfaces of its mouth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipstream.engines.portrait.colour import Palette, Values

HEIGHT = 0.22
"""How steeply light comes from above: rise over the distance to the picture."""
SIDEWAYS = 0.9
"""The same to the side, per unit of the light's slope across the face."""
AMBIENT = 0.45
"""Part of the light that comes from everywhere."""
WRAPPED = 0.35
"""How far the light reaches around an edge: enamel and flesh let it through."""
GLINT, SHEEN = (0.26, 60.0), (0.08, 10.0)
"""Strength, over the light of the diffuse white, and exponent of the two lobes in which wet surfaces shine."""


@dataclass(frozen=True)
class Light:
    """A soft light from the front and above; axes are the picture's: x right, y down, z away."""

    direction: Values
    """(3,) unit vector towards the light."""
    white: Values
    """(3,) linear BGR of its reflection on something wet."""

    @classmethod
    def of(cls, palette: Palette) -> Light:
        """The light that the portrait's colours suggest."""
        direction = np.array([np.clip(SIDEWAYS * palette.slope, -0.8, 0.8), -HEIGHT, -1.0])
        return cls(direction / np.linalg.norm(direction), palette.tooth)

    def on(self, albedo: NDArray[np.floating], normal: NDArray[np.floating], gloss: NDArray[np.floating]) -> Values:
        """Linear BGR (..., 3) of surfaces that reflect ``albedo`` (..., 3) and face along ``normal`` (..., 3).

        ``gloss`` (...) says how brightly they glint. A surface that faces the viewer shows its albedo.
        """
        facing = np.array([0.0, 0.0, -1.0])
        diffuse = self._diffuse(normal @ self.direction) / self._diffuse(facing @ self.direction)
        half = self.direction + facing
        towards = np.clip(normal @ (half / np.linalg.norm(half)), 0, 1)
        shine = sum(strength * towards**exponent for strength, exponent in (GLINT, SHEEN))
        result: Values = albedo * np.asarray(diffuse)[..., None] + (gloss * shine)[..., None] * self.white
        return result

    @staticmethod
    def _diffuse(cosine: Values) -> Values:
        result: Values = AMBIENT + (1 - AMBIENT) * np.clip((cosine + WRAPPED) / (1 + WRAPPED), 0, 1)
        return result

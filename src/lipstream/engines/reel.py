"""The clip that plays under one performance; every frame that is drawn advances it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lipstream.avatar import Footage
from lipstream.engines.base import NOTHING, Patch
from lipstream.media.clip import ClipReader
from lipstream.media.planes import Planes


class Reel:
    """The position in the clip, which speech and idling share, so that the clip never jumps. Not thread-safe."""

    def __init__(self, footage: Footage, fps: Fraction) -> None:
        """``fps`` is the rate of what is drawn; the clip has its own."""
        self.footage = footage
        self._fps = fps
        self._shown = 0
        self._reader = ClipReader(footage.clip)

    def advance(self) -> int:
        """The clip's frame under the next frame drawn."""
        index = self.footage.clip.index_at(self._shown / self._fps)
        self._shown += 1
        return index

    def planes(self, index: int) -> Planes:
        """A frame of the clip as the encoder wants it."""
        return self._reader.planes(index)

    def picture(self, index: int) -> NDArray[np.uint8]:
        """A frame of the clip, (height, width, 3) BGR."""
        return self._reader.picture(index)

    def unchanged(self, index: int) -> Patch:
        """A frame of the clip, unchanged."""
        return Patch(0, 0, NOTHING, self.planes(index))

"""The pictures in which the network draws speech: one portrait, or the frames of a clip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lipstream.cache import PreparedCache
from lipstream.engines.base import Patch
from lipstream.engines.reel import Reel
from lipstream.engines.wav2lip.blend import Compositor
from lipstream.engines.wav2lip.network import Shares
from lipstream.face.mesh import Face

SCENES_BYTES = 160 * 2**20
"""Memory for the prepared frames of one clip, bytes: enough for about ninety frames of a face 90 pixels wide. Others
are prepared again each time they are played, which takes as long as drawing them."""


@dataclass(frozen=True, eq=False)
class Scene:
    """One picture with its face encoded. Immutable."""

    shares: Shares
    compositor: Compositor

    @property
    def nbytes(self) -> int:
        """Encoded face and mask, bytes."""
        return sum(share.nbytes for share in self.shares.values()) + self.compositor.nbytes


SceneCache = PreparedCache[int, Scene | None]
"""Scenes by the number of their frame."""
MakeScene = Callable[[NDArray[np.uint8], Face], Scene | None]
"""From a picture, (height, width, 3) BGR, and its face; None when too little of the face is in the picture."""


class Scenes(Protocol):
    """The scenes of one performance, one after another. Not thread-safe."""

    def advance(self) -> int:
        """The position of the next frame."""
        ...

    def at(self, place: int) -> Scene | None:
        """The scene of a frame; None = no face."""
        ...

    def rest(self, place: int) -> Patch:
        """The frame without speech."""
        ...

    def framed(self, patch: Patch, place: int) -> Patch:
        """The frame with the patch of a compositor."""
        ...


class OneScene:
    """A still portrait."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def advance(self) -> int:
        """See :class:`Scenes`."""
        return 0

    def at(self, place: int) -> Scene:  # noqa: ARG002
        """See :class:`Scenes`."""
        return self._scene

    def rest(self, place: int) -> Patch:  # noqa: ARG002
        """See :class:`Scenes`."""
        return self._scene.compositor.rest

    def framed(self, patch: Patch, place: int) -> Patch:  # noqa: ARG002
        """See :class:`Scenes`."""
        return patch


class ClipScenes:
    """The frames of a clip, each prepared when it is first needed for speech."""

    def __init__(self, reel: Reel, cache: SceneCache, make: MakeScene) -> None:
        self._reel = reel
        self._cache = cache
        self._make = make

    def advance(self) -> int:
        """See :class:`Scenes`."""
        return self._reel.advance()

    def at(self, place: int) -> Scene | None:
        """See :class:`Scenes`."""
        face = self._reel.footage.faces[place]
        if face is None:
            return None
        return self._cache.get(place, lambda: self._make(self._reel.picture(place), face))

    def rest(self, place: int) -> Patch:
        """See :class:`Scenes`."""
        return self._reel.unchanged(place)

    def framed(self, patch: Patch, place: int) -> Patch:
        """See :class:`Scenes`."""
        return replace(patch, background=self._reel.planes(place))

    def fill(self) -> None:
        """Prepare as many frames from the beginning as are kept, for callers that cannot wait in the middle."""
        prepared = 0
        for place in range(len(self._reel.footage.clip)):
            scene = self.at(place)
            prepared += scene.nbytes if scene else 0
            if prepared > SCENES_BYTES:
                return


def compact(scene: Scene) -> Scene:
    """The scene in less memory, with shares in half precision; pictures change by at most a quarter of a grey level."""
    return replace(scene, shares={name: share.astype(np.float16) for name, share in scene.shares.items()})

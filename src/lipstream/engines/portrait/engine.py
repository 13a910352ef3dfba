"""The built-in engine: any portrait speaks, without a checkpoint and without a GPU.

    speech → motion.MotionStream → style.Style → renderer.Renderer → Patch

The motion model and all that depends on the portrait are prepared once; a frame is two matrix products and two image
warps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lipstream.avatar import Avatar
from lipstream.engines.base import Patch
from lipstream.engines.portrait.motion import Motion, MotionModel
from lipstream.engines.portrait.phones import AcousticModel
from lipstream.engines.portrait.renderer import Renderer
from lipstream.engines.portrait.rig import Rig, build_rig, mesh_columns
from lipstream.engines.portrait.style import MouthPose, Style, motion_vectors
from lipstream.models.assets import PHONE_MEANS, PHONE_SENDUMP, PHONE_VARIANCES
from lipstream.models.store import ModelStore


class PortraitEngine:
    """Makes photographs and paintings speak. Immutable; one per process."""

    name = "portrait"

    def __init__(self, model: MotionModel) -> None:
        self._model = model

    @classmethod
    def load(cls, store: ModelStore) -> PortraitEngine:
        """Read the acoustic model and the motion weights. Raises :class:`lipstream.errors.ModelError`."""
        means, variances, sendump = (store.path(asset) for asset in (PHONE_MEANS, PHONE_VARIANCES, PHONE_SENDUMP))
        return cls(MotionModel.load(AcousticModel.load(means, variances, sendump)))

    @property
    def lookahead(self) -> Fraction:
        """Audio a frame needs beyond its own time, in seconds."""
        return self._model.lookahead

    def prepare(self, avatar: Avatar) -> PortraitActor:
        """Cut the portrait into layers and paint its mouth: a tenth of a second to half a second."""
        points, vectors = motion_vectors(self._model.basis)
        rig = build_rig(avatar, mesh_columns(points, vectors, avatar.face))
        return PortraitActor(avatar, self._model, rig, Style(self._model.basis, avatar.face))


@dataclass(frozen=True, eq=False)
class PortraitActor:
    """One prepared portrait. Immutable; holds no state of any performance, so threads may share it."""

    avatar: Avatar
    """The portrait."""
    model: MotionModel
    """What turns speech into motion."""
    rig: Rig
    """What turns motion into pixels."""
    style: Style
    """How this face moves."""

    def perform(self, fps: Fraction) -> PortraitPerformance:
        """Begin an utterance at ``fps`` frames per second."""
        return PortraitPerformance(self, fps)

    @property
    def rest(self) -> Patch:
        """The mouth before, between and after words: closed. On a smiling portrait it differs from the picture."""
        return _patch(self.rig, Renderer(self.rig), MouthPose.rest(self.rig.columns))


class PortraitPerformance:
    """One utterance of one portrait. Not thread-safe."""

    def __init__(self, actor: PortraitActor, fps: Fraction) -> None:
        self._actor = actor
        self._stream = actor.model.listen(fps)
        self._renderer = Renderer(actor.rig)

    def push(self, speech: NDArray[np.float32]) -> Iterator[Patch]:
        """Hear (n,) float32 at 16 kHz; give the frames that are certain now, each drawn when it is asked for."""
        return self._draw(self._stream.push(speech))

    def finish(self, frames: int) -> Iterator[Patch]:
        """The audio is over: give the rest, so that there are ``frames`` in all."""
        return self._draw(self._stream.finish(frames))

    def _draw(self, motion: Motion) -> Iterator[Patch]:
        for frame in range(len(motion)):
            pose = self._actor.style.pose(
                motion.coefficients[frame],
                float(motion.closed[frame]),
                float(motion.lip_bite[frame]),
                float(motion.tongue[frame]),
                float(motion.speech[frame]),
            )
            yield _patch(self._actor.rig, self._renderer, pose)


def _patch(rig: Rig, renderer: Renderer, pose: MouthPose) -> Patch:
    return Patch(rig.region.x, rig.region.y, renderer.draw(pose))

"""The built-in engine: any portrait speaks, without a checkpoint and without a GPU.

    speech → motion.MotionStream → style.Style → easing.Glow → easing.Ease → renderer.Renderer → Patch

The motion model, and everything that depends on the portrait, are prepared once; a frame is two matrix products and two
image warps. living.LivingRenderer draws portraits that also sway, breathe and blink; clip.ClipRenderer draws clips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lipstream.avatar import Avatar, require_upright_front
from lipstream.cache import held_bytes
from lipstream.engines.base import Liveliness, Patch, still
from lipstream.engines.portrait.clip import ClipRenderer, ClipStage
from lipstream.engines.portrait.easing import Ease, Glow
from lipstream.engines.portrait.living import Life, LivingRenderer, prepare_life
from lipstream.engines.portrait.motion import Motion, MotionModel, MotionStream
from lipstream.engines.portrait.phones import AcousticModel, acquaint
from lipstream.engines.portrait.renderer import Renderer
from lipstream.engines.portrait.rig import Rig, build_rig, mesh_columns
from lipstream.engines.portrait.style import MouthPose, Style, motion_vectors
from lipstream.engines.portrait.voice import Voice
from lipstream.engines.reel import Reel
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
        return cls(load_motion_model(store))

    @property
    def lookahead(self) -> Fraction:
        """Audio a frame needs beyond its own time, in seconds."""
        return self._model.lookahead

    def prepare(self, avatar: Avatar) -> PortraitActor:
        """Cut the portrait into layers and paint its mouth, which takes 0.1 to 0.5 s.

        For a clip, this is done with its best frame; the other frames are prepared when they are first drawn. Raises
        :class:`lipstream.errors.FaceError` (``face_turned``, ``face_cut_off``).
        """
        require_upright_front(avatar)
        points, vectors = motion_vectors(self._model.basis)
        rig = build_rig(avatar, mesh_columns(points, vectors, avatar.face))
        stage = ClipStage(avatar, avatar.footage, rig) if avatar.footage else None
        return PortraitActor(avatar, self._model, rig, Style(self._model.basis, avatar.face), stage)


def load_motion_model(store: ModelStore) -> MotionModel:
    """What turns speech into motion. Raises :class:`lipstream.errors.ModelError`."""
    means, variances, sendump = (store.path(asset) for asset in (PHONE_MEANS, PHONE_VARIANCES, PHONE_SENDUMP))
    return MotionModel.load(AcousticModel.load(means, variances, sendump))


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
    stage: ClipStage | None = None
    """What its performances share, if it is a clip."""

    @cached_property
    def life(self) -> Life:
        """What it needs to sway, breathe and blink; prepared on first use."""
        return prepare_life(self.avatar, self.rig)

    @property
    def nbytes(self) -> int:
        """Memory of picture and layers, bytes. What :attr:`life` adds is of the same order."""
        return held_bytes(self.avatar) + held_bytes(self.rig) + (self.stage.nbytes if self.stage else 0)

    def perform(
        self,
        fps: Fraction,
        life: Callable[[], Liveliness] = still,
        *,
        batch: int = 1,
    ) -> PortraitPerformance:
        """Begin an utterance at ``fps`` frames per second. The sound of ``batch`` frames may be processed together;
        they are drawn one by one. ``life`` is called once per frame drawn, but not for a clip, whose head moves
        anyway."""
        return PortraitPerformance(self, fps, life, batch)

    @property
    def rest(self) -> Patch:
        """The mouth before, between and after words: closed. On a smiling portrait it differs from the picture."""
        return Patch(self.rig.region.x, self.rig.region.y, Renderer(self.rig).draw(MouthPose.rest(self.rig.columns)))


class PortraitPerformance:
    """One utterance after another of one portrait. Not thread-safe."""

    knows_voices = True

    def __init__(
        self, actor: PortraitActor, fps: Fraction, life: Callable[[], Liveliness] = still, batch: int = 1
    ) -> None:
        self._actor = actor
        self._fps = fps
        self._batch = batch
        self._stream = actor.model.listen(fps, batch)
        self._glow = Glow(fps)
        self._life = life
        self._draw = _drawing(actor, fps, life)
        self._ease = Ease(MouthPose.rest(actor.rig.columns), fps)
        self._heard = 0
        # The frame that would follow the last one without a jump: its stream (None while idle) and its number in it.
        self._next: tuple[MotionStream | None, int] = (self._stream, 0)

    def meet(self, speech: NDArray[np.float32]) -> None:
        """See :class:`lipstream.engines.base.Performance`."""
        follows = self._next == (self._stream, 0)
        self._listen(acquaint(speech))
        if follows:
            self._next = (self._stream, 0)

    def push(self, speech: NDArray[np.float32]) -> Iterator[Patch]:
        """Hear (n,) float32 at 16 kHz; give the frames that are certain now, each drawn when it is asked for."""
        motion = self._stream.push(speech)
        first, self._heard = self._heard, self._heard + len(motion)
        return self._frames(motion, self._stream, self._glow, first)

    def finish(self, frames: int) -> Iterator[Patch]:
        """The audio is over: give the rest, so that there are ``frames`` in all of this utterance."""
        rest = self._frames(self._stream.finish(frames), self._stream, self._glow, self._heard)
        self.clear()
        return rest

    def clear(self) -> None:
        """Forget the audio heard; what is pushed next begins another utterance, most likely in the same voice."""
        self._listen(self._stream.voice)

    def _listen(self, voice: Voice) -> None:
        self._stream = self._actor.model.listen(self._fps, self._batch, voice)
        self._glow = Glow(self._fps)
        self._heard = 0

    def idle(self) -> Patch:
        """One frame without speech: the mouth eases from what was drawn last to rest."""
        jump = self._next[0] is not None
        self._next = (None, 0)
        return self._draw(self._ease.towards(MouthPose.rest(self._actor.rig.columns), jump=jump))

    def _frames(self, motion: Motion, stream: MotionStream, glow: Glow, first: int) -> Iterator[Patch]:
        for frame in range(len(motion)):
            pose = self._actor.style.pose(
                motion.coefficients[frame],
                float(motion.closed[frame]),
                float(motion.lip_bite[frame]),
                float(motion.dental[frame]),
                float(motion.tongue[frame]),
            )
            jump = self._next != (stream, first + frame)
            self._next = (stream, first + frame + 1)
            yield self._draw(self._ease.towards(glow.on(pose), jump=jump))


def _drawing(actor: PortraitActor, fps: Fraction, life: Callable[[], Liveliness]) -> Callable[[MouthPose], Patch]:
    """How this actor's frames are drawn; without life, no moving head is needed."""
    if actor.stage:
        return ClipRenderer(actor.stage, actor.rig, Reel(actor.stage.footage, fps)).draw
    if life is still:
        region, renderer = actor.rig.region, Renderer(actor.rig)
        return lambda pose: Patch(region.x, region.y, renderer.draw(pose))
    living = LivingRenderer(actor.rig, actor.life)
    return lambda pose: living.draw(pose, life())

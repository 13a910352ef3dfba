"""The engine ``wav2lip``: the face is encoded once per avatar, every frame is one mel window through the decoder."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.avatar import Avatar
from lipstream.cache import PreparedCache
from lipstream.engines.base import Liveliness, still
from lipstream.engines.reel import Reel
from lipstream.engines.wav2lip.architecture import MEL_BANDS, WINDOW_COLUMNS
from lipstream.engines.wav2lip.blend import Blend, Compositor, FullBox, LowerFace
from lipstream.engines.wav2lip.box import DEFAULT_PADS, Box, Pads, carry, face_box
from lipstream.engines.wav2lip.imported import import_checkpoint
from lipstream.engines.wav2lip.mel import LOOKAHEAD, MAX_VALUE
from lipstream.engines.wav2lip.network import Device, GeneratorNetwork, Shares
from lipstream.engines.wav2lip.performance import Wav2LipPerformance
from lipstream.engines.wav2lip.scenes import (
    SCENES_BYTES,
    ClipScenes,
    OneScene,
    Scene,
    SceneCache,
    Scenes,
    compact,
)
from lipstream.engines.wav2lip.tiles import open_network
from lipstream.enhance.imported import Step, no_report
from lipstream.enhance.segmentation import FaceParser
from lipstream.enhance.upscaling import Upscaler
from lipstream.errors import FaceError, RequestError
from lipstream.face.alignment import FaceAlignmentDetector
from lipstream.face.mesh import Face

CPU_BATCH = 8
"""Windows per network call on the CPU where nobody waits for single frames; more would not be faster. Smaller batches
are computed one by one, because every batch size needs a plan of its own, which takes memory."""
GPU_BATCH = 128
"""Most windows per network call on a GPU."""


@dataclass(frozen=True)
class Options:
    """How to prepare one avatar; these are documented request fields."""

    pads: Pads = DEFAULT_PADS
    """Pixels added to the face box: top, bottom, left, right."""
    img_size: int | None = None
    """The picture size that the user expects of the checkpoint, pixels; None if there is no expectation."""
    segmentation: bool = True
    """Use the face parser, if there is one."""
    super_resolution: bool = True
    """Use the upscaler, if there is one."""


@dataclass(frozen=True)
class Enhancements:
    """Optional models; each works without the others."""

    parser: FaceParser | None = None
    """Keeps what is not skin, lips or mouth out of the replaced part."""
    upscaler: Upscaler | None = None
    """Enlarges the network's pictures before they are blended in."""
    detector: FaceAlignmentDetector | None = None
    """Gives the face box as the original does; without it the mesh does."""


NOTHING_MORE = Enhancements()
DEFAULT_OPTIONS = Options()


class Wav2LipEngine:
    """Wav2Lip with one checkpoint, loaded. Thread-safe."""

    name = "wav2lip"
    lookahead = LOOKAHEAD

    def __init__(
        self,
        network: GeneratorNetwork,
        *,
        checkpoint: str,
        blend: Blend = "lower",
        enhancements: Enhancements = NOTHING_MORE,
    ) -> None:
        """``checkpoint`` is the name of the file, for messages."""
        self._network = network
        self._enhancements = enhancements
        self._checkpoint = checkpoint
        self._blend: Blend = blend

    @classmethod
    def load(
        cls,
        checkpoint: Path,
        cache: Path,
        *,
        device: Device = "cpu",
        blend: Blend = "lower",
        threads: int | None = None,
        precise: bool | None = None,
        enhancements: Enhancements = NOTHING_MORE,
        on_progress: Step = no_report,
    ) -> Wav2LipEngine:
        """Import the checkpoint if that has not been done, and load it.

        ``threads`` per network call, all cores when None; ``precise`` see
        :func:`lipstream.engines.wav2lip.tiles.open_network`.
        Raises :class:`ModelError` as :func:`lipstream.engines.wav2lip.imported.import_checkpoint` does.
        """
        model = import_checkpoint(checkpoint, cache, on_progress)
        network = open_network(
            model,
            mouth_only=blend == "lower",
            device=device,
            threads=threads or os.cpu_count() or 1,
            precise=precise,
        )
        return cls(network, checkpoint=checkpoint.name, blend=blend, enhancements=enhancements)

    @property
    def img_size(self) -> int:
        """Side of the network's pictures, pixels."""
        return self._network.side

    @property
    def device(self) -> Device:
        """Where it actually runs, which may differ from what was asked for."""
        return self._network.device

    def check_size(self, img_size: int | None) -> None:
        """Check that the checkpoint has the picture size that the user expects; None passes always.

        Raises :class:`RequestError` (``bad_field``).
        """
        side = self._network.side
        if img_size is not None and img_size != side:
            raise RequestError(
                "bad_field",
                f'"img_size" is {img_size}, but the checkpoint {self._checkpoint} works at {side}. Use {side}.',
            )

    def prepare(self, avatar: Avatar, options: Options = DEFAULT_OPTIONS) -> Wav2LipActor:
        """Encode the avatar's face, and parse it if there is a parser. For a clip, this is done with its best frame;
        the other frames follow when they are first needed for speech.

        Raises what :meth:`check_size` raises, and :class:`FaceError` (``no_face``) when the pads leave nothing of the
        face.
        """
        self.check_size(options.img_size)
        detector = self._enhancements.detector
        detected = detector.box(avatar.picture, near=avatar.face.box) if detector else None
        encoder = self._network.encoder()

        def make(picture: NDArray[np.uint8], face: Face) -> Scene:
            # For all frames of a clip, a detector would take minutes. So its box is moved along with the mesh.
            carried = detected and carry(detected, avatar.face, face)
            box = face_box(face, picture.shape, options.pads, carried)
            shares = encoder(network_face(picture, box, self._network.side))
            return Scene(shares, self._compositor(picture, face, box, shares, options))

        return Wav2LipActor(avatar, self._network, make, self._blend)

    def _compositor(
        self, picture: NDArray[np.uint8], face: Face, box: Box, shares: Shares, options: Options
    ) -> Compositor:
        parser = self._enhancements.parser if options.segmentation else None
        replaceable = parser.mask(picture, face) if parser else None
        upscaler = self._enhancements.upscaler if options.super_resolution else None
        if self._blend == "full":
            return FullBox(picture, box, replaceable=replaceable, upscaler=upscaler)
        window = np.full((1, MEL_BANDS, WINDOW_COLUMNS), -MAX_VALUE, np.float32)
        (silent,) = self._network.generate(window, shares, batch=1)
        return LowerFace(
            picture,
            face,
            box,
            self._network.side,
            self._network.first_row,
            silent,
            replaceable=replaceable,
            upscaler=upscaler,
        )


class Wav2LipActor:
    """An avatar whose face is encoded. Immutable and safe to share between threads."""

    def __init__(
        self,
        avatar: Avatar,
        network: GeneratorNetwork,
        make: Callable[[NDArray[np.uint8], Face], Scene],
        blend: Blend,
    ) -> None:
        """``make`` prepares one picture with its face."""
        self.avatar = avatar
        self._network = network
        self._blend: Blend = blend
        self._scene = make(avatar.picture, avatar.face)
        if avatar.footage:
            self._make = make
            self._cache: SceneCache = PreparedCache(SCENES_BYTES, lambda scene: scene.nbytes if scene else 0)

    @property
    def nbytes(self) -> int:
        """Memory of picture, encoded face and mask, bytes; for a clip, the most that all of its frames may take."""
        footage = self.avatar.footage
        size = self.avatar.picture.nbytes + self._scene.nbytes
        return size + (footage.nbytes + min(SCENES_BYTES, len(footage.clip) * self._scene.nbytes) if footage else 0)

    def perform(
        self,
        fps: Fraction,
        life: Callable[[], Liveliness] = still,  # noqa: ARG002  the network draws mouths only
        *,
        batch: int = 1,
    ) -> Wav2LipPerformance:
        """Begin an utterance. ``life`` is not used.

        ``batch`` is how many frames may be held back: with 1, each frame is given as soon as its audio is there; more
        are computed together in less time. On the CPU it is rounded down to :data:`CPU_BATCH` or 1. A caller that takes
        single frames of a clip cannot wait in the middle either, so in that case the frames of the clip are prepared
        here.
        """
        if self._network.device == "cpu":
            batch = CPU_BATCH if batch >= CPU_BATCH else 1
        # The original never shows the photo's own mouth, so neither does the mode that reproduces it.
        gated = self._blend == "lower"
        return Wav2LipPerformance(
            self._network, self._scenes(fps, batch), fps, gated=gated, batch=max(1, min(batch, GPU_BATCH))
        )

    def _scenes(self, fps: Fraction, batch: int) -> Scenes:
        if self.avatar.footage is None:
            return OneScene(self._scene)
        scenes = ClipScenes(Reel(self.avatar.footage, fps), self._cache, self._clip_scene)
        if batch == 1:
            scenes.fill()
        return scenes

    def _clip_scene(self, picture: NDArray[np.uint8], face: Face) -> Scene | None:
        try:
            return compact(self._make(picture, face))
        except FaceError:  # at the picture's edge
            return None


def network_face(picture: NDArray[np.uint8], box: Box, side: int) -> NDArray[np.float32]:
    """The network's view of a face, (6, side, side) BGR in [0, 1]: with its lower half black, then whole."""
    face = cv2.resize(box.cut(picture), (side, side)).astype(np.float32) / np.float32(255.0)
    masked = face.copy()
    masked[side // 2 :] = 0.0
    return np.ascontiguousarray(np.concatenate([masked, face], axis=2).transpose(2, 0, 1))

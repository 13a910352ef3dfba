"""The engine ``wav2lip``: the face is encoded once per avatar, every frame is one mel window through the decoder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.avatar import Avatar
from lipstream.engines.base import Liveliness, Patch, still
from lipstream.engines.wav2lip.architecture import MEL_BANDS, WINDOW_COLUMNS
from lipstream.engines.wav2lip.blend import Blend, Compositor, FullBox, LowerFace
from lipstream.engines.wav2lip.box import DEFAULT_PADS, Box, Pads, face_box
from lipstream.engines.wav2lip.imported import Progress, import_checkpoint, no_report
from lipstream.engines.wav2lip.mel import LOOKAHEAD, MAX_VALUE, WindowStream
from lipstream.engines.wav2lip.network import Device, GeneratorNetwork, Shares
from lipstream.engines.wav2lip.silence import SpeechGate, fade_step
from lipstream.enhance.segmentation import FaceParser
from lipstream.enhance.upscaling import Upscaler
from lipstream.errors import RequestError
from lipstream.face.alignment import FaceAlignmentDetector

CPU_BATCH = 8
"""Windows per network call on the CPU when there is no hurry; more would be no faster. Fewer than that are taken one by
one: every number has a plan of its own, which takes memory."""
GPU_BATCH = 128
"""Most windows per network call on a GPU."""


@dataclass(frozen=True)
class Options:
    """How one avatar is to be prepared; the documented request fields."""

    pads: Pads = DEFAULT_PADS
    """Pixels added to the face box: top, bottom, left, right."""
    img_size: int | None = None
    """What the user believes the checkpoint's picture size to be; None believes nothing."""
    segmentation: bool = True
    """Use the face parser, if there is one."""
    super_resolution: bool = True
    """Use the upscaler, if there is one."""


@dataclass(frozen=True)
class Enhancements:
    """Further models; each works without the others."""

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
        precise: bool = True,
        enhancements: Enhancements = NOTHING_MORE,
        on_progress: Progress = no_report,
    ) -> Wav2LipEngine:
        """Import the checkpoint if that has not been done, and load it.

        ``threads`` per network call, all cores when None; ``precise`` see :class:`GeneratorNetwork`.
        Raises :class:`ModelError` as :func:`lipstream.engines.wav2lip.imported.import_checkpoint` does.
        """
        model = import_checkpoint(checkpoint, cache, on_progress)
        network = GeneratorNetwork(
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
        """Where it really runs."""
        return self._network.device

    def check_size(self, img_size: int | None) -> None:
        """See that the checkpoint has the picture size a user believes it to have; None believes nothing.

        Raises :class:`RequestError` (``bad_field``).
        """
        side = self._network.side
        if img_size is not None and img_size != side:
            raise RequestError(
                "bad_field",
                f'"img_size" is {img_size}, but the checkpoint {self._checkpoint} works at {side}. Use {side}.',
            )

    def prepare(self, avatar: Avatar, options: Options = DEFAULT_OPTIONS) -> Wav2LipActor:
        """Encode the avatar's face, and parse it if there is a parser.

        Raises what :meth:`check_size` raises, and :class:`FaceError` (``no_face``) when the pads leave nothing of the
        face.
        """
        self.check_size(options.img_size)
        detector = self._enhancements.detector
        detected = detector.box(avatar.picture, near=avatar.face.box) if detector else None
        box = face_box(avatar.face, avatar.picture.shape, options.pads, detected)
        shares = self._network.encode(network_face(avatar.picture, box, self._network.side))
        compositor = self._compositor(avatar, box, shares, options)
        return Wav2LipActor(avatar, self._network, shares, compositor, self._blend)

    def _compositor(self, avatar: Avatar, box: Box, shares: Shares, options: Options) -> Compositor:
        if self._blend == "full":
            return FullBox(avatar.picture, box)
        window = np.full((1, MEL_BANDS, WINDOW_COLUMNS), -MAX_VALUE, np.float32)
        (silent,) = self._network.generate(window, shares, batch=1)
        parser = self._enhancements.parser if options.segmentation else None
        return LowerFace(
            avatar.picture,
            avatar.face,
            box,
            self._network.side,
            self._network.first_row,
            silent,
            replaceable=parser.mask(avatar.picture, avatar.face) if parser else None,
            upscaler=self._enhancements.upscaler if options.super_resolution else None,
        )


class Wav2LipActor:
    """An avatar whose face is encoded. Immutable and safe to share between threads."""

    def __init__(
        self, avatar: Avatar, network: GeneratorNetwork, shares: Shares, compositor: Compositor, blend: Blend
    ) -> None:
        self.avatar = avatar
        self._network = network
        self._shares = shares
        self._compositor = compositor
        self._blend: Blend = blend

    @property
    def nbytes(self) -> int:
        """Picture, encoded face and mask, bytes."""
        shares = sum(share.nbytes for share in self._shares.values())
        return self.avatar.picture.nbytes + shares + self._compositor.nbytes

    def perform(
        self,
        fps: Fraction,
        life: Callable[[], Liveliness] = still,  # noqa: ARG002  the network draws mouths only
        *,
        batch: int = 1,
    ) -> Wav2LipPerformance:
        """Begin an utterance. ``life`` is not asked.

        ``batch`` is how many frames the caller is ready to wait for: 1 gives each as soon as its audio is there,
        more are computed together in less time. On the CPU that is 1 or :data:`CPU_BATCH`, what is nearest below.
        """
        if self._network.device == "cpu":
            batch = CPU_BATCH if batch >= CPU_BATCH else 1
        # The original never holds the photo's mouth, so neither does its parity mode.
        gated = self._blend == "lower"
        return Wav2LipPerformance(
            self._network, self._shares, self._compositor, fps, gated=gated, batch=max(1, min(batch, GPU_BATCH))
        )


@dataclass
class _Utterance:
    """What is known of one utterance so far."""

    windows: WindowStream
    """Its audio for the network."""
    gate: SpeechGate | None
    """Its audio for the cross-fade; None = the network's mouth always."""
    waiting: list[tuple[NDArray[np.float32], float]] = field(default_factory=list)
    """Windows not drawn yet, with the weights of their frames."""
    frames: int = 0
    """Frames drawn or waiting."""


class Wav2LipPerformance:
    """See :class:`lipstream.engines.base.Performance`. Not thread-safe."""

    def __init__(
        self,
        network: GeneratorNetwork,
        shares: Shares,
        compositor: Compositor,
        fps: Fraction,
        *,
        gated: bool,
        batch: int,
    ) -> None:
        self._network = network
        self._shares = shares
        self._compositor = compositor
        self._fps = fps
        self._gated = gated
        self._batch = batch
        self._drawn: NDArray[np.float32] | None = None  # the network's rows in the last frame
        self._weight = 0.0  # of those rows in the last frame
        self._utterance = self._begin()

    def _begin(self, weight: float = 0.0) -> _Utterance:
        return _Utterance(WindowStream(self._fps), SpeechGate(self._fps, weight) if self._gated else None)

    def push(self, speech: NDArray[np.float32]) -> Iterator[Patch]:
        """See :class:`lipstream.engines.base.Performance`."""
        utterance = self._utterance
        if utterance.gate is not None:
            utterance.gate.push(speech)
        return self._draw(utterance, utterance.windows.push(speech))

    def finish(self, frames: int) -> Iterator[Patch]:
        """See :class:`lipstream.engines.base.Performance`. The last frame shows the photo's own mouth."""
        utterance, self._utterance = self._utterance, self._begin()
        return self._draw(utterance, utterance.windows.finish(frames), frames)

    def clear(self) -> None:
        """See :class:`lipstream.engines.base.Performance`."""
        self._utterance = self._begin(self._weight)

    def idle(self) -> Patch:
        """See :class:`lipstream.engines.base.Performance`."""
        self._weight = max(0.0, self._weight - fade_step(self._fps))
        if self._utterance.gate is not None:
            self._utterance.gate.weight = self._weight
        if self._drawn is None or self._weight == 0.0:
            return self._compositor.rest
        return self._compositor.compose(self._drawn, self._weight)

    def _draw(
        self, utterance: _Utterance, windows: Iterator[NDArray[np.float32]], total: int | None = None
    ) -> Iterator[Patch]:
        """Frames for these windows, by the batch; with ``total``, those of an unfilled batch too."""
        for window in windows:
            utterance.frames += 1
            weight = 1.0
            if utterance.gate is not None:
                weight = utterance.gate.next_weight(None if total is None else total - utterance.frames)
            utterance.waiting.append((window, weight))
            if len(utterance.waiting) == self._batch:
                yield from self._show(utterance)
        if total is not None:
            yield from self._show(utterance)

    def _show(self, utterance: _Utterance) -> Iterator[Patch]:
        waiting, utterance.waiting = utterance.waiting, []
        heard = [window for window, weight in waiting if weight > 0.0]
        pictures = iter(self._network.generate(np.stack(heard), self._shares, self._batch) if heard else ())
        for _, self._weight in waiting:
            if self._weight > 0.0:
                self._drawn = next(pictures)
                yield self._compositor.compose(self._drawn, self._weight)
            else:
                yield self._compositor.rest


def network_face(picture: NDArray[np.uint8], box: Box, side: int) -> NDArray[np.float32]:
    """The network's view of a face, (6, side, side) BGR in [0, 1]: lower half black, then all of it."""
    face = cv2.resize(box.cut(picture), (side, side)).astype(np.float32) / np.float32(255.0)
    masked = face.copy()
    masked[side // 2 :] = 0.0
    return np.ascontiguousarray(np.concatenate([masked, face], axis=2).transpose(2, 0, 1))

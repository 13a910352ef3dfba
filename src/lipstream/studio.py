"""The studio: everything loaded once, ready to turn a picture and a recording into a talking video.

This is what the server, the command line and programs use; it knows no web framework.

    studio = Studio.open(Settings())
    mp4 = studio.render(Job(image=portrait_bytes, audio=speech_bytes))
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from lipstream.avatar import Avatar, picture_digest
from lipstream.cache import PreparedCache, held_bytes
from lipstream.config import MIB, Settings
from lipstream.engines.base import SPEECH_RATE, Actor, Engine
from lipstream.engines.portrait.engine import PortraitEngine
from lipstream.errors import EngineError, FaceError
from lipstream.face.finder import FaceFinder
from lipstream.media.audio import open_recording
from lipstream.media.image import decode_picture
from lipstream.media.mux import Encoding
from lipstream.models.assets import SAMPLE_PORTRAIT
from lipstream.models.store import ModelStore
from lipstream.render import Progress, render
from lipstream.session import Session

EngineName = Literal["auto", "portrait", "wav2lip"]

MAX_YAW = 40.0
"""A head turned further shows too little of the far side of the mouth to animate it; degrees."""


@dataclass(frozen=True)
class Job:
    """One picture, one recording, and how they are wanted. The documented fields and their documented defaults."""

    image: bytes
    """The portrait, in any format Pillow reads."""
    audio: bytes
    """The recording, in any format FFmpeg decodes."""
    fps: Fraction = Fraction(25)
    """Frames per second of the video, 1 to 60."""
    engine: EngineName = "auto"
    """``auto`` is wav2lip when its checkpoint is there, else portrait."""
    pads: tuple[int, int, int, int] = (0, 10, 0, 0)
    """Pixels added to the face box: top, bottom, left, right. Used by wav2lip."""
    img_size: int = 96
    """Side of the network's picture, pixels. Used by wav2lip."""
    batch_size: int = 128
    """Frames per network call. Used by wav2lip."""
    no_segmentation: bool = False
    """Leave the face-segmentation model out. Used by wav2lip."""
    no_sr: bool = False
    """Leave the super-resolution model out. Used by wav2lip."""


class Studio:
    """Loaded engines and prepared avatars. Thread-safe: several threads may render at once."""

    def __init__(
        self,
        finder: FaceFinder,
        engines: list[Engine],
        settings: Settings,
        *,
        rehearsal: bytes | None = None,
    ) -> None:
        """``rehearsal`` is a portrait that :meth:`warm_up` may use."""
        self._finder = finder
        self._engines = {engine.name: engine for engine in engines}
        self._settings = settings
        self._rehearsal = rehearsal
        self._encoding = Encoding(preset=settings.preset, crf=settings.crf)
        self._actors: PreparedCache[tuple[str, str], Actor] = PreparedCache(settings.avatar_cache_mb * MIB, held_bytes)

    @classmethod
    def open(cls, settings: Settings) -> Studio:
        """Load every model that is there. Raises :class:`lipstream.errors.ModelError` when a needed one is not."""
        store = ModelStore(cache=settings.cache_dir, checkpoints=settings.checkpoints_dir)
        finder = FaceFinder.load(store)
        sample = store.status(SAMPLE_PORTRAIT)
        rehearsal = sample.path.read_bytes() if sample.state == "present" and sample.path else None
        return cls(finder, [PortraitEngine.load(store)], settings, rehearsal=rehearsal)

    @property
    def engines(self) -> list[str]:
        """Names of the engines that can run here; ``auto`` takes wav2lip when it is among them."""
        return sorted(self._engines)

    def warm_up(self) -> None:
        """Run one tiny real job, so that the first user does not pay for what happens only once."""
        self._finder.find(np.full((64, 64, 3), 127, np.uint8))
        if self._rehearsal:
            actor = self._choose("auto").prepare(self.avatar(self._rehearsal))
            session = Session(actor, sample_rate=SPEECH_RATE, fps=Fraction(25))
            for _ in (*session.push(np.zeros(SPEECH_RATE // 2, np.float32)), *session.flush()):
                pass

    def avatar(self, image: bytes) -> Avatar:
        """Decode a picture and find its face.

        Raises :class:`lipstream.errors.ImageError` and :class:`lipstream.errors.FaceError`.
        """
        picture = decode_picture(image, max_pixels=self._settings.max_image_pixels)
        face = self._finder.largest(picture)
        if abs(face.pose.yaw) > MAX_YAW:
            raise FaceError(
                "face_turned",
                f"The face is turned {abs(face.pose.yaw):.0f}° to the side; up to {MAX_YAW:.0f}° works. "
                "Use a picture that shows more of the front.",
            )
        return Avatar(picture, face, picture_digest(picture))

    def actor(self, image: bytes, engine: EngineName = "auto") -> Actor:
        """A portrait prepared by an engine, remembered by the bytes of its file.

        Raises what :meth:`avatar` raises and :class:`lipstream.errors.EngineError`.
        """
        chosen = self._choose(engine)
        key = (hashlib.sha256(image).hexdigest(), chosen.name)
        return self._actors.get(key, lambda: chosen.prepare(self.avatar(image)))

    def _choose(self, name: EngineName) -> Engine:
        if name == "auto":
            return self._engines.get("wav2lip") or self._engines["portrait"]
        if name in self._engines:
            return self._engines[name]
        raise EngineError(
            "engine_unavailable",
            f'The engine "{name}" is not available on this server. Use "portrait" or leave the field out.',
        )

    def render(
        self,
        job: Job,
        *,
        on_progress: Progress | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> bytes:
        """Do a whole job: an MP4. Blocks; raises any :class:`lipstream.errors.LipstreamError`.

        The recording is checked before the picture is prepared, so that a bad one costs little.
        """
        recording = open_recording(job.audio, max_seconds=self._settings.max_audio_seconds)
        actor = self.actor(job.image, job.engine)
        return render(actor, recording, job.fps, encoding=self._encoding, on_progress=on_progress, cancelled=cancelled)

"""The studio: everything loaded once, ready to turn a picture and a recording into a talking video.

This is what the server, the command line and programs use; it knows no web framework.

    studio = Studio.open(Settings())
    mp4 = studio.render(Job(image=portrait_bytes, audio=speech_bytes))
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction

import numpy as np

from lipstream.avatar import Avatar, picture_digest, require_upright_front
from lipstream.avatar_library import picture_warnings
from lipstream.cache import PreparedCache
from lipstream.config import MIB, Settings
from lipstream.engines.base import SPEECH_RATE, Actor, Engine
from lipstream.engines.loading import load_engines
from lipstream.engines.wav2lip.engine import DEFAULT_OPTIONS, Options, Wav2LipEngine
from lipstream.errors import CancelledError, EngineError, ImageError, LipstreamError, RequestError
from lipstream.face.finder import FaceFinder
from lipstream.footage import load_footage
from lipstream.inventory import Absent, absent_models
from lipstream.job import EngineName, Job
from lipstream.media.audio import open_recording
from lipstream.media.image import decode_picture
from lipstream.media.mux import Encoding
from lipstream.media.size import SizeLimit, shrink
from lipstream.media.video import Kind, VideoLimits, kind_of
from lipstream.models.assets import SAMPLE_PORTRAIT
from lipstream.models.store import ModelStore
from lipstream.render import Progress, render
from lipstream.session import Session

__all__ = ["EngineName", "Job", "Studio"]

logger = logging.getLogger(__name__)


class Studio:
    """Loaded engines and prepared avatars. Thread-safe: several threads may render at once."""

    def __init__(
        self,
        finder: FaceFinder,
        engines: list[Engine],
        settings: Settings,
        *,
        problems: dict[str, LipstreamError] | None = None,
        absent: Sequence[Absent] = (),
        rehearsal: bytes | None = None,
    ) -> None:
        """``problems`` says why engines are missing, ``absent`` which optional models are not there; ``rehearsal`` is a
        portrait file that :meth:`warm_up` may use."""
        self._finder = finder
        self._engines = {engine.name: engine for engine in engines}
        self._settings = settings
        self.problems = problems or {}
        """Name of an engine or optional model → why it cannot be used although its checkpoint is there."""
        self.absent = tuple(absent)
        """Optional models that are not there."""
        self._rehearsal = rehearsal
        self._encoding = Encoding(preset=settings.preset, crf=settings.crf)
        self._actors: PreparedCache[tuple[str, Kind, str, Options, SizeLimit | None, int | None], Actor] = (
            PreparedCache(settings.avatar_cache_mb * MIB, lambda actor: actor.nbytes)
        )
        # A clip is usually streamed right after its upload. Only one is kept: it may take ``max_video_memory_mb``.
        self._last_clip: tuple[str, Avatar] | None = None

    @classmethod
    def open(cls, settings: Settings) -> Studio:
        """Load every model that is there. Raises :class:`lipstream.errors.ModelError` if a required one is missing."""
        store = ModelStore(cache=settings.cache_dir, checkpoints=settings.checkpoints_dir)
        finder = FaceFinder.load(store)
        sample = store.status(SAMPLE_PORTRAIT)
        rehearsal = sample.path.read_bytes() if sample.state == "present" and sample.path else None
        engines, problems = load_engines(store, settings)
        absent = absent_models(settings)
        return cls(finder, engines, settings, problems=problems, absent=absent, rehearsal=rehearsal)

    @property
    def engines(self) -> list[str]:
        """Names of the engines that can run here; ``auto`` takes wav2lip when it is among them."""
        return sorted(self._engines)

    def warm_up(self) -> None:
        """Run one tiny real job, so that the first user does not wait for what is done only once."""
        self._finder.find(np.full((64, 64, 3), 127, np.uint8))
        if self._rehearsal:
            try:
                actor = self.actor(self._rehearsal)
            except ImageError:
                return  # the settings only allow smaller pictures than this one
            session = Session(actor, sample_rate=SPEECH_RATE, fps=Fraction(25))
            for _ in (*session.push(np.zeros(SPEECH_RATE // 2, np.float32)), *session.flush()):
                pass

    def avatar(
        self,
        data: bytes,
        limit: SizeLimit | None = None,
        kind: Kind = "image",
        face_index: int | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Avatar:
        """Decode a picture or a clip, make it smaller if ``limit`` asks for it, and find its face.

        ``face_index`` counts a picture's faces from left to right, from 0; None takes the largest. ``cancelled`` is
        called before every frame of a clip.

        Raises :class:`lipstream.errors.ImageError` or :class:`lipstream.errors.VideoError`,
        :class:`lipstream.errors.FaceError`, :class:`lipstream.errors.RequestError` for a ``face_index`` with a clip,
        and :class:`CancelledError`.
        """
        if kind == "image":
            avatar = self._still(data, limit, face_index)
        elif face_index is None:
            avatar = self._clip(data, limit, cancelled)
        else:
            raise RequestError(
                "bad_field",
                'The field "face_index" only works with pictures; in a video the largest face speaks. Leave it out.',
            )
        require_upright_front(avatar)
        for warning in picture_warnings(avatar):
            logger.warning("%s", warning)
        return avatar

    def _clip(self, data: bytes, limit: SizeLimit | None, cancelled: Callable[[], bool]) -> Avatar:
        digest = hashlib.sha256(data).hexdigest()
        known, avatar = self._last_clip or ("", None)
        if avatar and known == digest and (limit is None or shrink(avatar.picture, limit) is avatar.picture):
            return avatar
        settings = self._settings
        limits = VideoLimits(settings.max_video_pixels, settings.max_video_seconds, settings.max_video_memory_mb * MIB)
        avatar = load_footage(data, self._finder, limits, limit, cancelled)
        if limit is None:
            self._last_clip = digest, avatar
        return avatar

    def _still(self, image: bytes, limit: SizeLimit | None, face_index: int | None) -> Avatar:
        try:
            picture = decode_picture(image, max_pixels=self._settings.max_image_pixels)
        except ImageError as error:
            if error.code != "not_an_image" or kind_of(image) != "video":
                raise
            raise ImageError(
                "not_an_image",
                'This is a video, not a picture. Send it in the field "video"; '
                "for a live stream, upload it to /v1/avatars first.",
            ) from None
        whole = picture
        if limit:
            picture = shrink(picture, limit)
        if face_index is None:
            face = self._finder.largest(picture)
        else:  # faces are counted before they become too small to be found
            face = self._finder.chosen(whole, face_index, onto=picture)
        return Avatar(picture, face, picture_digest(picture))

    def actor(
        self,
        data: bytes,
        engine: EngineName = "auto",
        options: Options = DEFAULT_OPTIONS,
        limit: SizeLimit | None = None,
        face_index: int | None = None,
        kind: Kind = "image",
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Actor:
        """A portrait or a clip prepared by an engine, cached under the bytes of its file.

        ``options`` are for wav2lip; the other arguments are those of :meth:`avatar`. Raises what that raises, and
        :class:`lipstream.errors.EngineError`.
        """
        chosen = self._choose(engine)
        if isinstance(chosen, Wav2LipEngine):
            chosen.check_size(options.img_size)
            options = replace(options, img_size=None)
        else:
            options = DEFAULT_OPTIONS

        def make() -> Actor:
            avatar = self.avatar(data, limit, kind, face_index, cancelled)
            return chosen.prepare(avatar, options) if isinstance(chosen, Wav2LipEngine) else chosen.prepare(avatar)

        key = (hashlib.sha256(data).hexdigest(), kind, chosen.name, options, limit, face_index)
        while True:
            with suppress(CancelledError):
                return self._actors.get(key, make, cancelled)
            # Another caller may have begun to prepare the same and left: then this one begins again.
            if cancelled():
                raise CancelledError

    def live_actor(
        self,
        data: bytes,
        engine: EngineName,
        limit: SizeLimit,
        kind: Kind = "image",
        face_index: int | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Actor:
        """An actor within a size, for live streams; cached like those of :meth:`actor`, and raises the same."""
        return self.actor(data, engine, limit=limit, kind=kind, face_index=face_index, cancelled=cancelled)

    def engine(self, name: EngineName = "auto") -> Engine:
        """The engine that ``name`` means here. Raises :class:`lipstream.errors.EngineError`."""
        return self._choose(name)

    def _choose(self, name: EngineName) -> Engine:
        if name == "auto":
            return self._engines.get("wav2lip") or self._engines["portrait"]
        if name in self._engines:
            return self._engines[name]
        if name in self.problems:
            raise self.problems[name].fresh()
        raise EngineError(
            "engine_unavailable",
            f'The engine "{name}" cannot run here because its checkpoint is missing. Use "auto" or "portrait".',
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
        data, kind = job.source
        actor = self.actor(data, job.engine, job.options, face_index=job.face_index, kind=kind, cancelled=cancelled)
        return render(
            actor,
            recording,
            job.fps,
            batch=job.batch_size,
            encoding=self._encoding,
            on_progress=on_progress,
            cancelled=cancelled,
        )

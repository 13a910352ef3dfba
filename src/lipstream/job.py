"""One piece of work: who speaks, what is said, and the options."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from lipstream.engines.wav2lip.box import DEFAULT_PADS, Pads
from lipstream.engines.wav2lip.engine import Options
from lipstream.errors import RequestError
from lipstream.media.video import Kind

EngineName = Literal["auto", "portrait", "wav2lip"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One picture or clip, one recording, and the options: the documented fields and their defaults.

    Raises :class:`lipstream.errors.RequestError` unless there is exactly one of ``image`` and ``video``:
    ``missing_field``, ``bad_field``.
    """

    image: bytes | None = None
    """The portrait, in any format Pillow reads."""
    video: bytes | None = None
    """The clip, in any format FFmpeg decodes."""
    audio: bytes
    """The recording, in any format FFmpeg decodes."""
    fps: Fraction = Fraction(25)
    """Frames per second of the video, 1 to 60."""
    engine: EngineName = "auto"
    """``auto`` is wav2lip if its checkpoint is there, else portrait."""
    pads: Pads = DEFAULT_PADS
    """Pixels added to the face box: top, bottom, left, right. Used by wav2lip."""
    img_size: int | None = None
    """Side of the network's picture, pixels; None takes what the checkpoint has. Used by wav2lip."""
    batch_size: int = 128
    """Frames per network call. Used by wav2lip."""
    no_segmentation: bool = False
    """Leave the face-segmentation model out. Used by wav2lip."""
    no_sr: bool = False
    """Leave the super-resolution model out. Used by wav2lip."""
    face_index: int | None = None
    """Which face of a picture speaks, counted from 0 from left to right; None = the largest."""

    def __post_init__(self) -> None:
        """See above."""
        require_one(image=self.image is not None, video=self.video is not None)

    @property
    def source(self) -> tuple[bytes, Kind]:
        """The file that shows the person, and its kind."""
        if self.video is not None:
            return self.video, "video"
        assert self.image is not None
        return self.image, "image"

    @property
    def options(self) -> Options:
        """The part of the job that matters for preparing the avatar."""
        return Options(self.pads, self.img_size, not self.no_segmentation, not self.no_sr)


def require_one(*, image: bool, video: bool) -> None:
    """See that there is exactly one of the two fields. Raises :class:`lipstream.errors.RequestError`:
    ``missing_field``, ``bad_field``."""
    if not (image or video):
        raise RequestError(
            "missing_field",
            'The field "image" is missing; it holds the picture of the person who speaks. '
            'To send a clip, use "video" instead.',
        )
    if image and video:
        raise RequestError("bad_field", 'Send either "image" or "video", not both.')

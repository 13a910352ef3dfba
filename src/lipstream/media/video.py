"""Decodes videos in any format that FFmpeg reads to upright BGR pictures of one size at a constant rate.

The timestamps in the file decide which picture is shown when, so that recordings of phones, whose frame rate varies,
keep their speed. Where timestamps stand still, run backwards or make no sense, the nominal rate is used. Rates above 30
are divided by a whole number.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import av
import av.error
import cv2
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from lipstream.errors import VideoError
from lipstream.media.claims import claims_too_much
from lipstream.media.image import MIN_SIDE, looks_like_picture
from lipstream.media.planes import plane_view

Kind = Literal["image", "video"]
"""Whether the person who speaks is shown by a picture or by a clip."""

MAX_RATE = 30
"""How many pictures per second are kept at most."""
_UNKNOWN_RATE = Fraction(25)
_RATES = (1, 1000)  # plausible frame rates of a file, frames per second
_MOST_DECODED = 130
"""Frames that are decoded at most per second of the longest video allowed. A file with more is damaged or an attack."""
_EARLY = Fraction(1, 5)  # of a frame's duration: a frame this little after a slot is still shown in it
_HEADER_SLACK = 0.5  # seconds by which the duration in the header may exceed the limit

_KINDS = "MP4, MOV, WebM, MKV or AVI"

# ISO/IEC 23091-2: the code points of BT.709 and of "unspecified", which players treat as BT.709 from this height on.
_MATRIX_BT709, _MATRIX_UNKNOWN, _HD_HEIGHT = 1, 2, 720
_RANGE_FULL = 2
_BT601, _BT709 = (0.299, 0.114), (0.2126, 0.0722)  # weights of red and blue in luma


@dataclass(frozen=True)
class VideoLimits:
    """The largest video that is accepted."""

    pixels: int
    """Width × height."""
    seconds: float
    """Length."""
    kept: int = 512 * 2**20
    """Memory of all frames as :class:`lipstream.media.clip.Clip` stores them, bytes."""


class Video:
    """A video file whose header has been read. Raises :class:`lipstream.errors.VideoError`: ``not_a_video``,
    ``video_too_large``, ``video_too_small``, ``video_too_long``."""

    def __init__(self, data: bytes, limits: VideoLimits) -> None:
        self._data = data
        self._limits = limits
        if looks_like_picture(data) and not data.startswith(b"GIF8"):
            raise not_a_video(" Send a picture as a picture, not as a video.")
        with closing(_open(data)) as container:
            stream = _video_stream(container)
            self._check_size(stream.codec_context.width, stream.codec_context.height)
            rate = stream.average_rate or stream.guessed_rate or _UNKNOWN_RATE
            nominal = stream.guessed_rate or rate
            duration = float(container.duration or 0) / av.time_base
        self._hasty = rate > _RATES[1]  # frames are one tick apart, which cannot be meant
        self._step = 1 / _likely(nominal)  # seconds from a frame to the next if that has no timestamp
        rate = _likely(rate)
        self.fps: Fraction = rate / math.ceil(rate / MAX_RATE)
        """Pictures per second, 1 to 30."""
        if duration > limits.seconds + _HEADER_SLACK:
            raise self._too_long(f"{duration:.0f} seconds")

    def pictures(self) -> Iterator[NDArray[np.uint8]]:
        """All pictures, (height, width, 3) uint8 BGR with even sides. Damaged frames are skipped.

        Raises :class:`VideoError` as above, even after some pictures, because headers can be wrong.
        """
        size: tuple[int, int] | None = None
        for frame in self._paced():
            picture = _upright(frame)
            if size is None:
                size = picture.shape[1] & ~1, picture.shape[0] & ~1
            if picture.shape[1::-1] != size:
                odd = 0 <= picture.shape[1] - size[0] <= 1 and 0 <= picture.shape[0] - size[1] <= 1
                picture = picture[: size[1], : size[0]] if odd else _resized(picture, size)
            yield np.ascontiguousarray(picture)
        if size is None:
            raise not_a_video()

    def _paced(self) -> Iterator[av.VideoFrame]:
        """The frame that is shown in each slot of the constant rate."""
        most = math.ceil(self._limits.seconds * self.fps)
        held: av.VideoFrame | None = None
        place = 0
        for frame, time in self._timed():
            due = math.ceil(time * self.fps - _EARLY)
            if due > most:
                raise self._too_long(f"more than {self._limits.seconds:g} seconds")
            while held is not None and place < due:
                yield held
                place += 1
            held = frame
        if held is not None and place < most:
            yield held

    def _timed(self) -> Iterator[tuple[av.VideoFrame, Fraction]]:
        """Frames with their times, seconds after the first."""
        begin = last = None
        time = -self._step
        for number, frame in enumerate(self._decoded()):
            if number > _MOST_DECODED * self._limits.seconds:
                raise self._too_long(f"more than {number} frames")
            self._check_size(frame.width, frame.height)
            time += self._step
            stamp = self._stamp(frame)
            if stamp is not None and stamp != last:
                if begin is None or last is None or stamp < last:
                    begin = stamp - time
                time, last = stamp - begin, stamp
            yield frame, time

    def _stamp(self, frame: av.VideoFrame) -> Fraction | None:
        """The timestamp of a frame in the file, seconds; None if it has none or it is implausible."""
        if frame.pts is None or not frame.time_base or self._hasty:
            return None
        return frame.pts * Fraction(frame.time_base)

    def _decoded(self) -> Iterator[av.VideoFrame]:
        with closing(_open(self._data)) as container:
            stream = _video_stream(container)
            stream.codec_context.thread_count = 1  # a job is one thread's work
            stream.codec_context.options = {"max_pixels": str(self._limits.pixels)}
            packets = container.demux(stream)
            while True:
                try:
                    packet = next(packets, None)
                    frames = packet.decode() if packet else []
                except (av.error.FFmpegError, ValueError):
                    continue  # with the next packet; after an error of the container there is none
                yield from (frame for frame in frames if isinstance(frame, av.VideoFrame))
                if packet is None:
                    return

    def _check_size(self, width: int, height: int) -> None:
        if width * height > self._limits.pixels:
            raise VideoError(
                "video_too_large",
                f"The video has {width} × {height} pixels; up to {self._limits.pixels / 1e6:.1f} million are allowed. "
                "Make it smaller.",
            )
        if min(width, height) < MIN_SIDE:
            raise VideoError(
                "video_too_small",
                f"The video has {width} × {height} pixels; each side needs at least {MIN_SIDE}. Use a larger one.",
            )

    def _too_long(self, length: str) -> VideoError:
        return VideoError(
            "video_too_long",
            f"The video lasts {length}; up to {self._limits.seconds:g} seconds are allowed. It is played back and "
            "forth for as long as the speech lasts, so a few seconds are enough. Shorten it.",
        )


def kind_of(data: bytes) -> Kind:
    """Whether a file is a picture or a video, judged by its content. Animated pictures count as pictures, and so does
    anything that is neither."""
    if looks_like_picture(data):
        return "image"
    try:
        with closing(_open(data)) as container:
            _video_stream(container)
    except VideoError:
        return "image"
    return "video"


def not_a_video(hint: str = "") -> VideoError:
    """The error for files that FFmpeg cannot read."""
    return VideoError("not_a_video", f"The video could not be read. Send an undamaged {_KINDS} file.{hint}")


def _likely(rate: Fraction) -> Fraction:
    return rate if _RATES[0] <= rate <= _RATES[1] else _UNKNOWN_RATE


def _open(data: bytes) -> InputContainer:
    if not data:
        raise VideoError("not_a_video", f"The video's file is empty. Send an undamaged {_KINDS} file.")
    if claims_too_much(data):
        raise not_a_video()
    try:
        # Some formats list other files or addresses (HLS, SDP, concat). Allowing no protocol keeps FFmpeg from opening
        # them.
        return av.open(io.BytesIO(data), "r", options={"protocol_whitelist": "none"}, metadata_errors="ignore")
    except (av.error.FFmpegError, ValueError):
        raise not_a_video() from None


def _video_stream(container: InputContainer) -> av.VideoStream:
    stream = container.streams.best("video")
    # FFmpeg treats the cover pictures of sound files as videos of one frame.
    if not isinstance(stream, av.VideoStream) or not stream.codec_context or _is_cover(stream):
        raise not_a_video()
    return stream


def _is_cover(stream: av.VideoStream) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _upright(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """(height, width, 3) BGR, rotated as the file says."""
    return np.asarray(np.rot90(_bgr(frame), round(frame.rotation / 90)), np.uint8)


def _bgr(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """Convert to BGR. FFmpeg's own conversion is two grey levels too dark and gets the matrix of most files wrong."""
    if frame.format.is_rgb:
        return np.asarray(frame.reformat(format="bgr24").to_ndarray(), np.uint8)
    full = frame.color_range == _RANGE_FULL or frame.format.name.startswith("yuvj")
    hd = frame.colorspace == _MATRIX_UNKNOWN and frame.height >= _HD_HEIGHT
    weights = _BT709 if frame.colorspace == _MATRIX_BT709 or hd else _BT601
    # The name of the format implies the range. This asks for the range that the frame has, so values do not change.
    planes = frame.reformat(format="yuvj444p" if full else "yuv444p").planes
    yuv = cv2.merge([plane_view(plane) for plane in planes])
    return np.asarray(cv2.transform(yuv, to_bgr_matrix(*weights, full=full)), np.uint8)


def to_bgr_matrix(red: float, blue: float, *, full: bool) -> NDArray[np.float64]:
    """The (3, 4) matrix from 8-bit Y, Cb, Cr to B, G, R; ``red`` and ``blue`` are their weights in luma."""
    green = 1 - red - blue
    luma, chroma, black = (1.0, 1.0, 0.0) if full else (255 / 219, 255 / 224, 16.0)
    cr, cb = 2 * (1 - red) * chroma, 2 * (1 - blue) * chroma
    turn = np.array([[luma, cb, 0], [luma, -cb * blue / green, -cr * red / green], [luma, 0, cr]])
    return np.column_stack([turn, -turn @ np.array([black, 128.0, 128.0])])


def _resized(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)

"""A short video in memory with random access to its frames, played back and forth for as long as somebody speaks.

Frames are kept as JPEGs, which take a tenth of the memory of their planes. Any of them is decoded in one to two
milliseconds (at 512 × 512 and 1280 × 720), in any order. They contain the same planes that are later encoded as H.264,
so colours are not converted twice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import av
import av.video.codeccontext
import numpy as np
from numpy.typing import NDArray

from lipstream.media.planes import Planes, plane_view, to_bgr, to_planes

_QUANTISER = 2
"""FFmpeg's best quality for JPEG: a PSNR of 50 dB and more."""


@dataclass(frozen=True, eq=False)
class Clip:
    """A video without sound. Immutable; threads may share it."""

    frames: tuple[bytes, ...]
    """JPEG files, at least one."""
    fps: Fraction
    """Frames per second."""
    size: tuple[int, int]
    """(width, height) in pixels, both even."""

    @property
    def nbytes(self) -> int:
        """Memory of the frames, bytes."""
        return sum(map(len, self.frames))

    @property
    def seconds(self) -> float:
        """Length of one pass, in seconds."""
        return float(len(self.frames) / self.fps)

    def index_at(self, time: Fraction) -> int:
        """Index of the frame to show ``time`` seconds after the start: 0 1 2 3 2 1 0 1 …, without repeated ends."""
        return there_and_back(math.floor(time * self.fps), len(self.frames))

    def __len__(self) -> int:
        return len(self.frames)


def there_and_back(step: int, length: int) -> int:
    """Position after ``step`` steps of a walk from 0 to length - 1, back to 0, and so on."""
    turn = max(1, 2 * length - 2)
    place = step % turn
    return min(place, turn - place) if length > 1 else 0


class ClipWriter:
    """Builds a clip picture by picture. All must have the size of the first. Not thread-safe."""

    def __init__(self, fps: Fraction) -> None:
        self._fps = fps
        self._frames: list[bytes] = []
        self.nbytes = 0
        """Memory of the frames so far, bytes."""
        self._codec: av.video.codeccontext.VideoCodecContext | None = None

    def add(self, picture: NDArray[np.uint8]) -> None:
        """The next frame, (height, width, 3) BGR with even sides."""
        height, width = picture.shape[:2]
        if self._codec is None:
            self._codec = _encoder(width, height)
        frame = av.VideoFrame(width, height, "yuvj420p")
        for plane, pixels in zip(frame.planes, to_planes(picture), strict=True):
            plane_view(plane)[:] = pixels
        frame.pts = len(self._frames)
        (packet,) = self._codec.encode(frame)
        self._frames.append(bytes(packet))
        self.nbytes += len(self._frames[-1])

    def finish(self) -> Clip:
        """The clip. At least one picture must have been added."""
        assert self._codec is not None
        return Clip(tuple(self._frames), self._fps, (self._codec.width, self._codec.height))


class ClipReader:
    """Decodes frames of a clip in any order. The last one stays decoded. Not thread-safe."""

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self._codec = av.CodecContext.create("mjpeg", "r")
        self._codec.thread_count = 1  # with more threads, the decoder holds frames back
        self._open: tuple[int, Planes] = (-1, ())

    def planes(self, index: int) -> Planes:
        """The planes of frame ``index``. Read-only; the same object as long as the same frame is asked for."""
        if self._open[0] != index:
            (frame,) = self._codec.decode(av.Packet(self._clip.frames[index]))
            assert isinstance(frame, av.VideoFrame)
            # The views keep the frame's memory alive, and the decoder does not reuse it until they are gone.
            self._open = index, tuple(plane_view(plane) for plane in frame.planes)
        return self._open[1]

    def picture(self, index: int) -> NDArray[np.uint8]:
        """Frame ``index`` as (height, width, 3) BGR."""
        return to_bgr(self.planes(index))


def _encoder(width: int, height: int) -> av.video.codeccontext.VideoCodecContext:
    codec = av.CodecContext.create("mjpeg", "w")
    assert isinstance(codec, av.video.codeccontext.VideoCodecContext)
    # Declared as full range, because JPEG is; the values are stored unchanged.
    codec.width, codec.height, codec.pix_fmt = width, height, "yuvj420p"
    codec.time_base = Fraction(1, 25)
    codec.thread_count = 1
    codec.qmin = codec.qmax = _QUANTISER
    return codec

"""Encoders for a picture that talks: H.264 of the part that moves, AAC of the speech."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import av
import av.audio.codeccontext
import av.video.codeccontext
import numpy as np
from av.video.frame import PictureType
from numpy.typing import NDArray

from lipstream.engines.base import Patch
from lipstream.media.planes import Planes, plane_view, to_planes
from lipstream.media.resample import Resampler

KEYFRAME_SECONDS = 2
"""Most time between two pictures that a player can seek to."""

# x264 looks ahead to spend bits where they last longest; beyond this it costs memory and gains little on a still
# picture.
_LOOKAHEAD_FRAMES = 10
_LOOKAHEAD_PIXELS = 25_000_000

# ISO/IEC 23091-2 code points that say what the numbers in the file mean. The photo is sRGB; only its matrix is BT.601.
_PRIMARIES_BT709 = 1
_TRANSFER_SRGB = 13
_MATRIX_BT601 = 6
_RANGE_LIMITED = 1

_AAC_FRAME = 1024  # samples
_BIT_RATE = {1: 96_000, 2: 160_000}  # bits per second by channels; FFmpeg's own AAC encoder needs this much to be clean


@dataclass(frozen=True)
class Encoding:
    """How much time and space the picture may take."""

    preset: str = "veryfast"
    """x264's speed preset, ``ultrafast`` to ``placebo``."""
    crf: float = 20.0
    """Constant rate factor, 0 (lossless) to 51; 6 more halve the size."""
    threads: int = 2
    """Encoder threads. With two, a frame is encoded while the next one is rendered; the file depends on it a little."""
    live: bool = False
    """Give every frame's packet at once."""


class VideoEncoder:
    """H.264 (yuv420p) of one picture whose patches change, or of a clip whose every frame has a patch.

    The picture is converted to YUV once and kept; per frame only the patch is converted and pasted. What patches
    bring as their background is in YUV already and is copied. ``codec`` is an
    unopened libx264 context, of a container's stream or of its own; ``picture`` is (height, width, 3) uint8 BGR with
    even sides.
    """

    def __init__(
        self,
        codec: av.video.codeccontext.VideoCodecContext,
        picture: NDArray[np.uint8],
        fps: Fraction,
        encoding: Encoding | None = None,
    ) -> None:
        self._codec = codec
        self._still = to_planes(picture)
        self._configure(picture.shape[1], picture.shape[0], fps, encoding or Encoding())
        self._frame = av.VideoFrame(codec.width, codec.height, "yuv420p")
        self._planes = [plane_view(plane) for plane in self._frame.planes]
        self._fill(self._still)
        self._frames = 0
        self._covered: Patch | None = None

    def _configure(self, width: int, height: int, fps: Fraction, encoding: Encoding) -> None:
        codec = self._codec
        codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
        codec.framerate, codec.time_base = fps, 1 / fps
        codec.color_primaries, codec.color_trc = _PRIMARIES_BT709, _TRANSFER_SRGB
        codec.colorspace, codec.color_range = _MATRIX_BT601, _RANGE_LIMITED
        codec.gop_size = math.ceil(fps * KEYFRAME_SECONDS)
        codec.thread_count = encoding.threads
        lookahead = 0 if encoding.live else min(_LOOKAHEAD_FRAMES, _LOOKAHEAD_PIXELS // (width * height))
        codec.options = {
            "preset": encoding.preset,
            "crf": f"{encoding.crf}",
            # B-frames save 5 % here and would put decoding times before 0. Fades and cuts do not happen.
            "bf": "0",
            "forced-idr": "1",
            "x264-params": f"weightp=0:scenecut=0:rc-lookahead={lookahead}" + ("" if lookahead else ":mbtree=0"),
        } | ({"tune": "zerolatency"} if encoding.live else {})

    def encode(self, patch: Patch | None, *, keyframe: bool = False) -> list[av.Packet[av.VideoStream]]:
        """The next frame: the picture with ``patch`` on it, or as it is. Gives the packets that are done, in order.

        ``keyframe``: whoever lost the frames before can begin with this one.
        """
        self._prepare_ground(patch)
        if patch and patch.pixels.size:
            self._paste(patch)
        self._covered = patch
        self._frame.pts = self._frames
        self._frame.time_base = self._codec.time_base
        self._frame.pict_type = PictureType.I if keyframe else PictureType.NONE
        self._frames += 1
        return self._timed(self._codec.encode(self._frame))

    def flush(self) -> list[av.Packet[av.VideoStream]]:
        """The end: the packets still inside."""
        return self._timed(self._codec.encode(None))

    @staticmethod
    def _timed(packets: list[av.Packet[av.VideoStream]]) -> list[av.Packet[av.VideoStream]]:
        for packet in packets:
            packet.duration = 1  # the encoder does not say, and the last frame has no next one to tell
        return packets

    def _prepare_ground(self, patch: Patch | None) -> None:
        """Make the canvas what it has to be around ``patch``."""
        covered = self._covered
        if patch and patch.background is not None:
            self._fill(patch.background)
        elif covered and covered.background is not None:
            self._fill(self._still)
        elif covered and not (patch and _covers(patch, covered)):
            self._restore(covered)

    def _fill(self, picture: Planes) -> None:
        for plane, pixels in zip(self._planes, picture, strict=True):
            plane[:] = pixels

    def _paste(self, patch: Patch) -> None:
        for plane, pixels, (y, x) in zip(self._planes, to_planes(patch.pixels), _origins(patch), strict=True):
            height, width = pixels.shape
            plane[y : y + height, x : x + width] = pixels

    def _restore(self, patch: Patch) -> None:
        height, width = patch.pixels.shape[:2]
        for plane, still, (y, x), step in zip(self._planes, self._still, _origins(patch), (1, 2, 2), strict=True):
            region = np.s_[y : y + height // step, x : x + width // step]
            plane[region] = still[region]


def _origins(patch: Patch) -> tuple[tuple[int, int], ...]:
    """Row and column of the patch in the Y, Cb and Cr planes."""
    chroma = (patch.y // 2, patch.x // 2)
    return (patch.y, patch.x), chroma, chroma


def _covers(outer: Patch, inner: Patch) -> bool:
    outer_height, outer_width = outer.pixels.shape[:2]
    inner_height, inner_width = inner.pixels.shape[:2]
    return (
        outer.x <= inner.x
        and outer.y <= inner.y
        and outer.x + outer_width >= inner.x + inner_width
        and outer.y + outer_height >= inner.y + inner_height
    )


def playback_rate(sample_rate: int) -> int:
    """The rate the audio is encoded at, in Hz: 44100 for it and what it is an exact multiple or part of, else 48000.

    These two play natively everywhere. AAC could go down to 7350 Hz, but decoders take anything up to 24 kHz for the
    core of HE-AAC until told otherwise, and its first 1024 samples (the priming) would be 128 ms at 8 kHz.
    """
    return 44_100 if sample_rate % 44_100 == 0 or 44_100 % sample_rate == 0 else 48_000


class AudioEncoder:
    """AAC-LC of a recording, at :func:`playback_rate`.

    ``codec`` is an unopened aac context; ``channels`` is 1 or 2. The encoder's own delay is in the packets' times (the
    first is negative), so a container with edit lists starts the sound at 0 and ends it after the last sample.
    """

    def __init__(self, codec: av.audio.codeccontext.AudioCodecContext, sample_rate: int, channels: int) -> None:
        self._codec = codec
        self._rate = playback_rate(sample_rate)
        self._layout = ("mono", "stereo")[channels - 1]
        codec.sample_rate, codec.layout, codec.format = self._rate, self._layout, "fltp"
        codec.time_base = Fraction(1, self._rate)
        codec.bit_rate = _BIT_RATE[channels]
        self._resamplers = [Resampler(sample_rate, self._rate) for _ in range(channels)]
        self._pending = np.zeros((channels, 0), np.float32)
        self._samples = 0

    def encode(self, block: NDArray[np.float32]) -> list[av.Packet[av.AudioStream]]:
        """More sound, (n, channels) float32 in [-1, 1]; gives the packets that are done, in order."""
        converted = [resampler.push(channel) for resampler, channel in zip(self._resamplers, block.T, strict=True)]
        self._pending = np.concatenate([self._pending, np.stack(converted)], axis=1)
        whole = self._pending.shape[1] - self._pending.shape[1] % _AAC_FRAME
        blocks, self._pending = self._pending[:, :whole], self._pending[:, whole:]
        return [
            packet
            for start in range(0, whole, _AAC_FRAME)
            for packet in self._encode(blocks[:, start : start + _AAC_FRAME])
        ]

    def flush(self) -> list[av.Packet[av.AudioStream]]:
        """The end: the packets still inside."""
        rest = np.stack([resampler.flush() for resampler in self._resamplers])
        self._pending = np.concatenate([self._pending, rest], axis=1)
        packets: list[av.Packet[av.AudioStream]] = []
        for start in range(0, self._pending.shape[1], _AAC_FRAME):
            packets += self._encode(self._pending[:, start : start + _AAC_FRAME])
        return packets + self._codec.encode(None)

    def _encode(self, planar: NDArray[np.float32]) -> list[av.Packet[av.AudioStream]]:
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(planar), format="fltp", layout=self._layout)
        frame.sample_rate, frame.pts, frame.time_base = self._rate, self._samples, self._codec.time_base
        self._samples += planar.shape[1]
        return self._codec.encode(frame)

"""Encoders for a talking picture: H.264 that only converts the part that moves, and AAC."""

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
"""Longest time between two frames that a player can seek to."""

# x264 looks ahead to spend bits where they are useful for longest. Looking further than this costs memory and gains
# little for a still picture.
_LOOKAHEAD_FRAMES = 10
_LOOKAHEAD_PIXELS = 25_000_000

# ISO/IEC 23091-2 code points for the colours in the file. The photo is sRGB; only the matrix is BT.601.
_PRIMARIES_BT709 = 1
_TRANSFER_SRGB = 13
_MATRIX_BT601 = 6
_RANGE_LIMITED = 1

_AAC_FRAME = 1024  # samples
_BIT_RATE = {1: 96_000, 2: 160_000}  # bits per second by channels; FFmpeg's own AAC encoder needs this much to be clean


@dataclass(frozen=True)
class Encoding:
    """How much time and space the video may take."""

    preset: str = "veryfast"
    """x264's speed preset, ``ultrafast`` to ``placebo``."""
    crf: float = 20.0
    """Constant rate factor, 0 (lossless) to 51; adding 6 halves the size."""
    threads: int = 2
    """Encoder threads. With two, a frame is encoded while the next one is drawn. The file depends on it slightly."""
    live: bool = False
    """Whether to give the packet of every frame at once."""


class VideoEncoder:
    """H.264 (yuv420p) of one picture with changing patches, or of a clip with a patch on every frame.

    The picture is converted to YUV only once; for each frame, only the patch is converted and pasted. Backgrounds of
    patches are already YUV and are copied. ``codec`` is an unopened libx264 context, standalone or of a container's
    stream; ``picture`` is (height, width, 3) uint8 BGR with even sides.
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
            # B-frames would save only 5 % and put decoding times before 0. There are no fades or cuts.
            "bf": "0",
            "forced-idr": "1",
            "x264-params": f"weightp=0:scenecut=0:rc-lookahead={lookahead}" + ("" if lookahead else ":mbtree=0"),
        } | ({"tune": "zerolatency"} if encoding.live else {})

    def encode(self, patch: Patch | None, *, keyframe: bool = False) -> list[av.Packet[av.VideoStream]]:
        """Encode the next frame: the picture with ``patch`` on it, or unchanged. Returns the finished packets in order.

        With ``keyframe``, a receiver that lost the frames before can continue from this one.
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
        """End the stream; returns the remaining packets."""
        return self._timed(self._codec.encode(None))

    @staticmethod
    def _timed(packets: list[av.Packet[av.VideoStream]]) -> list[av.Packet[av.VideoStream]]:
        for packet in packets:
            packet.duration = 1  # not set by the encoder; for the last frame, the muxer could not infer it
        return packets

    def _prepare_ground(self, patch: Patch | None) -> None:
        """Restore the canvas around ``patch``."""
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
    """The rate at which audio is encoded, in Hz: 44100 for its multiples and divisors, otherwise 48000.

    These two are supported natively everywhere. AAC could go down to 7350 Hz, but decoders first take anything up to
    24 kHz for the core of HE-AAC, and its first 1024 samples (the priming) would last 128 ms at 8 kHz.
    """
    return 44_100 if sample_rate % 44_100 == 0 or 44_100 % sample_rate == 0 else 48_000


class AudioEncoder:
    """AAC-LC of a recording, at :func:`playback_rate`.

    ``codec`` is an unopened aac context; ``channels`` is 1 or 2. The times of the packets include the encoder's delay
    (the first is negative), so with edit lists the sound starts at 0 and ends after the last sample.
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
        """Encode more sound, (n, channels) float32 in [-1, 1]. Returns the finished packets in order."""
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
        """End the stream; returns the remaining packets."""
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

"""Media for live players: fragmented MP4 for Media Source, or JPEG with PCM for all other players.

Both writers take one moment of the stream at a time and return a packet that can be sent at once. FFmpeg's muxer writes
the init segment. The fragments (ISO/IEC 14496-12, 8.8) are written here, because the muxer waits for packets of the
other track, and because this way every fragment carries its own times and can be dropped without moving the others.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.engines.base import Patch
from lipstream.media.encode import AudioEncoder, Encoding, VideoEncoder, playback_rate
from lipstream.media.pcm import to_float
from lipstream.media.planes import to_bgr

LIVE_ENCODING = Encoding(preset="superfast", crf=20.0, threads=1, live=True)
"""A frame takes less than half the time of the default preset. Slower presets make the idle face pulse more at every
key frame, because they omit more of its small motion in between."""
JPEG_QUALITY = 85

_START_CODE = re.compile(rb"\x00?\x00\x00\x01")
_LEAST_TIMESCALE = 10_000  # ticks per second; FFmpeg's own minimum, so that it uses ours unchanged
_VIDEO_TRACK, _AUDIO_TRACK = 1, 2
# Sample flags (8.8.3.1): a sync sample that does not depend on others, or one that does and is not a sync sample.
_KEY_FRAME, _OTHER_FRAME = 0x0200_0000, 0x0101_0000
_DEFAULT_BASE_IS_MOOF = 0x02_0000
_DATA_OFFSET, _SAMPLE_DURATION, _SAMPLE_SIZE, _SAMPLE_FLAGS = 0x1, 0x100, 0x200, 0x400


@dataclass(frozen=True)
class MediaPacket:
    """One encoded moment."""

    data: bytes
    """The message to send."""
    key: bool
    """Whether a receiver that lost the packets before can continue from this one."""


class MediaWriter(Protocol):
    """Turns moments into packets. Blocking, not thread-safe."""

    @property
    def mime(self) -> str:
        """MIME type of the media, for players."""
        ...

    @property
    def audio_rate(self) -> int:
        """Sample rate of the sound in the media, Hz."""
        ...

    @property
    def head(self) -> bytes:
        """What must be sent before the first packet; may be empty."""
        ...

    def write(self, patch: Patch, audio: NDArray[np.int16], *, key: bool = False) -> MediaPacket:
        """Encode the next frame and its sound, (n, channels). ``key``: the packets before this one were lost."""
        ...


class FragmentWriter:
    """H.264 and AAC in fragmented MP4, one frame per fragment.

    ``picture`` is (height, width, 3) uint8 BGR with even sides. Both tracks begin at 0. The encoder's priming, the 1024
    samples before the first, is omitted. Nothing is lost by this, because the stream begins with silence, and players
    that ignore edit lists are in sync as well. The sound arrives up to three AAC frames after its picture.
    """

    def __init__(
        self,
        picture: NDArray[np.uint8],
        fps: Fraction,
        *,
        sample_rate: int,
        channels: int,
        encoding: Encoding = LIVE_ENCODING,
    ) -> None:
        self._ticks = _ticks(fps)
        self._rate = playback_rate(sample_rate)
        buffer = io.BytesIO()
        options = {
            "movflags": "empty_moov+default_base_moof",
            "use_editlist": "0",
            "video_track_timescale": str(self._ticks * fps),
        }
        container = av.open(buffer, "w", format="mp4", options=options)
        video = container.add_stream("libx264", rate=fps)
        audio = container.add_stream("aac", rate=self._rate)
        # FFmpeg's default search for the best quantisers takes five times as long and is inaudible at this bit rate.
        audio.codec_context.options = {"aac_coder": "fast"}
        self._video = VideoEncoder(video.codec_context, picture, fps, encoding)
        self._audio = AudioEncoder(audio.codec_context, sample_rate, channels)
        container.start_encoding()
        self._head = buffer.getvalue()
        # An open container and its streams refer to each other and would keep the encoders alive after this writer.
        container.close()
        self._mime = f'video/mp4; codecs="{_avc_codec(video.codec_context.extradata)}, mp4a.40.2"'
        self._number = 0
        self._audio_time = 0

    @property
    def mime(self) -> str:
        """For ``MediaSource.isTypeSupported``, with RFC 6381 codecs."""
        return self._mime

    @property
    def audio_rate(self) -> int:
        """44100 or 48000."""
        return self._rate

    @property
    def head(self) -> bytes:
        """The init segment: ``ftyp`` and ``moov``."""
        return self._head

    def write(self, patch: Patch, audio: NDArray[np.int16], *, key: bool = False) -> MediaPacket:
        """Encode the next frame and its sound as a fragment, ``moof`` and ``mdat``."""
        (picture,) = self._video.encode(patch, keyframe=key)
        sounds = [bytes(packet) for packet in self._audio.encode(to_float(audio)) if (packet.pts or 0) >= 0]
        flags = _KEY_FRAME if picture.is_keyframe else _OTHER_FRAME
        tracks = [_Run(_VIDEO_TRACK, self._number * self._ticks, self._ticks, flags, [_with_lengths(bytes(picture))])]
        if sounds:
            tracks.append(_Run(_AUDIO_TRACK, self._audio_time, 1024, _KEY_FRAME, sounds))
        self._audio_time += 1024 * len(sounds)
        self._number += 1
        return MediaPacket(_fragment(self._number, tracks), picture.is_keyframe)


class JpegWriter:
    """A JPEG and its PCM per packet, after a header of 24 bytes: frame, first sample, bytes of each."""

    mime = "image/jpeg"
    head = b""

    def __init__(self, picture: NDArray[np.uint8], *, sample_rate: int) -> None:
        self.audio_rate = sample_rate
        self._picture = picture
        self._canvas = picture.copy()
        self._covered: Patch | None = None
        self._jpeg = b""
        self._frame = 0
        self._sample = 0

    def write(self, patch: Patch, audio: NDArray[np.int16], *, key: bool = False) -> MediaPacket:  # noqa: ARG002
        """Encode the next frame and its sound. No frame depends on another."""
        if patch is not self._covered:
            self._draw(patch)
        pcm = audio.astype("<i2").tobytes()
        header = struct.pack("<QQII", self._frame, self._sample, len(self._jpeg), len(pcm))
        self._frame += 1
        self._sample += len(audio)
        return MediaPacket(header + self._jpeg + pcm, key=True)

    def _draw(self, patch: Patch) -> None:
        if patch.background is not None:
            self._canvas[:] = to_bgr(patch.background)
        elif self._covered and self._covered.background is not None:
            self._canvas[:] = self._picture
        elif self._covered:
            here = _place(self._covered)
            self._canvas[here] = self._picture[here]
        self._canvas[_place(patch)] = patch.pixels
        self._covered = patch
        _, jpeg = cv2.imencode(".jpg", self._canvas, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        self._jpeg = jpeg.tobytes()


@dataclass(frozen=True)
class _Run:
    """Consecutive samples (frames or packets) of one track."""

    track: int
    time: int
    """Decode time of the first, ticks."""
    duration: int
    """Duration of each, ticks."""
    flags: int
    """Flags of each."""
    samples: Sequence[bytes]


def _fragment(number: int, runs: Sequence[_Run]) -> bytes:
    """``moof`` and ``mdat``: the samples of the runs, one run after another."""
    heads = [_run_box(run, 0) for run in runs]
    offset = 8 + 16 + sum(len(head) for head in heads) + 8  # moof and mfhd before, mdat's header after
    boxes = []
    for run in runs:
        boxes.append(_run_box(run, offset))
        offset += sum(map(len, run.samples))
    moof = _box("moof", _box("mfhd", struct.pack(">II", 0, number)), *boxes)
    return moof + _box("mdat", *(sample for run in runs for sample in run.samples))


def _run_box(run: _Run, offset: int) -> bytes:
    """A ``traf`` box; ``offset`` is the start of the run's data, counted from the beginning of ``moof``."""
    flags = _DATA_OFFSET | _SAMPLE_DURATION | _SAMPLE_SIZE | _SAMPLE_FLAGS
    entries = b"".join(struct.pack(">III", run.duration, len(sample), run.flags) for sample in run.samples)
    return _box(
        "traf",
        _box("tfhd", struct.pack(">II", _DEFAULT_BASE_IS_MOOF, run.track)),
        _box("tfdt", struct.pack(">IQ", 1 << 24, run.time)),
        _box("trun", struct.pack(">III", flags, len(run.samples), offset), entries),
    )


def _box(kind: str, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind.encode()) + body


def _ticks(fps: Fraction) -> int:
    """Ticks per frame. The timescale is ``fps`` times this, which must be a whole number."""
    factor = -(-_LEAST_TIMESCALE // fps.numerator)
    return fps.denominator * factor


def _with_lengths(annex_b: bytes) -> bytes:
    """H.264 with start codes (Annex B) → H.264 with lengths of four bytes (ISO/IEC 14496-15), as MP4 needs it."""
    units = _START_CODE.split(annex_b)[1:]
    return b"".join(struct.pack(">I", len(unit)) + unit for unit in units)


def _avc_codec(extradata: bytes | None) -> str:
    """``avc1.PPCCLL`` of RFC 6381, from the first sequence parameter set (in Annex B or ``avcC``)."""
    data = extradata or b""
    if data[:1] == b"\x01":
        return f"avc1.{data[1:4].hex().upper()}"
    start = data.index(b"\x00\x00\x01\x67") + 4
    return f"avc1.{data[start : start + 3].hex().upper()}"


def _place(patch: Patch) -> tuple[slice, slice]:
    height, width = patch.pixels.shape[:2]
    return slice(patch.y, patch.y + height), slice(patch.x, patch.x + width)

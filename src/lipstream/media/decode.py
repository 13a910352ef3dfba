"""Decodes the sound of any file frame by frame, with checks that FFmpeg and PyAV lack."""

from __future__ import annotations

import ctypes
import io
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction

import av
import av.error
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from lipstream.errors import AudioError
from lipstream.media.claims import claims_too_much

MIN_RATE = 1_000
MAX_RATE = 768_000
"""Sample rates outside this range, in Hz, mean that the file is damaged."""

_KINDS = "WAV, MP3, M4A/AAC, Ogg, Opus, FLAC, WebM or a video with sound"

_LONGEST_AAC_FRAME = 2_048  # samples; twice the usual with spectral band replication

_LARGEST_PCM_SAMPLE = 8 * 8  # bytes: eight channels of doubles

_MOST_PLANES = 8  # as many as an AVFrame itself holds; PyAV reads past the end of longer lists

# NumPy type, scale and zero of FFmpeg's sample formats, by name without the "p" of planar ones.
_FORMATS: dict[str, tuple[str, float, float]] = {
    "u8": ("u1", 2.0**7, 2.0**7),
    "s16": ("i2", 2.0**15, 0.0),
    "s32": ("i4", 2.0**31, 0.0),
    "s64": ("i8", 2.0**63, 0.0),
    "flt": ("f4", 1.0, 0.0),
    "dbl": ("f8", 1.0, 0.0),
}


@dataclass(frozen=True)
class Piece:
    """One decoded frame of sound."""

    frame: av.AudioFrame
    """As decoded by FFmpeg: any sample format, planar or not; at least one sample."""
    speakers: tuple[str, ...]
    """The loudspeaker of each channel, by FFmpeg's names (``FL``, ``FC`` …); unknown ones have other names."""

    @property
    def sample_rate(self) -> int:
        """Hz, from :data:`MIN_RATE` to :data:`MAX_RATE`."""
        return self.frame.sample_rate

    @property
    def samples(self) -> int:
        """Samples per channel."""
        return self.frame.samples

    def to_float(self) -> NDArray[np.float32]:
        """(samples, channels) float32 with full scale 1 (floats may exceed it). NaN becomes silence."""
        frame, channels = self.frame, len(self.speakers)
        dtype, scale, zero = _FORMATS[frame.format.name.removesuffix("p")]
        if frame.format.is_planar:
            planes = frame.planes[:channels]  # PyAV gives more planes than there are channels
            pcm = np.stack([np.frombuffer(memoryview(plane), dtype, frame.samples) for plane in planes], axis=1)
        else:
            interleaved = np.frombuffer(memoryview(frame.planes[0]), dtype, frame.samples * channels)
            pcm = interleaved.reshape(frame.samples, channels)
        if pcm.dtype.kind == "f":
            pcm = np.clip(np.nan_to_num(pcm), -8.0, 8.0)  # doubles can be too large for a float
        audio: NDArray[np.float32] = (pcm.astype(np.float32) - np.float32(zero)) / np.float32(scale)
        return audio


def decode(data: bytes) -> Iterator[Piece]:
    """All frames of the best audio stream, in order. Damaged packets are skipped.

    Raises :class:`lipstream.errors.AudioError`: ``not_audio`` if it is not media or nothing can be decoded,
    ``no_audio_stream``.
    """
    heard = damaged = False
    with _open(data) as container:
        stream = _audio_stream(container)
        speakers = _plain_layout(stream)
        packets = container.demux(stream)
        while True:
            try:
                frames = _frames(next(packets), stream)
            except StopIteration:
                break
            except (av.error.FFmpegError, ValueError):
                damaged = True  # the next packet may be intact; after an error of the container there is none
                continue
            for frame in frames:
                if isinstance(frame, av.AudioFrame) and _is_sound(frame):
                    heard = True
                    yield Piece(frame, _speakers(frame.layout, speakers))
                else:
                    damaged = True
    if damaged and not heard:
        raise not_audio()


def _frames(packet: av.Packet[av.AudioStream], stream: av.AudioStream) -> list[av.AudioFrame]:
    """The frames of a packet. FFmpeg 8.0 refuses PCM packets that end within a sample, so the incomplete sample is cut
    off."""
    try:
        return packet.decode()
    except av.error.InvalidDataError:
        if not stream.codec_context.name.startswith("pcm_"):
            raise
    data = bytes(packet)
    for excess in range(1, min(len(data), _LARGEST_PCM_SAMPLE)):
        with suppress(av.error.InvalidDataError):
            return stream.codec_context.decode(av.Packet(data[:-excess]))
    raise av.error.InvalidDataError(0, "no whole sample")


def padding(data: bytes, samples: int, rate: int, last: Piece) -> int:
    """How many samples at the end of AAC in MP4 only fill its last frame. Players skip them, the decoder does not.

    They are known from a short last duration in the sample table, or from the end of the edit list. If that says more
    than one frame, the file is damaged, and it is ignored. ``samples`` is what was decoded, at ``rate`` Hz.
    """
    frame = last.frame
    with _open(data) as container:
        stream = _audio_stream(container)
        if "mp4" not in container.format.name or frame.sample_rate != rate:
            return 0
        if frame.duration and frame.time_base == Fraction(1, rate) and frame.duration < frame.samples:
            return frame.samples - frame.duration
        if not stream.duration or not stream.time_base:
            return 0
        excess = samples - round(stream.duration * stream.time_base * rate)
        return excess if 0 < excess < _LONGEST_AAC_FRAME else 0


def not_audio() -> AudioError:
    """The error for files that FFmpeg cannot read."""
    return AudioError("not_audio", f"The recording could not be read. Send an undamaged {_KINDS}.")


def _open(data: bytes) -> InputContainer:
    if not data:
        raise AudioError("not_audio", f"The recording's file is empty. Send an undamaged {_KINDS}.")
    if claims_too_much(data):
        raise not_audio()
    try:
        # Some formats list other files or addresses (HLS, SDP, concat). Allowing no protocol keeps FFmpeg from opening
        # them.
        return av.open(io.BytesIO(data), "r", options={"protocol_whitelist": "none"}, metadata_errors="ignore")
    except (av.error.FFmpegError, ValueError):
        raise not_audio() from None


def _audio_stream(container: InputContainer) -> av.AudioStream:
    stream = container.streams.best("audio")
    if not isinstance(stream, av.AudioStream):
        raise AudioError("no_audio_stream", f"The file has no sound in it. Send a recording: {_KINDS}.")
    if not stream.codec_context:
        raise not_audio()
    return stream


def _is_sound(frame: av.AudioFrame) -> bool:
    channels = frame.layout.nb_channels
    _survive(frame.layout)
    return (
        frame.samples > 0
        and MIN_RATE <= frame.sample_rate <= MAX_RATE
        and channels > 0
        and not (frame.format.is_planar and channels > _MOST_PLANES)
    )


def _plain_layout(stream: av.AudioStream) -> tuple[str, ...]:
    """The names of the channels in the container. A custom order, as written by cameras, is hidden from the decoder."""
    layout = stream.codec_context.layout
    if _survive(layout):
        stream.codec_context.options = {"ch_layout": f"{layout.nb_channels}C"}
    return tuple(channel.name for channel in layout.channels)


def _speakers(layout: av.AudioLayout, of_container: tuple[str, ...]) -> tuple[str, ...]:
    named = tuple(channel.name for channel in layout.channels)
    unknown = set(named) == {"NONE"} and len(named) == len(of_container)
    return of_container if unknown else named


def _survive(layout: av.AudioLayout) -> bool:
    """Keep PyAV (up to 18.1) from crashing on a layout that is a list of channels. Returns whether it is one.

    The list belongs to FFmpeg, but PyAV's object also frees it when it is destroyed, so it must never be destroyed. It
    takes some hundred bytes, and thanks to :func:`_plain_layout` there is one per file instead of one per frame.
    """
    listed = "(" in layout.name
    if listed:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(layout))
    return listed

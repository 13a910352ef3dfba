"""Writes MP4 in memory, with the index at the front so that playback can start before everything has arrived."""

from __future__ import annotations

import io
from collections.abc import Iterable
from contextlib import suppress
from fractions import Fraction

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from lipstream.engines.base import Patch
from lipstream.media.audio import Recording
from lipstream.media.encode import AudioEncoder, Encoding, VideoEncoder, playback_rate

__all__ = ["Encoding", "Mp4Writer", "TalkingVideo"]


class Mp4Writer:
    """An MP4 that grows in memory. At the end, the index (``moov``) is moved to the front in place.

    ``timescale`` is the clock of the edit lists, in ticks per second. At the audio's rate they are exact to the sample.
    """

    def __init__(self, timescale: int) -> None:
        self._buffer = buffer = io.BytesIO()
        self.container = av.open(
            self._buffer,
            "w",
            format="mp4",
            options={"movflags": "faststart", "movie_timescale": str(timescale)},
            buffer_size=1 << 18,
            # To move the index, the muxer opens its own output a second time, for reading.
            io_open=lambda _url, _flags, _options: _Reader(buffer),
        )

    def write(
        self,
        stream: av.VideoStream | av.AudioStream,
        packets: Iterable[av.Packet[av.VideoStream]] | Iterable[av.Packet[av.AudioStream]],
    ) -> None:
        """Add packets of one stream, in order. One stream may be ahead of the other; the muxer interleaves them."""
        for packet in packets:
            packet.stream = stream
            self.container.mux(packet)

    def finish(self) -> bytes:
        """Write the index; returns the complete file."""
        self.container.close()
        return self._buffer.getvalue()

    def abandon(self) -> None:
        """Free the encoders without finishing; does nothing after :meth:`finish`. Without it the container and its
        streams, which refer to each other, would keep threads and pictures until Python collects its garbage."""
        with suppress(av.error.FFmpegError):
            self.container.close()


class _Reader:
    """Reads a buffer from its beginning while it is still being written."""

    def __init__(self, buffer: io.BytesIO) -> None:
        self._buffer = buffer
        self._position = 0

    def read(self, size: int) -> bytes:
        with self._buffer.getbuffer() as view:
            piece = bytes(view[self._position : self._position + size])
        self._position += len(piece)
        return piece

    def close(self) -> None:
        """Nothing to do: the buffer belongs to the writer."""


class TalkingVideo:
    """The MP4 of a picture that speaks a recording: add frames and audio as they are made, then call :meth:`finish`.

    The video is H.264 (yuv420p) at the picture's size, the audio AAC; both start at 0. The video lasts frames / fps,
    the audio as long as the samples that were added. Blocking, not thread-safe; needs memory for the file only.
    A context manager: leaving its block without :meth:`finish` frees everything.
    """

    def __init__(
        self, picture: NDArray[np.uint8], fps: Fraction, recording: Recording, encoding: Encoding | None = None
    ) -> None:
        self._mp4 = Mp4Writer(timescale=playback_rate(recording.sample_rate))
        self._video_stream = self._mp4.container.add_stream("libx264", rate=fps)
        self._audio_stream = self._mp4.container.add_stream("aac", rate=playback_rate(recording.sample_rate))
        self._video = VideoEncoder(self._video_stream.codec_context, picture, fps, encoding)
        self._audio = AudioEncoder(self._audio_stream.codec_context, recording.sample_rate, recording.channels)

    def __enter__(self) -> TalkingVideo:
        return self

    def __exit__(self, *_: object) -> None:
        self._mp4.abandon()

    def add_frame(self, patch: Patch | None) -> None:
        """Add the next frame: the picture with ``patch`` on it."""
        self._mp4.write(self._video_stream, self._video.encode(patch))

    def add_audio(self, block: NDArray[np.float32]) -> None:
        """Add more audio: (n, channels) float32 in [-1, 1] at the recording's rate."""
        self._mp4.write(self._audio_stream, self._audio.encode(block))

    def finish(self) -> bytes:
        """The complete file, after all frames and all audio have been added."""
        self._mp4.write(self._video_stream, self._video.flush())
        self._mp4.write(self._audio_stream, self._audio.flush())
        return self._mp4.finish()

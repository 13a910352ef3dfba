"""Sound files of every kind that tests make for themselves."""

from __future__ import annotations

import io
import struct
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}


def chirp(samples: int, rate: int, channels: int = 1) -> NDArray[np.float32]:
    """(samples, channels): rising tones; no moment and no channel is like another."""
    time = np.arange(samples) / rate
    phases = [2 * np.pi * (200 + 150 * channel + 300 * time) * time for channel in range(channels)]
    return (0.4 * np.sin(np.stack(phases, axis=1))).astype(np.float32)


def encoded(pcm: NDArray[np.float32], rate: int, container: str, codec: str, *, live: bool = False) -> bytes:
    """``pcm`` (samples, channels) written by FFmpeg; ``live`` leaves length and index out, as browsers do."""
    file = io.BytesIO()
    options = {"live": "1"} if live else {}
    with av.open(file, "w", format=container, options=options) as out:
        stream = out.add_stream(codec, rate=rate)
        assert isinstance(stream, av.AudioStream)
        layout = LAYOUTS[pcm.shape[1]]
        stream.layout = layout
        convert = av.AudioResampler(format=stream.format.name, layout=layout, rate=rate)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm.T), format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        for piece in [*convert.resample(frame), *convert.resample(None)]:
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return file.getvalue()


def wav(
    body: bytes,
    rate: int,
    channels: int = 1,
    bits: int = 16,
    *,
    tag: int = 1,
    claimed: int | None = None,
    riff: int | None = None,
) -> bytes:
    """A WAV file around ``body``; ``claimed`` and ``riff`` are written where the lengths belong."""
    block = channels * bits // 8
    layout = struct.pack("<HHIIHH", tag, channels, rate, rate * block & 0xFFFFFFFF, block & 0xFFFF, bits)
    claimed = len(body) if claimed is None else claimed
    riff = 36 + len(body) if riff is None else riff
    return (
        b"RIFF" + struct.pack("<I", riff) + b"WAVEfmt " + struct.pack("<I", 16) + layout
        + b"data" + struct.pack("<I", claimed) + body
    )  # fmt: skip


def pcm16(pcm: NDArray[np.float32]) -> bytes:
    """(samples, channels) in [-1, 1] as interleaved 16-bit integers."""
    return np.round(pcm * 32_767).astype("<i2").tobytes()


def caf(body: bytes, rate: int, labels: list[int]) -> bytes:
    """16-bit PCM in Apple's Core Audio Format, which says of each channel where it belongs (CAF specification 1.0).

    Labels are 1 left, 2 right, 3 centre, 4 sub-woofer, 5 and 6 left and right surround, 42 mono.
    """
    channels = len(labels)
    description = struct.pack(">d4sIIIII", rate, b"lpcm", 2, 2 * channels, 1, channels, 16)
    places = b"".join(struct.pack(">II3f", label, 0, 0, 0, 0) for label in labels)
    chunks = [
        (b"desc", description),
        (b"chan", struct.pack(">III", 0, 0, channels) + places),
        (b"data", bytes(4) + body),
    ]
    return (
        b"caff"
        + struct.pack(">HH", 1, 0)
        + b"".join(kind + struct.pack(">q", len(chunk)) + chunk for kind, chunk in chunks)
    )

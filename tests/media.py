"""Media that tests make for themselves."""

from __future__ import annotations

import io
import wave
from fractions import Fraction

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.codec import CodecContext
from numpy.typing import NDArray
from PIL import Image


def wav_bytes(samples: NDArray[np.float32], rate: int) -> bytes:
    """(n,) or (n, channels) in [-1, 1] as a 16-bit WAV."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes((samples.clip(-1, 1) * 32767).astype("<i2").tobytes())
    return file.getvalue()


def mp3_bytes(samples: NDArray[np.float32], rate: int, repeat: int = 1) -> bytes:
    """(n,) mono in [-1, 1], played ``repeat`` times over, as MP3."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp3") as out:
        stream = out.add_stream("mp3", rate=rate, layout="mono")
        pts = 0
        for _ in range(repeat):
            frame = av.AudioFrame.from_ndarray(samples[np.newaxis].astype(np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, pts, Fraction(1, rate)
            pts += len(samples)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()


def opus_packets(samples: NDArray[np.float32], rate: int, frame_ms: float = 20) -> list[bytes]:
    """(n, channels) in [-1, 1] at a rate that Opus takes, as bare packets of ``frame_ms``."""
    codec = CodecContext.create("libopus", "w")
    assert isinstance(codec, AudioCodecContext)
    layout = ("mono", "stereo")[samples.shape[1] - 1]
    codec.sample_rate, codec.layout, codec.format, codec.bit_rate = rate, layout, "s16", 64_000
    codec.options = {"frame_duration": f"{frame_ms:g}"}
    codec.open()
    pcm = (samples * 32_767).astype(np.int16)
    packets = []
    for start in range(0, len(pcm) - codec.frame_size + 1, codec.frame_size):
        piece = pcm[start : start + codec.frame_size].reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece), format="s16", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        packets += [bytes(packet) for packet in codec.encode(frame)]
    return packets


def noisy_vowels(seconds: float, rate: int = 16_000) -> NDArray[np.float32]:
    """Speech-like sound: a buzz whose loudness and colour change four times a second; (n,) float32."""
    rng = np.random.default_rng(1)
    t = np.arange(int(seconds * rate)) / rate
    buzz = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 20))
    loud = 0.5 + 0.5 * np.sin(2 * np.pi * 4 * t)
    return (0.1 * loud * buzz + 0.005 * rng.standard_normal(len(t))).astype(np.float32)


def png_bytes(picture: NDArray[np.uint8]) -> bytes:
    """A PNG file of (height, width, 3) BGR."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture[:, :, ::-1])).save(file, "PNG")
    return file.getvalue()

"""Clips that tests make for themselves: a portrait that pans, tilts and grows, so that the truth is known."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.media.planes import plane_view

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Moving:
    """A picture in motion."""

    pictures: list[Pixels]
    maps: list[NDArray[np.float64]]
    """(2, 3) each: where the still's points are in the picture."""


def moving(still: Pixels, count: int, fps: float = 25.0, amount: float = 1.0) -> Moving:
    """``count`` frames of a still that sways: up to 3°, 4 % and some pixels."""
    height, width = still.shape[:2]
    pictures, maps = [], []
    for index in range(count):
        time = 2 * np.pi * index / fps
        turn, size = 3 * amount * np.sin(time / 2.3), 1.06 + 0.04 * amount * np.sin(time / 3.1)
        affine = cv2.getRotationMatrix2D((width / 2, height / 2), turn, size)
        affine[:, 2] += amount * width * 0.03 * np.array([np.sin(time / 1.9), np.cos(time / 2.7)])
        picture = cv2.warpAffine(still, affine, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        pictures.append(np.asarray(picture, np.uint8))
        maps.append(np.asarray(affine, np.float64))
    return Moving(pictures, maps)


def video_bytes(
    pictures: Sequence[Pixels],
    fps: Fraction = Fraction(25),
    *,
    container: str = "mp4",
    codec: str = "libx264",
    times: Sequence[int] | None = None,
    hd: bool = False,
    full: bool = False,
    options: dict[str, str] | None = None,
) -> bytes:
    """A video file of (height, width, 3) BGR pictures; ``times`` in milliseconds instead of the steady rate.

    Colours are those of BT.601 or, ``hd``, BT.709, in limited or ``full`` range, converted exactly and marked.
    """
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream: Any = out.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = pictures[0].shape[1], pictures[0].shape[0], "yuv420p"
        stream.options = options if options is not None else {"crf": "8", "preset": "ultrafast", "bf": "0"}
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.colorspace, stream.codec_context.color_range = (1 if hd else 6), (2 if full else 1)
        for index, picture in enumerate(pictures):
            frame = _frame(picture, hd=hd, full=full)
            frame.pts, frame.time_base = index, 1 / fps
            if times is not None:
                frame.pts, frame.time_base = times[index], Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return file.getvalue()


def soft_noise(width: int, height: int, seed: int = 0) -> Pixels:
    """A colourful picture without detail, which survives compression."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def _frame(picture: Pixels, *, hd: bool, full: bool) -> av.VideoFrame:
    height, width = picture.shape[:2]
    red, blue = (0.2126, 0.0722) if hd else (0.299, 0.114)
    luma_range, chroma_range, black = (255, 255, 0) if full else (219, 224, 16)
    b, g, r = (channel.astype(np.float64) / 255 for channel in cv2.split(picture))
    luma = red * r + (1 - red - blue) * g + blue * b
    half = (-(-width // 2), -(-height // 2))
    chroma = [(b - luma) / (2 * (1 - blue)), (r - luma) / (2 * (1 - red))]
    small = [cv2.resize(plane, half, interpolation=cv2.INTER_AREA) * chroma_range + 128 for plane in chroma]
    frame = av.VideoFrame(width, height, "yuv420p")
    frame.colorspace, frame.color_range = (1 if hd else 6), (2 if full else 1)
    for plane, values in zip(frame.planes, [luma * luma_range + black, *small], strict=True):
        plane_view(plane)[:] = np.clip(np.rint(values), 0, 255)
    return frame

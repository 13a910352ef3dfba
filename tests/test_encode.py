"""The picture that comes out is the picture that went in: :mod:`lipstream.media.encode`, decoded again."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from av.video.codeccontext import VideoCodecContext
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipstream.engines.base import Patch
from lipstream.media.encode import Encoding, VideoEncoder

WIDTH, HEIGHT = 96, 80


def codec() -> VideoCodecContext:
    return av.CodecContext.create("libx264", "w")


def photo(width: int = WIDTH, height: int = HEIGHT, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth colours with some texture, in BGR; with a seed of its own every picture is different everywhere."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(20, 235, (5, 6, 3), np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    textured: NDArray[np.uint8] = np.clip(smooth + rng.normal(0, 2, smooth.shape), 0, 255).astype(np.uint8)
    return textured


def composed(picture: NDArray[np.uint8], patch: Patch | None) -> NDArray[np.uint8]:
    """What a frame should show."""
    frame: NDArray[np.uint8] = picture.copy()
    if patch:
        height, width = patch.pixels.shape[:2]
        frame[patch.y : patch.y + height, patch.x : patch.x + width] = patch.pixels
    return frame


def shown(
    picture: NDArray[np.uint8], patches: Sequence[Patch | None], encoding: Encoding, fps: Fraction = Fraction(25)
) -> list[av.VideoFrame]:
    """Encode the patches one after the other and decode the result."""
    context = codec()
    encoder = VideoEncoder(context, picture, fps, encoding)
    packets = [packet for patch in patches for packet in encoder.encode(patch)]
    packets += encoder.flush()
    decoder: VideoCodecContext = av.CodecContext.create("h264", "r")
    return [frame for packet in [*packets, None] for frame in decoder.decode(packet)]


def yuv_of(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """(1.5 × height, width): the Y plane, below it Cb and Cr."""
    return np.asarray(frame.to_ndarray(), np.uint8)


def bgr_of(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """As FFmpeg shows it, following the tags."""
    return np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)


def exact_bgr(frame: av.VideoFrame) -> NDArray[np.float64]:
    """By the formulas of ITU-R BT.601, limited range, without the rounding of a fast converter."""
    planes = yuv_of(frame).astype(np.float64)
    height, width = frame.height, frame.width
    luma = (planes[:height] - 16) / 219
    chroma = (planes[height:].reshape(2, height // 2, width // 2) - 128) / 224
    blue, red = chroma.repeat(2, axis=1).repeat(2, axis=2)
    bgr = [luma + 1.772 * blue, luma - 0.344136 * blue - 0.714136 * red, luma + 1.402 * red]
    picture: NDArray[np.float64] = np.clip(255 * np.stack(bgr, axis=-1), 0, 255)
    return picture


def psnr(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    error = float(np.mean((first.astype(np.float64) - second.astype(np.float64)) ** 2))
    return float(10 * np.log10(255**2 / (error + 1e-9)))


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("preset", ["ultrafast", "superfast", "veryfast", "medium"])
def test_every_frame_is_its_own(preset: str, threads: int) -> None:
    """The frame passed to x264 is reused for the next one, so no frame may show the pixels of its neighbour."""
    picture = photo()
    patches = [Patch(16, 8, photo(64, 64, seed)) for seed in range(1, 41)]
    frames = shown(picture, patches, Encoding(preset=preset, crf=10, threads=threads))
    assert len(frames) == len(patches)
    for patch, frame in zip(patches, frames, strict=True):
        assert psnr(bgr_of(frame), composed(picture, patch)) > 33


@st.composite
def places(draw: st.DrawFn) -> Patch | None:
    """A patch anywhere, of any size, or none."""
    if draw(st.integers(0, 4)) == 0:
        return None
    x, y = 2 * draw(st.integers(0, WIDTH // 2 - 1)), 2 * draw(st.integers(0, HEIGHT // 2 - 1))
    width, height = 2 * draw(st.integers(1, (WIDTH - x) // 2)), 2 * draw(st.integers(1, (HEIGHT - y) // 2))
    return Patch(x, y, photo(width, height, draw(st.integers(1, 1_000))))


@settings(max_examples=40, deadline=None)
@given(st.lists(places(), min_size=1, max_size=8))
def test_patches_anywhere_leave_no_trace(patches: list[Patch | None]) -> None:
    """Lossless, so that one wrong pixel shows: each frame equals the same picture encoded from scratch."""
    picture = photo()
    lossless = Encoding(preset="ultrafast", crf=0)
    for patch, frame in zip(patches, shown(picture, patches, lossless), strict=True):
        (alone,) = shown(composed(picture, patch), [None], lossless)
        np.testing.assert_array_equal(yuv_of(frame), yuv_of(alone))


def test_colours_are_the_photos() -> None:
    picture = np.asarray(cv2.GaussianBlur(photo(640, 480, seed=7), (0, 0), 2), np.uint8)
    for frame in shown(picture, [None] * 30, Encoding()):
        assert np.abs(bgr_of(frame).astype(int) - picture).mean() <= 2
        difference = exact_bgr(frame) - picture
        assert np.abs(difference).mean() <= 1.5
        assert np.abs(difference.mean(axis=(0, 1))).max() <= 0.5  # no cast


@pytest.mark.parametrize(
    "bgr",
    [(0, 0, 0), (255, 255, 255), (0, 0, 255), (0, 255, 0), (255, 0, 0), (0, 255, 255), (255, 0, 255), (180, 200, 230)],
)
def test_even_pure_colours(bgr: tuple[int, int, int]) -> None:
    picture = np.full((64, 64, 3), bgr, np.uint8)
    (frame,) = shown(picture, [None], Encoding(crf=1))
    assert np.abs(bgr_of(frame).astype(int) - picture).max() <= 3


def test_colour_edges_are_averaged_not_picked() -> None:
    """Columns of red and blue by turns: their chroma is purple, not that of every second column."""
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, ::2, 2] = 255
    picture[:, 1::2, 0] = 255
    (frame,) = shown(picture, [None], Encoding(crf=1))
    mean = bgr_of(frame).mean(axis=(0, 1))
    assert abs(mean[0] - mean[2]) < 12


def test_colour_tags_are_true() -> None:
    """sRGB picture, BT.601 matrix, limited range: numbers of ISO/IEC 23091-2."""
    (frame,) = shown(photo(), [None], Encoding())
    assert frame.format.name == "yuv420p"
    assert (frame.color_primaries, frame.color_trc, frame.colorspace) == (1, 13, 6)
    assert frame.color_range == 1


@pytest.mark.parametrize("fps", [Fraction(1), Fraction(24_000, 1_001), Fraction(25), Fraction(60)])
def test_packets_are_stamped_with_the_clock(fps: Fraction) -> None:
    context = codec()
    encoder = VideoEncoder(context, photo(), fps, Encoding(preset="ultrafast"))
    packets = [packet for _ in range(30) for packet in encoder.encode(None)] + encoder.flush()
    assert [packet.pts for packet in packets] == [packet.dts for packet in packets] == list(range(30))
    assert {packet.time_base for packet in packets} == {1 / fps}
    assert {packet.duration for packet in packets} == {1}


@pytest.mark.parametrize(("width", "height"), [(32, 32), (34, 62), (960, 1_200), (2_048, 34)])
def test_any_even_size(width: int, height: int) -> None:
    picture = photo(width, height)
    (frame,) = shown(picture, [None], Encoding(preset="ultrafast"))
    assert (frame.width, frame.height) == (width, height)
    assert psnr(bgr_of(frame), picture) > 28


def test_the_picture_is_not_touched() -> None:
    picture = photo()
    picture.flags.writeable = False
    patch = Patch(0, 0, photo(32, 32, 3))
    patch.pixels.flags.writeable = False
    assert len(shown(picture, [patch, None], Encoding())) == 2


def test_the_default_keeps_the_mouth() -> None:
    """A mouth that opens and closes on a textured face, at the default settings: no frame of it turns to mush."""
    picture = photo(256, 256, 5)
    mouth = photo(96, 64, 6)
    patches = []
    for index in range(50):
        pixels = picture[150:214, 80:176].copy()
        opening = int(14 * abs(np.sin(index * 0.9)))
        cv2.ellipse(pixels, (48, 32), (30, opening), 0, 0, 360, (40, 20, 60), -1, cv2.LINE_AA)
        pixels[: 20 - opening // 2] = mouth[: 20 - opening // 2]
        patches.append(Patch(80, 150, pixels))
    frames = shown(picture, patches, Encoding())
    for patch, frame in zip(patches, frames, strict=True):
        luma = np.asarray(cv2.cvtColor(composed(picture, patch), cv2.COLOR_BGR2YUV_I420), np.uint8)
        assert psnr(yuv_of(frame)[150:214, 80:176], luma[150:214, 80:176]) >= 36

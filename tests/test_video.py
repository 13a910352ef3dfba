"""Video files: whatever FFmpeg reads becomes upright pictures at a steady rate; what is not one is refused."""

from __future__ import annotations

import io
import struct
from contextlib import suppress
from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipstream.errors import VideoError
from lipstream.media.video import Video, VideoLimits, kind_of
from tests.clips import Pixels, soft_noise, video_bytes
from tests.media import mp3_bytes, wav_bytes

LIMITS = VideoLimits(pixels=1_000_000, seconds=5.0)
TONE = np.sin(np.arange(16_000) / 10).astype(np.float32)


def numbered(count: int, width: int = 96, height: int = 64) -> list[Pixels]:
    """Frames that differ so much that each is known again."""
    return [np.full((height, width, 3), 8 * index % 256, np.uint8) for index in range(count)]


def brightness(video: Video) -> list[int]:
    return [round(float(picture.mean()) / 8) for picture in video.pictures()]


def refused(data: bytes, limits: VideoLimits = LIMITS) -> str:
    with pytest.raises(VideoError) as caught:
        list(Video(data, limits).pictures())
    return caught.value.code


@pytest.mark.parametrize(
    ("container", "codec"),
    [("mp4", "libx264"), ("mov", "libx264"), ("matroska", "libx264"), ("webm", "libvpx-vp9"), ("avi", "mpeg4")],
)
def test_the_usual_files(container: str, codec: str) -> None:
    picture = soft_noise(96, 64)
    data = video_bytes([picture] * 6, container=container, codec=codec, options={})
    pictures = list(Video(data, LIMITS).pictures())
    assert len(pictures) == 6
    assert all(one.shape == picture.shape and one.dtype == np.uint8 for one in pictures)
    assert np.abs(pictures[3].astype(int) - picture).mean() < 8
    assert kind_of(data) == "video"


@pytest.mark.parametrize(
    ("fps", "kept"),
    [(10, 10), (25, 25), (30, 30), (50, 25), (60, 30), (Fraction(60_000, 1001), Fraction(30_000, 1001)), (120, 30)],
)
def test_high_rates_are_thinned_to_a_whole_part(fps: Fraction, kept: Fraction) -> None:
    video = Video(video_bytes(numbered(24), Fraction(fps)), LIMITS)
    assert video.fps == kept
    step = int(fps / kept)
    assert brightness(video)[: 24 // step] == list(range(0, 24, step))[: 24 // step]


def test_the_files_own_times_decide() -> None:
    """Phones have a variable frame rate: a frame that lasts twice as long is given twice, not played faster."""
    times = [0, 40, 80, 160, 200, 320, 360, 400]
    shown = brightness(Video(video_bytes(numbered(8), container="matroska", times=times), LIMITS))
    assert shown[:10] == [0, 1, 2, 2, 3, 4, 4, 4, 5, 6]


@pytest.mark.parametrize(("fps", "shown"), [(25, list(range(12))), (60, [0, 2, 4, 6, 8, 10, 11])])
def test_times_that_stand_still_are_replaced_by_the_nominal_rate(fps: int, shown: list[int]) -> None:
    video = Video(video_bytes(numbered(12), Fraction(fps), container="matroska", times=[0] * 12), LIMITS)
    assert brightness(video) == shown


@pytest.mark.parametrize("ticks", [0, 1])
def test_an_mp4_whose_frames_last_nothing_keeps_its_pace(ticks: int) -> None:
    """Every frame lasts no tick or a single one of 12800 in a second (ISO/IEC 14496-12, 8.6.1.2)."""
    data = bytearray(video_bytes(numbered(12)))
    at = data.index(b"stts") + 8
    (runs,) = struct.unpack_from(">I", data, at)
    for run in range(runs):
        struct.pack_into(">I", data, at + 8 + 8 * run, ticks)
    video = Video(bytes(data), LIMITS)
    shown = brightness(video)
    assert (shown[0], shown[-1]) == (0, 11)
    assert len(shown) / video.fps == pytest.approx(12 / 25, abs=0.12)


def test_times_that_begin_again_go_on() -> None:
    """Recordings that were put one behind the other, byte after byte."""
    part = video_bytes(numbered(12), container="mpegts")
    assert brightness(Video(part + part, LIMITS)) == [*range(12), *range(12)]


@pytest.mark.parametrize("hd", [False, True])
@pytest.mark.parametrize("full", [False, True])
def test_colours_are_those_of_the_file(*, hd: bool, full: bool) -> None:
    """Telephones write BT.709, some in full range. Taken for another, skin is off by ten levels."""
    picture = soft_noise(320, 240, 5)
    (first, *_) = Video(video_bytes([picture] * 2, hd=hd, full=full), LIMITS).pictures()
    difference = first.astype(int) - picture
    assert np.abs(difference.mean(axis=(0, 1))).max() < 0.6
    assert np.abs(difference).mean() < 2.0


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_turned_recordings_come_upright(degrees: int) -> None:
    """Telephones keep the sensor's picture and say in the track header how to turn it (ISO/IEC 14496-12, 8.3.2)."""
    picture = soft_noise(96, 64, 3)
    data = bytearray(video_bytes([picture] * 2))
    # The last nine numbers before width and height; cosine and sine in 16.16, clockwise.
    at = data.index(b"tkhd") + 4 + 4 + 20 + 8 + 8
    cosine, sine = round(np.cos(np.radians(degrees))), round(np.sin(np.radians(degrees)))
    matrix = [cosine << 16, sine << 16, 0, -sine << 16, cosine << 16, 0, 0, 0, 1 << 30]
    data[at : at + 36] = struct.pack(">9i", *matrix)
    (first, *_) = Video(bytes(data), LIMITS).pictures()
    turned = np.rot90(picture, -degrees // 90)
    assert first.shape == turned.shape
    assert np.abs(first.astype(int) - turned).mean() < 4


def test_odd_sides_become_even() -> None:
    data = video_bytes([soft_noise(97, 65)] * 3, codec="mpeg4", options={})
    assert {picture.shape for picture in Video(data, LIMITS).pictures()} == {(64, 96, 3)}


def test_sound_does_not_matter() -> None:
    assert refused(wav_bytes(TONE, 16_000)) == "not_a_video"
    assert refused(mp3_bytes(TONE, 16_000)) == "not_a_video"
    assert kind_of(wav_bytes(TONE, 16_000)) == "image"


def test_what_is_no_video() -> None:
    assert refused(b"") == "not_a_video"
    assert refused(b"hello" * 100) == "not_a_video"
    assert (
        refused(b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n") == "not_a_video"
    )
    assert kind_of(b"nothing") == "image"


@pytest.mark.parametrize("kind", [".png", ".jpg", ".webp"])
def test_pictures_are_pictures(kind: str) -> None:
    assert kind_of(cv2.imencode(kind, soft_noise(64, 64))[1].tobytes()) == "image"


def test_animations_and_heic_are_pictures() -> None:
    from PIL import Image

    file = io.BytesIO()
    frames = [Image.fromarray(picture) for picture in numbered(3)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    assert kind_of(file.getvalue()) == "image"
    assert kind_of(b"\0\0\0\x18ftypheic" + bytes(100)) == "image"


def test_too_many_pixels_are_seen_in_the_header() -> None:
    assert refused(video_bytes(numbered(2, 640, 480)), VideoLimits(640 * 480 - 1, 5.0)) == "video_too_large"
    assert len(list(Video(video_bytes(numbered(2, 640, 480)), VideoLimits(640 * 480, 5.0)).pictures())) == 2


def test_too_few_pixels() -> None:
    assert refused(video_bytes(numbered(2, 64, 16))) == "video_too_small"


def test_too_long_is_seen_in_the_header() -> None:
    with pytest.raises(VideoError, match=r"lasts 3 seconds; up to 2 seconds") as caught:
        Video(video_bytes(numbered(75)), VideoLimits(1_000_000, 2.0))
    assert caught.value.code == "video_too_long"


def test_a_header_that_lies_about_the_length_does_not_help() -> None:
    """A raw H.264 stream says nothing about its length; nor does a WebM that was never finished."""
    raw = video_bytes(numbered(75), container="h264")
    assert refused(raw, VideoLimits(1_000_000, 2.0)) == "video_too_long"


def test_exactly_the_limit_is_accepted() -> None:
    assert len(list(Video(video_bytes(numbered(50)), VideoLimits(1_000_000, 2.0)).pictures())) == 50


def test_many_frames_at_the_same_moment_are_refused() -> None:
    """Such frames would take no time to play but a long time to decode."""
    crowded = video_bytes(numbered(700), container="matroska", times=[index // 100 for index in range(700)])
    assert refused(crowded, VideoLimits(1_000_000, 5.0)) == "video_too_long"


def test_damage_costs_a_few_frames() -> None:
    data = bytearray(video_bytes(numbered(40), options={"g": "5", "preset": "ultrafast"}))
    middle = data.index(b"mdat") + 600
    data[middle : middle + 40] = bytes(40)
    shown = brightness(Video(bytes(data), LIMITS))
    assert 30 <= len(shown) <= 40


@settings(max_examples=60)
@given(st.data())
def test_damaged_files_are_read_or_refused(data: st.DataObject) -> None:
    file = bytearray(DAMAGED)
    for _ in range(data.draw(st.integers(1, 6))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(file)))
    with suppress(VideoError):  # anything else is a mistake
        for picture in Video(bytes(file[:cut]), VideoLimits(100_000, 1.0)).pictures():
            assert picture.shape[0] * picture.shape[1] <= 100_000


DAMAGED = video_bytes(numbered(8))

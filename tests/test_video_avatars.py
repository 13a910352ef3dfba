"""Clips that speak: every frame's mouth is replaced, at its place, and all else stays the clip's own."""

from __future__ import annotations

import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipstream.avatar import Avatar
from lipstream.config import Settings
from lipstream.engines.base import Actor, Patch
from lipstream.engines.box import Box
from lipstream.engines.portrait.clip import source_map
from lipstream.engines.portrait.engine import PortraitActor, PortraitEngine
from lipstream.errors import CancelledError, FaceError, ImageError, RequestError, VideoError
from lipstream.face.finder import FaceFinder
from lipstream.footage import load_footage
from lipstream.live import AudioFormat, LiveStream
from lipstream.media.clip import ClipReader, there_and_back
from lipstream.media.clock import frame_count
from lipstream.media.encode import Encoding, VideoEncoder
from lipstream.media.fragments import JpegWriter
from lipstream.media.planes import plane_view, to_bgr, to_planes
from lipstream.media.video import VideoLimits
from lipstream.models.store import ModelStore
from lipstream.session import Session
from lipstream.studio import Job, Studio
from tests.clips import Moving, Pixels, moving, soft_noise, video_bytes
from tests.media import wav_bytes

FPS = Fraction(25)
LIMITS = VideoLimits(1_000_000, 20.0)
COUNT = 14
EMPTY = range(5, 9)
"""Frames from which the face is removed. Tests with them turn off the bridging of short gaps."""
QUIET = wav_bytes(np.zeros(4_000, np.float32), 16_000)


@pytest.fixture(scope="module")
def truth(astronaut: NDArray[np.uint8]) -> Moving:
    """The astronaut's head, 256 × 256, swaying."""
    return moving(np.ascontiguousarray(astronaut[:256, 96:352]), COUNT)


@pytest.fixture(scope="module")
def swaying(finder: FaceFinder, truth: Moving) -> Avatar:
    return load_footage(video_bytes(truth.pictures), finder, LIMITS)


@pytest.fixture(scope="module")
def actor(portrait_engine: PortraitEngine, swaying: Avatar) -> PortraitActor:
    return portrait_engine.prepare(swaying)


@pytest.fixture(scope="module")
def speech(sample_speech: NDArray[np.float32]) -> NDArray[np.float32]:
    return sample_speech[8_000:24_000]


def spoken(actor: Actor, audio: NDArray[np.float32], cuts: list[int] | None = None, batch: int = 1) -> list[Patch]:
    session = Session(actor, sample_rate=16_000, fps=FPS, batch=batch)
    frames = [frame for chunk in np.split(audio, sorted(cuts or [])) for frame in session.push(chunk)]
    return [frame.patch for frame in [*frames, *session.flush()]]


def shown(patch: Patch) -> Pixels:
    """The whole frame."""
    assert patch.background is not None
    picture: Pixels = to_bgr(patch.background).copy()
    height, width = patch.pixels.shape[:2]
    picture[patch.y : patch.y + height, patch.x : patch.x + width] = patch.pixels
    return picture


def clip_pictures(avatar: Avatar) -> list[Pixels]:
    assert avatar.footage
    reader = ClipReader(avatar.footage.clip)
    return [reader.picture(index) for index in range(len(avatar.footage.clip))]


def without_faces(avatar: Avatar, missing: range) -> Avatar:
    assert avatar.footage
    faces = tuple(None if index in missing else face for index, face in enumerate(avatar.footage.faces))
    return replace(avatar, footage=replace(avatar.footage, faces=faces))


def test_the_clip_plays_forth_and_back_below_the_mouth(actor: PortraitActor, speech: NDArray[np.float32]) -> None:
    patches = spoken(actor, speech)
    assert len(patches) == frame_count(len(speech), 16_000, FPS) == 25
    pictures = clip_pictures(actor.avatar)
    for number, patch in enumerate(patches):
        assert patch.background is not None
        below = to_bgr(patch.background)
        assert np.array_equal(below, pictures[there_and_back(number, COUNT)])
        assert patch.pixels.size
        assert patch.x % 2 == patch.y % 2 == patch.pixels.shape[0] % 2 == patch.pixels.shape[1] % 2 == 0


def test_the_mouth_moves_and_the_rest_does_not(actor: PortraitActor, speech: NDArray[np.float32]) -> None:
    """Compared with the same clip in silence, frame by frame."""
    silent = spoken(actor, np.zeros_like(speech))
    moved = []
    for patch, still in zip(spoken(actor, speech), silent, strict=True):
        height, width = patch.pixels.shape[:2]
        difference = np.abs(patch.pixels.astype(int) - still.pixels).max(axis=2)
        moved.append(difference.max())
        # The patch's outermost pixels are the clip's own.
        edge = np.ones((height, width), bool)
        edge[2:-2, 2:-2] = False
        original = shown(Patch(0, 0, patch.pixels[:0, :0], patch.background))
        here = original[patch.y : patch.y + height, patch.x : patch.x + width]
        assert np.abs(patch.pixels.astype(int) - here)[edge].max() <= 3
    assert np.mean(np.array(moved) > 40) > 0.6


def test_a_closed_mouth_leaves_the_clip_as_it_is(actor: PortraitActor) -> None:
    """No seam, no colour shift: what is laid over a frame looks like that frame."""
    for patch in spoken(actor, np.zeros(8_000, np.float32))[3:]:
        height, width = patch.pixels.shape[:2]
        original = to_bgr(patch.background or ())[patch.y : patch.y + height, patch.x : patch.x + width]
        # Her smile closes, so the middle differs; cheeks and chin do not.
        difference = np.abs(patch.pixels.astype(int) - original).mean(axis=2)
        difference[height // 5 : height * 3 // 5, width // 4 : width * 3 // 4] = 0
        assert difference.mean() < 4


def test_what_is_drawn_follows_the_head(actor: PortraitActor, truth: Moving) -> None:
    """Against the truth: the mouth's place in the still, carried along as the clip was made. No jitter."""
    avatar, footage = actor.avatar, actor.avatar.footage
    assert footage
    best = min(
        range(COUNT), key=lambda index: float(np.abs(clip_pictures(avatar)[index].astype(int) - avatar.picture).mean())
    )

    there = truth.maps[best]
    mouth = avatar.face.landmarks[[13, 14], :2].mean(axis=0)
    still = np.linalg.solve(there[:, :2], mouth - there[:, 2])
    errors = []
    for face, affine in zip(footage.faces, truth.maps, strict=True):
        assert face
        place = still @ affine[:, :2].T + affine[:, 2]
        x, y = (round(float(v)) for v in place)
        ((source,),) = source_map(footage.still, face, Box(x, y, x + 1, y + 1))
        errors.append(source - mouth - (np.array([x, y]) - place))
    offsets = np.array(errors)
    assert np.abs(offsets).max() < 1.5  # pixels
    assert np.diff(offsets, axis=0).std() < 0.3


def test_a_still_clip_speaks_like_its_picture(
    portrait_engine: PortraitEngine, finder: FaceFinder, astronaut: NDArray[np.uint8]
) -> None:
    """In the same place and colours, although a smile that relaxes differs from what the clip shows around it."""
    head = np.ascontiguousarray(astronaut[:256, 96:352])
    actor = portrait_engine.prepare(load_footage(video_bytes([head] * 9), finder, LIMITS))
    picture, rest = actor.avatar.picture.copy(), actor.rest
    picture[rest.y : rest.y + rest.pixels.shape[0], rest.x : rest.x + rest.pixels.shape[1]] = rest.pixels
    x, y = (int(v) for v in actor.avatar.face.landmarks[[13, 14], :2].mean(axis=0))
    mouth = slice(y - 10, y + 12), slice(x - 16, x + 16)
    for patch in spoken(actor, np.zeros(6_000, np.float32))[4:]:
        difference = shown(patch)[mouth].astype(int) - picture[mouth]
        assert np.abs(difference).mean() < 1.5
        assert np.abs(difference.mean(axis=(0, 1))).max() < 1


def test_the_mouth_follows_the_clips_light(
    portrait_engine: PortraitEngine, finder: FaceFinder, astronaut: NDArray[np.uint8]
) -> None:
    head = np.ascontiguousarray(astronaut[:256, 96:352])
    dimmer = (head * 0.93).astype(np.uint8)
    actor = portrait_engine.prepare(load_footage(video_bytes([head] * 5 + [dimmer] * 5), finder, LIMITS))
    frames = [shown(patch) for patch in spoken(actor, np.zeros(6_400, np.float32))]
    x, y = (int(v) for v in actor.avatar.face.landmarks[17, :2])
    chin, cheek = (slice(row - 5, row + 5) for row in (y + 8, y - 45))
    columns = slice(x - 12, x + 12)
    expected = (frames[1][cheek, columns].astype(int) - frames[8][cheek, columns]).mean()
    assert (frames[1][chin, columns].astype(int) - frames[8][chin, columns]).mean() == pytest.approx(expected, abs=3)


@settings(max_examples=8)
@given(cuts=st.lists(st.integers(0, 12_800), max_size=12))
def test_any_chunking_gives_identical_frames(
    actor: PortraitActor, speech: NDArray[np.float32], cuts: list[int]
) -> None:
    audio = speech[:12_800]
    whole, parts = spoken(actor, audio), spoken(actor, audio, cuts)
    assert len(whole) == len(parts)
    for a, b in zip(whole, parts, strict=True):
        assert (a.x, a.y) == (b.x, b.y)
        assert np.array_equal(a.pixels, b.pixels)
        assert all(np.array_equal(p, q) for p, q in zip(a.background or (), b.background or (), strict=True))


def test_a_frame_without_a_face_is_shown_as_it_is(
    portrait_engine: PortraitEngine, swaying: Avatar, speech: NDArray[np.float32]
) -> None:
    avatar = without_faces(swaying, EMPTY)
    pictures = clip_pictures(avatar)
    for number, patch in enumerate(spoken(portrait_engine.prepare(avatar), speech)):
        index = there_and_back(number, COUNT)
        assert (patch.pixels.size == 0) == (index in EMPTY)
        if index in EMPTY:
            assert np.array_equal(shown(patch), pictures[index])


def test_rates_of_clip_and_video_may_differ(portrait_engine: PortraitEngine, finder: FaceFinder, truth: Moving) -> None:
    slow = portrait_engine.prepare(load_footage(video_bytes(truth.pictures[:5], Fraction(10)), finder, LIMITS))
    pictures = clip_pictures(slow.avatar)
    session = Session(slow, sample_rate=16_000, fps=Fraction(30))
    frames = [*session.push(np.zeros(16_000, np.float32)), *session.flush()]
    assert len(frames) == 30
    for frame in frames:
        index = there_and_back(frame.index // 3, 5)
        assert np.array_equal(to_bgr(frame.patch.background or ()), pictures[index])


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_live_clip_plays_on_without_a_jump(
    actor: PortraitActor, speech: NDArray[np.float32], portrait_engine: PortraitEngine, *, interrupted: bool
) -> None:
    """Through idling, speech, its end or its interruption."""
    stream = LiveStream(actor, AudioFormat(16_000, 1), FPS, lookahead=portrait_engine.lookahead)
    pcm = (speech[:, np.newaxis] * 32_767).astype(np.int16)
    moments = [stream.advance() for _ in range(5)]
    stream.feed(pcm)
    if interrupted:
        moments += [stream.advance() for _ in range(9)]
        stream.interrupt()
    else:
        stream.end()
    moments += [stream.advance() for _ in range(35)]
    pictures = clip_pictures(actor.avatar)
    assert any(moment.speaking for moment in moments)
    for number, moment in enumerate(moments):
        assert np.array_equal(to_bgr(moment.patch.background or ()), pictures[there_and_back(number, COUNT)])
        assert moment.patch.pixels.size
    mouths = [shown(moment.patch) for moment in moments[-3:]]
    assert all(not np.array_equal(a, b) for a, b in pairwise(mouths))  # it lives while it idles


def test_the_encoder_goes_between_clips_and_stills() -> None:
    """A patch with a background covers everything; one without it is on the picture again."""
    still, other = soft_noise(64, 48, 1), soft_noise(64, 48, 2)
    spot = np.full((8, 8, 3), 200, np.uint8)
    nothing = np.zeros((0, 0, 3), np.uint8)
    patches = [
        None,
        Patch(8, 8, spot, to_planes(other)),
        Patch(0, 0, nothing, to_planes(other)),
        Patch(16, 16, spot),
        Patch(0, 0, nothing, to_planes(other)),
        None,
    ]
    expected = [still, other.copy(), other, still.copy(), other, still]
    expected[1][8:16, 8:16] = 200
    expected[3][16:24, 16:24] = 200
    codec = av.CodecContext.create("libx264", "w")
    assert isinstance(codec, av.video.codeccontext.VideoCodecContext)
    encoder = VideoEncoder(codec, still, FPS, Encoding(preset="ultrafast", crf=0))
    packets = [packet for patch in patches for packet in encoder.encode(patch)] + encoder.flush()
    decoder = av.CodecContext.create("h264", "r")
    decoded = [frame for packet in packets for frame in decoder.decode(packet)] + decoder.decode(None)
    for frame, picture in zip(decoded, expected, strict=True):
        assert isinstance(frame, av.VideoFrame)
        assert np.array_equal(plane_view(frame.planes[0]), to_planes(picture)[0])


def test_jpegs_go_between_clips_and_stills() -> None:

    still, other = soft_noise(64, 48, 1), soft_noise(64, 48, 2)
    spot, silence = np.full((8, 8, 3), 200, np.uint8), np.zeros((640, 1), np.int16)
    writer = JpegWriter(still, sample_rate=16_000)
    for patch, picture in (
        (Patch(8, 8, spot, to_planes(other)), other),
        (Patch(16, 16, spot), still),
        (Patch(0, 0, spot[:0, :0], to_planes(other)), other),
    ):
        packet = writer.write(patch, silence).data
        jpeg = cv2.imdecode(np.frombuffer(packet[24:-1280], np.uint8), cv2.IMREAD_COLOR)
        expected = picture.copy()
        height, width = patch.pixels.shape[:2]
        expected[patch.y : patch.y + height, patch.x : patch.x + width] = patch.pixels
        assert np.abs(np.asarray(jpeg).astype(int) - expected).mean() < 4


@pytest.fixture(scope="module")
def clip_file(truth: Moving) -> bytes:
    return video_bytes(truth.pictures)


def test_a_job_with_a_clip(studio: Studio, clip_file: bytes, speech: NDArray[np.float32]) -> None:
    mp4 = studio.render(Job(video=clip_file, audio=wav_bytes(speech, 16_000), fps=Fraction(30)))
    with av.open(io.BytesIO(mp4)) as file:
        stream = file.streams.video[0]
        assert (stream.frames, stream.width, stream.height) == (30, 256, 256)
        decoded = [frame.to_ndarray(format="bgr24") for frame in file.decode(video=0)]
    assert np.abs(decoded[5].astype(int) - decoded[9]).mean() > 1  # it moves


def test_it_is_prepared_once(studio: Studio, clip_file: bytes) -> None:
    first = studio.actor(clip_file, "portrait", kind="video")
    assert studio.actor(clip_file, "portrait", kind="video") is first
    assert first.nbytes > 2**20


def test_leaving_stops_the_preparation(studio: Studio, truth: Moving) -> None:
    """Others that wait for the same clip still get it."""
    data = video_bytes(truth.pictures * 6)
    first_frames, other = threading.Event(), threading.Event()
    asked = 0

    def leave() -> bool:
        nonlocal asked
        asked += 1
        if asked == 3:
            first_frames.set()
            other.wait(10)
        return asked > 10

    with ThreadPoolExecutor(2) as pool:
        leaving = pool.submit(studio.actor, data, "portrait", kind="video", cancelled=leave)
        assert first_frames.wait(30)
        staying = pool.submit(studio.actor, data, "portrait", kind="video")
        time.sleep(0.05)  # it waits for the first one's result by now
        other.set()
        with pytest.raises(CancelledError):
            leaving.result(60)
        assert asked == 12 < 6 * COUNT  # once more at the end: was it this caller who left?
        assert staying.result(60).avatar.footage


def test_forgotten_frames_are_prepared_again(
    portrait_engine: PortraitEngine, swaying: Avatar, speech: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    plenty = spoken(portrait_engine.prepare(swaying), speech)
    monkeypatch.setattr("lipstream.engines.portrait.clip.OVERLAYS_BYTES", 1)
    scarce = spoken(portrait_engine.prepare(swaying), speech)
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(plenty, scarce, strict=True))


def test_exactly_one_of_picture_and_clip(clip_file: bytes) -> None:
    with pytest.raises(RequestError) as neither:
        Job(audio=QUIET)
    with pytest.raises(RequestError) as both:
        Job(image=b"x", video=clip_file, audio=QUIET)
    assert (neither.value.code, both.value.code) == ("missing_field", "bad_field")


def test_the_wrong_field(studio: Studio, clip_file: bytes, sample_portrait: Path) -> None:
    with pytest.raises(ImageError) as caught:
        studio.render(Job(image=clip_file, audio=QUIET))
    assert caught.value.code == "not_an_image"
    assert 'field "video"' in caught.value.message
    with pytest.raises(ImageError) as neither:
        studio.render(Job(image=b"neither" * 99, audio=QUIET))
    assert neither.value.code == "not_an_image"
    assert "video" not in neither.value.message
    with pytest.raises(VideoError) as refused:
        studio.render(Job(video=sample_portrait.read_bytes(), audio=QUIET))
    assert refused.value.code == "not_a_video"
    assert "Send a picture as a picture" in refused.value.message


def test_limits_are_those_of_the_settings(store: ModelStore, clip_file: bytes) -> None:
    strict = Studio.open(Settings(cache_dir=store.cache, max_video_seconds=0.1))
    with pytest.raises(VideoError) as caught:
        strict.avatar(clip_file, kind="video")
    assert caught.value.code == "video_too_long"


def test_the_memory_of_a_clip_is_bounded(finder: FaceFinder, truth: Moving) -> None:
    data = video_bytes(truth.pictures)
    whole = load_footage(data, finder, LIMITS).footage
    assert whole
    exactly = replace(LIMITS, kept=whole.clip.nbytes)
    assert load_footage(data, finder, exactly).footage
    with pytest.raises(VideoError) as caught:
        load_footage(data, finder, replace(exactly, kept=exactly.kept - 1))
    assert caught.value.code == "video_too_large"


def test_no_frame_with_a_face(studio: Studio) -> None:
    with pytest.raises(FaceError) as caught:
        studio.avatar(video_bytes([soft_noise(96, 64)] * 5), kind="video")
    assert caught.value.code == "no_face"

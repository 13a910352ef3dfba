"""Wav2Lip over a clip: each frame's own face, encoded once, in its own place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipstream.avatar import Avatar, picture_digest
from lipstream.engines.base import Patch
from lipstream.engines.wav2lip import scenes as scenes_module
from lipstream.engines.wav2lip.box import carry, face_box
from lipstream.engines.wav2lip.engine import CPU_BATCH, Wav2LipActor, Wav2LipEngine, network_face
from lipstream.engines.wav2lip.imported import ImportedModel
from lipstream.engines.wav2lip.network import FaceEncoder, GeneratorNetwork
from lipstream.face.finder import FaceFinder
from lipstream.footage import load_footage
from lipstream.live import AudioFormat, LiveStream
from lipstream.media.clip import ClipReader, there_and_back
from lipstream.media.planes import to_bgr
from lipstream.media.video import VideoLimits
from lipstream.session import Session
from tests.clips import moving, video_bytes

FPS = Fraction(25)
COUNT = 9


@pytest.fixture(scope="module")
def swaying(finder: FaceFinder, head: Avatar) -> Avatar:
    """The astronaut's head in motion, nine frames."""
    return load_footage(video_bytes(moving(head.picture, COUNT).pictures), finder, VideoLimits(1_000_000, 20.0))


@pytest.fixture(scope="module")
def actor(small_engine: Wav2LipEngine, swaying: Avatar) -> Wav2LipActor:
    return small_engine.prepare(swaying)


@pytest.fixture(scope="module")
def speech(sample_speech: NDArray[np.float32]) -> NDArray[np.float32]:
    """0.8 s in the middle of a sentence."""
    return sample_speech[8_000:20_800]


def spoken(
    actor: Wav2LipActor, audio: NDArray[np.float32], cuts: list[int] | None = None, batch: int = CPU_BATCH
) -> list[Patch]:
    session = Session(actor, sample_rate=16_000, fps=FPS, batch=batch)
    frames = [frame for chunk in np.split(audio, sorted(cuts or [])) for frame in session.push(chunk)]
    return [frame.patch for frame in [*frames, *session.flush()]]


def frame_alone(avatar: Avatar, index: int) -> Avatar:
    """One frame of the clip as a still."""
    assert avatar.footage
    picture, face = ClipReader(avatar.footage.clip).picture(index), avatar.footage.faces[index]
    assert face
    return Avatar(picture, face, picture_digest(picture))


@pytest.mark.parametrize("batch", [1, CPU_BATCH])
def test_every_frame_is_what_a_still_of_it_would_say(
    small_engine: Wav2LipEngine, actor: Wav2LipActor, speech: NDArray[np.float32], batch: int
) -> None:
    patches = spoken(actor, speech, batch=batch)
    assert len(patches) == 20
    spoke = 0
    for index in range(COUNT):
        still = spoken(small_engine.prepare(frame_alone(actor.avatar, index)), speech)
        for number, patch in enumerate(patches):
            if there_and_back(number, COUNT) == index and patch.pixels.size:
                assert (patch.x, patch.y) == (still[number].x, still[number].y)
                difference = np.abs(patch.pixels.astype(int) - still[number].pixels)
                # Half precision; with the real network's size and scale it is a quarter of a level.
                assert difference.max() <= 2
                assert difference.mean() < 0.1
                spoke += 1
    assert spoke > 12


def test_the_clip_plays_below(actor: Wav2LipActor, speech: NDArray[np.float32]) -> None:
    assert actor.avatar.footage
    reader = ClipReader(actor.avatar.footage.clip)
    for number, patch in enumerate(spoken(actor, speech)):
        assert np.array_equal(to_bgr(patch.background or ()), reader.picture(there_and_back(number, COUNT)))


@settings(max_examples=6)
@given(cuts=st.lists(st.integers(0, 12_800), max_size=12))
def test_any_chunking_gives_identical_frames(actor: Wav2LipActor, speech: NDArray[np.float32], cuts: list[int]) -> None:
    for a, b in zip(spoken(actor, speech), spoken(actor, speech, cuts), strict=True):
        assert (a.x, a.y) == (b.x, b.y)
        assert np.array_equal(a.pixels, b.pixels)
        assert all(np.array_equal(p, q) for p, q in zip(a.background or (), b.background or (), strict=True))


def test_silence_shows_the_clips_own_mouth(actor: Wav2LipActor) -> None:
    assert all(patch.pixels.size == 0 for patch in spoken(actor, np.zeros(8_000, np.float32)))


def test_a_frame_without_a_face_keeps_its_picture(
    small_engine: Wav2LipEngine, swaying: Avatar, speech: NDArray[np.float32]
) -> None:
    assert swaying.footage
    faces = tuple(None if index in (3, 4) else face for index, face in enumerate(swaying.footage.faces))
    patchy = small_engine.prepare(replace(swaying, footage=replace(swaying.footage, faces=faces)))
    patches = spoken(patchy, speech)
    bare = {number for number, patch in enumerate(patches) if patch.pixels.size == 0}
    assert {number for number in range(20) if there_and_back(number, COUNT) in (3, 4)} <= bare
    whole = spoken(small_engine.prepare(swaying), speech)
    for number, (a, b) in enumerate(zip(patches, whole, strict=True)):
        if number not in bare:
            assert np.abs(a.pixels.astype(int) - b.pixels).max() <= 1


def test_a_live_clip_plays_on_through_speech_and_idling(
    small_engine: Wav2LipEngine, actor: Wav2LipActor, speech: NDArray[np.float32]
) -> None:
    """The mouth fades out after an interruption while the clip goes on; then the clip is as it is."""
    assert actor.avatar.footage
    stream = LiveStream(actor, AudioFormat(16_000, 1), FPS, lookahead=small_engine.lookahead)
    moments = [stream.advance() for _ in range(3)]
    stream.feed((speech[:, np.newaxis] * 32_767).astype(np.int16))
    moments += [stream.advance() for _ in range(8)]
    stream.interrupt()
    moments += [stream.advance() for _ in range(12)]
    reader = ClipReader(actor.avatar.footage.clip)
    for number, moment in enumerate(moments):
        below = to_bgr(moment.patch.background or ())
        assert np.array_equal(below, reader.picture(there_and_back(number, COUNT)))
    replaced = [moment.patch.pixels.size > 0 for moment in moments]
    assert not any(replaced[:3])
    assert all(replaced[6:11])
    assert replaced[11], "it fades"
    assert not any(replaced[14:])


@pytest.fixture
def counted(small_import: ImportedModel, monkeypatch: pytest.MonkeyPatch) -> tuple[Wav2LipEngine, list[int]]:
    """The real engine, and a list that grows by one for every face that is encoded."""
    encoded: list[int] = []
    encode = FaceEncoder.__call__

    def count(self: FaceEncoder, face: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        encoded.append(1)
        return encode(self, face)

    monkeypatch.setattr(FaceEncoder, "__call__", count)
    network = GeneratorNetwork(small_import, mouth_only=True, threads=1)
    return Wav2LipEngine(network, checkpoint="small.pth"), encoded


def test_every_face_is_encoded_once(
    counted: tuple[Wav2LipEngine, list[int]], swaying: Avatar, speech: NDArray[np.float32]
) -> None:
    engine, encoded = counted
    actor = engine.prepare(swaying)
    assert len(encoded) == 1  # the best frame
    spoken(actor, np.tile(speech, 2))
    assert len(encoded) == 1 + COUNT
    spoken(actor, speech, batch=1)
    assert len(encoded) == 1 + COUNT


def test_whoever_cannot_wait_finds_all_frames_prepared(
    counted: tuple[Wav2LipEngine, list[int]], swaying: Avatar
) -> None:
    engine, encoded = counted
    engine.prepare(swaying).perform(FPS, batch=1)
    assert len(encoded) == 1 + COUNT


def test_memory_is_bounded_and_forgotten_frames_come_back(
    counted: tuple[Wav2LipEngine, list[int]],
    swaying: Avatar,
    speech: NDArray[np.float32],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine, encoded = counted
    plenty = spoken(engine.prepare(swaying), speech)
    del encoded[:]
    monkeypatch.setattr("lipstream.engines.wav2lip.engine.SCENES_BYTES", 1)
    monkeypatch.setattr(scenes_module, "SCENES_BYTES", 1)
    scarce = spoken(engine.prepare(swaying), speech)
    assert len(encoded) > 1 + COUNT
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(plenty, scarce, strict=True))


def test_faces_may_differ_within_a_batch(small_import: ImportedModel, swaying: Avatar) -> None:
    network = GeneratorNetwork(small_import, mouth_only=True, threads=1)
    windows = np.random.default_rng(0).uniform(-4, 4, (5, 80, 16)).astype(np.float32)
    faces = []
    for index in range(5):
        still = frame_alone(swaying, index)
        faces.append(network.encode(network_face(still.picture, face_box(still.face, still.picture.shape), 96)))
    together = network.generate(windows, faces, batch=4)
    for index in range(5):
        (alone,) = network.generate(windows[index : index + 1], faces[index], batch=4)
        assert np.abs(together[index] - alone).max() < 1e-4


def test_a_detectors_box_is_carried_along(swaying: Avatar) -> None:
    assert swaying.footage
    first, last = swaying.footage.faces[0], swaying.footage.faces[-1]
    assert first
    assert last
    assert carry(first.box, first, last) == pytest.approx(last.box, abs=0.01)
    assert carry((10.0, 20.0, 30.0, 40.0), first, first) == pytest.approx((10, 20, 30, 40), abs=0.01)

"""The built-in engine as the rest of lipstream sees it: speech in, patches out."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from lipstream.avatar import Avatar, picture_digest
from lipstream.engines.base import SPEECH_RATE, Patch
from lipstream.engines.portrait.engine import PortraitActor, PortraitEngine
from lipstream.errors import FaceError
from lipstream.face.finder import FaceFinder


@pytest.fixture(scope="module")
def actor(portrait_engine: PortraitEngine, finder: FaceFinder, astronaut: NDArray[np.uint8]) -> PortraitActor:
    picture = np.ascontiguousarray(astronaut[:256, 96:352])
    return portrait_engine.prepare(Avatar(picture, finder.largest(picture), picture_digest(picture)))


def speak(actor: PortraitActor, speech: NDArray[np.float32], fps: Fraction, chunk: int) -> list[Patch]:
    performance = actor.perform(fps)
    patches = [p for at in range(0, len(speech), chunk) for p in performance.push(speech[at : at + chunk])]
    return [*patches, *performance.finish(-(-len(speech) * fps.numerator // (fps.denominator * SPEECH_RATE)))]


def test_speech_moves_the_mouth_and_chunks_do_not_matter(
    actor: PortraitActor, sample_speech: NDArray[np.float32]
) -> None:
    speech = sample_speech[:24_000]
    frames = speak(actor, speech, Fraction(25), 24_000)
    assert len(frames) == 38
    assert np.std([frame.pixels.astype(float) for frame in frames], axis=0).max() > 20
    for chunk in (160, 7_777):
        again = speak(actor, speech, Fraction(25), chunk)
        assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(frames, again, strict=True))


@pytest.mark.parametrize("fps", [Fraction(1), Fraction(24_000, 1001), Fraction(60)])
def test_any_frame_rate(actor: PortraitActor, fps: Fraction) -> None:
    frames = speak(actor, np.zeros(SPEECH_RATE // 2, np.float32), fps, 320)
    assert len(frames) == -(-fps.numerator // (2 * fps.denominator))


@pytest.mark.parametrize("level", [0.0, 1e-4])
def test_in_silence_the_closed_mouth_stands_still(actor: PortraitActor, level: float) -> None:
    noise = np.random.default_rng(3).normal(0, 1, 2 * SPEECH_RATE).astype(np.float32)
    rest = actor.rest
    for frame in speak(actor, noise * np.float32(level), Fraction(25), 1_000):
        np.testing.assert_array_equal(frame.pixels, rest.pixels)


def test_every_utterance_begins_at_rest(actor: PortraitActor, sample_speech: NDArray[np.float32]) -> None:
    loud = sample_speech[8_000:16_000]
    first, second = speak(actor, loud, Fraction(25), 320)[:2]
    change = np.abs(first.pixels.astype(int) - actor.rest.pixels)
    later = np.abs(second.pixels.astype(int) - first.pixels)
    assert change.mean() < 0.5
    assert later.mean() < 4


def test_the_engine_says_who_it_is(portrait_engine: PortraitEngine, actor: PortraitActor) -> None:
    assert portrait_engine.name == "portrait"
    assert 0 < portrait_engine.lookahead <= Fraction(16, 100)
    assert actor.avatar.size == (256, 256)


def test_a_head_on_its_side_is_refused(
    portrait_engine: PortraitEngine, finder: FaceFinder, astronaut: NDArray[np.uint8]
) -> None:
    picture = np.ascontiguousarray(np.rot90(astronaut))
    with pytest.raises(FaceError) as refused:
        portrait_engine.prepare(Avatar(picture, finder.largest(picture), picture_digest(picture)))
    assert refused.value.code == "face_turned"

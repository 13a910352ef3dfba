"""A session gives the same frames for the same audio, however it is cut, at the times the clock says."""

from __future__ import annotations

import hashlib
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipstream.engines.base import Actor
from lipstream.media.clock import frame_count, frame_rate
from lipstream.session import Frame, Session

RATE = 22_050


def fingerprint(frame: Frame) -> tuple[int, Fraction, int, int, str]:
    patch = frame.patch
    return frame.index, frame.time, patch.x, patch.y, hashlib.sha256(patch.pixels.tobytes()).hexdigest()


@pytest.fixture(scope="module")
def speech(sample_speech: NDArray[np.float32]) -> NDArray[np.float32]:
    """0.8 s of the sample, played as if it had been recorded at RATE (higher voice, same path)."""
    return sample_speech[4_000 : 4_000 + int(0.8 * RATE)]


@pytest.fixture(scope="module")
def whole(small_actor: Actor, speech: NDArray[np.float32]) -> list[tuple[int, Fraction, int, int, str]]:
    session = Session(small_actor, sample_rate=RATE, fps=Fraction(25))
    return [fingerprint(frame) for frame in [*session.push(speech), *session.flush()]]


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, int(0.8 * RATE)), max_size=30))
def test_any_chunking_gives_identical_frames(
    small_actor: Actor,
    speech: NDArray[np.float32],
    whole: list[tuple[int, Fraction, int, int, str]],
    cuts: list[int],
) -> None:
    session = Session(small_actor, sample_rate=RATE, fps=Fraction(25))
    frames: list[Frame] = []
    for chunk in np.split(speech, sorted(cuts)):
        frames.extend(session.push(chunk))
    frames.extend(session.flush())
    assert [fingerprint(frame) for frame in frames] == whole


@pytest.mark.parametrize("fps", [1, 10, 23.976, 25, 29.97, 30, 50, 60])
@pytest.mark.parametrize("samples", [1, 8, 441, 9_000])
def test_frames_cover_the_audio_exactly(small_actor: Actor, fps: float, samples: int) -> None:
    rate = frame_rate(fps)
    session = Session(small_actor, sample_rate=RATE, fps=rate)
    frames = [*session.push(np.zeros(samples, np.float32)), *session.flush()]
    assert len(frames) == frame_count(samples, RATE, rate)
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert all(frame.time == frame.index / rate for frame in frames)


EASED = 6
"""Frames at the start of an utterance that may still ease away from what was shown before it."""
ALIKE = 3.0
"""Grey levels by which pictures may differ on average because the voice was known beforehand."""


def test_of_an_utterance_only_the_voice_is_remembered(small_actor: Actor, speech: NDArray[np.float32]) -> None:
    session = Session(small_actor, sample_rate=RATE, fps=Fraction(25))
    first, *others = ([*session.push(speech), *session.flush()] for _ in range(3))
    assert differences(others[0], first)[EASED:].max() > 0
    for frames in others:
        assert [frame.index for frame in frames] == [frame.index for frame in first]
        assert differences(frames, first)[EASED:].max() < ALIKE
    # The photo smiles, so lips that speak differ from it by more than that.
    assert differences(first, [first[0]] * len(first)).max() > 2 * ALIKE


def test_clear_forgets_what_was_heard(small_actor: Actor, speech: NDArray[np.float32]) -> None:
    session, fresh = (Session(small_actor, sample_rate=RATE, fps=Fraction(25)) for _ in range(2))
    list(session.push(speech[:7_000]))
    session.clear()
    frames = [*session.push(speech), *session.flush()]
    expected = [*fresh.push(speech), *fresh.flush()]
    assert len(frames) == len(expected)
    assert differences(frames, expected)[EASED:].max() < ALIKE


def test_a_voice_may_be_met_beforehand(small_actor: Actor, speech: NDArray[np.float32]) -> None:
    met, again, stranger = (Session(small_actor, sample_rate=RATE, fps=Fraction(25)) for _ in range(3))
    met.meet(speech)
    again.meet(np.stack([speech, speech], axis=1))
    frames, same, other = ([*session.push(speech), *session.flush()] for session in (met, again, stranger))
    assert [fingerprint(frame) for frame in frames] == [fingerprint(frame) for frame in same]
    assert 0 < differences(frames, other).max() < ALIKE
    assert differences(frames, other)[0] < 0.1  # and nothing eases: nothing was shown before


def differences(some: list[Frame], others: list[Frame]) -> NDArray[np.float64]:
    """(n,) mean absolute differences of the frames' pixels."""
    pairs = zip(some, others, strict=True)
    return np.array([np.abs(a.patch.pixels.astype(int) - b.patch.pixels).mean() for a, b in pairs])


def test_frames_are_not_held_back_longer_than_the_lookahead(
    small_actor: Actor, small_lookahead: Fraction, speech: NDArray[np.float32]
) -> None:
    """Frame k comes out once the audio until k/fps + lookahead (+ one block, + the resampler's few ms) was heard."""
    session = Session(small_actor, sample_rate=RATE, fps=Fraction(25))
    heard, allowed = Fraction(0), small_lookahead + Fraction(20 + 20 + 10, 1000)
    shown = 0
    for start in range(0, len(speech), 100):
        chunk = speech[start : start + 100]
        heard += Fraction(len(chunk), RATE)
        shown += sum(1 for _ in session.push(chunk))
        due = int(max(Fraction(0), heard - allowed) * 25)
        assert shown >= due


def test_stereo_is_heard_as_its_mean(small_actor: Actor, speech: NDArray[np.float32]) -> None:
    mono = Session(small_actor, sample_rate=RATE, fps=Fraction(25))
    stereo = Session(small_actor, sample_rate=RATE, fps=Fraction(25))
    expected = [fingerprint(frame) for frame in [*mono.push(speech), *mono.flush()]]
    both = np.stack([speech, speech], axis=1)
    assert [fingerprint(frame) for frame in [*stereo.push(both), *stereo.flush()]] == expected

"""How high a voice is: pitches that are known, sounds without one, and what the ear makes of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipstream.engines.portrait.phones import N_STATES, SAMPLE_RATE, AcousticModel, PhoneStream
from lipstream.engines.portrait.pitch import HIGH_HZ, HIGH_WARP, VoiceHeight, pitches
from lipstream.models.assets import PHONE_MEANS, PHONE_SENDUMP, PHONE_VARIANCES
from lipstream.models.store import ModelStore


def voice(hertz: float, seconds: float = 1.0, formant: float = 600.0) -> NDArray[np.float32]:
    """A buzz with one strong formant."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    harmonics = np.arange(1, int(3500 / hertz))
    strengths = 1 / (1 + ((harmonics * hertz - formant) / 150) ** 2) + 0.1 / harmonics
    sound = strengths @ np.cos(2 * np.pi * hertz * harmonics[:, np.newaxis] * time)
    return np.asarray(0.1 * sound / np.abs(sound).max(), np.float32)


def windows(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, 410), one every 20 ms."""
    return np.lib.stride_tricks.sliding_window_view(sound, 410)[::320]


@given(hertz=st.floats(85.0, 320.0), formant=st.floats(300.0, 550.0))
@settings(deadline=None)
def test_pitches_are_heard(hertz: float, formant: float) -> None:
    heard = pitches(windows(voice(hertz, 0.3, formant)))
    voiced = heard[heard > 0]
    assert len(voiced) > 0.2 * len(heard)
    assert np.median(voiced) == pytest.approx(hertz, rel=0.08)


def test_noise_and_silence_have_no_pitch() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(SAMPLE_RATE).astype(np.float32)
    assert (pitches(windows(noise)) > 0).mean() < 0.05
    assert not pitches(np.zeros((5, 410), np.float32)).any()
    assert not pitches(windows(1e-4 * voice(200.0))).any()


def test_low_voices_are_expected_and_high_ones_known_after_a_moment() -> None:
    low, high = VoiceHeight(), VoiceHeight()
    assert not low.update(windows(voice(HIGH_HZ[0] - 20, 2.0))).any()
    heights = high.update(windows(voice(220.0, 2.0)))
    assert heights[0] == 0.0
    assert (np.diff(heights) >= 0).all()
    assert heights[40] == pytest.approx(1.0)  # 0.8 s


def test_another_speaker_is_followed() -> None:
    height = VoiceHeight()
    assert height.update(windows(voice(220.0, 3.0)))[-1] == 1.0
    assert height.update(windows(voice(100.0, 8.0)))[-1] == 0.0


def test_high_voices_are_heard_with_a_longer_vocal_tract(store: ModelStore) -> None:
    acoustic = AcousticModel.load(store.path(PHONE_MEANS), store.path(PHONE_VARIANCES), store.path(PHONE_SENDUMP))
    for hertz, warp in ((110.0, 1.0), (230.0, HIGH_WARP)):
        # Of a sound that does not change the running mean would leave nothing.
        sound = np.concatenate([voice(hertz, 0.2, formant) for formant in (400.0, 800.0, 1200.0) * 8])
        chosen, fixed, other = (heard(acoustic, sound, w) for w in (None, warp, 1.0 + HIGH_WARP - warp))
        assert np.abs(chosen - fixed).mean() < 0.25 * np.abs(chosen - other).mean()


def heard(acoustic: AcousticModel, sound: NDArray[np.float32], warp: float | None) -> NDArray[np.float32]:
    """Posteriors of a known voice: the running mean remembers for long how it sounded before its height was known."""
    stranger = PhoneStream(acoustic, warp)
    stranger.push(sound)
    return PhoneStream(acoustic, warp, voice=stranger.voice).push(sound)[-100:, :N_STATES]

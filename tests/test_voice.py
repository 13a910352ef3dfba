"""What is remembered of a voice: telephones are heard rightly from the first syllable on, another voice is followed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipstream.engines.portrait.phones import N_STATES, SAMPLE_RATE, AcousticModel, PhoneStream, acquaint
from lipstream.engines.portrait.voice import Voice
from lipstream.models.assets import PHONE_MEANS, PHONE_SENDUMP, PHONE_VARIANCES
from lipstream.models.store import ModelStore

Sound = NDArray[np.float32]


@pytest.fixture(scope="module")
def acoustic(store: ModelStore) -> AcousticModel:
    return AcousticModel.load(store.path(PHONE_MEANS), store.path(PHONE_VARIANCES), store.path(PHONE_SENDUMP))


@pytest.fixture(scope="module")
def telephone(sample_speech: Sound) -> Sound:
    """The sentence softly, as a Butterworth filter of the fourth order from 300 to 3400 Hz lets it pass."""
    frequency = np.fft.rfftfreq(len(sample_speech), 1 / SAMPLE_RATE) + 1e-3
    gain = 0.3 / np.sqrt((1 + (300 / frequency) ** 8) * (1 + (frequency / 3400) ** 8))
    return np.fft.irfft(gain * np.fft.rfft(sample_speech), len(sample_speech)).astype(np.float32)


def heard(acoustic: AcousticModel, speech: Sound, voice: Voice | None = None) -> Sound:
    return PhoneStream(acoustic, voice=voice).push(speech)[:, :N_STATES]


def test_a_known_telephone_is_heard_more_like_the_voice_itself(
    acoustic: AcousticModel, sample_speech: Sound, telephone: Sound
) -> None:
    clear = heard(acoustic, sample_speech, acquaint(sample_speech))[:150]
    unknown, known = heard(acoustic, telephone)[:150], heard(acoustic, telephone, acquaint(telephone))[:150]
    assert np.abs(known - clear).mean() < 0.9 * np.abs(unknown - clear).mean()


def test_a_stream_knows_afterwards_what_acquainting_tells(acoustic: AcousticModel, telephone: Sound) -> None:
    stream = PhoneStream(acoustic)
    stream.push(telephone)
    by_stream, beforehand = heard(acoustic, telephone, stream.voice), heard(acoustic, telephone, acquaint(telephone))
    assert np.abs(by_stream - beforehand).mean() < 0.25 * np.abs(heard(acoustic, telephone) - beforehand).mean()


def test_a_stream_leaves_the_voice_it_was_given_as_it_was(acoustic: AcousticModel, telephone: Sound) -> None:
    voice = acquaint(telephone)
    first = heard(acoustic, telephone, voice)
    np.testing.assert_array_equal(heard(acoustic, telephone, voice), first)


RNG = np.random.default_rng(0)
ONE, OTHER = np.array([70.0, *np.zeros(12)]), np.array([66.0, *np.full(12, 4.0)])


def spoken(mean: NDArray[np.float64], seconds: int, change: float = 10.0) -> NDArray[np.float64]:
    """(100 × seconds, 13) cepstra that change as those of speech do."""
    return mean + RNG.normal(0, [1.0, *[change] * 12], (100 * seconds, 13))


def test_another_voice_is_followed_within_seconds() -> None:
    voice = Voice()
    voice.update(spoken(ONE, 30))
    means = voice.remembered().update(spoken(OTHER, 3))
    assert np.abs(means[0] - ONE)[1:].mean() < 0.5
    assert np.abs(means[-1] - OTHER)[1:].mean() < 1.5
    # Without a pause between them, thirty seconds of one outweigh three of the other.
    assert np.abs(voice.update(spoken(OTHER, 3))[-1] - OTHER)[1:].mean() > 2.5


def test_a_held_vowel_does_not_become_the_mean() -> None:
    voice, vowel = Voice(), np.array([72.0, *np.full(12, 10.0)])
    before = voice.update(spoken(ONE, 3))[-1]
    after = voice.update(spoken(vowel, 3, change=1.0))[-1]
    assert np.abs(after - before)[1:].max() < 2.0


@given(samples=st.integers(0, 1_000), value=st.sampled_from([0.0, 1e-5, np.nan, np.inf, -np.inf]))
def test_nothing_is_learned_from_nothing(samples: int, value: float) -> None:
    speech = np.full(samples, value, np.float32)
    np.testing.assert_allclose(acquaint(speech).update(SOFT), Voice().update(SOFT), atol=1e-6)


SOFT = np.zeros((1, 13))
"""No speech: it shows the mean and does not move it."""

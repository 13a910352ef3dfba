"""The gate: speech shows the network's mouth, silence the photo's, with short fades and no flicker."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipstream.engines.wav2lip.silence import FADE, SpeechGate
from lipstream.media.clock import frame_count

FPS = Fraction(25)


def noise(seconds: float, level_db: float, seed: int = 0) -> NDArray[np.float32]:
    samples = np.random.default_rng(seed).standard_normal(int(16_000 * seconds))
    return np.asarray(samples * 10 ** (level_db / 20), np.float32)


def weights(audio: NDArray[np.float32], fps: Fraction = FPS, cuts: list[int] | None = None) -> list[float]:
    """The weights as the engine asks for them: each once its audio is there, the rest at the end."""
    gate, heard = SpeechGate(fps), 0
    made: list[float] = []
    total = frame_count(len(audio), 16_000, fps)
    for chunk in np.split(audio, sorted(cuts or [])):
        gate.push(chunk)
        heard += len(chunk)
        while len(made) < total and Fraction(heard, 16_000) >= len(made) / fps + Fraction(17, 80):
            made.append(gate.next_weight())
    while len(made) < total:
        made.append(gate.next_weight(total - 1 - len(made)))
    return made


@pytest.mark.parametrize("level_db", [-200.0, -70.0, -55.0])
def test_silence_and_soft_noise_hold_the_photo(level_db: float) -> None:
    """Trap: the network babbles on silence."""
    assert max(weights(noise(2.0, level_db))) == 0.0


def test_speech_shows_the_network_within_the_fade() -> None:
    made = weights(np.concatenate([noise(1.0, -80), noise(2.0, -20), noise(1.0, -80)]))
    speech, fade = slice(25, 75), int(FADE * FPS)
    assert min(made[speech]) == 1.0
    assert max(made[: 25 - fade - 1]) == 0.0
    assert max(made[75 + 5 + fade + 1 :]) == 0.0


def test_fades_are_gradual() -> None:
    made = weights(np.concatenate([noise(1.0, -80), noise(1.0, -20), noise(1.0, -80)]))
    assert max(abs(np.diff(made))) <= 1 / (FADE * FPS) + 1e-9


def test_an_utterance_begins_and_ends_near_the_photo() -> None:
    made = weights(noise(1.0, -20))
    assert made[0] <= 1 / (FADE * FPS) + 1e-9
    assert made[-1] == 0.0
    assert made[12] == 1.0


def test_short_pauses_do_not_close_the_mouth() -> None:
    made = weights(np.concatenate([noise(1.0, -20), noise(0.25, -80), noise(1.0, -20)]))
    assert min(made[5:50]) == 1.0


def test_room_noise_under_loud_speech_counts_as_silence() -> None:
    made = weights(np.concatenate([noise(1.0, -6), noise(2.0, -48)]))
    assert max(made[45:]) == 0.0


def test_real_speech_stays_open(sample_speech: NDArray[np.float32]) -> None:
    made = weights(sample_speech)
    assert np.mean(np.array(made) == 1.0) > 0.6


@settings(max_examples=25)
@given(cuts=st.lists(st.integers(0, 32_000), max_size=30), fps=st.sampled_from([1, 10, 25, 30, 60]))
def test_chunking_does_not_matter(cuts: list[int], fps: int) -> None:
    audio = np.concatenate([noise(0.5, -80), noise(0.6, -25), noise(0.4, -60), noise(0.5, -20)])
    assert weights(audio, Fraction(fps)) == weights(audio, Fraction(fps), cuts)

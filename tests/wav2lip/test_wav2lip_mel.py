"""The mel features are the original's, and arrive the same however the audio is cut."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipstream.engines.wav2lip.mel import (
    LOOKAHEAD,
    WINDOW_OFFSET,
    MelStream,
    WindowStream,
    mel_filters,
    window_start,
)
from lipstream.media.clock import frame_count, frame_rate

RATES = [1, 10, 23.976, 25, 29.97, 30, 50, 60]


def tones(seconds: float = 1.0) -> NDArray[np.float32]:
    """A rising tone with a beat, then a pause, then a louder low tone: made of nothing but sines."""
    t = np.arange(int(16_000 * seconds)) / 16_000
    rising = 0.2 * np.sin(2 * np.pi * (300 * t + 1200 * t * t)) * (0.6 + 0.4 * np.sin(2 * np.pi * 5 * t))
    low = 0.7 * np.sin(2 * np.pi * 140 * t)
    return np.where(t < 0.5, rising, np.where(t < 0.6, 0.0, low)).astype(np.float32)


def columns(speech: NDArray[np.float32]) -> NDArray[np.float32]:
    """All mel columns of a recording, 1 + samples // 200 of them as a centred transform gives."""
    stream = MelStream()
    made = list(stream.push(speech))
    for column in stream.silence():
        if len(made) >= 1 + len(speech) // 200:
            break
        made.append(column)
    return np.stack(made, axis=1)


def windows(speech: NDArray[np.float32], fps: Fraction, cuts: list[int] | None = None) -> list[NDArray[np.float32]]:
    stream = WindowStream(fps)
    made = [window for chunk in np.split(speech, sorted(cuts or [])) for window in stream.push(chunk)]
    return [*made, *stream.finish(frame_count(len(speech), 16_000, fps))]


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore:n_fft=800 is too large")
def test_columns_equal_librosa(sample_speech: NDArray[np.float32]) -> None:
    pytest.importorskip("librosa")
    pytest.importorskip("torch")
    from tests.reference.pipeline import mel_spectrogram

    for speech in (sample_speech, tones(), tones()[:301], np.zeros(900, np.float32)):
        assert np.abs(columns(speech) - mel_spectrogram(speech)).max() < 1e-5


def test_columns_equal_recorded_values() -> None:
    """Columns 0, 20, 39, 45, 60 and 80 of the tones in six bands, as librosa 0.11 gives them."""
    recorded = np.array(RECORDED)
    made = columns(tones())[np.ix_([0, 5, 12, 30, 50, 79], [0, 20, 39, 45, 60, 80])]
    assert made.shape == recorded.shape
    assert np.abs(made - recorded).max() < 1e-3


def test_filters_have_unit_area() -> None:
    areas = mel_filters().sum(axis=1) * 20.0  # bins are 20 Hz apart
    assert mel_filters().shape == (80, 401)
    assert np.allclose(areas[20:], 1.0, atol=0.1)  # the low ones are narrower than a bin or two


@settings(max_examples=25)
@given(cuts=st.lists(st.integers(0, 16_000), max_size=40), fps=st.sampled_from(RATES))
def test_any_chunking_gives_identical_windows(cuts: list[int], fps: float) -> None:
    """Trap: recomputing the transform per chunk corrupts the columns at its edges."""
    rate = frame_rate(fps)
    speech = tones()
    whole, pieces = windows(speech, rate), windows(speech, rate, cuts)
    assert len(whole) == len(pieces)
    assert all(np.array_equal(a, b) for a, b in zip(whole, pieces, strict=True))


def test_one_sample_at_a_time() -> None:
    speech = tones()[:2_000]
    whole, pieces = windows(speech, Fraction(25)), windows(speech, Fraction(25), list(range(2_000)))
    assert all(np.array_equal(a, b) for a, b in zip(whole, pieces, strict=True))


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("samples", [1, 100, 3_199, 16_000, 16_001, 96_000])
def test_windows_cover_the_whole_recording(fps: float, samples: int) -> None:
    """Traps: the original makes 22 frames of one second, and of under 0.19 s a window of the wrong shape."""
    rate = frame_rate(fps)
    made = windows(np.full(samples, 0.1, np.float32), rate)
    assert len(made) == math.ceil(Fraction(samples, 16_000) * rate)
    assert all(window.shape == (80, 16) for window in made)


@pytest.mark.parametrize("fps", [23.976, 25, 29.97, 30, 60])
def test_windows_keep_to_the_clock(fps: float) -> None:
    """Trap: assuming 25 or rounding 29.97 to 30 drifts. Every window begins in its frame's column."""
    rate = frame_rate(fps)
    for frame in (0, 1, 7, 1_000, 100_000):
        begin = Fraction(window_start(frame, rate), 80)
        assert 0 <= frame / rate - begin < Fraction(1, 80)


def test_windows_are_cut_out_of_the_columns() -> None:
    speech, rate = tones(), frame_rate(29.97)
    expected = columns(speech)
    for frame, window in enumerate(windows(speech, rate)[:20]):
        start = int(frame * 80 / (30_000 / 1001))
        assert np.array_equal(window, expected[:, start : start + 16])


def test_after_the_end_there_is_silence() -> None:
    last = windows(tones(), Fraction(25))[-1]
    assert last[:, 0].max() > 0
    assert np.all(last[:, -4:] == -4.0)


def test_offset_of_the_training() -> None:
    """Trap: training windows begin one frame earlier than the original's inference. Which is used has a name."""
    assert WINDOW_OFFSET == 0
    training = Fraction(-1, 25)
    assert window_start(0, Fraction(25), training) == 0  # never before the recording
    for frame in range(1, 200):
        assert window_start(frame, Fraction(25), training) == window_start(frame - 1, Fraction(25))


def test_lookahead_is_what_a_frame_waits_for() -> None:
    """Each window comes once the audio until LOOKAHEAD after its frame was heard, the first not a sample earlier."""
    stream, speech, frame = WindowStream(Fraction(25)), tones(), 0
    for end in range(1, len(speech) + 1):
        for _ in stream.push(speech[end - 1 : end]):
            assert frame > 0 or end == LOOKAHEAD * 16_000
            assert Fraction(end, 16_000) <= Fraction(frame, 25) + LOOKAHEAD
            frame += 1
    assert frame == 20


RECORDED = [
    [-1.7334, -4.0000, -3.3544, -4.0000, -0.2179, 0.5807],
    [0.0144, -4.0000, -2.8018, -4.0000, -4.0000, -0.1623],
    [-1.2478, -4.0000, -2.2911, -4.0000, -4.0000, -0.8021],
    [-2.0775, -4.0000, -1.1375, -4.0000, -4.0000, -1.4391],
    [-2.5946, -4.0000, -1.6786, -4.0000, -4.0000, -1.9285],
    [-3.1264, -4.0000, -2.4716, -4.0000, -4.0000, -2.4537],
]

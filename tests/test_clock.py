"""The clock is exact: properties of :mod:`lipstream.media.clock`."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.media.clock import frame_count, frame_rate, frame_time

RATES = st.sampled_from([8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000])
FRAME_RATES = st.floats(1, 60).map(frame_rate)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (25, Fraction(25)),
        (25.0, Fraction(25)),
        (29.97, Fraction(30_000, 1_001)),
        (29.970029, Fraction(30_000, 1_001)),
        (23.976, Fraction(24_000, 1_001)),
        (23.98, Fraction(24_000, 1_001)),
        (59.94, Fraction(60_000, 1_001)),
        (30, Fraction(30)),
        (24.0, Fraction(24)),
        (12.5, Fraction(25, 2)),
        (1, Fraction(1)),
        (60, Fraction(60)),
    ],
)
def test_frame_rate_is_the_one_meant(typed: float, meant: Fraction) -> None:
    assert frame_rate(typed) == meant


@pytest.mark.parametrize("typed", [0, 0.99, 60.01, -25, 1e9, math.nan, math.inf, -math.inf])
def test_frame_rate_outside_is_refused(typed: float) -> None:
    with pytest.raises(ValueError, match="1 to 60"):
        frame_rate(typed)


def test_an_exact_rate_stays_exact() -> None:
    odd = Fraction(123_457, 10_007)
    assert frame_rate(odd) == odd


@given(st.floats(1, 60))
def test_frame_rate_is_close_and_small_enough_for_a_container(typed: float) -> None:
    rate = frame_rate(typed)
    assert abs(float(rate) - typed) < 0.006
    assert 1 <= rate <= 60
    assert max(rate.numerator, rate.denominator) < 2**31


@given(st.integers(1, 10**8), RATES, FRAME_RATES)
def test_frames_cover_the_audio_and_no_more(samples: int, rate: int, fps: Fraction) -> None:
    frames = frame_count(samples, rate, fps)
    duration = Fraction(samples, rate)
    assert frame_time(frames - 1, fps) < duration <= frame_time(frames, fps)


def test_no_audio_has_no_frames() -> None:
    assert frame_count(0, 44_100, Fraction(25)) == 0


@given(st.integers(0, 10**7), FRAME_RATES)
def test_frames_are_equally_long(index: int, fps: Fraction) -> None:
    assert frame_time(index + 1, fps) - frame_time(index, fps) == 1 / fps


def test_ten_hours_of_ntsc_do_not_drift() -> None:
    fps = frame_rate(29.97)
    assert frame_count(48_000 * 36_036, 48_000, fps) == 1_080_000
    assert frame_time(1_080_000, fps) == 36_036

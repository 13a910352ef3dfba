"""Resampling keeps time: properties of :mod:`lipstream.media.resample`."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipstream.media.resample import Resampler

PAIRS = [(44_100, 16_000), (48_000, 16_000), (8_000, 16_000), (22_050, 48_000), (96_000, 44_100), (12_345, 16_000)]


def resampled(samples: NDArray[np.float32], source: int, target: int, chunk: int | None = None) -> NDArray[np.float32]:
    resampler = Resampler(source, target)
    starts = range(0, len(samples), chunk) if chunk else [0]
    pieces = [resampler.push(samples[start : start + chunk] if chunk else samples) for start in starts]
    return np.concatenate([*pieces, resampler.flush()])


def sine(frequency: float, rate: int, seconds: float = 0.5) -> NDArray[np.float32]:
    time = np.arange(int(rate * seconds)) / rate
    return np.sin(2 * np.pi * frequency * time).astype(np.float32)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_phase_of_a_sine_is_kept(source: int, target: int) -> None:
    out = resampled(sine(440, source), source, target)
    expected = sine(440, target, len(out) / target)[: len(out)]
    edge = target // 100
    np.testing.assert_allclose(out[edge : len(expected) - edge], expected[edge : len(out) - edge], atol=1e-4)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_an_impulse_stays_where_it_was(source: int, target: int) -> None:
    impulse = np.zeros(source // 2, np.float32)
    impulse[source // 4] = 1.0
    out = resampled(impulse, source, target)
    centre = (np.arange(len(out)) * out**2).sum() / (out**2).sum()
    assert centre / target == pytest.approx((source // 4) / source, abs=0.05 / min(source, target))


@pytest.mark.parametrize(("source", "target"), [pair for pair in PAIRS if pair[0] > 1.3 * pair[1]])
def test_what_the_lower_rate_cannot_hold_is_gone(source: int, target: int) -> None:
    out = resampled(sine(target * 0.6, source), source, target)
    assert np.abs(out[100:-100]).max() < 1e-3


@given(st.integers(0, 3_000), st.sampled_from(PAIRS), st.integers(1, 700))
@settings(deadline=None)
def test_any_chunks_give_the_same_and_the_whole_length(samples: int, rates: tuple[int, int], chunk: int) -> None:
    source, target = rates
    noise = np.random.default_rng(samples).normal(0, 0.2, samples).astype(np.float32)
    whole = resampled(noise, source, target)
    assert whole.dtype == np.float32
    assert len(whole) == math.ceil(Fraction(samples * target, source))
    np.testing.assert_array_equal(resampled(noise, source, target, chunk), whole)


def test_the_same_rate_passes_through() -> None:
    noise = np.random.default_rng(0).normal(0, 0.2, 1_000).astype(np.float32)
    np.testing.assert_array_equal(resampled(noise, 16_000, 16_000, 333), noise)


def test_flush_begins_again() -> None:
    resampler = Resampler(44_100, 16_000)
    tone = sine(440, 44_100)
    first = np.concatenate([resampler.push(tone), resampler.flush()])
    second = np.concatenate([resampler.push(tone), resampler.flush()])
    np.testing.assert_array_equal(first, second)


def test_little_is_held_back() -> None:
    """What has not come out yet after a push is latency."""
    given_out = len(Resampler(44_100, 16_000).push(np.zeros(44_100, np.float32)))
    assert 16_000 - given_out <= 0.003 * 16_000

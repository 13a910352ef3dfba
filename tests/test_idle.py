"""Idle motion: within its bounds, without jumps, as often as people blink, the same for the same seed."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.engines.base import Liveliness
from lipstream.idle import MAX_ANGLE, MAX_SCALE, MAX_SHIFT, IdleMotion

FPS = Fraction(25)
DAY = 24 * 60 * 60
seeds = st.integers(0, 2**32 - 1)
frames = st.integers(0, DAY * 25)


def numbers(life: Liveliness) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """All but the blink, in a fixed order."""
    return np.array([life.yaw, life.pitch, life.roll, life.x, life.y, life.scale, life.breath])


@given(seed=seeds, frame=frames)
def test_stays_within_its_bounds(seed: int, frame: int) -> None:
    assert MAX_ANGLE <= 1.0, "degrees"
    assert max(MAX_SCALE, MAX_SHIFT) <= 0.01
    life = IdleMotion(seed, FPS).at(frame)
    assert max(abs(life.yaw), abs(life.pitch), abs(life.roll)) <= MAX_ANGLE
    assert max(abs(life.x), abs(life.y)) <= MAX_SHIFT
    assert abs(life.scale - 1) <= MAX_SCALE
    assert 0 <= life.breath <= 1
    assert 0 <= life.blink <= 1


@given(seed=seeds, frame=frames)
def test_moves_in_small_steps(seed: int, frame: int) -> None:
    motion = IdleMotion(seed, FPS)
    step = np.abs(numbers(motion.at(frame + 1)) - numbers(motion.at(frame)))
    # A degree is at most crossed in a second, a breath drawn in one.
    assert (step <= np.array([0.04, 0.04, 0.04, 4e-4, 4e-4, 4e-4, 0.04])).all()


@given(seed=seeds, frame=frames)
def test_any_frame_can_be_asked_for_in_any_order(seed: int, frame: int) -> None:
    once, twice = IdleMotion(seed, FPS), IdleMotion(seed, FPS)
    twice.at(frame + 5_000)
    assert once.at(frame) == twice.at(frame)


def test_seeds_differ() -> None:
    assert IdleMotion(1, FPS).at(100) != IdleMotion(2, FPS).at(100)


def test_time_counts_not_frames() -> None:
    slow, fast = IdleMotion(3, Fraction(25)), IdleMotion(3, Fraction(50))
    assert slow.at(1_000) == fast.at(2_000)


def test_sways_visibly() -> None:
    motion = IdleMotion(7, FPS)
    yaw = [motion.at(frame).yaw for frame in range(0, 25 * 60)]
    assert np.ptp(yaw) > 0.5


def starts(seed: int, minutes: int) -> list[float]:
    motion = IdleMotion(seed, FPS)
    return [start for minute in range(minutes) for start, _ in motion.blinks(minute)]


def test_blinks_as_often_as_people_at_rest() -> None:
    intervals = np.diff(starts(5, 30))
    single = intervals[intervals > 0.6]
    assert 3.0 < np.median(single) < 5.0
    assert single.max() < 25
    assert 0.02 < np.mean(intervals <= 0.6) < 0.2, "double blinks are rare, not absent"
    assert 10 < len(starts(5, 30)) / 30 < 20, "blinks per minute"


@pytest.mark.parametrize("seed", range(20))
def test_blinks_neither_overlap_nor_cross_minutes(seed: int) -> None:
    motion = IdleMotion(seed, FPS)
    end = 0.0
    for minute in range(10):
        for start, length in motion.blinks(minute):
            assert 0.15 <= length <= 0.3
            assert start > end
            assert minute * 60 <= start
            assert start + length < (minute + 1) * 60
            end = start + length


def test_eyes_close_fully_and_open_again() -> None:
    fast = Fraction(60)
    motion = IdleMotion(11, fast)
    start, length = motion.blinks(0)[0]
    first, last = int(start * 60), int((start + length) * 60) + 2
    blink = [motion.at(frame).blink for frame in range(first, last)]
    assert blink[0] == 0
    assert blink[-1] == 0
    assert max(blink) > 0.9
    peak = int(np.argmax(blink))
    assert (np.diff(blink[: peak + 1]) >= 0).all()
    assert (np.diff(blink[peak:]) <= 0).all()
    assert peak < len(blink) / 2, "lids come down faster than they go up"

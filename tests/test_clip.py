"""Clips in memory: playback back and forth without repeated ends, frames by time, access in any order."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.media.clip import Clip, ClipReader, ClipWriter, there_and_back
from lipstream.media.planes import to_bgr, to_planes
from tests.clips import soft_noise


def test_forth_and_back_without_doubled_ends() -> None:
    """Trap: …2 3 3 2 1 0 0 1…"""
    assert [there_and_back(step, 4) for step in range(13)] == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0]
    assert [there_and_back(step, 2) for step in range(5)] == [0, 1, 0, 1, 0]
    assert [there_and_back(step, 1) for step in range(3)] == [0, 0, 0]


@given(length=st.integers(2, 50), start=st.integers(0, 10_000))
def test_every_step_is_to_a_neighbour(length: int, start: int) -> None:
    walk = [there_and_back(step, length) for step in range(start, start + 3 * length)]
    assert all(abs(b - a) == 1 for a, b in pairwise(walk))
    assert set(walk) == set(range(length))


@pytest.mark.parametrize(
    ("clip_fps", "fps", "expected"),
    [
        (25, 25, [0, 1, 2, 3, 4, 3, 2, 1, 0, 1]),
        (25, 50, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]),
        (30, 10, [0, 3, 2, 1, 4, 1, 2, 3, 0, 3]),
        (12, 25, [0, 0, 0, 1, 1, 2, 2, 3, 3, 4]),
    ],
)
def test_time_decides(clip_fps: int, fps: int, expected: list[int]) -> None:
    clip = Clip((b"",) * 5, Fraction(clip_fps), (2, 2))
    assert [clip.index_at(Fraction(frame, fps)) for frame in range(10)] == expected


def test_ntsc_rates_do_not_drift() -> None:
    """After an hour at 29.97 the clip is where 29.97 says, not 30."""
    clip = Clip((b"",) * 1001, Fraction(30_000, 1001), (2, 2))
    assert clip.index_at(Fraction(1001, 30_000) * 100_000) == there_and_back(100_000, 1001)


@pytest.mark.parametrize(("width", "height"), [(64, 48), (34, 62), (322, 38)])
def test_frames_come_back_in_any_order(width: int, height: int) -> None:
    pictures = [soft_noise(width, height, seed) for seed in range(5)]
    writer = ClipWriter(Fraction(25))
    for picture in pictures:
        writer.add(picture)
    clip = writer.finish()
    assert (len(clip), clip.size, clip.seconds) == (5, (width, height), 0.2)
    assert clip.nbytes == sum(map(len, clip.frames))
    reader = ClipReader(clip)
    for index in (3, 0, 4, 4, 1, 2, 0):
        for kept, given_ in zip(reader.planes(index), to_planes(pictures[index]), strict=True):
            assert kept.shape == given_.shape
            assert np.abs(kept.astype(int) - given_).mean() < 1.5
        assert np.abs(reader.picture(index).astype(int) - to_bgr(to_planes(pictures[index]))).mean() < 2.0
    assert reader.planes(0) is reader.planes(0)


def test_an_open_frame_outlives_the_next() -> None:
    """An encoder may still look at the planes when the next frame is opened."""
    writer = ClipWriter(Fraction(25))
    for seed in range(20):
        writer.add(soft_noise(64, 48, seed))
    reader = ClipReader(writer.finish())
    first = reader.planes(0)
    before = [plane.copy() for plane in first]
    for index in range(1, 20):
        reader.planes(index)
    assert all(np.array_equal(plane, copy) for plane, copy in zip(first, before, strict=True))


def test_colours_go_to_planes_and_back() -> None:
    planes = to_planes(soft_noise(64, 50))
    again = to_planes(to_bgr(planes))
    assert max(int(np.abs(a.astype(int) - b).max()) for a, b in zip(planes, again, strict=True)) <= 2

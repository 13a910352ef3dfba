"""One face through a video: where it is, how still it is held, what happens where it is not seen."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from lipstream.errors import FaceError
from lipstream.face.finder import FaceFinder
from lipstream.face.mesh import Face
from lipstream.face.pose import RIGID, canonical_face, estimate_pose
from lipstream.face.tracking import FaceTracker, bridge, smooth
from lipstream.footage import load_footage
from lipstream.media.video import VideoLimits
from tests.clips import Pixels, moving, video_bytes

LIMITS = VideoLimits(1_000_000, 20.0)


def face_at(x: float, y: float = 100.0) -> Face:
    """A face of 40 pixels between the eyes."""
    landmarks = (canonical_face() * 40 + np.array([x, y, 0])).astype(np.float32)
    return Face(landmarks, 1.0, estimate_pose(landmarks))


def places(faces: list[Face | None] | tuple[Face | None, ...]) -> list[float | None]:
    """Where they are, relative to :func:`face_at`."""
    zero = float(face_at(0).landmarks[:, 0].mean())
    return [None if face is None else round(float(face.landmarks[:, 0].mean()) - zero, 2) for face in faces]


def test_smoothing_does_not_lag_behind() -> None:
    """Trap: a window that only looks ahead, or that is smoothed in place, misplaces the mouth of a moving head."""
    straight = [face_at(5.0 * index) for index in range(12)]
    assert places(smooth(straight, 2)) == pytest.approx([5.0 * index for index in range(12)], abs=0.02)


def test_smoothing_takes_jitter_away() -> None:
    rng = np.random.default_rng(0)
    jitter = rng.normal(0, 1, 200)
    shaky = np.array(places(smooth([face_at(100 + j) for j in jitter], 2)), float) - 100
    assert np.diff(shaky[2:-2]).std() < 0.5 * np.diff(jitter).std()


def test_every_face_is_smoothed_from_the_measured_ones() -> None:
    """In place, a single outlier would be dragged through all that follow."""
    spike = [face_at(100.0 + 10 * (index == 5)) for index in range(11)]
    smoothed = np.array(places(smooth(spike, 2)), float) - 100
    assert np.array_equal(np.flatnonzero(np.abs(smoothed) > 0.05), [3, 4, 5, 6, 7])
    assert smoothed[4] == pytest.approx(smoothed[6], abs=0.02)


def test_a_cut_is_not_smeared() -> None:
    cut = [face_at(100), face_at(100), face_at(100), face_at(300), face_at(300), face_at(300)]
    assert places(smooth(cut, 2)) == [100, 100, 100, 300, 300, 300]


def test_short_gaps_are_bridged_in_a_straight_line() -> None:
    assert places(bridge([face_at(100), None, None, face_at(130), None], 2)) == [100, 110, 120, 130, None]


def test_long_gaps_and_jumps_are_not_bridged() -> None:
    assert places(bridge([face_at(100), None, None, None, face_at(130)], 2)) == [100, None, None, None, 130]
    assert places(bridge([face_at(100), None, face_at(300)], 2)) == [100, None, 300]
    assert places(bridge([None, None], 2)) == [None, None]


def tracked(finder: FaceFinder, pictures: list[Pixels]) -> tuple[Face | None, ...]:
    tracker = FaceTracker(finder, Fraction(25))
    for picture in pictures:
        tracker.add(picture)
    return tracker.finish()


def test_a_moving_head_is_followed(finder: FaceFinder, astronaut: NDArray[np.uint8]) -> None:
    """Against the truth: the still's landmarks, carried along as the still was moved."""
    truth = moving(astronaut, 30)
    points = finder.largest(astronaut).landmarks[:, :2]
    errors = []
    for face, affine in zip(tracked(finder, truth.pictures), truth.maps, strict=True):
        assert face
        errors.append((face.landmarks[:, :2] - (points @ affine[:, :2].T + affine[:, 2])).mean(axis=0) / face.scale)
    offsets = np.array(errors)
    assert np.abs(offsets).max() < 0.03  # inter-ocular distances
    assert np.diff(offsets, axis=0).std() < 0.004  # 0.16 pixels of this face


def test_a_face_that_goes_and_comes_back_elsewhere(finder: FaceFinder, astronaut: NDArray[np.uint8]) -> None:
    head = np.ascontiguousarray(astronaut[:256, 96:352])
    wall = np.full((256, 512, 3), 120, np.uint8)
    left, right = wall.copy(), wall.copy()
    left[:, :256], right[:, 256:] = head, head
    faces = tracked(finder, [left] * 5 + [wall] * 25 + [right] * 10)
    seen = [face is not None for face in faces]
    assert seen[:5] == [True] * 5
    assert not any(seen[5:30])
    assert all(seen[35:])  # looked for five times a second
    assert faces[4]
    assert faces[-1]
    shift = faces[-1].landmarks[RIGID, 0].mean() - faces[4].landmarks[RIGID, 0].mean()
    assert shift == pytest.approx(256, abs=2)


def test_the_person_of_the_beginning_is_kept(finder: FaceFinder, astronaut: NDArray[np.uint8]) -> None:
    """A larger face that walks in does not take over, not even when the first was out of sight for a moment."""
    head = np.asarray(astronaut[:256, 96:352])
    alone = np.full((256, 512, 3), 120, np.uint8)
    alone[64:192, 64:192] = head[::2, ::2]
    together = alone.copy()
    together[:, 256:] = head
    covered = together.copy()
    covered[64:192, 64:192] = 120
    faces = tracked(finder, [alone] * 3 + [together] * 3 + [covered] + [together] * 12)
    assert faces[0]
    assert faces[-1]
    assert faces[-1].box == pytest.approx(faces[0].box, abs=2)


def test_the_best_frame_has_a_closed_mouth(finder: FaceFinder, astronaut: NDArray[np.uint8]) -> None:
    """The astronaut smiles; in one frame a black bar parts her lips further."""
    head = np.ascontiguousarray(astronaut[:256, 96:352])
    lips = finder.largest(head).landmarks[[13, 14], :2].mean(axis=0)
    wide = head.copy()
    x, y = (int(v) for v in lips)
    wide[y + 2 : y + 30, x - 30 : x + 30] = head[y - 2 : y + 26, x - 30 : x + 30]
    wide[y - 2 : y + 7, x - 10 : x + 10] = 0
    data = video_bytes([wide, wide, wide, head, head, wide, wide])
    avatar = load_footage(data, finder, LIMITS)
    assert avatar.footage
    assert np.abs(avatar.picture.astype(int) - head).mean() < np.abs(avatar.picture.astype(int) - wide).mean()
    assert avatar.size == avatar.footage.clip.size == (256, 256)


def test_a_clip_without_a_face(finder: FaceFinder) -> None:
    with pytest.raises(FaceError, match="no face in this video") as caught:
        load_footage(video_bytes([np.full((96, 96, 3), 90, np.uint8)] * 8), finder, LIMITS)
    assert caught.value.code == "no_face"

"""Style: lips close when they must, never gape, and small or turned mouths move less."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipstream.engines.portrait import topology as mesh
from lipstream.engines.portrait.interior import UPPER_EDGE
from lipstream.engines.portrait.style import (
    BITE_GAP_IOD,
    BITE_LOWER_IOD,
    BITE_UPPER_IOD,
    DENTAL_LOWERS_IOD,
    EXAGGERATION,
    PRESSED_GAP_IOD,
    TONGUE_GAP_IOD,
    TONGUE_LOWERS_IOD,
    WIDEST_DENTAL_GAP_IOD,
    WIDEST_GAP_IOD,
    MouthPose,
    Style,
    motion_vectors,
)
from lipstream.face.mesh import Face
from lipstream.face.pose import canonical_face, estimate_pose, rotation_from_angles
from tests.mouths import plain_basis

COEFFICIENTS = st.tuples(st.floats(-0.1, 1), st.floats(-0.3, 0.3), st.floats(-0.1, 0.3)).map(
    lambda c: np.array(c, np.float32)
)


def face(yaw: float = 0.0, mouth: float = 1.0) -> Face:
    """The canonical face, 100 px per IOD, with a mouth that is ``mouth`` times as wide."""
    points = canonical_face().copy()
    points[list(mesh.OUTER_CORNERS), 0] *= mouth
    landmarks = 100 * points @ rotation_from_angles(yaw, 0, 0).T.astype(np.float32) + np.float32(300)
    return Face(landmarks, 1.0, estimate_pose(landmarks))


def gaps(pose: MouthPose) -> NDArray[np.float64]:
    """Distance between the lips at the nine inner pairs, IOD."""
    points, vectors = motion_vectors(plain_basis())
    moved = np.einsum("k,kpd->pd", pose.weights, vectors)
    row = {int(point): place for place, point in enumerate(points)}
    pairs = zip(mesh.INNER_UPPER_LIP[1:-1], mesh.INNER_LOWER_LIP[1:-1], strict=True)
    return np.array([moved[row[low], 1] - moved[row[up], 1] for up, low in pairs])


def height(pose: MouthPose, point: int) -> float:
    """How far a mesh point is below its place at rest, IOD."""
    points, vectors = motion_vectors(plain_basis())
    return float(pose.weights @ vectors[:, points.tolist().index(point), 1])


@given(coefficients=COEFFICIENTS, dental=st.floats(0, 1), tongue=st.floats(0, 1))
def test_lips_meet_everywhere_when_they_must(coefficients: NDArray[np.float32], dental: float, tongue: float) -> None:
    pose = Style(plain_basis(), face()).pose(coefficients, 1.0, 0.0, dental, tongue)
    assert abs(gaps(pose)).max() < 0.012
    assert pose.tongue == pose.dental == 0


@given(coefficients=COEFFICIENTS, closed=st.floats(0, 1), bite=st.floats(0, 1), dental=st.floats(0, 1))
def test_the_gap_stays_within_its_limits(
    coefficients: NDArray[np.float32], closed: float, bite: float, dental: float
) -> None:
    pose = Style(plain_basis(), face()).pose(coefficients, closed, bite, dental, 0.0)
    assert PRESSED_GAP_IOD - 1e-4 <= pose.gap <= WIDEST_GAP_IOD + BITE_GAP_IOD
    assert gaps(pose).mean() == pytest.approx(pose.gap, abs=0.03)


def test_zero_motion_is_rest() -> None:
    pose = Style(plain_basis(), face()).pose(np.zeros(3, np.float32), 0.0, 0.0, 0.0, 0.0)
    assert not pose.weights.any()
    np.testing.assert_array_equal(MouthPose.rest(6).weights, pose.weights)


def test_closing_is_gradual() -> None:
    style = Style(plain_basis(), face())
    openings = [style.pose(np.array([0.1, 0, 0], np.float32), p, 0.0, 0.0, 0.0).gap for p in np.linspace(0, 1, 21)]
    assert openings == sorted(openings, reverse=True)
    assert max(np.diff(openings[::-1])) < 0.3 * openings[0]


def test_teeth_on_the_lip_part_the_lips_a_little() -> None:
    pose = Style(plain_basis(), face()).pose(np.array([0.08, 0, 0], np.float32), 0.0, 1.0, 0.0, 0.0)
    assert pose.bite == 1
    assert gaps(pose)[4] == pytest.approx(BITE_GAP_IOD, abs=0.015)


def test_for_f_the_lower_lip_is_rolled_in() -> None:
    points, vectors = motion_vectors(plain_basis())
    pose = Style(plain_basis(), face()).pose(np.array([0.02, 0, 0], np.float32), 0.0, 1.0, 0.0, 0.0)
    moved = dict(zip(points.tolist(), np.einsum("k,kpd->pd", pose.weights, vectors)[:, 1], strict=True))
    assert moved[mesh.INNER_LOWER_LIP[5]] - moved[mesh.OUTER_LOWER_LIP[5]] > 0.06


@given(opening=st.floats(0, 0.2), lift=st.floats(-0.1, 0.1))
def test_teeth_meet_the_lip_at_the_height_of_closed_lips(opening: float, lift: float) -> None:
    """Lips that close further down, under a lowered upper lip, would hide them."""
    pose = Style(plain_basis(), face()).pose(np.array([opening, 0, lift], np.float32), 0.0, 1.0, 0.0, 0.0)
    assert height(pose, mesh.INNER_UPPER_LIP[5]) == pytest.approx(-BITE_UPPER_IOD, abs=0.004)
    assert height(pose, mesh.INNER_LOWER_LIP[5]) == pytest.approx(BITE_LOWER_IOD, abs=0.004)


@given(opening=st.floats(0, 0.3), lift=st.floats(-0.02, 0.1), raised=st.floats(0, 1))
def test_for_th_the_lower_lip_is_below_the_teeth_and_the_gap_small(opening: float, lift: float, raised: float) -> None:
    motion = np.array([opening, 0, lift], np.float32)
    pose = Style(plain_basis(), face()).pose(motion, 0.0, 0.0, 1.0, raised)
    assert pose.dental == 1
    assert pose.tongue == 0, "one tongue is enough"
    assert height(pose, mesh.INNER_LOWER_LIP[5]) > UPPER_EDGE
    assert pose.gap < WIDEST_DENTAL_GAP_IOD + DENTAL_LOWERS_IOD


def test_a_tip_between_the_teeth_comes_and_goes_gradually() -> None:
    style = Style(plain_basis(), face())
    for opening in (0.02, 0.08, 0.2):
        motion = np.array([opening, 0, 0], np.float32)
        lips = [height(style.pose(motion, 0.0, 0.0, p, 0.0), mesh.INNER_LOWER_LIP[5]) for p in np.linspace(0, 1, 21)]
        assert np.abs(np.diff(lips)).max() < 0.02


@given(opening=st.floats(0, 0.3), tongue=st.floats(0, 1))
def test_a_raised_tongue_parts_lips_that_would_hide_it(opening: float, tongue: float) -> None:
    style, motion = Style(plain_basis(), face()), np.array([opening, 0, 0], np.float32)
    usual, raised = (style.pose(motion, 0.0, 0.0, 0.0, each) for each in (0.0, tongue))
    assert usual.gap <= raised.gap <= max(usual.gap, min(TONGUE_GAP_IOD, usual.gap + TONGUE_LOWERS_IOD)) + 1e-6
    assert (gaps(raised) >= gaps(usual) - 1e-4).all()
    if tongue == 1 and usual.gap > TONGUE_GAP_IOD - TONGUE_LOWERS_IOD:
        assert raised.gap >= TONGUE_GAP_IOD - 1e-6
        assert gaps(raised)[4] >= TONGUE_GAP_IOD - 0.02


def test_the_upper_lip_makes_no_room_for_the_tongue() -> None:
    style, (points, vectors) = Style(plain_basis(), face()), motion_vectors(plain_basis())
    usual, raised = (style.pose(np.array([0.07, 0, 0], np.float32), 0.0, 0.0, 0.0, each) for each in (0.0, 1.0))
    moved = np.einsum("k,kpd->pd", raised.weights - usual.weights, vectors)[:, 1]
    assert not moved[np.isin(points, (*mesh.INNER_UPPER_LIP, *mesh.OUTER_UPPER_LIP))].any()
    assert moved[points == mesh.INNER_LOWER_LIP[5]] > 0.03
    assert 0 < moved[points == mesh.CHIN_TIP] < moved[points == mesh.INNER_LOWER_LIP[5]]


def test_small_and_turned_mouths_move_less() -> None:
    usual, small, turned = (Style(plain_basis(), f) for f in (face(), face(mouth=0.8), face(yaw=36)))
    assert usual.gain == pytest.approx(EXAGGERATION, rel=0.02)
    assert small.gain == pytest.approx(0.8 * EXAGGERATION, rel=0.05)
    assert 0.6 * EXAGGERATION < turned.gain < 0.95 * EXAGGERATION


def test_poses_are_values() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        MouthPose.rest(6).gap = 1.0  # type: ignore[misc]

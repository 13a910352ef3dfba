"""Smiling portraits relax to speak: corners come in, folds get shallow, and pursed lips keep their volume."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lipstream.avatar import Avatar
from lipstream.engines.portrait import topology as mesh
from lipstream.engines.portrait.folds import soften_folds
from lipstream.engines.portrait.gloss import dull_gloss
from lipstream.engines.portrait.rig import Rig, face_frame, lip_thickness, mesh_columns
from lipstream.engines.portrait.style import MouthPose, Style, motion_vectors
from lipstream.engines.portrait.warp import Lattice
from lipstream.face.finder import FaceFinder
from lipstream.face.mesh import Face
from lipstream.face.pose import canonical_face, estimate_pose
from tests.mouths import avatar_of, frame_of, lip_area, mouth, mouth_width, plain_basis, rig_of

PURSED = np.array([0.06, -0.025, 0], np.float32)
"""What the motion says of a rounded vowel: lips 0.06 IOD apart, the mouth 0.05 IOD narrower."""


@pytest.fixture(scope="module")
def at_rest(smiling: Avatar, smile: Rig) -> NDArray[np.uint8]:
    return frame_of(smiling, smile, mouth())


def spoken(avatar: Avatar, coefficients: NDArray[np.float32]) -> MouthPose:
    """The pose for what the motion says."""
    return Style(plain_basis(), avatar.face).pose(coefficients, 0.0, 0.0, 0.0, 0.0)


def test_a_smile_loses_most_of_its_width_at_rest(
    smiling: Avatar, at_rest: NDArray[np.uint8], finder: FaceFinder
) -> None:
    assert mouth_width(finder, smiling.picture) > 1.05
    assert mouth_width(finder, at_rest) < 0.9


def test_its_corners_come_down(smiling: Avatar, at_rest: NDArray[np.uint8], finder: FaceFinder) -> None:
    def raised(picture: NDArray[np.uint8]) -> float:
        face = finder.largest(picture)
        middle = face.landmarks[[13, 14], :2].mean(axis=0)
        return float((middle - face.landmarks[[61, 291], :2].mean(axis=0)) @ face_frame(face).down) / face.scale

    assert raised(at_rest) < 0.4 * raised(smiling.picture)


def test_its_folds_get_shallow(smiling: Avatar, at_rest: NDArray[np.uint8], finder: FaceFinder) -> None:
    assert fold_depth(at_rest, finder) < 0.5 * fold_depth(smiling.picture, finder)


def fold_depth(picture: NDArray[np.uint8], finder: FaceFinder) -> float:
    """How much darker than its surroundings the darkest part of the cheeks beside the mouth is, grey levels."""
    face = finder.largest(picture)
    grey = cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), (0, 0), 0.01 * face.scale)
    size = int(0.08 * face.scale) * 2 + 1
    valleys = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, np.ones((size, size), np.uint8))
    cheeks = np.zeros(grey.shape, np.uint8)
    for side in ((203, 206, 216), (423, 426, 436)):
        outline = np.round(face.landmarks[list(side), :2]).astype(np.int32)
        cv2.polylines(cheeks, [outline], False, 255, int(0.16 * face.scale))
    return float(np.percentile(valleys[cheeks > 0], 97))


def test_a_smiles_highlights_fade_on_the_lower_lip_only(smiling: Avatar) -> None:
    frame, points = face_frame(smiling.face), smiling.face.landmarks[:, :2].astype(np.float64)
    width, height = smiling.size
    region = Lattice(0, 0, width, height, 4)
    assert dull_gloss(smiling.picture, points, frame, region, 0.0) is smiling.picture
    change = smiling.picture.astype(int) - dull_gloss(smiling.picture, points, frame, region, 1.0)
    lip = np.zeros((height, width), np.uint8)
    outline = np.concatenate([points[list(mesh.OUTER_LOWER_LIP)], points[list(mesh.INNER_LOWER_LIP)][::-1]])
    cv2.fillPoly(lip, [np.round(outline).astype(np.int32)], 1)
    assert not change[cv2.dilate(lip, np.ones((3, 3), np.uint8)) == 0].any()
    assert change.min() >= 0
    assert change.max() > 15
    brightness = cv2.cvtColor(smiling.picture, cv2.COLOR_BGR2GRAY)
    bright = brightness >= np.percentile(brightness[lip > 0], 90)
    assert change[(lip > 0) & bright].mean() > 2 * change[(lip > 0) & ~bright].mean()


def test_pursed_lips_are_narrow_and_keep_their_volume(
    smiling: Avatar, smile: Rig, at_rest: NDArray[np.uint8], finder: FaceFinder
) -> None:
    serious = avatar_of(at_rest, finder)
    for avatar, rig in ((smiling, smile), (serious, rig_of(serious))):
        pursed = frame_of(avatar, rig, spoken(avatar, PURSED))
        assert mouth_width(finder, pursed) < 0.86 * mouth_width(finder, at_rest)
        assert lip_area(finder, pursed) == pytest.approx(lip_area(finder, at_rest), rel=0.18)


def test_only_lips_that_the_motion_narrows_are_pursed(smiling: Avatar) -> None:
    pursed, spread, gaping = (
        spoken(smiling, np.array(c, np.float32)).weights[-1]
        for c in ((0.06, -0.025, 0), (0.06, 0.02, 0), (0.3, -0.01, 0))
    )
    assert pursed > 0.6
    assert spread == gaping == 0


def test_thin_lips_swell_less() -> None:
    def swelling(thickness: float) -> float:
        points = canonical_face().copy()
        for outer, inner in ((17, 14), (314, 317), (84, 87), (405, 402), (181, 178)):
            points[outer, 1] = points[inner, 1] + thickness * (points[outer, 1] - points[inner, 1])
        landmarks = points * np.float32(100) + np.float32(300)
        face = Face(landmarks, 1.0, estimate_pose(landmarks))
        assert lip_thickness(face)[1] == pytest.approx(thickness, rel=0.05)
        columns = mesh_columns(*motion_vectors(plain_basis()), face)
        return float(columns[-1, 17, 1] - columns[-1, 14, 1])

    assert 0 < swelling(0.5) < 0.6 * swelling(1.0)


def test_folds_are_softened_only_beside_a_smiling_mouth(smiling: Avatar) -> None:
    frame, points = face_frame(smiling.face), smiling.face.landmarks[:, :2].astype(np.float64)
    width, height = smiling.size
    region = Lattice(0, 0, width, height, 4)
    assert soften_folds(smiling.picture, points, frame, region, 0.0) is smiling.picture
    softened = soften_folds(smiling.picture, points, frame, region, 1.0).astype(int)
    change = (softened - smiling.picture).max(axis=2)
    assert softened.min() >= 0
    assert change.max() > 20
    assert (softened >= smiling.picture).all()
    lips = np.round(points[[61, 0, 291, 17, 13, 14]]).astype(int)
    eyes = np.round(points[[33, 133, 362, 263, 168]]).astype(int)
    for x, y in (*lips, *eyes):
        assert change[y - 2 : y + 3, x - 2 : x + 3].max() == 0

"""What reaches the photo: only the mouth side, without an edge, in its colours; or the whole box, as the original."""

from __future__ import annotations

from fractions import Fraction
from importlib.resources import files

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lipstream.avatar import Avatar
from lipstream.engines.base import Patch
from lipstream.engines.lower_face import lower_face_mask
from lipstream.engines.wav2lip.blend import FullBox, LowerFace
from lipstream.engines.wav2lip.box import Box, face_box
from lipstream.errors import FaceError
from lipstream.face.mesh import Face

SIDE, FIRST = 96, 48
MOUTH = 13
BELOW_THE_EYES = (230, 450)


def pasted(photo: NDArray[np.uint8], patch: Patch) -> NDArray[np.uint8]:
    picture = photo.copy()
    height, width = patch.pixels.shape[:2]
    picture[patch.y : patch.y + height, patch.x : patch.x + width] = patch.pixels
    return np.asarray(picture, np.uint8)


def seen(photo: NDArray[np.uint8], box: Box) -> NDArray[np.float32]:
    """The box as the network would draw it if it were perfect, (96, 96, 3) in [0, 1]."""
    small = cv2.resize(box.cut(photo), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small / 255.0, np.float32)


def lower(avatar: Avatar, silent: NDArray[np.float32]) -> LowerFace:
    box = face_box(avatar.face, avatar.picture.shape)
    return LowerFace(avatar.picture, avatar.face, box, SIDE, FIRST, silent[FIRST:])


def test_patches_are_even_and_inside_the_photo(head: Avatar) -> None:
    """Trap: chroma is subsampled by two."""
    for shift in range(4):
        box = face_box(head.face, head.picture.shape, (shift, 10 + shift, shift, 3))
        rows = np.zeros((SIDE, SIDE, 3), np.float32)
        for patch in (
            FullBox(head.picture, box).compose(rows, 1.0),
            LowerFace(head.picture, head.face, box, SIDE, 0, rows).compose(rows, 1.0),
        ):
            height, width = patch.pixels.shape[:2]
            assert patch.x % 2 == patch.y % 2 == height % 2 == width % 2 == 0
            assert 0 <= patch.x <= patch.x + width <= head.picture.shape[1]
            assert 0 <= patch.y <= patch.y + height <= head.picture.shape[0]


def test_full_box_is_the_original_to_the_bit(head: Avatar) -> None:
    box = face_box(head.face, head.picture.shape, (3, 10, 1, 0))
    rows = np.random.default_rng(0).random((SIDE, SIDE, 3), np.float32)
    expected = head.picture.copy()
    whole_levels = (rows * 255.0).astype(np.uint8)
    expected[box.top : box.bottom, box.left : box.right] = cv2.resize(whole_levels, (box.width, box.height))
    assert np.array_equal(pasted(head.picture, FullBox(head.picture, box).compose(rows, 1.0)), expected)


def test_lower_leaves_eyes_and_background_alone(head: Avatar) -> None:
    """Trap: a box, a seam, blurred eyes. Pure noise changes nothing around the eyes or off the face."""
    rows = np.random.default_rng(0).random((SIDE, SIDE, 3), np.float32)
    frame = pasted(head.picture, lower(head, rows).compose(rows[FIRST:], 1.0))
    changed = (frame != head.picture).any(axis=2)
    mask = lower_face_mask(head.picture.shape, head.face, face_box(head.face, head.picture.shape), 0.0)
    assert changed.any()
    assert not changed[mask == 0.0].any()
    assert not changed[: int(head.face.landmarks[list(BELOW_THE_EYES), 1].max())].any()


def test_lower_has_no_edge(head: Avatar) -> None:
    """Black instead of skin is hardly to be seen in the outermost pixels, and the mask grows smoothly from there."""
    black = np.zeros((SIDE, SIDE, 3), np.float32)
    compositor = lower(head, seen(head.picture, face_box(head.face, head.picture.shape)))
    patch = compositor.compose(black[FIRST:], 1.0)
    for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        assert np.abs(patch.pixels[edge].astype(int) - compositor.rest.pixels[edge]).max() < 12
    mask = lower_face_mask(head.picture.shape, head.face, face_box(head.face, head.picture.shape), 0.0)
    assert max(np.abs(np.diff(mask, axis=axis)).max() for axis in (0, 1)) < 0.25


def test_the_mouth_is_the_networks(head: Avatar) -> None:
    mask = lower_face_mask(head.picture.shape, head.face, face_box(head.face, head.picture.shape), 0.0)
    for point in (MOUTH, 0, 17, 61, 291):  # middle, upper lip, lower lip, corners
        x, y = head.face.landmarks[point, :2]
        assert mask[round(float(y)), round(float(x))] > 0.95


@pytest.mark.parametrize("tint", [(-20, -8, -14), (10, 15, 5)])
def test_a_tint_of_the_network_does_not_show(head: Avatar, tint: tuple[int, int, int]) -> None:
    """Trap: a colour shift in the lower half of the face."""
    box = face_box(head.face, head.picture.shape)
    tinted = np.clip(seen(head.picture, box) + np.array(tint, np.float32) / 255.0, 0, 1)
    patch = lower(head, tinted).compose(tinted[FIRST:], 1.0)
    difference = pasted(head.picture, patch).astype(float) - head.picture
    mask = lower_face_mask(head.picture.shape, head.face, box, 0.0) > 0.9
    assert np.abs(difference[mask].mean(axis=0)).max() < 3.0


def test_a_perfect_network_changes_next_to_nothing(head: Avatar) -> None:
    """Rows and columns land where they came from: half a pixel of displacement would show."""
    picture = np.asarray(cv2.GaussianBlur(head.picture, (0, 0), 3.0), np.uint8)
    avatar = Avatar(picture, head.face, "blurred")
    drawn = seen(picture, face_box(head.face, picture.shape))
    patch = lower(avatar, drawn).compose(drawn[FIRST:], 1.0)
    assert np.abs(pasted(picture, patch).astype(int) - picture).max() <= 3


def test_weight_fades_to_the_photo(head: Avatar) -> None:
    """Trap: the reference frame leaks through, or jumps, in silence."""
    rows = np.random.default_rng(1).random((SIDE, SIDE, 3), np.float32)
    for compositor, given in (
        (lower(head, rows), rows[FIRST:]),
        (FullBox(head.picture, face_box(head.face, head.picture.shape)), rows),
    ):
        whole = compositor.compose(given, 1.0).pixels.astype(float)
        rest = compositor.rest.pixels.astype(float)
        half = compositor.compose(given, 0.5).pixels
        assert np.abs(half - (whole + rest) / 2).max() <= 1.5
        assert np.array_equal(compositor.compose(given, 0.0).pixels, compositor.rest.pixels)
        assert not compositor.rest.pixels.flags.writeable


def canonical_face(centre: tuple[float, float], size: float) -> Face:
    """A face from the front, ``size`` pixels between the eyes, its origin at ``centre``."""
    from lipstream.face.pose import estimate_pose

    with (files("lipstream.face") / "canonical.npz").open("rb") as file:
        points = np.load(file)["points"]
    landmarks = (points[:468] * size + (*centre, 0.0)).astype(np.float32)
    return Face(landmarks, 1.0, estimate_pose(landmarks))


@pytest.mark.parametrize("centre", [(30.0, 100.0), (226.0, 100.0), (128.0, 225.0), (128.0, 20.0)])
def test_faces_at_the_border(centre: tuple[float, float]) -> None:
    face, photo = canonical_face(centre, 50.0), np.full((256, 256, 3), 128, np.uint8)
    box = face_box(face, photo.shape)
    assert 0 <= box.left < box.right <= 256
    assert 0 <= box.top < box.bottom <= 256
    rows = np.zeros((SIDE, SIDE, 3), np.float32)
    patch = LowerFace(photo, face, box, SIDE, FIRST, rows[FIRST:]).compose(rows[FIRST:], 1.0)
    assert pasted(photo, patch).shape == photo.shape


def test_small_and_large_faces() -> None:
    for size, side in ((8.0, 64), (400.0, 1600)):
        face, photo = canonical_face((side / 2, side / 2.5), size), np.full((side, side, 3), 128, np.uint8)
        rows = np.ones((SIDE, SIDE, 3), np.float32)
        box = face_box(face, photo.shape)
        compositor = LowerFace(photo, face, box, SIDE, FIRST, np.full((SIDE - FIRST, SIDE, 3), 0.5, np.float32))
        frame = pasted(photo, compositor.compose(rows[FIRST:], 1.0))
        x, y = face.landmarks[17, :2]
        assert frame[round(float(y)), round(float(x))].min() > 200


def test_pads_grow_the_box() -> None:
    face, shape = canonical_face((128.0, 110.0), 40.0), (256, 256, 3)
    plain, padded = face_box(face, shape, (0, 0, 0, 0)), face_box(face, shape, (1, 10, 2, 3))
    assert padded == Box(plain.left - 2, plain.top - 1, plain.right + 3, plain.bottom + 10)
    assert face_box(face, shape, (999, 999, 999, 999)) == Box(0, 0, 256, 256)


def test_pads_that_leave_nothing() -> None:
    face = canonical_face((128.0, 110.0), 40.0)
    with pytest.raises(FaceError) as caught:
        face_box(face, (256, 256, 3), (-100, -100, 0, 0))
    assert caught.value.code == "no_face"
    assert "pads" in caught.value.message


def test_the_patch_is_no_larger_than_what_changes(head: Avatar) -> None:
    """The patch is the changed region only, not the face's whole box."""
    box = face_box(head.face, head.picture.shape)
    rows = np.zeros((SIDE, SIDE, 3), np.float32)
    patch = lower(head, rows).compose(rows[FIRST:], 1.0)
    assert patch.pixels.shape[0] < 0.6 * box.height


def test_mesh_box_is_the_original_detectors() -> None:
    """The mesh ends below the hairline; the box goes on above it, so that the mouth lies where the network knows it."""
    face = canonical_face((400.0, 400.0), 150.0)
    box = face_box(face, (1000, 1000, 3), (0, 0, 0, 0))
    left, top, right, bottom = face.box
    assert (box.left, box.right, box.bottom) == (int(left), int(right), int(bottom))
    assert 0.10 < (top - box.top) / (bottom - top) < 0.14
    assert Fraction(7, 10) < (float(face.landmarks[MOUTH, 1]) - box.top) / box.height < Fraction(83, 100)

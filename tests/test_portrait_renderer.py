"""Motion to pixels on a real portrait: no seams, no drift, the opening that was asked for."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from lipstream.avatar import Avatar
from lipstream.cache import held_bytes
from lipstream.engines.portrait.renderer import Renderer
from lipstream.engines.portrait.rig import Rig
from lipstream.engines.portrait.texture import estimate_blur
from lipstream.errors import FaceError
from lipstream.face.finder import FaceFinder
from tests.mouths import avatar_of, enlarged, frame_of, lip_gap, mouth, rig_of

POSES = [mouth(), mouth(0.05), mouth(0.25), mouth(0.05, -0.1), mouth(0.1, 0.06, 0.04), mouth(bite=1.0)]


@pytest.fixture(scope="module")
def serious(smiling: Avatar, smile: Rig, finder: FaceFinder) -> Avatar:
    """The same with her mouth closed: the rest pose, taken for a photo."""
    return avatar_of(frame_of(smiling, smile, mouth()), finder)


@pytest.fixture(scope="module")
def closed(serious: Avatar) -> Rig:
    return rig_of(serious)


def changed(rig: Rig, avatar: Avatar, pose_index: int) -> NDArray[np.int_]:
    """Greatest absolute change per pixel of the region."""
    drawn = Renderer(rig).draw(POSES[pose_index]).astype(int)
    return np.asarray(np.abs(drawn - rig.region.block(avatar.picture)).max(axis=2))


@pytest.mark.parametrize("pose", range(len(POSES)))
def test_the_outermost_pixels_of_the_patch_are_the_photos(smile: Rig, smiling: Avatar, pose: int) -> None:
    change = changed(smile, smiling, pose)
    for edge in (change[:2], change[-2:], change[:, :2], change[:, -2:]):
        assert edge.max() == 0
    assert change.max() > 40


def test_the_patch_is_even_and_inside(smile: Rig, smiling: Avatar) -> None:
    region, (width, height) = smile.region, smiling.size
    assert region.x % 2 == region.y % 2 == region.width % 2 == region.height % 2 == 0
    assert region.x >= 0
    assert region.y >= 0
    assert region.x + region.width <= width
    assert region.y + region.height <= height
    assert Renderer(smile).draw(POSES[1]).shape == (region.height, region.width, 3)


def test_standing_still_with_a_closed_mouth_is_the_photo(closed: Rig, serious: Avatar) -> None:
    change = changed(closed, serious, 0)
    assert change.mean() < 0.02
    assert change.max() <= 12


def test_a_smile_is_closed_at_rest(finder: FaceFinder, smiling: Avatar, serious: Avatar, smile: Rig) -> None:
    assert smile.interior.own_teeth
    assert lip_gap(finder, smiling.picture) > 0.08
    assert lip_gap(finder, serious.picture) < 0.02


@pytest.mark.parametrize("opening", [0.06, 0.12, 0.2])
def test_the_mesh_measures_the_opening_that_was_asked_for(
    opening: float, finder: FaceFinder, serious: Avatar, closed: Rig, smiling: Avatar, smile: Rig
) -> None:
    for avatar, rig in ((serious, closed), (smiling, smile)):
        assert lip_gap(finder, frame_of(avatar, rig, mouth(opening))) == pytest.approx(opening, rel=0.3, abs=0.03)


def test_width_changes_as_asked(finder: FaceFinder, serious: Avatar, closed: Rig) -> None:
    widths = []
    for width in (-0.08, 0.0, 0.05):
        face = finder.largest(frame_of(serious, closed, mouth(0.03, width)))
        widths.append(float(np.hypot(*(face.landmarks[291] - face.landmarks[61])[:2])) / face.scale)
    assert widths[0] < widths[1] - 0.06
    assert widths[1] + 0.03 < widths[2]


def test_the_chin_follows_the_jaw(finder: FaceFinder, serious: Avatar, closed: Rig) -> None:
    still, open_wide = (finder.largest(frame_of(serious, closed, mouth(o))) for o in (0.0, 0.25))
    assert (open_wide.landmarks[152, 1] - still.landmarks[152, 1]) / still.scale > 0.05


def test_an_open_mouth_is_dark_with_light_teeth(closed: Rig) -> None:
    region, block = closed.region, closed.block
    drawn = Renderer(closed).draw(mouth(0.25)).astype(float)
    x = block.x - region.x + block.width // 2
    below_nose = block.y - region.y + block.height // 4
    column = drawn[below_nose : below_nose + int(0.9 * closed.scale), x].mean(axis=1)
    skin = drawn[below_nose, x].mean()
    assert column.min() < 0.45 * skin
    darkest = int(column.argmin())
    assert column[:darkest].max() > 1.5 * column.min()


def test_any_thread_and_any_order_draw_the_same(smile: Rig) -> None:
    alone = [Renderer(smile).draw(pose) for pose in POSES]
    shared = Renderer(smile)
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda pose: Renderer(smile).draw(pose), POSES * 4))
    for index, drawn in enumerate(again):
        np.testing.assert_array_equal(drawn, alone[index % len(POSES)])
    for index in (3, 0, 3, 5):
        np.testing.assert_array_equal(shared.draw(POSES[index]), alone[index])


def test_frames_handed_out_are_not_drawn_over(smile: Rig) -> None:
    renderer = Renderer(smile)
    first = renderer.draw(POSES[2])
    copy = first.copy()
    renderer.draw(POSES[3])
    np.testing.assert_array_equal(first, copy)


@pytest.mark.parametrize("side", ["bottom", "left", "right", "chin"])
def test_faces_at_the_pictures_edge(side: str, astronaut: NDArray[np.uint8], finder: FaceFinder) -> None:
    left, top, right, bottom = {
        "bottom": (120, 40, 340, 180),
        "chin": (120, 40, 340, 170),
        "left": (186, 20, 380, 260),
        "right": (80, 20, 266, 260),
    }[side]
    avatar = avatar_of(enlarged(astronaut[top:bottom, left:right], 2), finder)
    rig = rig_of(avatar)
    for pose in POSES:
        frame = frame_of(avatar, rig, pose)
        assert frame.shape == avatar.picture.shape
    assert changed(rig, avatar, 2).max() > 40


@pytest.mark.parametrize("below", [-2, 0, 1, 2, 5, 9, 20])
def test_pictures_that_end_at_the_mouth(below: int, smiling: Avatar) -> None:
    lips = smiling.face.landmarks[[17, 61, 291, 0], 1].max()
    height = 2 * (int(lips + 2 + below) // 2)
    avatar = Avatar(np.ascontiguousarray(smiling.picture[:height]), smiling.face, "cut")
    if lips > height - 1:
        with pytest.raises(FaceError) as caught:
            rig_of(avatar)
        assert caught.value.code == "face_cut_off"
        return
    rig = rig_of(avatar)
    for pose in POSES:
        assert frame_of(avatar, rig, pose).shape == avatar.picture.shape


@pytest.mark.parametrize("width", [64, 140, 1100])
def test_faces_of_any_size(width: int, astronaut: NDArray[np.uint8], finder: FaceFinder) -> None:
    avatar = avatar_of(enlarged(astronaut[30:230, 120:340], width / 100), finder)
    rig = rig_of(avatar)
    assert changed(rig, avatar, 2).max() > 40
    assert lip_gap(finder, frame_of(avatar, rig, mouth(0.2))) > 0.1


def test_large_faces_stay_within_memory(astronaut: NDArray[np.uint8], finder: FaceFinder) -> None:
    avatar = avatar_of(enlarged(astronaut[10:240, 110:345], 4.3), finder)
    assert min(avatar.size) > 980
    rig = rig_of(avatar)
    assert held_bytes(rig) < 60e6


def test_wild_motion_does_no_harm(smile: Rig) -> None:
    for pose in (mouth(5.0, -3.0, 2.0), mouth(-2.0, 1.0), mouth(0.0, 0.0, -1.0, bite=1.0)):
        drawn = Renderer(smile).draw(pose)
        assert drawn.shape == (smile.region.height, smile.region.width, 3)


def test_blur_is_seen_in_enlarged_pictures(astronaut: NDArray[np.uint8], finder: FaceFinder) -> None:
    blurs = []
    for factor in (1, 2, 4):
        avatar = avatar_of(enlarged(astronaut[:300, 60:420], factor), finder)
        blurs.append(estimate_blur(avatar.picture, avatar.face.landmarks[:, :2].astype(np.float64)))
    assert blurs == sorted(blurs)
    assert math.log2(blurs[2] / blurs[0]) > 0.7

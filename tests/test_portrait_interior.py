"""What shows between the lips: lit as the face is, as sharp and as grainy, and moved by the right bone."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lipstream.avatar import Avatar
from lipstream.engines.portrait.colour import LUMA, face_pixels, linear
from lipstream.engines.portrait.inside import DENTAL_UP, Inside
from lipstream.engines.portrait.interior import Sheet
from lipstream.engines.portrait.renderer import Renderer
from lipstream.engines.portrait.rig import Rig, face_frame
from lipstream.engines.portrait.style import MouthPose
from lipstream.engines.portrait.teeth import separated
from lipstream.engines.portrait.texture import estimate_blur, measure_texture
from lipstream.face.finder import FaceFinder
from tests.mouths import avatar_of, enlarged, frame_of, lip_gap, mouth, rig_of

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@pytest.fixture(scope="module")
def smiling(astronaut: Pixels, finder: FaceFinder) -> Avatar:
    """The astronaut at three times the size: 120 px between the eyes."""
    return avatar_of(enlarged(astronaut[20:280, 90:390], 3), finder)


@pytest.fixture(scope="module")
def smile(smiling: Avatar) -> Rig:
    return rig_of(smiling)


@pytest.fixture(scope="module")
def serious(smiling: Avatar, smile: Rig) -> Pixels:
    """Her picture with the mouth closed."""
    return frame_of(smiling, smile, mouth())


@pytest.fixture(scope="module")
def closed(serious: Pixels, finder: FaceFinder) -> Rig:
    return rig_of(avatar_of(serious, finder))


def drawn(rig: Rig, pose: MouthPose) -> Pixels:
    """The mouth's block in ``pose``, (height, width, 3)."""
    region, block = rig.region, rig.block
    top, left = block.y - region.y, block.x - region.x
    return Renderer(rig).draw(pose)[top : top + block.height, left : left + block.width]


def opening(rig: Rig, pose: MouthPose) -> Mask:
    """Where the interior shows, without the lips' soft edges: what is left when it is all white is the lips'."""
    black, white = (
        drawn(_filled(rig, colour), MouthPose(pose.weights, pose.gap, 0.0, pose.tongue)).astype(int)
        for colour in (0, 255)
    )
    return np.asarray((white - black).min(axis=2) > 60)


def _filled(rig: Rig, colour: int) -> Rig:
    """A rig whose mouth is one plain colour, black or white."""
    interior = rig.interior
    nothing = Sheet(np.zeros_like(interior.upper.colour), np.full_like(interior.upper.clear, 255))
    plain = replace(
        interior,
        floor=np.full_like(interior.floor, colour),
        tongue=nothing,
        tip=nothing,
        lower=nothing,
        upper=nothing,
        grain=np.full_like(interior.grain, 128),
    )
    return replace(rig, interior=plain)


def of_sheet(rig: Rig, sheet: Sheet) -> Mask:
    """Where a sheet that does not move covers all behind it, over the mouth's block."""
    whole = np.zeros((rig.block.height, rig.block.width), bool)
    clear = sheet.clear[:: rig.interior.supersampling, :: rig.interior.supersampling]
    height, width = clear.shape
    whole[rig.interior.y : rig.interior.y + height, rig.interior.x : rig.interior.x + width] = clear < 12
    return whole


def upper_teeth(rig: Rig, pose: MouthPose) -> Mask:
    return opening(rig, pose) & of_sheet(rig, rig.interior.upper)


def along(rig: Rig) -> NDArray[np.float64]:
    """(width,) columns of the block as places along the mouth, -1 and 1 at its corners."""
    corners = rig.edges[-1].reshape(-1, 2)[:, 0] - rig.block.x
    result: NDArray[np.float64] = 2 * (np.arange(rig.block.width) - corners.min()) / np.ptp(corners) - 1
    return result


def test_teeth_get_brighter_as_the_mouth_opens_and_darker_towards_its_corners(closed: Rig) -> None:
    levels = []
    for gap in (0.05, 0.08, 0.12, 0.2):
        pose = mouth(gap)
        light = linear(drawn(closed, pose)) @ LUMA
        within = cv2.erode(opening(closed, pose).astype(np.uint8), np.ones((3, 1), np.uint8)) > 0  # of soft edges
        teeth = within & upper_teeth(closed, pose) & (np.abs(along(closed)) < 0.4)
        levels.append(float(np.median(light[teeth])))
    assert levels == sorted(levels)
    assert levels[3] > 1.8 * levels[0]
    pose = mouth(0.2, 0.05)
    light, teeth, u = linear(drawn(closed, pose)) @ LUMA, upper_teeth(closed, pose), np.abs(along(closed))
    middle, side = (float(np.median(light[teeth & (low <= u) & (u < high)])) for low, high in ((0, 0.25), (0.6, 0.85)))
    assert side < 0.8 * middle


def test_own_teeth_stay_with_the_skull_and_darken_with_the_gap(smile: Rig) -> None:
    assert smile.interior.own_teeth
    narrow, wide = mouth(0.04, 0.0, 0.05), mouth(0.17, 0.0, 0.05)
    both = upper_teeth(smile, narrow) & upper_teeth(smile, wide)
    rows, columns = np.nonzero(both)
    assert len(rows) > 300
    box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
    half, full = (drawn(smile, pose)[box].mean(axis=2) * both[box] for pose in (narrow, wide))
    assert half.sum() < 0.97 * full.sum()
    offsets = {
        (dx, dy): np.corrcoef(half[both[box]], np.roll(full, (dy, dx), (0, 1))[both[box]])[0, 1]
        for dx in (-2, -1, 0, 1, 2)
        for dy in (-2, -1, 0, 1, 2)
    }
    assert max(offsets, key=lambda shift: offsets[shift]) == (0, 0)


def test_the_tongue_comes_up_behind_the_teeth(closed: Rig) -> None:
    weights = mouth(0.15).weights
    down, half, up = (MouthPose(weights, 0.15, 0.0, raised) for raised in (0.0, 0.5, 1.0))
    below = opening(closed, down) & ~of_sheet(closed, closed.interior.upper) & (np.abs(along(closed)) < 0.2)
    frames = [linear(drawn(closed, pose)) for pose in (down, half, up)]
    covered = [below & (np.abs(frame - frames[0]).max(axis=2) > 0.02) for frame in frames]
    assert 0 < np.count_nonzero(covered[1]) < np.count_nonzero(covered[2])
    dark = covered[2] & (frames[0] @ LUMA < np.median((frames[0] @ LUMA)[below]))
    light = [float((frame @ LUMA)[dark].mean()) for frame in frames]
    assert light[2] > 1.2 * light[0]
    tongue = frames[2][covered[2]].mean(axis=0)
    assert tongue[2] > 1.5 * tongue[1]  # flesh, not teeth
    teeth = upper_teeth(closed, down) & (np.abs(along(closed)) < 0.2)
    np.testing.assert_allclose(drawn(closed, up)[teeth].mean(), drawn(closed, down)[teeth].mean(), rtol=0.05)


def test_for_th_the_tip_comes_before_the_edge_of_the_teeth(closed: Rig) -> None:
    """Over a strip of them, in the middle; half way up it has not reached them."""
    weights = mouth(0.12).weights
    without, half, between = (MouthPose(weights, 0.12, 0.0, 0.0, dental) for dental in (0.0, 0.5, 1.0))
    frames = [linear(drawn(closed, pose)) for pose in (without, half, between)]
    near, teeth = np.abs(along(closed)) < 0.15, upper_teeth(closed, without)
    changed = [opening(closed, without) & near & (np.abs(frame - frames[0]).max(axis=2) > 0.02) for frame in frames]
    assert np.count_nonzero(changed[1] & teeth) < 0.1 * np.count_nonzero(changed[2] & teeth)
    over = np.count_nonzero(changed[2] & teeth) / np.count_nonzero(near & (changed[2] & teeth).any(axis=0))
    assert 0.3 * DENTAL_UP < over / closed.scale < 1.5 * DENTAL_UP
    below = changed[2] & ~teeth
    tip, before = (frame[below].mean(axis=0) for frame in (frames[2], frames[0]))
    assert tip @ LUMA > before @ LUMA
    assert tip[2] / tip[1] > 1.3 * before[2] / before[1]  # flesh
    assert not (teeth & (np.abs(along(closed)) > 0.6) & (drawn(closed, between) != drawn(closed, without)).any(2)).any()


def test_the_tongue_lies_behind_wide_open_lips(closed: Rig) -> None:
    pose = mouth(0.22)
    light = linear(drawn(closed, pose))
    shown = opening(closed, pose) & ~of_sheet(closed, closed.interior.upper)
    place, rows = np.abs(along(closed)), np.arange(len(shown))[:, None]
    middle, side = shown & (place < 0.2), shown & (place > 0.55) & (place < 0.75)
    above_lower_teeth = rows < np.median(np.nonzero(middle)[0])
    tongue, dark = (light[part & above_lower_teeth].mean(axis=0) for part in (middle, side))
    assert tongue @ LUMA > 1.5 * (dark @ LUMA)
    assert tongue[2] > 1.6 * tongue[1]
    assert dark[2] > 1.3 * dark[1]


@pytest.mark.parametrize("fading", [0.0, 0.45])
def test_the_dark_of_the_mouth_is_as_dark_as_the_face(fading: float, serious: Pixels, finder: FaceFinder) -> None:
    faded = np.round(serious * (1 - fading) + 255 * fading * 0.8).astype(np.uint8)
    avatar = avatar_of(faded, finder)
    rig, pose = rig_of(avatar), mouth(0.22)
    darkest = float(np.percentile(drawn(rig, pose)[opening(rig, pose)] @ LUMA, 3))
    face = float(np.percentile(face_pixels(faded, avatar.face.landmarks[:, :2].astype(np.float64)) @ LUMA, 1))
    assert 0.75 * face < darkest < face + 25


def test_teeth_do_not_flash(closed: Rig, smile: Rig) -> None:
    for rig in (closed, smile):
        poses = [mouth(gap) for gap in np.arange(0.03, 0.2, 0.006)]
        frames = [drawn(rig, pose) @ LUMA for pose in poses]
        shown = [opening(rig, pose) for pose in poses]
        changes = [np.abs(frames[i + 1] - frames[i])[shown[i] & shown[i + 1]].mean() for i in range(len(poses) - 1)]
        assert max(changes) < 10


def test_teeth_are_set_off_by_darker_gaps_alone() -> None:
    row = np.full((20, 60, 4), 0.5, np.float32)
    row[..., 3] = 1
    np.testing.assert_allclose(separated(row, 4.0), row, atol=1e-6)
    row[:, 29:31, :3] = 0.4
    after = separated(row, 4.0)
    assert after[10, 29, 0] < 0.36
    assert after[..., :3].max() < 0.52
    np.testing.assert_array_equal(after[..., 3], row[..., 3])


def test_for_f_the_upper_teeth_cover_the_lower_lip(closed: Rig) -> None:
    bite = mouth(bite=1.0)
    unbitten = MouthPose(bite.weights, bite.gap, 0.0, 0.0)
    inside, teeth = opening(closed, unbitten), of_sheet(closed, closed.interior.upper)
    middle = np.abs(along(closed)) < 0.3
    bottom = np.nonzero((inside & middle).any(axis=1))[0].max()
    lip = teeth & middle & ~inside & (np.arange(len(teeth))[:, None] >= bottom)
    assert np.count_nonzero(lip) > 15
    before, after = (drawn(closed, pose)[lip].astype(float).mean(axis=0) for pose in (unbitten, bite))
    assert before[2] / before[1] > after[2] / after[1] * 1.1  # red lips before, pale teeth now
    # Not at the lip's own rim, which is dark already.
    rim, under = (np.roll(teeth, round(far * closed.scale), 0) for far in (0.012, 0.03))
    under &= ~rim & ~teeth & middle & ~inside
    shaded, lit = (drawn(closed, pose)[under].astype(float).mean() for pose in (bite, unbitten))
    assert shaded < 0.85 * lit


@pytest.mark.parametrize("colours", [1, 3], ids=["grey grain", "coloured grain"])
def test_grain_is_the_photos_and_stands_still(colours: int, serious: Pixels, finder: FaceFinder) -> None:
    noise = np.random.default_rng(1).normal(0, 8, (*serious.shape[:2], colours))
    rig = rig_of(avatar_of(np.clip(serious * 0.8 + noise, 0, 255).astype(np.uint8), finder))
    poses = mouth(0.14, 0.0, 0.09), mouth(0.16, 0.0, 0.09)
    teeth = upper_teeth(rig, poses[0]) & upper_teeth(rig, poses[1]) & (np.abs(along(rig)) < 0.5)
    plain = replace(rig, interior=replace(rig.interior, grain=np.full_like(rig.interior.grain, 128)))
    first, second = ((drawn(rig, pose).astype(float) - drawn(plain, pose))[teeth] for pose in poses)
    assert 0.6 * 8 < first.std() < 1.3 * 8
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.9
    assert (np.corrcoef(first[:, 0], first[:, 2])[0, 1] > 0.8) == (colours == 1)


def test_edges_of_parted_lips_are_as_soft_as_an_enlarged_photo(smile: Rig) -> None:
    cut = replace(smile, layers=replace(smile.layers, edge_blur=0.0))
    shape, around = opening(cut, mouth(0.15)).astype(np.uint8), np.ones((5, 5), np.uint8)
    edges = cv2.morphologyEx(shape, cv2.MORPH_GRADIENT, around) > 0
    soft, hard = (cv2.Laplacian(drawn(rig, mouth(0.15)) @ LUMA, cv2.CV_64F)[edges].var() for rig in (smile, cut))
    assert soft < 0.75 * hard
    pose = mouth(0.06)
    soft, hard = (drawn(rig, pose) @ LUMA for rig in (smile, cut))
    # Softer towards the lips, not towards the gap, which would seem to close.
    within = cv2.erode(opening(cut, pose).astype(np.uint8), np.ones((3, 1), np.uint8)) > 0
    assert within.sum() > 100
    assert np.abs(soft - hard)[within].max() < 4
    assert np.abs(drawn(smile, mouth()) @ LUMA - drawn(cut, mouth()) @ LUMA).max() < 3


def test_teeth_stay_sharp_between_pixels(astronaut: Pixels, finder: FaceFinder) -> None:
    rig = rig_of(avatar_of(astronaut, finder))
    high, wide = (n // rig.interior.supersampling for n in rig.interior.upper.clear.shape)
    here, open_wide = (rig.interior.x, rig.interior.y, wide, high), np.full((high, wide), 255, np.uint8)
    kept = [
        float(cv2.Laplacian(Inside(rig).draw(open_wide, here, mouth(0.2), (0.0, sway)) @ LUMA, cv2.CV_64F).var())
        for sway in (0.0, 0.25, 0.5, 0.75)
    ]
    assert min(kept) > 0.85 * max(kept)


def test_a_clean_picture_gets_no_grain(closed: Rig) -> None:
    assert closed.interior.grain.astype(float).std() < 2.5


def test_the_inside_is_as_soft_as_the_photo(serious: Pixels, finder: FaceFinder) -> None:
    steepest = []
    for sigma in (0.0, 2.0, 4.0):
        soft = serious if sigma == 0 else np.asarray(cv2.GaussianBlur(serious, (0, 0), sigma), np.uint8)
        rig = rig_of(avatar_of(soft, finder))
        pose = mouth(0.25)
        shown = cv2.erode(opening(rig, pose).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        light = drawn(rig, pose).astype(np.float32) @ LUMA.astype(np.float32)
        steepest.append(float(np.percentile(np.abs(cv2.Sobel(light, cv2.CV_32F, 0, 1))[shown], 98)))
    assert steepest[0] > 1.15 * steepest[1] > 1.3 * steepest[2]


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_enlarged_paintings_with_fine_strokes_are_seen_to_be_soft(
    factor: int, astronaut: Pixels, finder: FaceFinder
) -> None:
    face = astronaut[:300, 60:420]
    strokes = np.random.default_rng(2).normal(0, 25, face.shape[:2])[..., None]
    painting = np.clip(face + strokes, 0, 255).astype(np.uint8)
    landmarks = avatar_of(face, finder).face.landmarks[:, :2].astype(np.float64)
    large = np.asarray(cv2.resize(painting, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC), np.uint8)
    assert 0.3 * factor < estimate_blur(large, landmarks * factor) < 0.9 * factor


@pytest.mark.parametrize("sigma", [1.5, 3.0])
def test_a_known_blur_is_told(sigma: float, astronaut: Pixels, finder: FaceFinder) -> None:
    avatar = avatar_of(enlarged(astronaut[:300, 60:420], 2), finder)
    landmarks = avatar.face.landmarks[:, :2].astype(np.float64)
    own = estimate_blur(avatar.picture, landmarks)
    blurred = np.asarray(cv2.GaussianBlur(avatar.picture, (0, 0), sigma), np.uint8)
    assert estimate_blur(blurred, landmarks) == pytest.approx(np.hypot(own, sigma), rel=0.25)


def test_grain_has_the_skins_strength_at_every_size(serious: Pixels, finder: FaceFinder) -> None:
    noisy = np.clip(serious * 0.8 + np.random.default_rng(4).normal(0, 10, serious.shape), 0, 255).astype(np.uint8)
    avatar = avatar_of(noisy, finder)
    landmarks = avatar.face.landmarks[:, :2].astype(np.float64)
    texture = measure_texture(noisy, landmarks, face_frame(avatar.face))
    np.testing.assert_allclose(texture.grain(150, 220).std(axis=(0, 1)), 10, rtol=0.25)
    np.testing.assert_array_equal(texture.grain(40, 60), texture.grain(40, 60))
    tiny = enlarged(serious, 0.3)
    small = avatar_of(tiny, finder)
    assert measure_texture(tiny, small.face.landmarks[:, :2].astype(np.float64), face_frame(small.face)).spot.size == 3


def test_a_black_and_white_portrait_has_a_black_and_white_mouth(serious: Pixels, finder: FaceFinder) -> None:
    grey = np.asarray(cv2.cvtColor(cv2.cvtColor(serious, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), np.uint8)
    rig = rig_of(avatar_of(grey, finder))
    for pose in (
        mouth(0.2),
        *(MouthPose(mouth(0.12).weights, 0.12, 0.0, 1.0, dental) for dental in (0.0, 1.0)),
        mouth(bite=1.0),
    ):
        pixels = drawn(rig, pose).astype(int)
        assert np.ptp(pixels, axis=2).max() <= 3


def test_teeth_are_as_bright_as_the_face_allows(serious: Pixels, finder: FaceFinder) -> None:
    levels = []
    for exposure in (1.0, 0.5, 0.2):
        dim = np.round(255 * (linear(serious) * exposure) ** (1 / 2.2)).astype(np.uint8)
        rig, pose = rig_of(avatar_of(dim, finder)), mouth(0.2)
        teeth = upper_teeth(rig, pose) & (np.abs(along(rig)) < 0.4)
        levels.append(float(np.median((linear(drawn(rig, pose)) @ LUMA)[teeth])) / exposure)
    assert max(levels) < 1.5 * min(levels)


def test_the_teeth_of_a_laugh_are_not_hidden_by_lips_that_close_further_down(
    smiling: Avatar, smile: Rig, finder: FaceFinder
) -> None:
    laugh = frame_of(smiling, smile, mouth(0.2, 0.0, 0.08))
    assert lip_gap(finder, laugh) > 0.15
    laughing = rig_of(avatar_of(laugh, finder))
    assert laughing.interior.own_teeth
    heights = upper_teeth(laughing, mouth(0.15)).sum(axis=0)
    assert np.median(heights[np.abs(along(laughing)) < 0.2]) > 0.02 * laughing.scale

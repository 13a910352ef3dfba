"""The lips' edges and what is painted between them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lipstream.engines.portrait import teeth
from lipstream.engines.portrait import topology as mesh
from lipstream.engines.portrait.colour import LUMA, measure_palette
from lipstream.engines.portrait.fields import Frame
from lipstream.engines.portrait.lips import find_lip_line
from lipstream.engines.portrait.own_teeth import find_own_teeth
from lipstream.engines.portrait.rig import face_frame
from lipstream.engines.portrait.warp import Lattice
from lipstream.face.finder import FaceFinder
from lipstream.face.pose import canonical_face
from tests.mouths import avatar_of, enlarged

SCALE = 100.0
FRAME = Frame(SCALE, np.array([1.0, 0.0]), np.array([0.0, 1.0]))
SKIN, LIP, DARK, TOOTH = (120, 150, 205), (90, 85, 175), (20, 18, 45), (190, 215, 225)
BLOCK = Lattice(130, 200, 140, 120, 4, 4)
SKIN_LUMA = float((np.array(SKIN) / 255) ** 2.2 @ LUMA)


def drawn_mouth(gap: float) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """A painted face of 100 px per IOD with lips ``gap`` IOD apart over teeth, and mesh points that fit it."""
    points = canonical_face()[:, :2].astype(np.float64) * SCALE + [200, 100]
    line = points[list(mesh.INNER_UPPER_LIP)].copy()
    line[:, 1] = line[0, 1] + 4 * np.sin(np.linspace(0, np.pi, len(line)))
    bow = np.sin(np.linspace(0, np.pi, len(line)))
    points[list(mesh.INNER_UPPER_LIP)] = line - np.column_stack([0 * bow, bow * gap * SCALE / 2])
    points[list(mesh.INNER_LOWER_LIP)] = line + np.column_stack([0 * bow, bow * gap * SCALE / 2])
    picture = np.full((420, 400, 3), SKIN, np.uint8)

    def fill(upper: tuple[int, ...], lower: tuple[int, ...], colour: tuple[int, int, int]) -> None:
        outline = np.concatenate([points[list(upper)], points[list(lower)][::-1]])
        cv2.fillPoly(picture, [np.round(outline * 16).astype(np.int32)], colour, cv2.LINE_AA, 4)

    fill(mesh.OUTER_UPPER_LIP, mesh.OUTER_LOWER_LIP, LIP)
    if gap:
        fill(mesh.INNER_UPPER_LIP, mesh.INNER_LOWER_LIP, TOOTH)
    else:
        cv2.polylines(picture, [np.round(line * 16).astype(np.int32)], False, DARK, 2, cv2.LINE_AA, 4)
    noise = np.random.default_rng(0).normal(0, 2, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8), points


@pytest.mark.parametrize("error", [-4.0, -2.0, 0.0, 3.0])
def test_the_lower_edge_of_the_shadow_between_closed_lips_is_found_where_the_mesh_misses_it(error: float) -> None:
    picture, points = drawn_mouth(0.0)
    truth = points[list(mesh.INNER_UPPER_LIP)].copy()
    points[:, 1] += error
    line = find_lip_line(picture, points, FRAME)
    assert not line.is_open
    found = np.interp(truth[2:-2, 0], line.upper[:, 0], line.upper[:, 1])
    below = found - truth[2:-2, 1]  # the shadow is drawn three pixels wide, and the picture is smoothed
    assert 1.2 < below.min() < below.max() < 2.4


@pytest.mark.parametrize("error", [-3.0, 0.0, 3.0])
def test_the_edges_of_open_lips_are_found_where_the_mesh_misses_them(error: float) -> None:
    picture, points = drawn_mouth(0.15)
    upper, lower = (points[list(row)].copy() for row in (mesh.INNER_UPPER_LIP, mesh.INNER_LOWER_LIP))
    points[list(mesh.INNER_UPPER_LIP[1:-1]), 1] -= error
    points[list(mesh.INNER_LOWER_LIP[1:-1]), 1] += error
    line = find_lip_line(picture, points, FRAME)
    assert line.is_open
    for truth, found in ((upper, line.upper), (lower, line.lower)):
        assert np.abs(np.interp(truth[3:-3, 0], found[:, 0], found[:, 1]) - truth[3:-3, 1]).max() < 1.6


def test_open_lips_are_found_in_black_and_white() -> None:
    picture, points = drawn_mouth(0.15)
    grey = np.asarray(cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), np.uint8)
    line = find_lip_line(grey, points, FRAME)
    truth = points[list(mesh.INNER_LOWER_LIP)]
    assert np.abs(np.interp(truth[3:-3, 0], line.lower[:, 0], line.lower[:, 1]) - truth[3:-3, 1]).max() < 1.6
    palette = measure_palette(grey, points, FRAME)
    assert np.ptp(palette.tinted(palette.tooth)) < 0.02
    assert find_own_teeth(grey, line, FRAME, BLOCK, palette.skin) is not None


def test_own_teeth_are_cut_out_only_where_there_are_some() -> None:
    for gap, layer in ((0.0, False), (0.05, False), (0.15, True)):
        picture, points = drawn_mouth(gap)
        own = find_own_teeth(picture, find_lip_line(picture, points, FRAME), FRAME, BLOCK, SKIN_LUMA)
        assert (own is not None and own.layer is not None) == layer
    assert own is not None
    assert own.layer is not None
    truth = (np.array(TOOTH) / 255) ** 2.2
    np.testing.assert_allclose(own.colour, truth, rtol=0.15)
    covered = own.layer[..., 3] > 0.9
    straight = own.layer[covered][:, :3] / own.layer[covered][:, 3:]
    assert np.percentile(straight @ LUMA, 80) == pytest.approx(truth @ LUMA, rel=0.15)


@pytest.mark.parametrize("thickness", [2, 3, 6])
def test_a_lower_row_is_told_from_the_upper_one(thickness: int) -> None:
    picture, points = drawn_mouth(0.3)
    line = (points[list(mesh.INNER_UPPER_LIP)] * 0.35 + points[list(mesh.INNER_LOWER_LIP)] * 0.65).round()
    cv2.polylines(picture, [line.astype(np.int32)], False, DARK, thickness, cv2.LINE_AA)
    own = find_own_teeth(picture, find_lip_line(picture, points, FRAME), FRAME, BLOCK, SKIN_LUMA)
    assert own is not None
    assert own.layer is not None
    assert own.lower is not None
    middle = round(line[5, 0]) - BLOCK.x
    parting = round(line[5, 1]) - BLOCK.y
    upper, lower = (np.flatnonzero(layer[:, middle, 3] > 0.5) for layer in (own.layer, own.lower))
    assert abs(upper.max() - (parting - thickness / 2)) <= 2
    assert abs(lower.min() - (parting + thickness / 2)) <= 2
    assert abs(own.lower_edge[1] - lower.min()) <= 2


def test_a_lower_row_in_the_shade_is_none() -> None:
    picture, points = drawn_mouth(0.3)
    line = find_lip_line(picture, points, FRAME)
    edge = np.interp(np.arange(picture.shape[1]), *line.lower.T)
    above = edge - np.arange(len(picture))[:, None]
    teeth = np.abs(picture.astype(int) - TOOTH).sum(axis=2) < 60
    picture[teeth & (above < 3)] = np.array(TOOTH) * 0.3 ** (1 / 2.2)
    picture[teeth & (above >= 3) & (above < 5)] = DARK
    own = find_own_teeth(picture, line, FRAME, BLOCK, SKIN_LUMA)
    assert own is not None
    assert own.layer is not None
    assert own.lower is None


def test_narrow_crowns_are_as_long_and_as_round_as_in_the_picture() -> None:
    picture, points = drawn_mouth(0.3)
    edge, notch, depth = 246, 4, 5
    teeth = np.abs(picture.astype(int) - TOOTH).sum(axis=2) < 60
    below = np.arange(len(picture))[:, None] > edge
    notches = (np.arange(picture.shape[1]) % 10 < notch) & (np.arange(len(picture))[:, None] > edge - depth)
    picture[teeth & (below | notches)] = DARK
    own = find_own_teeth(picture, find_lip_line(picture, points, FRAME), FRAME, BLOCK, SKIN_LUMA)
    assert own is not None
    assert own.layer is not None
    coverage = own.layer[..., 3]
    crowns, gaps = (np.arange(180, 221, 10) - BLOCK.x + place for place in (6, 1))
    assert coverage[edge - BLOCK.y - 2, crowns].min() > 0.9
    assert coverage[edge - BLOCK.y + 3, crowns].max() < 0.1
    assert coverage[edge - BLOCK.y - 2, gaps].max() < 0.2
    assert coverage[edge - BLOCK.y - 10, gaps].min() > 0.9


def test_eyes_beyond_the_pictures_edge_say_nothing_about_teeth() -> None:
    picture, points = drawn_mouth(0.3)
    below = int(points[[*mesh.EYES[0], *mesh.EYES[1]], 1].max()) + 4
    palette = measure_palette(picture[below:], points - [0, below], FRAME)
    assert 0.5 * palette.skin < palette.tooth @ LUMA < 2 * palette.skin


@pytest.mark.parametrize("colour", [0, 255])
def test_mouths_without_any_shades_in_them_are_read_all_the_same(colour: int) -> None:
    """Drawings, and photos whose highlights are cut off."""
    picture, points = drawn_mouth(0.3)
    line = find_lip_line(picture, points, FRAME)
    inside = np.concatenate([line.upper, line.lower[::-1]])
    cv2.fillPoly(picture, [np.round(inside).astype(np.int32)], (colour,) * 3)
    assert find_lip_line(picture, points, FRAME).is_open
    own = find_own_teeth(picture, line, FRAME, BLOCK, SKIN_LUMA)
    assert (own is None) == (colour == 0)


def test_one_row_of_teeth_is_not_parted(astronaut: NDArray[np.uint8], finder: FaceFinder) -> None:
    picture, points = drawn_mouth(0.3)
    own = find_own_teeth(picture, find_lip_line(picture, points, FRAME), FRAME, BLOCK, SKIN_LUMA)
    assert own is not None
    assert own.lower is None
    avatar = avatar_of(enlarged(astronaut[:300, 60:420], 3), finder)
    landmarks, frame = avatar.face.landmarks[:, :2].astype(np.float64), face_frame(avatar.face)
    whole = Lattice(0, 0, *avatar.size, 4)
    own = find_own_teeth(avatar.picture, find_lip_line(avatar.picture, landmarks, frame), frame, whole, 0.5)
    assert own is not None
    assert own.layer is not None
    assert own.lower is None


def test_a_dark_open_mouth_has_no_teeth() -> None:
    picture, points = drawn_mouth(0.15)
    picture[(picture == TOOTH).sum(axis=2) > 0] = DARK
    near_tooth = np.abs(picture.astype(int) - TOOTH).sum(axis=2) < 60
    picture[near_tooth] = DARK
    own = find_own_teeth(picture, find_lip_line(picture, points, FRAME), FRAME, BLOCK, SKIN_LUMA)
    assert own is None or own.layer is None


def test_the_astronauts_own_teeth_are_used(astronaut: NDArray[np.uint8], finder: FaceFinder) -> None:
    avatar = avatar_of(enlarged(astronaut[:300, 60:420], 2), finder)
    landmarks, frame = avatar.face.landmarks[:, :2].astype(np.float64), face_frame(avatar.face)
    line = find_lip_line(avatar.picture, landmarks, frame)
    assert line.is_open
    width, height = avatar.size
    own = find_own_teeth(avatar.picture, line, frame, Lattice(0, 0, width, height, 4), 0.5)
    assert own is not None
    assert own.layer is not None
    assert own.colour @ LUMA > 0.4


@pytest.mark.parametrize("row", [teeth.UPPER, teeth.LOWER], ids=["upper", "lower"])
def test_rows_of_teeth_are_symmetric_and_end_at_their_edge(row: tuple[teeth.Tooth, ...]) -> None:
    relief = teeth.carve_row(row)
    middle = round(teeth.HALF_ARC * teeth.PER_IOD)
    reach = 250
    for surface in (relief.albedo, relief.coverage):
        assert surface.dtype == np.float32
        assert surface.min() >= 0
        assert surface.max() <= 1.1
        left, right = surface[:, middle - reach : middle], surface[:, middle + 1 : middle + 1 + reach][:, ::-1]
        assert 0 < np.abs(left - right).mean() < 0.03  # no two are quite alike
    np.testing.assert_allclose(np.linalg.norm(relief.normal, axis=2), 1, atol=1e-5)
    edge = round(teeth.ABOVE * teeth.PER_IOD)
    assert not relief.coverage[edge + 10 :].any()
    incisor = middle + round(0.5 * row[0].width * teeth.MM * teeth.PER_IOD)
    assert relief.coverage[edge - 20 : edge - 6, incisor].min() == 1
    gap = middle + round(row[0].width * teeth.MM * teeth.PER_IOD)
    assert relief.albedo[edge - 30, gap].mean() < 0.75 * relief.albedo[edge - 30, incisor].mean()
    # A crown is round: its sides face sideways, away from its middle.
    side = round(0.3 * row[0].width * teeth.MM * teeth.PER_IOD)
    body = slice(edge - 30, edge - 15)
    assert relief.normal[body, incisor - side, 0].mean() < -0.1
    assert relief.normal[body, incisor + side, 0].mean() > 0.1


def test_teeth_take_the_colour_of_the_light() -> None:
    picture, points = drawn_mouth(0.0)
    white = measure_palette(picture, points, FRAME).tooth
    warm_light = np.clip(picture * np.array([0.6, 0.9, 1.0]), 0, 255).astype(np.uint8)
    warm = measure_palette(warm_light, points, FRAME).tooth
    assert warm[2] / warm[0] > 1.3 * white[2] / white[0]
    dim = measure_palette((picture * 0.5).astype(np.uint8), points, FRAME).tooth
    assert dim @ LUMA < 0.4 * (white @ LUMA)
    shaded = (picture * np.linspace(0.4, 1.0, picture.shape[1])[None, :, None]).astype(np.uint8)
    slope = measure_palette(shaded, points, FRAME).slope
    assert slope > 0.3


def test_behind_glasses_eyes_do_not_colour_the_teeth() -> None:
    picture, points = drawn_mouth(0.0)
    for eye in mesh.EYES:
        cv2.fillPoly(picture, [np.round(points[list(eye)]).astype(np.int32)], (60, 60, 160))
    seen = measure_palette(picture, points, FRAME).tooth
    middle = points[168].astype(int)
    cv2.line(picture, (int(middle[0]) - 40, int(middle[1])), (int(middle[0]) + 40, int(middle[1])), (20, 20, 20), 4)
    behind = measure_palette(picture, points, FRAME).tooth
    assert behind @ LUMA > 1.2 * (seen @ LUMA)
    assert behind[2] / behind[0] < 0.9 * seen[2] / seen[0]


def test_whites_tell_that_the_light_is_not_as_warm_as_red_skin() -> None:
    picture, points = drawn_mouth(0.0)
    flushed = np.clip(picture * np.array([0.6, 0.85, 1.1]), 0, 255).astype(np.uint8)
    collar = flushed.copy()
    collar[390:] = 235
    sky = flushed.copy()
    sky[390:] = (255, 210, 180)
    warm, white, blue = (measure_palette(each, points, FRAME).tooth for each in (flushed, collar, sky))
    assert white[2] / white[0] < 0.8 * warm[2] / warm[0]
    assert blue[2] / blue[0] == pytest.approx(white[2] / white[0], rel=0.02)

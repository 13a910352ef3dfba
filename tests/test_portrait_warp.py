"""The warp: lattices meet pixels exactly, inversion inverts, standing still changes nothing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from lipstream.engines.portrait.fields import FieldOperators, Frame, ThinPlate
from lipstream.engines.portrait.warp import (
    FETCHED_BYTES,
    GENTLE,
    Floats,
    Lattice,
    invert,
    resampled,
    sampling_maps,
    seen_part,
    supersample,
)
from lipstream.face.pose import canonical_face

LATTICES = st.builds(
    Lattice,
    x=st.integers(0, 500),
    y=st.integers(0, 500),
    width=st.integers(2, 90),
    height=st.integers(2, 90),
    step=st.integers(1, 9),
    pad=st.integers(1, 5),
)


@given(lattice=LATTICES, supersampling=st.sampled_from([1, 2]), dx=st.floats(-4, 4), dy=st.floats(-4, 4))
def test_a_shifted_lattice_samples_shifted_pixels(lattice: Lattice, supersampling: int, dx: float, dy: float) -> None:
    shift = np.array([dx, dy], np.float32) / lattice.step
    maps = sampling_maps(
        lattice, (lattice.identity() + shift).astype(np.float32), (lattice.x - 3, lattice.y - 5), supersampling
    )
    columns, rows = np.meshgrid(np.arange(lattice.width), np.arange(lattice.height))
    np.testing.assert_allclose(maps[0], supersampling * (columns + 3 + dx), atol=2e-3)
    np.testing.assert_allclose(maps[1], supersampling * (rows + 5 + dy), atol=2e-3)


@given(lattice=LATTICES)
def test_nodes_surround_the_block(lattice: Lattice) -> None:
    nodes = lattice.nodes().reshape(*lattice.shape, 2)
    assert nodes[0, 0, 0] < lattice.x
    assert nodes[0, 0, 1] < lattice.y
    assert nodes[-1, -1, 0] >= lattice.x + lattice.width - 1
    assert nodes[-1, -1, 1] >= lattice.y + lattice.height - 1


@given(picture=npst.arrays(np.uint8, st.tuples(st.integers(2, 20), st.integers(2, 20), st.just(3))))
def test_supersampling_keeps_every_pixel(picture: NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(supersample(picture, 2)[::2, ::2], picture)


@pytest.mark.parametrize("amplitude", [0.5, 2.0, 3.5])
def test_inversion_finds_where_pixels_come_from(amplitude: float) -> None:
    lattice = Lattice(0, 0, 200, 200, 4)
    identity = lattice.identity()
    x, y = identity[..., 0] / 52, identity[..., 1] / 52
    bump = np.sin(np.pi * x) ** 2 * np.sin(np.pi * y) ** 2
    forward = np.stack([0.3 * bump, bump], -1).astype(np.float32) * np.float32(amplitude)
    backward = invert(forward, identity)
    arrived = identity + backward
    there = cv2.remap(forward, arrived, np.zeros(0, np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    assert float(np.abs(backward + there).max()) < 0.06 * amplitude


def tilted(lattice: Lattice, degrees: float = 4.0) -> Floats:
    """Nodes of a picture that turns about its corner."""
    turn = np.radians(degrees)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.asarray(lattice.identity() @ matrix, np.float32)


@pytest.mark.parametrize(("width", "height", "step"), [(700, 500, 7), (90, 33, 4), (2, 2, 1)])
def test_bands_draw_what_one_pass_draws(width: int, height: int, step: int) -> None:
    lattice, pad = Lattice(10, 20, width, height, step, 2), 3
    source = np.random.default_rng(0).integers(0, 256, (2 * (height + 2 * pad), 2 * (width + 2 * pad), 4), np.uint8)
    if width == 700:
        assert source.nbytes > 4 * FETCHED_BYTES
    nodes, origin = tilted(lattice), (10 - pad, 20 - pad)
    once = cv2.remap(
        source, *sampling_maps(lattice, nodes, origin, 2), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    banded = resampled(source, lattice, nodes, origin, 2, cv2.BORDER_REPLICATE)
    assert int(cv2.absdiff(once, banded).max()) <= 1


@given(lattice=LATTICES, share=st.floats(0, 1), degrees=st.floats(-20, 20))
def test_rows_below_the_seen_part_sample_nothing_above_its_end(lattice: Lattice, share: float, degrees: float) -> None:
    nodes, end = tilted(lattice, degrees), lattice.y + share * lattice.height
    part = seen_part(lattice, nodes, end)
    assert 0 < part.height <= lattice.height
    _, y = sampling_maps(lattice, nodes, (lattice.x, lattice.y), 1)
    assert (y[part.height :] > end - lattice.y - 0.01).all()


def test_gentle_fields_need_one_step() -> None:
    lattice = Lattice(0, 0, 500, 500, 4)
    identity = lattice.identity()
    turn = tilted(lattice, 1.5) - identity
    forward = turn * np.float32(0.5 + 0.5 * np.cos(np.pi * identity[..., :1] / identity[..., 0].max()))
    exact, quick = invert(forward, identity, (1.0,) * 12), invert(forward, identity, GENTLE)
    assert float(np.abs(exact - quick).max()) * lattice.step < 0.05


def test_thin_plate_is_exact_for_affine_motion_and_close_to_any() -> None:
    rng = np.random.default_rng(1)
    control, query = rng.uniform(0, 2, (60, 2)), rng.uniform(0, 2, (500, 2))
    spline = ThinPlate(control)
    np.testing.assert_allclose(spline(control @ [[1.0], [2.0]] + 3, query), query @ [[1.0], [2.0]] + 3, atol=1e-6)
    wave = np.sin(3 * control[:, :1])
    assert float(np.abs(spline(wave, control) - wave).max()) < 0.1


def test_motion_ends_before_the_regions_edge_but_not_at_the_pictures() -> None:
    points = canonical_face()[:, :2].astype(np.float64) * 100 + [200, 150]
    frame = Frame(100.0, np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    motion = np.full((1, 468, 2), 10.0)
    region = Lattice(60, 180, 280, 200, 4)
    edge = np.array([[60.0, 300.0], [339.0, 300.0], [200.0, 180.0], [200.0, 379.0]])
    for layer in ("upper", "lower"):
        inside = FieldOperators(points, frame, region, (1000, 1000))
        assert not getattr(inside, layer)(edge, motion).any()
        cut_off = FieldOperators(points, frame, region, (1000, 380))
        assert abs(getattr(cut_off, layer)(edge[3:], motion)).max() > 1.0
        assert not getattr(cut_off, layer)(edge[:3], motion).any()

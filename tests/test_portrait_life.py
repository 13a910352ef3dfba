"""Heads that live between their words: sway, breath, blinks, and the way into speech and out of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import islice, pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipstream.avatar import Avatar, picture_digest
from lipstream.engines.base import SPEECH_RATE, STILL, Liveliness, Patch, still
from lipstream.engines.portrait import topology as mesh
from lipstream.engines.portrait.closed_lid import LidCurves, closed_lid
from lipstream.engines.portrait.easing import EASE_SECONDS, Ease, Glow, between
from lipstream.engines.portrait.engine import PortraitActor, PortraitEngine
from lipstream.engines.portrait.living import LivingRenderer
from lipstream.engines.portrait.renderer import Renderer
from lipstream.engines.portrait.style import MouthPose
from lipstream.face.finder import FaceFinder
from tests.mouths import enlarged

FPS = Fraction(25)
BUSY = Liveliness(yaw=0.8, pitch=-0.6, roll=0.7, x=0.008, y=-0.006, scale=1.008, breath=0.7, blink=0.4)

small = st.floats(-1.0, 1.0)
lively = st.builds(
    lambda yaw, pitch, roll, x, y, scale, breath, blink: Liveliness(
        yaw, pitch, roll, x / 100, y / 100, 1 + scale / 100, breath, blink
    ),
    *[small] * 6,
    *[st.floats(0.0, 1.0)] * 2,
)


@pytest.fixture(scope="module")
def actor(portrait_engine: PortraitEngine, finder: FaceFinder, astronaut: NDArray[np.uint8]) -> PortraitActor:
    """The astronaut, 80 px between the eyes, with room around her head and mouth closed."""
    picture = enlarged(astronaut[:260, 40:420], 2)
    smiling = portrait_engine.prepare(Avatar(picture, finder.largest(picture), picture_digest(picture)))
    closed = shown(smiling, smiling.rest)
    return portrait_engine.prepare(Avatar(closed, finder.largest(closed), picture_digest(closed)))


@pytest.fixture(scope="module")
def renderer(actor: PortraitActor) -> LivingRenderer:
    return LivingRenderer(actor.rig, actor.life)


def shown(actor: PortraitActor, patch: Patch) -> NDArray[np.uint8]:
    """The whole picture with the patch on it."""
    height, width = patch.pixels.shape[:2]
    picture: NDArray[np.uint8] = actor.avatar.picture.copy()
    picture[patch.y : patch.y + height, patch.x : patch.x + width] = patch.pixels
    return picture


def rest(actor: PortraitActor) -> MouthPose:
    return MouthPose.rest(actor.rig.columns)


def talking(actor: PortraitActor, opening: float = 0.6) -> MouthPose:
    wide = np.zeros(len(actor.model.basis.vectors), np.float32)
    wide[0] = opening
    return actor.style.pose(wide, 0.0, 0.0, 0.0, 0.0)


def eye_opening(finder: FaceFinder, picture: NDArray[np.uint8]) -> float:
    """Mean distance between the lids as the mesh sees it, IOD."""
    face = finder.largest(picture)
    points = face.landmarks[:, :2]
    gaps = [
        np.hypot(*(points[list(low)] - points[list(up)])[2:-2].T).mean()
        for up, low in zip(mesh.UPPER_LIDS, mesh.LOWER_LIDS, strict=True)
    ]
    return float(np.mean(gaps)) / face.scale


@pytest.mark.parametrize("opening", [0.0, 0.6])
def test_standing_still_is_drawn_as_ever(actor: PortraitActor, renderer: LivingRenderer, opening: float) -> None:
    pose = talking(actor, opening)
    patch, plain = renderer.draw(pose, STILL), Renderer(actor.rig).draw(pose)
    assert (patch.x, patch.y) == (actor.rig.region.x, actor.rig.region.y)
    np.testing.assert_array_equal(patch.pixels, plain)


def test_a_living_head_that_hardly_moves_looks_like_a_still_one(actor: PortraitActor, renderer: LivingRenderer) -> None:
    for pose in (rest(actor), talking(actor)):
        alive, standing = renderer.draw(pose, Liveliness(yaw=1e-6)), renderer.draw(pose, STILL)
        change = np.abs(shown(actor, alive).astype(int) - shown(actor, standing))
        assert change.max() <= 3


@given(lively, st.floats(0.0, 0.8))
@settings(max_examples=25)
def test_patches_are_even_inside_and_leave_their_border_alone(
    actor: PortraitActor, renderer: LivingRenderer, life: Liveliness, opening: float
) -> None:
    patch = renderer.draw(talking(actor, opening), life)
    height, width = patch.pixels.shape[:2]
    assert patch.x % 2 == patch.y % 2 == width % 2 == height % 2 == 0
    assert patch.x >= 0
    assert patch.y >= 0
    assert patch.x + width <= actor.avatar.size[0]
    assert patch.y + height <= actor.avatar.size[1]
    change = np.abs(shown(actor, patch).astype(int) - actor.avatar.picture).max(axis=2)
    change = change[patch.y : patch.y + height, patch.x : patch.x + width]
    sides = [change[:2], change[:, :2], change[:, -2:]]
    if patch.y + height < actor.avatar.size[1]:
        sides.append(change[-2:])
    assert max(side.max() for side in sides) == 0


def test_frames_depend_on_nothing_before_them(actor: PortraitActor, renderer: LivingRenderer) -> None:
    first = renderer.draw(talking(actor), BUSY).pixels
    copy = first.copy()
    renderer.draw(rest(actor), replace(BUSY, yaw=-1.0))
    np.testing.assert_array_equal(first, copy)
    np.testing.assert_array_equal(LivingRenderer(actor.rig, actor.life).draw(talking(actor), BUSY).pixels, first)


@pytest.mark.parametrize("angle", ["yaw", "pitch", "roll"])
def test_the_mesh_measures_the_turn_that_was_asked_for(
    actor: PortraitActor, renderer: LivingRenderer, finder: FaceFinder, angle: str
) -> None:
    measured = [
        getattr(finder.largest(shown(actor, renderer.draw(rest(actor), Liveliness(**{angle: degrees})))).pose, angle)
        for degrees in (-1.0, 1.0)
    ]
    assert 1.0 < measured[1] - measured[0] < 3.0


def test_shift_and_size_are_as_asked(actor: PortraitActor, renderer: LivingRenderer, finder: FaceFinder) -> None:
    def face(life: Liveliness) -> tuple[NDArray[np.floating], float]:
        found = finder.largest(shown(actor, renderer.draw(rest(actor), life)))
        return found.landmarks[:, :2].mean(axis=0), found.scale

    moved = face(Liveliness(x=0.02, y=-0.02))[0] - face(Liveliness(x=-0.02, y=0.02))[0]
    np.testing.assert_allclose(moved / actor.rig.scale, [0.04, -0.04], atol=0.008)
    assert face(Liveliness(scale=1.02))[1] / face(Liveliness(scale=0.98))[1] == pytest.approx(1.04, abs=0.01)


@pytest.fixture(scope="module")
def speckled(actor: PortraitActor, portrait_engine: PortraitEngine) -> PortraitActor:
    """The same with speckles, in which seams show."""
    noise = np.random.default_rng(0).normal(0, 70, actor.avatar.picture.shape)
    picture = np.clip(actor.avatar.picture + cv2.GaussianBlur(noise, (0, 0), 1.5), 0, 255).astype(np.uint8)
    return portrait_engine.prepare(Avatar(picture, actor.avatar.face, "speckled"))


@pytest.mark.parametrize(("right", "down"), [(1, 0), (-1, 0), (0, 1), (0, -1)])
def test_the_mouth_moves_with_the_head_without_a_seam(speckled: PortraitActor, right: int, down: int) -> None:
    renderer, pose, rig = LivingRenderer(speckled.rig, speckled.life), talking(speckled), speckled.rig
    standing = shown(speckled, renderer.draw(pose, STILL))
    moved = shown(speckled, renderer.draw(pose, Liveliness(x=right / rig.scale, y=down / rig.scale)))
    back = np.roll(moved, (-down, -right), axis=(0, 1)).astype(int)
    block = rig.block
    around = replace(block, x=block.x - 2, y=block.y - 2, width=block.width + 4, height=block.height + 4)
    change = around.block(np.abs(back - standing).max(axis=2).astype(np.uint8))
    # Down at the neck the head's motion begins to fade.
    for edge in (change[:5], change[: len(change) // 2, :5], change[: len(change) // 2, -5:]):
        assert edge.max() <= 12
    assert np.percentile(change, 90) <= 6
    assert block.block(np.abs(moved.astype(int) - standing).max(axis=2).astype(np.uint8)).max() > 40


def test_eyes_close(actor: PortraitActor, renderer: LivingRenderer, finder: FaceFinder) -> None:
    pictures = [shown(actor, renderer.draw(rest(actor), Liveliness(blink=blink))) for blink in (0.0, 0.5, 1.0)]
    openings = [eye_opening(finder, picture) for picture in pictures]
    assert openings[0] > openings[1] + 0.02
    assert openings[2] < 0.45 * openings[0]
    for lid, low in zip(mesh.UPPER_LIDS, mesh.LOWER_LIDS, strict=True):
        middle = np.round(actor.avatar.face.landmarks[[lid[4], low[4]], :2].mean(axis=0)).astype(int)
        near = np.s_[middle[1] - 2 : middle[1] + 3, middle[0] - 4 : middle[0] + 5]
        # Skin is lighter than iris and darker than the catchlight in it.
        assert pictures[2][near].std() < 0.8 * pictures[0][near].std()


def test_skin_of_closed_lids_has_no_stripes_and_ends_in_a_line_of_lashes() -> None:
    height, width = 120, 200  # 200 samples per IOD; the eye is from .2 to .8, its edge at .4
    down, along = np.mgrid[:height, :width] / 200
    stripes = np.where(np.arange(width) % 6 < 3, 150, 190).astype(np.uint8)
    picture = np.repeat(np.tile(stripes, (height, 1))[..., None], 3, axis=2)
    picture[down > 0.4] = 30
    place = np.linspace(0.06, 0.94, 65)
    bow = np.sin(np.pi * np.clip((place - 0.2) / 0.6, 0, 1))
    level = np.ones(65)
    curves = LidCurves(place, 0.2 * level, 0.4 - 0.032 * bow, 0.4 * level, bow)
    picture[(down > 0.4) & (along > 0.5)] = 170  # lashes on one side only
    closed, even = closed_lid(picture, along, down, curves)
    lid, beside = np.s_[55:72, 60:140], np.s_[55:72, :20]
    assert picture[lid].std() > 19
    assert closed[lid].std() < 5
    assert (even[lid] > 250).all()
    np.testing.assert_array_equal(closed[beside], picture[beside])
    assert (even[beside] == 0).all()
    line = closed[80:84, 60:140].min(axis=0).max(axis=1)
    assert (line < 115).all()
    assert (closed[83:100, 60:95] <= 30).all()


def test_a_blink_leaves_everything_but_the_eyes_alone(actor: PortraitActor, renderer: LivingRenderer) -> None:
    opened, closed = (shown(actor, renderer.draw(rest(actor), Liveliness(yaw=1e-6, blink=b))) for b in (0.0, 1.0))
    change = np.abs(opened.astype(int) - closed).max(axis=2)
    for lid in actor.life.lids:
        lid.block.block(change)[...] = 0
    assert change.max() == 0
    brows = np.round(actor.avatar.face.landmarks[[70, 105, 107, 336, 334, 300], :2]).astype(int)
    moved = np.abs(opened.astype(int) - closed).max(axis=2)
    assert max(moved[y - 1 : y + 1, x].max() for x, y in brows) < 25


def test_closed_and_tiny_eyes_do_not_blink(
    actor: PortraitActor, renderer: LivingRenderer, portrait_engine: PortraitEngine, finder: FaceFinder
) -> None:
    assert len(actor.life.lids) == 2
    asleep = shown(actor, renderer.draw(rest(actor), Liveliness(blink=1.0)))
    sleeper = portrait_engine.prepare(Avatar(asleep, finder.largest(asleep), "asleep"))
    assert not sleeper.life.lids
    face = actor.avatar.face
    tiny = np.asarray(cv2.resize(actor.avatar.picture, None, fx=0.1, fy=0.1), np.uint8)
    tiny = np.ascontiguousarray(tiny[: tiny.shape[0] & ~1, : tiny.shape[1] & ~1])
    pose = replace(face.pose, scale=face.pose.scale / 10, origin=face.pose.origin / 10)
    doll = portrait_engine.prepare(
        Avatar(tiny, replace(face, landmarks=face.landmarks / np.float32(10), pose=pose), "tiny")
    )
    assert not doll.life.lids


def lids_of(engine: PortraitEngine, finder: FaceFinder, picture: NDArray[np.uint8]) -> int:
    return len(engine.prepare(Avatar(picture, finder.largest(picture), picture_digest(picture))).life.lids)


@pytest.mark.parametrize(
    "rim", [(25, 20, 20), (205, 205, 205), (240, 240, 240), (110, 175, 215), (40, 40, 170)], ids=str
)
def test_glasses_do_not_blink(
    rim: tuple[int, int, int], actor: PortraitActor, portrait_engine: PortraitEngine, finder: FaceFinder
) -> None:
    picture, points = actor.avatar.picture, actor.avatar.face.landmarks[:, :2]
    assert lids_of(portrait_engine, finder, picture) == 2
    glasses = picture.copy()
    eyes = [points[list(pair)].mean(axis=0).astype(int) for pair in ((33, 133), (362, 263))]
    for eye in eyes:
        cv2.ellipse(glasses, (int(eye[0]), int(eye[1]) + 4), (32, 22), 0, 0, 360, rim, 3, cv2.LINE_AA)
    left, right = eyes[0] + [32, 0], eyes[1] - [32, 0]
    cv2.line(glasses, (int(left[0]), int(left[1])), (int(right[0]), int(right[1])), rim, 3, cv2.LINE_AA)
    assert lids_of(portrait_engine, finder, glasses) == 0


def test_lids_that_are_one_with_the_iris_do_not_blink(
    actor: PortraitActor, portrait_engine: PortraitEngine, finder: FaceFinder
) -> None:
    shaded = actor.avatar.picture.astype(np.float32)
    points = actor.avatar.face.landmarks[:, :2]
    area = np.ones(shaded.shape[:2], np.float32)
    lid = points[[*mesh.LOWER_BROWS[0], *mesh.UPPER_LIDS[0][::-1]]]
    cv2.fillPoly(area, [np.round(lid).astype(np.int32)], 0.35)
    shaded *= cv2.GaussianBlur(area, (0, 0), 2)[..., None]
    assert lids_of(portrait_engine, finder, shaded.astype(np.uint8)) == 0


def test_flat_drawings_do_not_blink(actor: PortraitActor, portrait_engine: PortraitEngine, finder: FaceFinder) -> None:
    picture = actor.avatar.picture
    flat = np.asarray(cv2.pyrMeanShiftFiltering(picture, 12, 30), np.uint8) // 24 * 24 + 12
    assert lids_of(portrait_engine, finder, np.asarray(flat, np.uint8)) == 0


def test_breath_moves_the_shoulders_and_not_the_face(actor: PortraitActor, renderer: LivingRenderer) -> None:
    change = np.abs(shown(actor, renderer.draw(rest(actor), Liveliness(breath=1.0))).astype(int) - actor.avatar.picture)
    chin = int(actor.avatar.face.landmarks[mesh.CHIN_TIP, 1])
    assert change[: chin - 4].mean() < 0.1
    assert change[chin + 4 :].mean() > 5 * change[: chin - 4].mean()


def test_no_eye_winks_where_the_other_is_cut_off(actor: PortraitActor, portrait_engine: PortraitEngine) -> None:
    face = actor.avatar.face
    left = int(face.landmarks[[33, 133], 0].mean()) & ~1
    picture = np.ascontiguousarray(actor.avatar.picture[:, left:])
    offset = np.array([left, 0, 0], np.float32)
    moved = replace(face, landmarks=face.landmarks - offset, pose=replace(face.pose, origin=face.pose.origin - offset))
    half = portrait_engine.prepare(Avatar(picture, moved, "half"))
    assert not half.life.lids
    LivingRenderer(half.rig, half.life).draw(rest(half), BUSY)


@pytest.mark.parametrize("side", ["top", "left", "right", "bottom"])
def test_heads_at_the_pictures_edge(
    side: str, astronaut: NDArray[np.uint8], finder: FaceFinder, portrait_engine: PortraitEngine
) -> None:
    left, top, right, bottom = {
        "top": (120, 50, 340, 300),
        "left": (186, 10, 400, 260),
        "right": (40, 10, 266, 260),
        "bottom": (120, 10, 340, 180),
    }[side]
    picture = enlarged(astronaut[top:bottom, left:right], 2)
    cut = portrait_engine.prepare(Avatar(picture, finder.largest(picture), picture_digest(picture)))
    drawn = LivingRenderer(cut.rig, cut.life).draw(talking(cut), BUSY)
    frame = shown(cut, drawn)
    assert frame.shape == picture.shape
    # Nothing is torn: away from the mouth the picture only moved by a few pixels.
    region = cut.rig.region
    change = np.abs(cv2.blur(frame, (9, 9)).astype(int) - cv2.blur(picture, (9, 9))).max(axis=2)
    region.block(change)[...] = 0
    for lid in cut.life.lids:
        lid.block.block(change)[...] = 0
    assert change.max() < 90


def test_extremes_are_limited(actor: PortraitActor, renderer: LivingRenderer) -> None:
    wild = Liveliness(90.0, -90.0, 45.0, 3.0, -3.0, 5.0, 9.0, 7.0)
    most = Liveliness(1.5, -1.5, 1.5, 0.025, -0.025, 1.02, 1.0, 1.0)
    np.testing.assert_array_equal(renderer.draw(rest(actor), wild).pixels, renderer.draw(rest(actor), most).pixels)


# The way into speech and out of it.


def patches(
    performance_life: Callable[[], Liveliness], actor: PortraitActor, speech: NDArray[np.float32]
) -> list[Patch]:
    performance = actor.perform(FPS, performance_life)
    return [*performance.push(speech), *performance.finish(len(speech) * 25 // SPEECH_RATE)]


def test_without_life_speech_is_drawn_as_ever(actor: PortraitActor, sample_speech: NDArray[np.float32]) -> None:
    speech = sample_speech[8_000:20_800]
    asked = 0

    def life() -> Liveliness:
        nonlocal asked
        asked += 1
        return STILL

    plain, alive = patches(still, actor, speech), patches(life, actor, speech)
    assert asked == len(plain) == 20
    for a, b in zip(plain, alive, strict=True):
        assert (a.x, a.y) == (b.x, b.y)
        np.testing.assert_array_equal(a.pixels, b.pixels)


def test_idle_comes_to_rest_in_time(actor: PortraitActor, sample_speech: NDArray[np.float32]) -> None:
    performance = actor.perform(FPS)
    frames = performance.push(sample_speech[8_000:20_800])
    last = max(
        (next(frames) for _ in range(12)),
        key=lambda patch: float(np.abs(patch.pixels.astype(int) - actor.rest.pixels).mean()),
    )
    assert not np.array_equal(last.pixels, actor.rest.pixels)
    easing = [performance.idle() for _ in range(round(EASE_SECONDS * FPS))]
    assert not np.array_equal(easing[0].pixels, actor.rest.pixels)
    np.testing.assert_array_equal(easing[-1].pixels, actor.rest.pixels)
    np.testing.assert_array_equal(performance.idle().pixels, actor.rest.pixels)


def test_a_late_sender_loses_nothing(actor: PortraitActor, sample_speech: NDArray[np.float32]) -> None:
    speech = sample_speech[8_000:24_000]
    whole = patches(still, actor, speech)
    performance = actor.perform(FPS)
    first = list(performance.push(speech[:8_000]))
    for _ in range(5):
        performance.idle()
    rest_of = [*performance.push(speech[8_000:]), *performance.finish(25)]
    assert len(first) + len(rest_of) == 25
    for late, punctual in zip(rest_of[4:], whole[len(first) + 4 :], strict=True):
        np.testing.assert_array_equal(late.pixels, punctual.pixels)


def test_after_finish_another_utterance_can_follow(actor: PortraitActor, sample_speech: NDArray[np.float32]) -> None:
    speech = sample_speech[8_000:16_000]
    performance = actor.perform(FPS)
    first = [*performance.push(speech), *performance.finish(12)]
    second = [*performance.push(speech), *performance.finish(12)]
    assert len(first) == len(second) == 12
    for a, b in zip(first[4:], second[4:], strict=True):
        # The voice is known by then, the words are not.
        assert np.abs(a.pixels.astype(int) - b.pixels).mean() < 3.0
    assert list(performance.push(speech))
    performance.clear()
    third = [*performance.push(speech), *performance.finish(12)]
    assert len(third) == 12
    assert np.abs(third[-1].pixels.astype(int) - first[-1].pixels).mean() < 3.0


FINE = Fraction(50)
STEEPEST = 0.26
"""The greatest step of an ease over six frames, as a part of the way."""
Step = tuple[int, int, str, int]
"""Frames' worth of speech heard, frames drawn of them, what is done then, and how often or for how many frames."""
steps = st.lists(
    st.tuples(
        st.integers(0, 24), st.integers(0, 24), st.sampled_from(["idle", "finish", "clear", "more"]), st.integers(0, 9)
    ),
    max_size=6,
)


@given(steps)
@settings(max_examples=60)
def test_the_mouth_never_jumps(actor: PortraitActor, sample_speech: NDArray[np.float32], steps: list[Step]) -> None:
    speech = sample_speech[6_000:]
    natural = widest_step(poses_of(actor, [(120, 120, "finish", 120)], speech))
    drawn = poses_of(actor, steps, speech)
    widest = max((abs(pose.gap) for pose in drawn), default=0.0)
    assert widest_step(drawn) <= natural + STEEPEST * widest + 1e-6


def poses_of(actor: PortraitActor, steps: list[Step], speech: NDArray[np.float32]) -> list[MouthPose]:
    """The poses drawn while a performance is used as ``steps`` say, beginning at rest."""
    performance = actor.perform(FINE)
    drawn = [rest(actor)]
    picture = actor.rest

    def note(pose: MouthPose) -> Patch:
        drawn.append(pose)
        return picture

    performance._draw = note
    heard = 0
    for amount, wanted, then, count in steps:
        frames = performance.push(speech[heard * 320 : (heard + amount) * 320])
        heard += amount
        for _ in islice(frames, wanted):
            pass
        if then == "idle":
            for _ in range(count):
                performance.idle()
        elif then == "finish":
            for _ in islice(performance.finish(count), count):
                pass
        elif then == "clear":
            performance.clear()
    return drawn


def widest_step(poses: list[MouthPose]) -> float:
    return max((abs(b.gap - a.gap) for a, b in pairwise(poses)), default=0.0)


def test_light_comes_at_once_and_goes_gradually() -> None:
    glow = Glow(FPS)
    gaps = (0.02, 0.10, 0.03, 0.12, *[0.05] * 30)
    lights = [glow.on(MouthPose(np.zeros(3, np.float32), gap, 0.0, 0.0)).light or 0.0 for gap in gaps]
    assert (lights[0], lights[1], lights[3]) == (0.02, 0.10, 0.12)
    assert 0.06 < lights[2] < 0.09
    assert lights[3:] == sorted(lights[3:], reverse=True)
    assert lights[-1] == pytest.approx(0.05, abs=1e-4)


def test_light_is_forgotten_between_utterances(actor: PortraitActor, sample_speech: NDArray[np.float32]) -> None:
    performance, drawn, picture = actor.perform(FPS), [rest(actor)], actor.rest

    def note(pose: MouthPose) -> Patch:
        drawn.append(pose)
        return picture

    performance._draw = note
    for _ in performance.push(sample_speech[:30_000]):
        if drawn[-1].gap > 0.12:
            break
    assert drawn[-1].light == drawn[-1].gap > 0.12
    performance.clear()
    assert len(list(performance.push(np.zeros(8_000, np.float32)))) > 5
    assert drawn[-1].gap == drawn[-1].light == 0


def test_easing_ends_at_its_target_and_is_monotonous() -> None:
    start, end = (MouthPose(np.full(3, v, np.float32), v, v, v, v) for v in (0.0, 1.0))
    ease = Ease(start, FPS)
    assert ease.towards(end, jump=False) is end
    values = [ease.towards(start, jump=True).gap, *(ease.towards(start, jump=False).gap for _ in range(4))]
    assert values == sorted(values, reverse=True)
    assert values[-1] == 0.0
    half = between(start, end, 0.5)
    assert [half.gap, half.bite, half.tongue, half.dental, half.light] == pytest.approx([0.5] * 5)
    assert Ease(start, Fraction(1)).towards(end, jump=True) is end

"""What is in front of the mouth gets a warning; what is not, does not."""

from __future__ import annotations

import logging
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lipstream.avatar import Avatar
from lipstream.avatar_library import picture_warnings
from lipstream.face.finder import FaceFinder
from lipstream.face.mesh import Face
from lipstream.face.occlusion import PALE, lip_redness, mouth_is_covered
from lipstream.studio import Studio
from tests.mouths import avatar_of, enlarged, frame_of, mouth, rig_of
from tests.occluders import beard, glasses, hand, mask, microphone
from tests.turned_head import turned_head

Picture = NDArray[np.uint8]
Drawing = Callable[[Picture, Face], Picture]


@pytest.fixture(scope="module")
def portrait(astronaut: Picture, finder: FaceFinder) -> Avatar:
    """The astronaut's head, 80 px between the eyes."""
    return avatar_of(enlarged(astronaut[:300, 60:420], 2), finder)


def warned(picture: Picture, finder: FaceFinder) -> bool:
    face = finder.largest(picture)
    return any("in front of the mouth" in warning for warning in picture_warnings(Avatar(picture, face, "")))


@pytest.mark.parametrize(
    "thing",
    [
        hand,
        lambda picture, face: hand(picture, face, -40),
        lambda picture, face: hand(picture, face, 80),
        microphone,
        mask,
    ],
    ids=["hand", "slanted hand", "upright hand", "microphone", "mask"],
)
@pytest.mark.parametrize("mirrored", [False, True])
def test_things_in_front_of_the_mouth(thing: Drawing, portrait: Avatar, finder: FaceFinder, mirrored: bool) -> None:
    covered = thing(portrait.picture, portrait.face)
    assert warned(np.ascontiguousarray(covered[:, ::-1]) if mirrored else covered, finder)


@pytest.mark.parametrize(
    "harmless",
    [
        lambda picture, _: picture,
        glasses,
        beard,
        lambda picture, _: cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR),
        lambda picture, _: (picture * np.array([0.12, 0.16, 0.2])).astype(np.uint8),
        lambda picture, _: np.clip(picture + np.random.default_rng(0).normal(0, 15, picture.shape), 0, 255).astype(
            np.uint8
        ),
        lambda picture, _: cv2.GaussianBlur(picture, (0, 0), 3),
        lambda picture, _: enlarged(picture, 0.3),
        lambda picture, face: turned_head(picture, face, 35),
    ],
    ids=["nothing", "glasses", "beard", "grey", "dark", "noise", "blur", "small", "turned"],
)
def test_nothing_in_front_of_the_mouth(harmless: Drawing, portrait: Avatar, finder: FaceFinder) -> None:
    assert not warned(np.asarray(harmless(portrait.picture, portrait.face), np.uint8), finder)


@pytest.mark.parametrize("pose", [mouth(), mouth(0.06), mouth(0.2), mouth(0.1, -0.04)], ids=str)
def test_mouths_that_speak_are_not_covered(pose: object, portrait: Avatar, finder: FaceFinder) -> None:
    assert not warned(frame_of(portrait, rig_of(portrait), pose), finder)  # type: ignore[arg-type]


def test_lips_are_redder_than_skin(portrait: Avatar, finder: FaceFinder) -> None:
    redness, chroma = lip_redness(portrait.picture, portrait.face)
    assert redness > 2 * PALE
    assert chroma > 10
    covered = microphone(portrait.picture, portrait.face)
    assert lip_redness(covered, finder.largest(covered))[0] < PALE


def test_faces_measured_once_are_not_judged(portrait: Avatar, finder: FaceFinder) -> None:
    covered = mask(portrait.picture, portrait.face)
    assert not mouth_is_covered(covered, finder.find(covered)[0])


def test_the_log_hears_of_it(
    portrait: Avatar, studio: Studio, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A server that ran in this process has taken our messages for its own log.
    monkeypatch.setattr(logging.getLogger("lipstream"), "propagate", True)
    for thing, expected in ((hand, True), (glasses, False)):
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="lipstream"):
            studio.avatar(bytes(cv2.imencode(".png", thing(portrait.picture, portrait.face))[1]))
        assert ("in front of the mouth" in caplog.text) == expected

"""Wav2Lip with the further models plugged in: each changes only what it is there for."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from lipstream.avatar import Avatar
from lipstream.engines.base import Patch
from lipstream.engines.wav2lip.engine import Enhancements, Options, Wav2LipEngine
from lipstream.engines.wav2lip.imported import ImportedModel
from lipstream.engines.wav2lip.network import GeneratorNetwork
from lipstream.enhance.segmentation import FaceParser
from lipstream.enhance.upscaling import Upscaler


def all_background(inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:  # noqa: ARG001
    """The answer of a parsing network that sees no face: class 0 everywhere."""
    logits = np.zeros((1, 19, 512, 512), np.float32)
    logits[:, 0] = 9.0
    return {"logits": logits}


def doubled(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """An upscaling network that repeats every pixel of (3, h, w)."""
    return picture.repeat(2, axis=1).repeat(2, axis=2)


def speak(engine: Wav2LipEngine, avatar: Avatar, speech: NDArray[np.float32], options: Options) -> list[Patch]:
    performance = engine.prepare(avatar, options).perform(Fraction(25))
    count = len(speech) * 25 // 16_000
    made = [*performance.push(speech), *performance.finish(count)]
    assert len(made) == count
    return made


@pytest.fixture(scope="module")
def speech(sample_speech: NDArray[np.float32]) -> NDArray[np.float32]:
    """0.4 s in the middle of a word."""
    return sample_speech[8_000:14_400]


@pytest.fixture(scope="module")
def enhanced(small_import: ImportedModel) -> Wav2LipEngine:
    """The small network with both stand-ins."""
    network = GeneratorNetwork(small_import, mouth_only=True, threads=1)
    more = Enhancements(parser=FaceParser(all_background), upscaler=Upscaler(doubled, 2, "stand-in"))
    return Wav2LipEngine(network, checkpoint="small.pth", enhancements=more)


def test_a_parser_that_sees_no_skin_leaves_the_photo_alone(
    enhanced: Wav2LipEngine, head: Avatar, speech: NDArray[np.float32]
) -> None:
    for patch in speak(enhanced, head, speech, Options(super_resolution=False)):
        height, width = patch.pixels.shape[:2]
        photo = head.picture[patch.y : patch.y + height, patch.x : patch.x + width]
        assert np.abs(patch.pixels.astype(int) - photo).max() <= 1


def test_both_can_be_left_out_by_request(
    enhanced: Wav2LipEngine, small_engine: Wav2LipEngine, head: Avatar, speech: NDArray[np.float32]
) -> None:
    plain = speak(small_engine, head, speech, Options())
    without = speak(enhanced, head, speech, Options(segmentation=False, super_resolution=False))
    assert [patch.pixels.tobytes() for patch in without] == [patch.pixels.tobytes() for patch in plain]


def test_an_upscaler_keeps_the_mouth_in_its_place(
    enhanced: Wav2LipEngine, small_engine: Wav2LipEngine, head: Avatar, speech: NDArray[np.float32]
) -> None:
    plain = speak(small_engine, head, speech, Options())
    upscaled = speak(enhanced, head, speech, Options(segmentation=False))
    for before, after in zip(plain, upscaled, strict=True):
        assert (before.x, before.y, before.pixels.shape) == (after.x, after.y, after.pixels.shape)
        assert np.abs(before.pixels.astype(int) - after.pixels).mean() < 2


@pytest.fixture(scope="module")
def full_enhanced(small_import: ImportedModel) -> Wav2LipEngine:
    """The original's whole box with both stand-ins."""
    network = GeneratorNetwork(small_import, mouth_only=False, threads=1)
    more = Enhancements(parser=FaceParser(all_background), upscaler=Upscaler(doubled, 2, "stand-in"))
    return Wav2LipEngine(network, checkpoint="small.pth", blend="full", enhancements=more)


def test_the_whole_box_honours_the_parser(
    full_enhanced: Wav2LipEngine, full_engine: Wav2LipEngine, head: Avatar, speech: NDArray[np.float32]
) -> None:
    """It sees no skin, so nothing may be replaced; asked to be left out, it changes nothing."""
    for patch in speak(full_enhanced, head, speech, Options(super_resolution=False)):
        height, width = patch.pixels.shape[:2]
        assert np.array_equal(patch.pixels, head.picture[patch.y : patch.y + height, patch.x : patch.x + width])
    plain = speak(full_engine, head, speech, Options())
    without = speak(full_enhanced, head, speech, Options(segmentation=False, super_resolution=False))
    assert [patch.pixels.tobytes() for patch in without] == [patch.pixels.tobytes() for patch in plain]


def test_the_whole_box_is_upscaled(
    full_enhanced: Wav2LipEngine, full_engine: Wav2LipEngine, head: Avatar, speech: NDArray[np.float32]
) -> None:
    plain = speak(full_engine, head, speech, Options())
    upscaled = speak(full_enhanced, head, speech, Options(segmentation=False))
    for before, after in zip(plain, upscaled, strict=True):
        assert (before.x, before.y, before.pixels.shape) == (after.x, after.y, after.pixels.shape)
        difference = np.abs(before.pixels.astype(int) - after.pixels)
        assert 0 < difference.mean() < 3

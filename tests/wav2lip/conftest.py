"""Small Wav2Lip models for the tests: the published layers, an eighth as wide, with random weights."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lipstream.avatar import Avatar, picture_digest
from lipstream.engines.wav2lip.engine import Wav2LipEngine
from lipstream.engines.wav2lip.imported import ImportedModel, open_import, write_import
from lipstream.engines.wav2lip.network import GeneratorNetwork
from lipstream.face.finder import FaceFinder
from tests.wav2lip.models import random_weights


@pytest.fixture(scope="session")
def small_weights() -> dict[str, NDArray[np.float32]]:
    """A generator with 2 instead of 16 channels in its first layer: 0.6 million parameters."""
    return random_weights(width=2)


@pytest.fixture(scope="session")
def small_import(
    small_weights: dict[str, NDArray[np.float32]], tmp_path_factory: pytest.TempPathFactory
) -> ImportedModel:
    """The same, imported."""
    pytest.importorskip("onnx")
    folder = tmp_path_factory.mktemp("wav2lip")
    write_import(small_weights, folder, source="small.pth", sha256="0" * 64)
    model = open_import(folder)
    assert model is not None
    return model


@pytest.fixture(scope="session")
def small_engine(small_import: ImportedModel) -> Wav2LipEngine:
    """The engine with the default blend."""
    network = GeneratorNetwork(small_import, mouth_only=True, threads=1)
    return Wav2LipEngine(network, checkpoint="small.pth")


@pytest.fixture(scope="session")
def full_engine(small_import: ImportedModel) -> Wav2LipEngine:
    """The engine that pastes the whole box."""
    network = GeneratorNetwork(small_import, mouth_only=False, threads=1)
    return Wav2LipEngine(network, checkpoint="small.pth", blend="full")


@pytest.fixture(scope="session")
def head(finder: FaceFinder, astronaut: NDArray[np.uint8]) -> Avatar:
    """The astronaut's head, 256 × 256."""
    picture = np.ascontiguousarray(astronaut[:256, 96:352])
    return Avatar(picture, finder.largest(picture), picture_digest(picture))

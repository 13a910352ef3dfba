"""What many tests share. The models come out of the user's own cache, so that they are fetched once per machine."""

from __future__ import annotations

import wave
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

from lipstream.avatar import Avatar, picture_digest
from lipstream.config import Settings
from lipstream.engines.base import Actor
from lipstream.engines.portrait.engine import PortraitEngine
from lipstream.engines.portrait.rig import Rig
from lipstream.face.finder import FaceFinder
from lipstream.models.assets import SAMPLE_PORTRAIT
from lipstream.models.store import ModelStore
from lipstream.studio import Studio
from tests.media import png_bytes, wav_bytes
from tests.mouths import avatar_of, enlarged, rig_of

SAMPLE_SPEECH = Path(__file__).parent.parent / "src" / "lipstream" / "assets" / "sample.wav"

# How long an example takes depends on what else the machine does.
settings.register_profile("lipstream", deadline=None)
settings.load_profile("lipstream")


@pytest.fixture(scope="session")
def store() -> ModelStore:
    """The real models, fetched if they are not there."""
    store = ModelStore()
    for asset in store.assets:
        store.fetch(asset)
    return store


@pytest.fixture(scope="session")
def finder(store: ModelStore) -> FaceFinder:
    """The real face finder."""
    return FaceFinder.load(store)


@pytest.fixture(scope="session")
def astronaut(store: ModelStore) -> NDArray[np.uint8]:
    """Eileen Collins, smiling: (512, 512, 3) BGR, read-only."""
    picture = cv2.imread(str(store.path(SAMPLE_PORTRAIT)), cv2.IMREAD_COLOR)
    assert picture is not None
    picture.flags.writeable = False
    return np.asarray(picture, np.uint8)


@pytest.fixture(scope="session")
def portrait(astronaut: NDArray[np.uint8]) -> bytes:
    """The astronaut's face, 240 × 256 pixels, PNG."""
    return png_bytes(astronaut[:256, 100:340])


@pytest.fixture
def portrait_file(portrait: bytes, tmp_path: Path) -> Path:
    """The same as a file of the test's own."""
    path = tmp_path / "astronaut.png"
    path.write_bytes(portrait)
    return path


@pytest.fixture(scope="session")
def sample_portrait(store: ModelStore) -> Path:
    """The astronaut's file."""
    return store.path(SAMPLE_PORTRAIT)


@pytest.fixture(scope="session")
def sample_speech() -> NDArray[np.float32]:
    """The bundled sentence, (n,) float32 at 16 kHz."""
    with wave.open(str(SAMPLE_SPEECH)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return (samples / 32768).astype(np.float32)


@pytest.fixture(scope="session")
def short_speech(sample_speech: NDArray[np.float32], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second of it, as a WAV file."""
    path = tmp_path_factory.mktemp("speech") / "short.wav"
    path.write_bytes(wav_bytes(sample_speech[6_000:22_000], 16_000))
    return path


@pytest.fixture(scope="session")
def portrait_engine(store: ModelStore) -> PortraitEngine:
    """The real built-in engine."""
    return PortraitEngine.load(store)


@pytest.fixture(scope="session")
def small_actor(portrait_engine: PortraitEngine, finder: FaceFinder, astronaut: NDArray[np.uint8]) -> Actor:
    """The astronaut's head, 256 × 256: the real engine, quick to draw."""
    picture = np.ascontiguousarray(astronaut[:256, 96:352])
    return portrait_engine.prepare(Avatar(picture, finder.largest(picture), picture_digest(picture)))


@pytest.fixture(scope="session")
def small_lookahead(portrait_engine: PortraitEngine) -> Fraction:
    """Lookahead of the engine behind ``small_actor``, seconds."""
    return portrait_engine.lookahead


@pytest.fixture(scope="session")
def studio(store: ModelStore) -> Studio:
    """Everything loaded, with default settings."""
    return Studio.open(Settings(cache_dir=store.cache))


@pytest.fixture(scope="session")
def smiling(astronaut: NDArray[np.uint8], finder: FaceFinder) -> Avatar:
    """The astronaut at twice the size: 80 px between the eyes."""
    return avatar_of(enlarged(astronaut[:300, 60:420], 2), finder)


@pytest.fixture(scope="session")
def smile(smiling: Avatar) -> Rig:
    return rig_of(smiling)

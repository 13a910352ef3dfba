"""The published network at its full size, against plain PyTorch: the same pictures, windows and whole clips."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lipstream.avatar import Avatar
from lipstream.engines.wav2lip.box import face_box
from lipstream.engines.wav2lip.engine import CPU_BATCH, Wav2LipEngine, network_face
from lipstream.engines.wav2lip.imported import ImportedModel, import_checkpoint
from lipstream.engines.wav2lip.mel import WindowStream
from lipstream.engines.wav2lip.network import GeneratorNetwork
from lipstream.engines.wav2lip.tiles import open_network
from lipstream.media.clock import frame_count

torch = pytest.importorskip("torch")
pytest.importorskip("librosa")
pytest.importorskip("onnx")

from tests.reference import network as reference_network  # noqa: E402
from tests.reference import pipeline  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.slow]

LEVEL = 1 / 255


@pytest.fixture(scope="module")
def reference() -> reference_network.Wav2Lip:
    """36.3 million random parameters with random batch-norm statistics."""
    network = reference_network.random_network(seed=1)
    assert sum(parameter.numel() for parameter in network.parameters()) == 36_298_035
    return network


@pytest.fixture(scope="module")
def checkpoint(reference: reference_network.Wav2Lip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Saved as the official ones are."""
    path = tmp_path_factory.mktemp("checkpoint") / "wav2lip_gan.pth"
    reference_network.save_checkpoint(reference, path)
    return path


@pytest.fixture(scope="module")
def imported(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> ImportedModel:
    return import_checkpoint(checkpoint, tmp_path_factory.mktemp("cache"))


def expected(
    reference: reference_network.Wav2Lip, windows: NDArray[np.float32], face: NDArray[np.float32]
) -> NDArray[np.float32]:
    """What PyTorch draws, (n, 96, 96, 3) BGR in [0, 1]."""
    faces = torch.from_numpy(face)[None].repeat(8, 1, 1, 1)
    drawn = []
    with torch.no_grad():
        for start in range(0, len(windows), 8):
            mels = torch.from_numpy(windows[start : start + 8, np.newaxis])
            drawn.append(reference(mels, faces[: len(mels)]).numpy())
    return np.asarray(np.concatenate(drawn).transpose(0, 2, 3, 1), np.float32)


@pytest.mark.parametrize("seed", range(3))
def test_pictures_differ_by_less_than_a_grey_level(
    reference: reference_network.Wav2Lip, imported: ImportedModel, seed: int
) -> None:
    """64 random windows, a random face per run; both decoders."""
    random = np.random.default_rng(seed)
    face = random.random((6, 96, 96), np.float32)
    face[:3] = face[3:]
    face[:3, 48:] = 0.0
    windows = random.uniform(-4, 4, (64, 80, 16)).astype(np.float32)
    drawn = expected(reference, windows, face)
    assert drawn.std() > 0.1  # not a grey surface that anything equals
    assert np.abs(drawn[0] - drawn[1]).mean() > 0.01  # the audio matters
    for mouth_only in (False, True):
        network = GeneratorNetwork(imported, mouth_only=mouth_only, threads=1)
        made = network.generate(windows, network.encode(face), batch=4)
        difference = np.abs(made - drawn[:, network.first_row :])
        assert difference.max() <= LEVEL
        assert difference.max() < 1e-4  # 2e-5 really
    # As the engine opens it, in the batches that it really takes: perhaps with large tiles.
    opened = open_network(imported, mouth_only=True, threads=1)
    made = opened.generate(windows, opened.encode(face), batch=CPU_BATCH)
    assert np.abs(made - drawn[:, opened.first_row :]).max() <= LEVEL


def test_a_whole_clip_equals_the_originals(
    reference: reference_network.Wav2Lip, imported: ImportedModel, head: Avatar, sample_speech: NDArray[np.float32]
) -> None:
    """Speech in, pictures out, before any encoding: at least 45 dB against the original's pipeline, box by box."""
    engine = Wav2LipEngine(GeneratorNetwork(imported, mouth_only=False, threads=1), checkpoint="", blend="full")
    speech = sample_speech[8_000:32_000]
    box = face_box(head.face, head.picture.shape)
    originals = list(
        pipeline.frames(reference, head.picture, (box.top, box.bottom, box.left, box.right), speech, 25.0, batch=8)
    )
    performance = engine.prepare(head).perform(Fraction(25), batch=8)
    total = frame_count(len(speech), 16_000, Fraction(25))
    patches = [*performance.push(speech), *performance.finish(total)]
    # Trap: the original is short of frames, and its last one repeats what was heard before.
    assert len(patches) == total == 38
    assert len(originals) == 35
    errors = []
    for patch, original in zip(patches, originals[:-1], strict=False):
        height, width = patch.pixels.shape[:2]
        there = original[patch.y : patch.y + height, patch.x : patch.x + width]
        errors.append(np.square(patch.pixels.astype(float) - there).mean())
    assert 10 * np.log10(255**2 / max(max(errors), 1e-9)) >= 45.0


def test_the_originals_traps_are_real(sample_speech: NDArray[np.float32]) -> None:
    """What the reference does with one second and with a tenth, and what the engine's windows do."""
    second = sample_speech[8_000:24_000]
    assert len(pipeline.mel_windows(pipeline.mel_spectrogram(second), 25.0)) == 22
    tenth = sample_speech[8_000:9_600]
    assert pipeline.mel_windows(pipeline.mel_spectrogram(tenth), 25.0)[0].shape != (80, 16)
    for speech, frames in ((second, 25), (tenth, 3)):
        stream = WindowStream(Fraction(25))
        made = [*stream.push(speech), *stream.finish(frame_count(len(speech), 16_000, Fraction(25)))]
        assert [window.shape for window in made] == [(80, 16)] * frames


def test_the_network_sees_what_the_originals_saw(head: Avatar) -> None:
    box = face_box(head.face, head.picture.shape)
    edges = (box.top, box.bottom, box.left, box.right)
    _, faces = pipeline.network_inputs(head.picture, edges, [np.zeros((80, 16))])
    assert np.abs(network_face(head.picture, box, 96) - faces[0].numpy()).max() < 1e-6

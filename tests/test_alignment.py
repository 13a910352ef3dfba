"""The face-alignment library's S3FD: loading, wiring and the original's rule; what it finds depends on its weights."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lipstream.errors import FaceError, ModelError
from lipstream.face.alignment import FaceAlignmentDetector, cut_off
from lipstream.models.checkpoints import find_s3fd

EVERYWHERE = (0.0, 0.0, 1e6, 1e6)


def test_boxes_are_cut_off_as_the_original_does() -> None:
    assert cut_off((10.9, -3.2, 99.99, 120.0)) == (10, 0, 99, 120)


def test_the_first_file_by_name_is_taken(tmp_path: Path) -> None:
    assert find_s3fd(tmp_path) is None
    for name in ("s3fd.pth", "s3fd-619a316812.pth", "other.pth"):
        (tmp_path / name).touch()
    assert find_s3fd(tmp_path) == tmp_path / "s3fd-619a316812.pth"


def test_library_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "face_alignment", None)
    with pytest.raises(ModelError, match=r"pip install 'lipstream\[face-alignment\]'") as caught:
        FaceAlignmentDetector.load(tmp_path)
    assert caught.value.code == "model_missing"


@pytest.fixture(scope="module")
def network() -> Any:
    """The library's network with random weights."""
    torch = pytest.importorskip("torch")
    sfd = pytest.importorskip("face_alignment.detection.sfd")
    torch.manual_seed(0)
    return sfd.net_s3fd.s3fd()


@pytest.fixture(scope="module")
def weights(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a file."""
    import torch

    path = tmp_path_factory.mktemp("checkpoints") / "s3fd-random.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def noise() -> NDArray[np.uint8]:
    """A picture that shows nothing, (48, 64, 3)."""
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


@pytest.mark.torch
class TestDetector:
    @pytest.fixture
    def detector(self, weights: Path) -> FaceAlignmentDetector:
        return FaceAlignmentDetector.load(weights.parent)

    def test_boxes_are_the_surest_first_and_inside_reason(
        self, detector: FaceAlignmentDetector, noise: NDArray[np.uint8]
    ) -> None:
        boxes = detector.boxes(noise)
        assert boxes.dtype == np.float32
        assert boxes.shape[1] == 5
        assert len(boxes) > 1, "random weights see faces everywhere"
        assert (np.diff(boxes[:, 4]) <= 0.0).all()
        assert (boxes[:, 4] > 0.5).all()
        assert (boxes[:, :2] < boxes[:, 2:4]).all()

    def test_network_sees_what_the_originals_sees(
        self, detector: FaceAlignmentDetector, network: Any, noise: NDArray[np.uint8]
    ) -> None:
        """Trap: the original feeds red, green, blue, from which it takes the means of blue, green, red."""
        import torch

        original = noise[..., ::-1].astype(np.float32) - np.array([104, 117, 123], np.float32)
        with torch.no_grad():
            outputs = network(torch.from_numpy(original.transpose(2, 0, 1).copy())[None])
        scores = [torch.softmax(scores, dim=1)[0, 1].max().item() for scores in outputs[::2]]
        assert detector.boxes(noise)[0, 4] == pytest.approx(max(scores), abs=1e-5)

    def test_box_is_the_surest_that_overlaps(self, detector: FaceAlignmentDetector, noise: NDArray[np.uint8]) -> None:
        boxes = detector.boxes(noise)
        assert detector.box(noise, near=EVERYWHERE) == cut_off(tuple(boxes[0, :4].tolist()))
        last = boxes[-1, :4]
        chosen = detector.box(noise, near=tuple(last.tolist()))
        assert chosen[0] <= last[2]
        assert chosen[2] >= last[0]

    def test_face_elsewhere_is_no_face(self, detector: FaceAlignmentDetector, noise: NDArray[np.uint8]) -> None:
        with pytest.raises(FaceError) as caught:
            detector.box(noise, near=(5000.0, 5000.0, 5100.0, 5100.0))
        assert caught.value.code == "no_face"

    def test_large_pictures_are_shrunk_and_boxes_are_not(self, weights: Path) -> None:
        detector = FaceAlignmentDetector(weights, max_pixels=64 * 96)
        seen: list[tuple[int, ...]] = []
        detector._detector.face_detector.register_forward_hook(lambda _net, args, _out: seen.append(args[0].shape))
        boxes = detector.boxes(np.random.default_rng(0).integers(0, 256, (640, 960, 3), dtype=np.uint8))
        assert seen == [(1, 3, 64, 96)]
        assert boxes[:, 2].max() > 700
        assert boxes[:, 3].max() > 400

    def test_other_files_are_refused(self, weights: Path, network: Any, tmp_path: Path) -> None:
        import torch

        state = dict(network.state_dict())
        del state["fc7.weight"]
        torch.save(state, tmp_path / "s3fd.pth")
        with pytest.raises(ModelError, match=r'not an S3FD detector: the tensor "fc7\.weight" is missing') as caught:
            FaceAlignmentDetector.load(tmp_path)
        assert caught.value.code == "model_damaged"
        with pytest.raises(ModelError) as caught:
            FaceAlignmentDetector(weights.with_name("none.pth"))
        assert caught.value.code == "model_missing"

    def test_nothing_in_a_file_is_run(self, weights: Path, tmp_path: Path) -> None:
        import torch

        assert weights
        torch.save(Path("evil"), tmp_path / "s3fd.pth")
        with pytest.raises(ModelError, match="does not run code"):
            FaceAlignmentDetector.load(tmp_path)

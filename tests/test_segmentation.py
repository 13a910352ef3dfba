"""The face parser equals its PyTorch reference, and its mask covers what it should."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lipstream.enhance.segmentation import (
    INNER_MOUTH,
    LOWER_LIP,
    SKIN,
    UPPER_LIP,
    FaceParser,
    head_square,
    import_segmentation,
    placed,
    replaceable_mask,
)
from lipstream.errors import ModelError
from lipstream.face.finder import FaceFinder
from lipstream.face.mesh import Face, cut

BACKGROUND, GLASSES, HAIR = 0, 6, 17


def drawn_head() -> NDArray[np.uint8]:
    """Classes of a schematic head: skin with a mouth, and hair over one cheek."""
    labels = np.full((512, 512), BACKGROUND, np.uint8)
    cv2.circle(labels, (256, 256), 160, SKIN, -1)
    cv2.ellipse(labels, (256, 330), (60, 30), 0, 0, 360, UPPER_LIP, -1)
    cv2.ellipse(labels, (256, 340), (55, 20), 0, 0, 360, LOWER_LIP, -1)
    cv2.ellipse(labels, (256, 333), (45, 8), 0, 0, 360, INNER_MOUTH, -1)
    labels[:, 330:360] = HAIR
    return labels


def test_mask_covers_skin_lips_and_inner_mouth_and_nothing_else() -> None:
    labels = drawn_head()
    mask = replaceable_mask(labels)
    assert mask.dtype == np.float32
    assert mask.shape == labels.shape
    assert not mask[(labels == HAIR) | (labels == BACKGROUND)].any()
    assert mask[333, 256] == mask[360, 256] == mask[300, 220] == 1.0
    assert replaceable_mask(np.full((64, 64), GLASSES, np.uint8)).max() == 0.0


def test_mask_fades_inside_the_region_and_not_at_the_edge_of_the_picture() -> None:
    labels = np.full((512, 512), SKIN, np.uint8)
    labels[:, 300:] = HAIR
    row = replaceable_mask(labels)[256]
    assert row[0] == row[200] == 1.0
    assert 0.2 < row[292] < 0.8
    assert row[299] == row[300] == 0.0
    assert (np.diff(row) <= 0.0).all()


def test_mask_lies_where_it_was_seen(finder: FaceFinder, astronaut: NDArray[np.uint8]) -> None:
    face = finder.largest(astronaut)
    labels = np.full((512, 512), SKIN, np.uint8)
    square, to_picture = cut(astronaut, head_square(face), 512)
    mouth = np.linalg.inv(np.vstack([to_picture, [0, 0, 1]])) @ [*face.landmarks[[13, 14], :2].mean(axis=0), 1.0]
    cv2.circle(labels, (round(mouth[0]), round(mouth[1])), 40, HAIR, -1)
    mask = placed(replaceable_mask(labels), to_picture, astronaut.shape)
    hole = np.argwhere(mask[120:175, 180:260] == 0.0).mean(axis=0) + np.array([120, 180])
    assert mask.shape == astronaut.shape[:2]
    np.testing.assert_allclose(hole[::-1], face.landmarks[[13, 14], :2].mean(axis=0), atol=2.0)
    assert square.shape == (512, 512, 3)
    assert mask[:, 450:].max() == 0.0, "outside the square"


def test_square_shows_the_head_as_celeba_hq_does(finder: FaceFinder, astronaut: NDArray[np.uint8]) -> None:
    face = finder.largest(astronaut)
    square = head_square(face)
    left, top, right, bottom = face.box
    assert 1.5 < square.size / (bottom - top) < 2.3
    assert left < square.x < right
    assert top < square.y < bottom
    turned = cv2.warpAffine(astronaut, cv2.getRotationMatrix2D((220.0, 130.0), -20.0, 1.0), (512, 512))
    again = head_square(finder.largest(np.asarray(turned, np.uint8)))
    assert np.degrees(again.roll - square.roll) == pytest.approx(20.0, abs=3.0)
    assert again.size == pytest.approx(square.size, rel=0.06)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"79999_iter\.pth") as caught:
        import_segmentation(tmp_path / "79999_iter.pth", tmp_path)
    assert caught.value.code == "model_missing"


@pytest.fixture(scope="module")
def network() -> Any:
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    from tests.reference.bisenet import random_bisenet

    return random_bisenet()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def checkpoint(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch

    path = tmp_path_factory.mktemp("checkpoints") / "79999_iter.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def parser(checkpoint: Path, cache: Path) -> FaceParser:
    return FaceParser.load(checkpoint, cache)


class TestCheckpoint:
    pytestmark = pytest.mark.torch

    def test_logits_equal_the_reference(self, parser: FaceParser, network: Any, astronaut: NDArray[np.uint8]) -> None:
        import torch

        rgb = astronaut[:, :, ::-1].transpose(2, 0, 1).astype(np.float32) / 255.0
        mean, deviation = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], np.float32)[:, :, None, None]
        with torch.no_grad():
            expected = network(torch.from_numpy((rgb - mean) / deviation)[None])[0].numpy()
        logits = parser.logits(astronaut)
        assert expected.std() > 0.5, "the reference says something"
        assert np.abs(logits - expected).max() <= 1e-3
        assert (parser.parse(astronaut) == expected.argmax(axis=0)).mean() > 0.999

    def test_labels_have_the_size_of_the_picture(self, parser: FaceParser, astronaut: NDArray[np.uint8]) -> None:
        labels = parser.parse(np.ascontiguousarray(astronaut[:200, :300]))
        assert labels.shape == (200, 300)
        assert labels.dtype == np.uint8

    def test_later_starts_need_no_pytorch(
        self, parser: FaceParser, checkpoint: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        assert parser
        monkeypatch.setitem(sys.modules, "torch", None)
        FaceParser.load(checkpoint, cache)
        with pytest.raises(ModelError, match=r"lipstream\[torch\]' && lipstream models import") as caught:
            FaceParser.load(checkpoint, tmp_path)
        assert caught.value.code == "model_missing"
        assert list(tmp_path.rglob("*.mnn")) == []

    @pytest.mark.parametrize(("label", "share"), [(SKIN, 1.0), (HAIR, 0.0)])
    def test_mask_of_a_picture_that_is_all_one(
        self, label: int, share: float, finder: FaceFinder, astronaut: NDArray[np.uint8], tmp_path: Path
    ) -> None:
        torch = pytest.importorskip("torch")
        pytest.importorskip("onnx")
        from tests.reference.bisenet import random_bisenet

        one = random_bisenet()
        with torch.no_grad():
            one.conv_out.conv.bn.weight.zero_()
            one.conv_out.conv.bn.bias.fill_(1.0)
            one.conv_out.conv_out.weight.zero_()
            one.conv_out.conv_out.weight[label] = 1.0
        torch.save({"state_dict": {f"module.{name}": x for name, x in one.state_dict().items()}}, tmp_path / "one.pth")
        face = finder.largest(astronaut)
        mask = FaceParser.load(tmp_path / "one.pth", tmp_path).mask(astronaut, face)
        assert mask.shape == astronaut.shape[:2]
        x, y = face.landmarks[13, :2].round().astype(int)
        assert mask[y, x] == pytest.approx(share)

    def test_large_pictures_give_the_same_mask(
        self, parser: FaceParser, finder: FaceFinder, astronaut: NDArray[np.uint8]
    ) -> None:
        face = finder.largest(astronaut)
        factor = 8
        large = np.asarray(cv2.resize(astronaut[:256, :384], None, fx=factor, fy=factor), np.uint8)
        enlarged = Face((face.landmarks + 0.5) * factor - 0.5, face.score, face.pose)
        small = parser.mask(np.ascontiguousarray(astronaut[:256, :384]), face)
        again = cv2.resize(parser.mask(large, enlarged), (384, 256), interpolation=cv2.INTER_AREA)
        assert np.abs(small - again).mean() < 0.1

    @pytest.mark.parametrize(
        ("break_it", "words"),
        [
            (lambda state: state.pop("cp.arm16.conv.conv.weight"), r'"cp\.arm16\.conv\.conv\.weight" is missing'),
            (
                lambda state: state.update({"ffm.conv1.weight": state["ffm.conv1.weight"][:3]}),
                r'"ffm\.conv1\.weight" has the shape \[3, 256, 1, 1\] instead of \[64, 256, 1, 1\]',
            ),
            (lambda state: state["cp.resnet.bn1.bias"].fill_(np.nan), r'"cp\.resnet\.bn1\.bias" has values'),
            (lambda state: state.clear(), "is missing"),
        ],
    )
    def test_what_is_wrong_with_a_file_is_named(self, break_it: Any, words: str, network: Any, tmp_path: Path) -> None:
        import torch

        state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        break_it(state)
        torch.save(state, tmp_path / "broken.pth")
        with pytest.raises(ModelError, match=words) as caught:
            FaceParser.load(tmp_path / "broken.pth", tmp_path)
        assert caught.value.code == "model_damaged"

    def test_nothing_in_a_file_is_run(self, tmp_path: Path) -> None:
        torch = pytest.importorskip("torch")
        torch.save({"state_dict": Path("evil")}, tmp_path / "evil.pth")
        with pytest.raises(ModelError, match="does not run code"):
            FaceParser.load(tmp_path / "evil.pth", tmp_path)

"""Super-resolution: checkpoints of several architectures are recognised, converted and equal to PyTorch."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lipstream.enhance.upscaling import MnnRuntime, TorchRuntime, Upscaler, read_model
from lipstream.errors import ModelError

pytestmark = pytest.mark.torch

Save = Callable[..., Path]


@pytest.fixture(scope="module")
def architectures() -> Any:
    """spandrel's networks by name, small, with random weights."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnx")
    from lipstream.enhance import upscaling

    try:
        upscaling._import_spandrel()
    except ImportError as error:
        pytest.skip(f"the extra sr is not installed: {error}")
    from spandrel.architectures.Compact import Compact
    from spandrel.architectures.ESRGAN import ESRGAN
    from spandrel.architectures.SPAN import SPAN

    torch.manual_seed(0)
    networks = {
        "esrgan": ESRGAN(num_filters=16, num_blocks=2),
        "esrgan-x2": ESRGAN(num_filters=16, num_blocks=1, scale=2),
        "compact": Compact(num_feat=16, num_conv=4),
        "span": SPAN(num_in_ch=3, num_out_ch=3, feature_channels=16, upscale=4),
        "restorer": Compact(num_feat=16, num_conv=4, upscale=1),
        "grey": Compact(num_in_ch=1, num_out_ch=1, num_feat=16, num_conv=4),
    }
    with torch.no_grad():
        for name in ("esrgan", "esrgan-x2"):
            # Else nearly all that it gives is cut off at black.
            *_, last = (module for module in networks[name].modules() if isinstance(module, torch.nn.Conv2d))
            last.weight *= 10.0
            last.bias += 0.5
    return networks


@pytest.fixture
def save(tmp_path: Path, architectures: Any) -> Save:
    import torch

    def save(name: str, wrap: Any = lambda state: state) -> Path:
        path = tmp_path / f"{name}.pth"
        torch.save(wrap(architectures[name].state_dict()), path)
        return path

    return save


def mouth() -> NDArray[np.float32]:
    """Two pictures of the size that the mouth-side decoder gives, BGR."""
    return np.random.default_rng(0).random((2, 48, 96, 3), np.float32)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
class TestCheckpoints:
    @pytest.mark.parametrize(
        ("name", "scale", "wrap"),
        [
            ("esrgan", 4, lambda state: {"params_ema": state}),
            ("esrgan-x2", 2, lambda state: state),
            ("compact", 4, lambda state: {"params": state}),
        ],
    )
    def test_converted_networks_equal_pytorch(
        self, name: str, scale: int, wrap: Any, save: Save, tmp_path: Path
    ) -> None:
        path = save(name, wrap)
        upscaler = Upscaler.load(path, tmp_path)
        pictures = mouth()
        enlarged = upscaler(pictures)
        assert isinstance(upscaler._runtime, MnnRuntime)
        assert upscaler.scale == scale
        assert enlarged.shape == (2, 48 * scale, 96 * scale, 3)
        assert enlarged.dtype == np.float32
        assert 0.0 <= enlarged.min() < enlarged.max() <= 1.0
        reference = TorchRuntime(read_model(path), "cpu")
        for picture, result in zip(pictures, enlarged, strict=True):
            expected = reference(np.ascontiguousarray(picture[:, :, ::-1].transpose(2, 0, 1)))
            assert np.abs(result[:, :, ::-1].transpose(2, 0, 1) - expected).max() < 1 / 255
        assert enlarged.std() > 0.01

    def test_other_sizes_work_too(self, save: Save, tmp_path: Path) -> None:
        upscaler = Upscaler.load(save("compact"), tmp_path)
        assert upscaler(np.zeros((1, 96, 96, 3), np.float32)).shape == (1, 384, 384, 3)
        assert upscaler(np.zeros((1, 31, 17, 3), np.float32)).shape == (1, 124, 68, 3)

    def test_what_cannot_be_converted_stays_in_pytorch(self, save: Save, tmp_path: Path) -> None:
        path = save("span")
        upscaler = Upscaler.load(path, tmp_path)
        expected = TorchRuntime(read_model(path), "cpu")(np.full((3, 48, 96), 0.5, np.float32))
        enlarged = upscaler(np.full((1, 48, 96, 3), 0.5, np.float32))[0]
        assert np.abs(enlarged[:, :, ::-1].transpose(2, 0, 1) - expected).max() < 1.5 / 255

    def test_gpu_that_is_not_there_falls_back(
        self, save: Save, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import torch

        # A server that ran in this process has taken our messages for its own log.
        monkeypatch.setattr(logging.getLogger("lipstream"), "propagate", True)
        caplog.set_level(logging.WARNING, logger="lipstream")

        if torch.cuda.is_available():
            pytest.skip("there is a GPU")
        upscaler = Upscaler.load(save("compact"), tmp_path, device="cuda:0")
        assert isinstance(upscaler._runtime, TorchRuntime)
        assert "no GPU" in caplog.text
        assert upscaler(mouth()).shape == (2, 192, 384, 3)

    def test_later_starts_need_no_pytorch(self, save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = save("compact")
        first = Upscaler.load(path, tmp_path)(mouth())
        for module in ("torch", "spandrel"):
            monkeypatch.setitem(sys.modules, module, None)
        assert np.array_equal(Upscaler.load(path, tmp_path)(mouth()), first)
        with pytest.raises(ModelError, match=r"lipstream\[sr\]") as caught:
            Upscaler.load(path, tmp_path / "elsewhere")
        assert caught.value.code == "model_missing"

    @pytest.mark.parametrize(
        ("name", "words"), [("restorer", "not one that enlarges"), ("grey", "works on 1 channels")]
    )
    def test_networks_for_something_else_are_refused(self, name: str, words: str, save: Save, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match=words) as caught:
            Upscaler.load(save(name), tmp_path)
        assert caught.value.code == "model_damaged"

    def test_unknown_architecture_is_refused(self, tmp_path: Path, architectures: Any) -> None:
        import torch

        assert architectures
        torch.save({"some.weight": torch.zeros(3)}, tmp_path / "odd.pth")
        with pytest.raises(ModelError, match="does not recognise"):
            Upscaler.load(tmp_path / "odd.pth", tmp_path)

"""Checkpoints of every published kind are imported; everything else is refused with the reason."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lipstream.engines.wav2lip.checkpoint import read_checkpoint
from lipstream.engines.wav2lip.engine import Wav2LipEngine
from lipstream.engines.wav2lip.imported import (
    ImportedModel,
    find_checkpoint,
    import_checkpoint,
    import_folder,
    open_import,
)
from lipstream.engines.wav2lip.network import GeneratorNetwork
from lipstream.errors import ModelError

Weights = dict[str, NDArray[np.float32]]

FIRST = "face_encoder_blocks.0.0.conv_block.0.weight"
DECODER = "face_decoder_blocks.3.0.conv_block.0.weight"


def reads_as(path: Path, weights: Weights) -> bool:
    read = read_checkpoint(path)
    return read.keys() == weights.keys() and all(np.array_equal(read[name], weights[name]) for name in weights)


class TestPyTorchFiles:
    pytestmark = pytest.mark.torch

    @pytest.fixture
    def save(self, tmp_path: Path) -> Callable[[Any], Path]:
        torch = pytest.importorskip("torch")

        def save(content: Any, **options: Any) -> Path:
            path = tmp_path / "wav2lip.pth"
            torch.save(content, path, **options)
            return path

        return save

    @pytest.fixture
    def state(self, small_weights: Weights) -> dict[str, Any]:
        torch = pytest.importorskip("torch")
        return {name: torch.from_numpy(array) for name, array in small_weights.items()}

    def test_state_dict(self, save: Callable[..., Path], state: dict[str, Any], small_weights: Weights) -> None:
        """Trap: published files come in all these forms."""
        prefixed = {f"module.{name}": tensor for name, tensor in state.items()}
        assert reads_as(save({"state_dict": prefixed, "optimizer": {"lr": 1e-4}, "global_step": 7}), small_weights)
        assert reads_as(save({"state_dict": state}), small_weights)
        assert reads_as(save(prefixed), small_weights)
        assert reads_as(save(state), small_weights)

    def test_before_pytorch_1_6(self, save: Callable[..., Path], state: dict[str, Any], small_weights: Weights) -> None:
        """The official files are from 2020, when PyTorch wrote plain pickles instead of zip archives."""
        path = save({"state_dict": state}, _use_new_zipfile_serialization=False)
        assert reads_as(path, small_weights)

    def test_half_precision(self, save: Callable[..., Path], state: dict[str, Any], small_weights: Weights) -> None:
        read = read_checkpoint(save({name: tensor.half() for name, tensor in state.items()}))
        assert all(array.dtype == np.float32 for array in read.values())
        assert np.allclose(read[FIRST], small_weights[FIRST], atol=1e-3)

    def test_counters_are_ignored(
        self, save: Callable[..., Path], state: dict[str, Any], small_weights: Weights
    ) -> None:
        torch = pytest.importorskip("torch")
        counted = state | {"output_block.0.conv_block.1.num_batches_tracked": torch.tensor(5)}
        assert reads_as(save(counted), small_weights)

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    def test_torchscript(self, tmp_path: Path) -> None:
        torch = pytest.importorskip("torch")
        from tests.reference.network import random_network

        network, path = random_network(seed=3, width=2), tmp_path / "wav2lip.pt"
        torch.jit.trace(network, (torch.zeros(1, 1, 80, 16), torch.zeros(1, 6, 96, 96))).save(str(path))
        read = read_checkpoint(path)
        assert np.array_equal(read[FIRST], network.state_dict()[FIRST].numpy())

    def test_missing_tensor(self, save: Callable[..., Path], state: dict[str, Any]) -> None:
        del state[DECODER]
        message = self.refusal(save({"state_dict": state}))
        assert f'"{DECODER}" is missing' in message

    def test_wrong_shape(self, save: Callable[..., Path], state: dict[str, Any]) -> None:
        """Trap: a checkpoint of another size loads half, or not at all, with a page of tensors."""
        torch = pytest.importorskip("torch")
        message = self.refusal(save(state | {DECODER: torch.zeros(9, 9, 3, 3)}))
        assert f'"{DECODER}" has the shape [9, 9, 3, 3] instead of [96, 48, 3, 3]' in message

    def test_other_network(self, save: Callable[..., Path]) -> None:
        torch = pytest.importorskip("torch")
        assert f'"{FIRST}" is missing' in self.refusal(save(torch.nn.Linear(3, 4).state_dict()))

    def test_something_more(self, save: Callable[..., Path], state: dict[str, Any]) -> None:
        torch = pytest.importorskip("torch")
        message = self.refusal(save(state | {"face_encoder_blocks.7.0.conv_block.0.weight": torch.zeros(1)}))
        assert '"face_encoder_blocks.7.0.conv_block.0.weight" is not part of Wav2Lip' in message

    def test_not_numbers(self, save: Callable[..., Path], state: dict[str, Any]) -> None:
        torch = pytest.importorskip("torch")
        broken = torch.full_like(state[DECODER], float("nan"))
        assert DECODER in self.refusal(save(state | {DECODER: broken}))

    def test_no_dictionary(self, save: Callable[..., Path]) -> None:
        assert f'"{FIRST}" is missing' in self.refusal(save([1, 2, 3]))

    def test_code_is_not_run(self, tmp_path: Path) -> None:
        """``weights_only``: a pickle that would run a command is refused, and the command has not run."""
        pytest.importorskip("torch")
        import pickle

        proof = tmp_path / "proof"
        path = tmp_path / "wav2lip.pth"
        path.write_bytes(pickle.dumps({"state_dict": Touch(proof)}))
        assert "plain tensors" in self.refusal(path)
        assert not proof.exists()

    @pytest.mark.parametrize("content", [b"", b"no checkpoint at all", b"PK\x03\x04 half an archive", bytes(4096)])
    def test_garbage(self, tmp_path: Path, content: bytes) -> None:
        pytest.importorskip("torch")
        path = tmp_path / "wav2lip.pth"
        path.write_bytes(content)
        self.refusal(path)

    def test_imports_once(self, save: Callable[..., Path], state: dict[str, Any], tmp_path: Path) -> None:
        """The second start needs neither PyTorch nor time; another content is another import."""
        pytest.importorskip("onnx")
        checkpoint, cache, steps = save({"state_dict": state}), tmp_path / "cache", []
        assert open_import(import_folder(checkpoint, cache)) is None
        first = import_checkpoint(checkpoint, cache, lambda step, done, total: steps.append((step, done, total)))
        assert [done for _, done, _ in steps] == list(range(len(steps)))
        assert steps[-1][1] == steps[-1][2]
        assert first.description.source == "wav2lip.pth"
        assert not list((cache / "wav2lip").glob(".import-*"))
        steps.clear()
        again = import_checkpoint(checkpoint, cache, lambda step, done, total: steps.append((step, done, total)))
        assert again == first == open_import(import_folder(checkpoint, cache))
        assert not steps
        other = save({"state_dict": state, "global_step": 2})
        assert open_import(import_folder(other, cache)) is None

    @staticmethod
    def refusal(path: Path) -> str:
        with pytest.raises(ModelError) as caught:
            read_checkpoint(path)
        assert caught.value.code == "model_damaged"
        assert path.name in caught.value.message
        return caught.value.message


class Touch:
    """Pickles to a command."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.torch
class TestOnnxExports:
    pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Converting a tensor")

    @pytest.fixture(scope="class")
    def export(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """Someone else's export of the reference network."""
        torch, _ = pytest.importorskip("torch"), pytest.importorskip("onnx")
        from tests.reference.network import random_network

        path = tmp_path_factory.mktemp("onnx") / "wav2lip.onnx"
        torch.onnx.export(
            random_network(seed=5, width=2),
            (torch.zeros(1, 1, 80, 16), torch.zeros(1, 6, 96, 96)),
            str(path),
            input_names=["mel_spectrogram", "video_frames"],
            output_names=["predicted"],
            dynamic_axes={name: {0: "batch"} for name in ("mel_spectrogram", "video_frames", "predicted")},
            opset_version=17,
            dynamo=False,
        )
        return path

    def test_it_is_cut_in_two(self, export: Path, tmp_path: Path) -> None:
        import torch

        from tests.reference.network import random_network

        model = import_checkpoint(export, tmp_path)
        assert (model.description.side, model.description.shares) == (96, 7)
        random = np.random.default_rng(0)
        face = random.random((6, 96, 96), np.float32)
        mels = random.uniform(-4, 4, (3, 80, 16)).astype(np.float32)
        network = GeneratorNetwork(model, mouth_only=True, threads=1)
        made = network.generate(mels, network.encode(face), batch=2)
        with torch.no_grad():
            faces = torch.from_numpy(face)[None].repeat(3, 1, 1, 1)
            expected = random_network(seed=5, width=2)(torch.from_numpy(mels[:, None]), faces).numpy()
        assert network.first_row == 0
        assert np.abs(made - expected.transpose(0, 2, 3, 1)).max() < 1e-4

    def test_the_size_comes_from_the_graph(self, tmp_path: Path) -> None:
        torch, _ = pytest.importorskip("torch"), pytest.importorskip("onnx")

        class Toy(torch.nn.Module):  # type: ignore[misc, name-defined]
            """The audio's loudness tints the face."""

            def __init__(self) -> None:
                super().__init__()
                self.face, self.audio = torch.nn.Conv2d(6, 3, 1), torch.nn.Conv2d(1, 3, (80, 16))

            def forward(self, mel: Any, face: Any) -> Any:
                return torch.sigmoid(self.face(face) + self.audio(mel))

        path = tmp_path / "toy.onnx"
        shapes = (torch.zeros(1, 1, 80, 16), torch.zeros(1, 6, 288, 288))
        torch.onnx.export(Toy(), shapes, str(path), input_names=["m", "v"], opset_version=17, dynamo=False)
        model = import_checkpoint(path, tmp_path / "cache")
        assert model.description.side == 288

    def test_other_graphs_are_refused(self, tmp_path: Path) -> None:
        torch, _ = pytest.importorskip("torch"), pytest.importorskip("onnx")
        path = tmp_path / "other.onnx"
        torch.onnx.export(torch.nn.Linear(3, 4), torch.zeros(1, 3), str(path), input_names=["x"], dynamo=False)
        with pytest.raises(ModelError) as caught:
            import_checkpoint(path, tmp_path / "cache")
        assert caught.value.code == "model_damaged"
        assert "x [1, 3]" in caught.value.message

    def test_garbage(self, tmp_path: Path) -> None:
        pytest.importorskip("onnx")
        path = tmp_path / "garbage.onnx"
        path.write_bytes(b"\x00\x01 nothing of use")
        with pytest.raises(ModelError) as caught:
            import_checkpoint(path, tmp_path / "cache")
        assert caught.value.code == "model_damaged"


def test_either_published_name_is_found(tmp_path: Path) -> None:
    configured = tmp_path / "wav2lip_gan.pth"
    assert find_checkpoint(configured) is None
    (tmp_path / "wav2lip.pth").touch()
    assert find_checkpoint(configured) == tmp_path / "wav2lip.pth"
    configured.touch()
    assert find_checkpoint(configured) == configured
    other = tmp_path / "mine.pth"
    other.touch()
    assert find_checkpoint(other) == other


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        Wav2LipEngine.load(tmp_path / "wav2lip_gan.pth", tmp_path)
    assert caught.value.code == "model_missing"
    assert "wav2lip_gan.pth" in caught.value.message


def test_without_pytorch_the_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = tmp_path / "wav2lip_gan.pth"
    checkpoint.write_bytes(b"the content does not matter")
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it fails, as where it is not installed
    with pytest.raises(ModelError) as caught:
        import_checkpoint(checkpoint, tmp_path / "cache")
    assert caught.value.code == "model_missing"
    assert f"pip install 'lipstream[torch]' && lipstream models import {checkpoint}" in caught.value.message


def test_a_cached_import_needs_no_pytorch(
    small_import: ImportedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = tmp_path / "wav2lip.pth"
    checkpoint.write_bytes(b"some checkpoint")
    shutil.copytree(small_import.folder, import_folder(checkpoint, tmp_path))
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert Wav2LipEngine.load(checkpoint, tmp_path, threads=1).img_size == 96


def test_a_damaged_import_is_no_import(small_import: ImportedModel, tmp_path: Path) -> None:
    folder = tmp_path / "import"
    shutil.copytree(small_import.folder, folder)
    assert open_import(folder) is not None
    (folder / "import.json").write_text("{")
    assert open_import(folder) is None
    assert open_import(tmp_path / "nothing") is None


def test_a_damaged_network_is_named(small_import: ImportedModel, tmp_path: Path) -> None:
    folder = tmp_path / "import"
    shutil.copytree(small_import.folder, folder)
    (folder / "mouth.mnn").write_bytes(b"")
    model = open_import(folder)
    assert model is not None
    with pytest.raises(ModelError) as caught:
        GeneratorNetwork(model, mouth_only=True, threads=1)
    assert caught.value.code == "model_damaged"


class TestGraphicsCards:
    def test_falls_back_with_a_reason(
        self, small_import: ImportedModel, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # A server that ran in this process has taken our messages for its own log.
        monkeypatch.setattr(logging.getLogger("lipstream"), "propagate", True)
        caplog.set_level(logging.WARNING, logger="lipstream")
        network = GeneratorNetwork(small_import, mouth_only=True, device="cuda", threads=1)
        if network.device == "cuda":
            pytest.skip("there is a graphics card")
        assert "device=cuda" in caplog.text
        assert "using the CPU" in caplog.text

    def test_onnx_runtime_makes_the_same_pictures(self, small_import: ImportedModel) -> None:
        """The code that runs on graphics cards, on ONNX Runtime's CPU provider."""
        pytest.importorskip("onnxruntime")
        from lipstream.engines.wav2lip.network import OnnxNetwork

        random = np.random.default_rng(0)
        face = random.random((1, 6, 96, 96), np.float32)
        mels = random.uniform(-4, 4, (3, 1, 80, 16)).astype(np.float32)
        encoder = OnnxNetwork(small_import.graph("face"), ["CPUExecutionProvider"])
        decoder = OnnxNetwork(small_import.graph("decoder"), ["CPUExecutionProvider"])
        assert encoder.providers == ["CPUExecutionProvider"]
        picture = decoder({"mel": mels, **encoder({"face": face})})["picture"].transpose(0, 2, 3, 1)
        network = GeneratorNetwork(small_import, mouth_only=False, threads=1)
        made = network.generate(mels[:, 0], network.encode(face[0]), batch=2)
        assert np.abs(made - picture).max() < 1e-3

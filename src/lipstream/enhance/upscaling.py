"""Super-resolution of the network's picture of the mouth, by any checkpoint that spandrel recognises.

spandrel and PyTorch come with the extra ``sr``. They are needed to import a checkpoint. If MNN then gives the same
results as PyTorch, later starts need neither.
"""

from __future__ import annotations

import logging
import threading
import warnings
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lipstream.enhance.imported import Description, Step, make_import, no_report
from lipstream.errors import ModelError
from lipstream.models.convert import convert
from lipstream.models.pytorch import load_file
from lipstream.models.runtime import Network

logger = logging.getLogger(__name__)

KIND = "upscaling"
"""Folder of these imports in the cache."""

_FILE = "upscaler.mnn"
_PICTURE, _UPSCALED = "picture", "upscaled"
_OPSET = 17
_MAX_DIFFERENCE = 1.5 / 255  # between MNN and PyTorch; what differs by more stays with PyTorch

# Operators that ``import torchvision`` describes and only its compiled half defines. That half is missing wherever
# torchvision's CUDA build meets PyTorch's CPU build; spandrel uses two functions of it that are plain Python.
_TORCHVISION_OPERATORS = ("nms", "qnms")


class Runtime(Protocol):
    """Enlarges one picture, (3, h, w) RGB in [0, 1]."""

    def __call__(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        """(3, h * scale, w * scale)."""
        ...


class Upscaler:
    """A super-resolution network, loaded. Thread-safe; threads that call at the same time take turns."""

    def __init__(self, runtime: Runtime, scale: int, architecture: str) -> None:
        self._runtime = runtime
        self.scale = scale
        """How much larger the result is, per side."""
        self.architecture = architecture
        """spandrel's name for it."""

    @classmethod
    def load(
        cls,
        checkpoint: Path,
        cache: Path,
        *,
        device: str = "cpu",
        threads: int = 1,
        on_progress: Step = no_report,
    ) -> Upscaler:
        """Import the checkpoint if that has not been done, and load it.

        With another ``device`` than ``cpu`` it runs in PyTorch there, if PyTorch has that device. Raises
        :class:`ModelError`: ``model_missing`` (no such file, or the extra ``sr`` is needed and not installed),
        ``model_damaged`` (no super-resolution checkpoint).
        """
        folder, description = import_upscaler(checkpoint, cache, on_progress)
        if description["runtime"] == "mnn" and device == "cpu":
            runtime: Runtime = MnnRuntime(folder / _FILE, threads)
        else:
            runtime = _torch_runtime(checkpoint, device, threads)
        return cls(runtime, description["scale"], description["architecture"])

    def __call__(self, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        """Enlarge (n, h, w, 3) BGR in [0, 1] to (n, h * scale, w * scale, 3)."""
        enlarged = [self._runtime(np.ascontiguousarray(rgb.transpose(2, 0, 1))) for rgb in pictures[..., ::-1]]
        return np.ascontiguousarray(np.stack(enlarged).transpose(0, 2, 3, 1)[..., ::-1])


class MnnRuntime:
    """An imported network on MNN."""

    def __init__(self, path: Path, threads: int) -> None:
        self._network = Network(path, threads)

    def __call__(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        """See :class:`Runtime`."""
        enlarged = self._network({_PICTURE: picture[np.newaxis]})[_UPSCALED][0]
        return np.asarray(enlarged.clip(0.0, 1.0), np.float32)


class TorchRuntime:
    """spandrel's own model, for networks that MNN cannot run and for GPUs."""

    def __init__(self, model: Any, device: str) -> None:
        self._model = model.to(device)
        self._device = device
        self._lock = threading.Lock()

    def __call__(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        """See :class:`Runtime`."""
        import torch

        with self._lock:
            # spandrel pads to the sizes that the architecture needs and clamps the values to [0, 1].
            enlarged = self._model(torch.from_numpy(picture)[None].to(self._device))
            return np.asarray(enlarged[0].cpu().numpy(), np.float32)


def import_upscaler(checkpoint: Path, cache: Path, on_progress: Step = no_report) -> tuple[Path, Description]:
    """The checkpoint's import, made now if it is not cached: its folder and what it says of itself.

    The description has ``scale``, ``architecture`` and ``runtime``: "mnn", or "torch" where MNN fails or differs.
    Raises as :meth:`Upscaler.load` does.
    """

    def write(folder: Path) -> Description:
        on_progress("reading the checkpoint", 0, 2)
        model = read_model(checkpoint)
        on_progress(f"super-resolution ({model.architecture.name})", 1, 2)
        runtime = "mnn" if _converted(model, folder / _FILE) else "torch"
        on_progress("done", 2, 2)
        return {"scale": int(model.scale), "architecture": str(model.architecture.name), "runtime": runtime}

    return make_import(checkpoint, KIND, cache, write, extra="sr")


def read_model(checkpoint: Path) -> Any:
    """The checkpoint as spandrel's ``ImageModelDescriptor``, on the CPU in float32.

    Raises :class:`ImportError` without spandrel and :class:`ModelError` (``model_missing``, ``model_damaged``).
    """
    spandrel = _import_spandrel()
    try:
        # spandrel's own reader is not used, because this one never unpickles anything but tensors.
        state = spandrel.canonicalize_state_dict(load_file(checkpoint))
        model = spandrel.ModelLoader(device="cpu").load_from_state_dict(state)
    except (spandrel.UnsupportedModelError, AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise _refused(checkpoint, "spandrel does not recognise its architecture") from error
    if not isinstance(model, spandrel.ImageModelDescriptor) or model.purpose != "SR" or model.scale < 2:
        raise _refused(checkpoint, f"it is a network for {model.purpose}, not one that enlarges pictures")
    if (model.input_channels, model.output_channels) != (3, 3):
        raise _refused(checkpoint, f"it works on {model.input_channels} channels instead of red, green and blue")
    return model.float().eval()


def _converted(model: Any, target: Path) -> bool:
    """Write the network for MNN; False if that fails, or if its results differ there."""
    import torch

    # Exported at one size and also tried at another, which reveals sizes that tracing has frozen.
    picture = np.random.default_rng(0).random((3, 24, 40), np.float32)
    expected = TorchRuntime(model, "cpu")(picture)
    graph = target.with_suffix(".onnx")
    try:
        with warnings.catch_warnings():
            # The exporter that is not deprecated needs two more packages.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                model.model,
                (torch.from_numpy(picture)[None],),
                str(graph),
                dynamo=False,
                opset_version=_OPSET,
                input_names=[_PICTURE],
                output_names=[_UPSCALED],
                dynamic_axes={_PICTURE: {2: "height", 3: "width"}, _UPSCALED: {2: "tall", 3: "wide"}},
            )
        convert(graph, target)
        if _same(MnnRuntime(target, 1), picture, expected):
            other = np.random.default_rng(1).random((3, 48, 96), np.float32)
            return _same(MnnRuntime(target, 1), other, TorchRuntime(model, "cpu")(other))
    except Exception as error:  # exporters raise whatever they stumble on; PyTorch itself still works
        logger.warning("%s stays in PyTorch: it cannot be converted (%s)", model.architecture.name, error)
        return False
    finally:
        graph.unlink(missing_ok=True)
    logger.warning("%s stays in PyTorch: the converted network gives different results", model.architecture.name)
    return False


def _same(runtime: Runtime, picture: NDArray[np.float32], expected: NDArray[np.float32]) -> bool:
    enlarged = runtime(picture)
    return enlarged.shape == expected.shape and float(np.abs(enlarged - expected).max()) <= _MAX_DIFFERENCE


def _torch_runtime(checkpoint: Path, device: str, threads: int) -> Runtime:
    try:
        import torch

        model = read_model(checkpoint)
    except ImportError as error:
        raise ModelError(
            "model_missing",
            f"{checkpoint.name} runs in PyTorch, which is not installed ({error}). Run: pip install 'lipstream[sr]'",
        ) from error
    if device.startswith("cuda") and not torch.cuda.is_available():
        logger.warning("device=%s: PyTorch finds no GPU for super-resolution; using the CPU", device)
        device = "cpu"
    if device == "cpu":
        torch.set_num_threads(threads)
    return TorchRuntime(model, device)


def _import_spandrel() -> Any:
    """Import spandrel, also where torchvision's compiled half is missing. Raises :class:`ImportError`."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        _declare_operators()
    try:
        import spandrel
    except RuntimeError as error:
        raise ImportError(f"torchvision does not fit PyTorch: {error}") from error
    return spandrel


@cache
def _declare_operators() -> Any:
    """The library that declares them; the operators go when it is collected, so the cache holds it."""
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in _TORCHVISION_OPERATORS:
        library.define(f"{operator}() -> ()")
    return library


def _refused(checkpoint: Path, reason: str) -> ModelError:
    return ModelError(
        "model_damaged",
        f"{checkpoint.name} is not a super-resolution checkpoint: {reason}. docs/checkpoints.md says which files work.",
    )

"""Reading Wav2Lip checkpoints: the tensors of a PyTorch file, checked one by one against the architecture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipstream.engines.wav2lip.architecture import WIDTH_TENSOR, generator
from lipstream.errors import ModelError
from lipstream.models.pytorch import load_file, state_dict


def read_checkpoint(path: Path) -> dict[str, NDArray[np.float32]]:
    """The generator's tensors, float32, by their published names.

    Takes ``{"state_dict": ...}`` and bare state dictionaries, with or without ``module.`` in front of the names, and
    TorchScript files. Nothing in the file is executed. Raises :class:`ImportError` without PyTorch and
    :class:`ModelError`: ``model_missing`` (no such file), ``model_damaged`` (something else).
    """
    tensors = state_dict(load_file(path))
    _check_shapes({name: tuple(tensor.shape) for name, tensor in tensors.items()}, path)
    weights = {name: np.asarray(tensor.detach().float().numpy(), np.float32) for name, tensor in tensors.items()}
    for name, weight in weights.items():
        if not np.isfinite(weight).all():
            raise damaged(path, f'the tensor "{name}" has values that are not numbers')
    return weights


def checkpoint_width(weights: Mapping[str, NDArray[np.float32]]) -> int:
    """Channels of the first face layer, from which all others follow: 16 in the published network."""
    return int(weights[WIDTH_TENSOR].shape[0])


def damaged(path: Path, reason: str) -> ModelError:
    """A file that is there but is not what it should be; ``reason`` completes "is not a Wav2Lip checkpoint:"."""
    return ModelError(
        "model_damaged",
        f"{path.name} is not a Wav2Lip checkpoint: {reason}. docs/wav2lip.md says which files work.",
    )


def _check_shapes(shapes: dict[str, tuple[int, ...]], path: Path) -> None:
    width = (shapes.get(WIDTH_TENSOR) or (16,))[0]
    expected = generator(max(1, width)).tensor_shapes()
    for name, shape in expected.items():
        if name not in shapes:
            raise damaged(path, f'the tensor "{name}" is missing')
        if shapes[name] != shape:
            raise damaged(path, f'the tensor "{name}" has the shape {list(shapes[name])} instead of {list(shape)}')
    for name in shapes:
        if name not in expected:
            raise damaged(path, f'the tensor "{name}" is not part of Wav2Lip')

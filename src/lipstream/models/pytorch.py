"""Reading PyTorch's files without running anything in them.

PyTorch is imported here only when a file is read; it is part of the extra ``torch``.
"""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lipstream.errors import ModelError

if TYPE_CHECKING:
    import torch

_PREFIX = "module."  # left by torch.nn.DataParallel
_NOT_WEIGHTS = "num_batches_tracked"  # a counter of batch normalisation's training


def load_file(path: Path) -> Any:
    """The content of a ``.pth``, TorchScript or ``.safetensors`` file, on the CPU; of the last two, the tensors by
    name.

    Raises :class:`ImportError` without PyTorch (or safetensors) and :class:`ModelError`: ``model_missing``,
    ``model_damaged`` (not a file of plain tensors).
    """
    if not path.is_file():
        raise ModelError("model_missing", f"There is no file {path}. docs/checkpoints.md says where to get one.")
    if path.suffix == ".safetensors":
        return _load_safetensors(path)
    import torch

    try:
        with warnings.catch_warnings():
            # PyTorch warns that TorchScript is deprecated, but such files exist.
            warnings.simplefilter("ignore")
            if _is_torchscript(path):
                return torch.jit.load(str(path), map_location="cpu").state_dict()
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            "model_damaged",
            f"{path.name} is not a file of plain tensors, and lipstream does not run code from files.",
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, AttributeError, TypeError, IndexError) as error:
        raise ModelError("model_damaged", f"PyTorch cannot read {path.name}. Get the file again.") from error


def state_dict(loaded: Any) -> dict[str, torch.Tensor]:
    """The tensors of a loaded file by name, taken out of ``{"state_dict": ...}`` and without ``module.`` in front.

    Counters of batch normalisation are left out. Empty when there are none.
    """
    state = loaded.get("state_dict", loaded) if isinstance(loaded, Mapping) else {}
    if not isinstance(state, Mapping):
        return {}
    named = {str(name).removeprefix(_PREFIX): tensor for name, tensor in state.items() if hasattr(tensor, "shape")}
    return {name: tensor for name, tensor in named.items() if not name.endswith(_NOT_WEIGHTS)}


def read_weights(path: Path, expected: Mapping[str, tuple[int, ...]], what: str) -> dict[str, NDArray[np.float32]]:
    """The tensors that ``expected`` names, float32, every shape checked; others in the file are ignored.

    ``what`` is for messages: "X is not ``what``: ...". Raises as :func:`load_file` does.
    """
    tensors = state_dict(load_file(path))
    weights = {}
    for name, shape in expected.items():
        if name not in tensors:
            raise _unexpected(path, what, f'the tensor "{name}" is missing')
        found = tuple(tensors[name].shape)
        if found != shape:
            raise _unexpected(path, what, f'the tensor "{name}" has the shape {list(found)} instead of {list(shape)}')
        weights[name] = np.asarray(tensors[name].detach().float().numpy(), np.float32)
        if not np.isfinite(weights[name]).all():
            raise _unexpected(path, what, f'the tensor "{name}" has values that are not numbers')
    return weights


def _unexpected(path: Path, what: str, reason: str) -> ModelError:
    return ModelError(
        "model_damaged", f"{path.name} is not {what}: {reason}. docs/checkpoints.md says which files work."
    )


def _load_safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file as load

    try:
        return load(path, device="cpu")
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError("model_damaged", f"{path.name} is not a safetensors file. Get the file again.") from error


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.partition("/")[2] == "constants.pkl" for name in archive.namelist())

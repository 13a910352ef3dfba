"""Run a neural network on the CPU with MNN.

Only MNN's session interface is used: ``Interpreter.runSession`` lets other Python threads run meanwhile, the newer
``MNN.nn`` modules hold the interpreter lock for the whole forward pass.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipstream.errors import ModelError
from lipstream.models.mnn import import_mnn

_PULL = "Fetch it again with: lipstream models pull"


class Network:
    """A network in MNN's format, loaded and ready.

    Thread-safe: one session, one lock; threads that call at the same time take turns. Give each worker its own
    ``Network`` where they must run side by side.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        """Load ``path``. Raises :class:`ModelError` (``model_damaged``) when MNN cannot read it."""
        # If the file is missing, MNN only prints the path and crashes later, so look first.
        if not path.is_file() or path.stat().st_size == 0:
            raise ModelError("model_damaged", f"The network {path.name} is missing or empty. {_PULL}")
        self._mnn = import_mnn()
        try:
            self._interpreter = self._mnn.Interpreter(str(path))
            self._session = self._interpreter.createSession({"backend": "CPU", "numThread": threads})
        except Exception as error:  # MNN raises bare Exceptions
            raise ModelError("model_damaged", f"MNN cannot load the network {path.name}. {_PULL}") from error
        self._inputs = dict(self._interpreter.getSessionInputAll(self._session))
        self._lock = threading.Lock()

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """Name and current shape of each input, in the layout of the original file (NHWC from TFLite)."""
        return {name: _shape(tensor) for name, tensor in self._inputs.items()}

    def __call__(self, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Run the network once.

        ``inputs`` holds one array per input name, in the layout of the original file. A shape that differs from the
        last call's (another batch size, say) resizes the session first, which costs about as much as a load.
        Returns a fresh array per output name. Raises :class:`ValueError` for wrong names.
        """
        if inputs.keys() != self._inputs.keys():
            raise ValueError(f"inputs are {sorted(self._inputs)}, got {sorted(inputs)}")
        with self._lock:
            self._resize(inputs)
            # MNN keeps pointers into these arrays until the session has run.
            held = [self._fill(name, array) for name, array in inputs.items()]
            self._interpreter.runSession(self._session)
            del held
            outputs = self._interpreter.getSessionOutputAll(self._session)
            return {name: self._read(tensor) for name, tensor in outputs.items()}

    def _resize(self, inputs: Mapping[str, NDArray[np.float32]]) -> None:
        changed = False
        for name, array in inputs.items():
            tensor = self._inputs[name]
            if _shape(tensor) != array.shape:
                self._interpreter.resizeTensor(tensor, tuple(int(n) for n in array.shape))
                changed = True
        if changed:
            self._interpreter.resizeSession(self._session)
            self._inputs = dict(self._interpreter.getSessionInputAll(self._session))

    def _fill(self, name: str, array: NDArray[np.float32]) -> tuple[object, object]:
        tensor = self._inputs[name]
        source = np.ascontiguousarray(array, dtype=np.float32)
        # With another dimension type than the tensor's own, MNN reorders the axes and the network reads garbage.
        host = self._mnn.Tensor(_shape(tensor), self._mnn.Halide_Type_Float, source, tensor.getDimensionType())
        tensor.copyFrom(host)
        return source, host

    def _read(self, tensor: object) -> NDArray[np.float32]:
        shape = _shape(tensor)
        kind = tensor.getDimensionType()  # type: ignore[attr-defined]
        host = self._mnn.Tensor(shape, self._mnn.Halide_Type_Float, np.empty(shape, np.float32), kind)
        tensor.copyToHostTensor(host)  # type: ignore[attr-defined]
        return np.array(host.getNumpyData(), dtype=np.float32).reshape(shape)


def _shape(tensor: object) -> tuple[int, ...]:
    return tuple(int(n) for n in tensor.getShape())  # type: ignore[attr-defined]

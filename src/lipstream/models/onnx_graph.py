"""Writing ONNX graphs by hand: for networks whose published form does more than what is needed of it.

The package ``onnx`` is imported only when a graph is written; it is part of the extras ``torch`` and ``sr``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

Shape = Sequence[int | str]
"""Sizes by axis; a name stands for a size that is left open."""

_OPSET = 17
_IR_VERSION = 8


class OnnxGraph:
    """Nodes and constants in the order in which they are added; tensors are named here unless the caller names them."""

    def __init__(self) -> None:
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []

    def add(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add an operator; gives the name of its output."""
        from onnx import helper

        name = output or f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, array: NDArray[np.float32] | NDArray[np.int64]) -> str:
        """Add a constant; gives its name."""
        from onnx import numpy_helper

        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def save(self, path: Path, inputs: Mapping[str, Shape], outputs: Mapping[str, Shape | None]) -> None:
        """Write the file. ``inputs`` and ``outputs`` are float32 tensors by name; None leaves the whole shape open."""
        import onnx
        from onnx import TensorProto, helper

        given, made = (
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in tensors.items()]
            for tensors in (inputs, outputs)
        )
        graph = helper.make_graph(self._nodes, path.stem, given, made, self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)])
        model.ir_version = _IR_VERSION
        onnx.save(model, path)

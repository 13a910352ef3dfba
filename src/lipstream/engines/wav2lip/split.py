"""ONNX exports of Wav2Lip by others, cut in two where the audio joins the face.

Any square picture size works; the graph says which. No operator is changed; the part that depends only on the face is
moved to a graph of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lipstream.engines.wav2lip.architecture import MEL_BANDS, WINDOW_COLUMNS
from lipstream.engines.wav2lip.checkpoint import damaged
from lipstream.engines.wav2lip.export import FACE, MEL, PICTURE, share

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

Shapes = dict[str, list[Any] | None]
"""Shape by tensor name, None where it is not known."""


def split_export(path: Path, face_path: Path, decoder_path: Path) -> tuple[int, int]:
    """Write both halves of the export ``path``; give the side of its pictures in pixels and the number of shares.

    The halves have the interface of :mod:`lipstream.engines.wav2lip.export`, but the shares have the batch size of
    the audio. Raises :class:`ImportError` without the package ``onnx`` and :class:`ModelError` (``model_damaged``).
    """
    model = _load(path)
    graph = model.graph
    mel, face, side = _inputs(graph, path)
    if len(graph.output) != 1:
        raise damaged(path, f"the graph has {len(graph.output)} outputs instead of one picture")
    of_face, of_both = _sort(graph, face.name)
    in_both = {name for node in of_both for name in node.output}
    made_by_face = {name for node in of_face for name in node.output} - in_both
    # In the graph's order, without repetition: the tensors that cross the cut.
    crossing = list(dict.fromkeys(x for node in of_both for x in node.input if x in made_by_face or x == face.name))
    needs_mel = any(mel.name in node.input for node in of_both)
    if not crossing or not needs_mel or graph.output[0].name in made_by_face:
        raise damaged(path, "its picture does not depend on both the audio and the face")
    names = {old: share(index) for index, old in enumerate(crossing)}
    if face.name in names:
        raise damaged(path, "the face and the audio are combined before the face is encoded")
    names |= {mel.name: MEL, face.name: FACE, graph.output[0].name: PICTURE}
    shapes = _inferred_shapes(graph)
    _rename(graph, names)
    shares = [share(index) for index in range(len(crossing))]
    _save(model, of_face, {FACE: [1, 6, side, side]}, shares, face_path)
    inputs: Shapes = {MEL: ["batch", 1, MEL_BANDS, WINDOW_COLUMNS]}
    inputs |= {names[old]: shapes.get(old) for old in crossing}
    _save(model, of_both, inputs, [PICTURE], decoder_path)
    return side, len(shares)


def _load(path: Path) -> ModelProto:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path)
        return onnx.shape_inference.infer_shapes(model)
    except (DecodeError, OSError, ValueError, RuntimeError, onnx.checker.ValidationError) as error:
        raise damaged(path, "it cannot be read as ONNX") from error


def _inputs(graph: GraphProto, path: Path) -> tuple[ValueInfoProto, ValueInfoProto, int]:
    """The audio input, the face input and the side of the face picture, told apart by their shapes."""
    constants = {tensor.name for tensor in graph.initializer}
    shapes = {}
    for value in graph.input:
        if value.name not in constants:
            shapes[value.name] = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    values = {value.name: value for value in graph.input}
    mel = [name for name, shape in shapes.items() if shape[1:] == [1, MEL_BANDS, WINDOW_COLUMNS]]
    face = [n for n, shape in shapes.items() if len(shape) == 4 and shape[1] == 6 and 0 < shape[2] == shape[3]]
    if len(mel) != 1 or len(face) != 1 or len(shapes) != 2:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "none"
        raise damaged(
            path, f"its inputs must be audio [batch, 1, 80, 16] and face [batch, 6, side, side]; they are {listed}"
        )
    return values[mel[0]], values[face[0]], shapes[face[0]][2]


def _sort(graph: GraphProto, face: str) -> tuple[list[NodeProto], list[NodeProto]]:
    """The nodes that depend on the face alone and the others; constants are computed in both halves."""
    fixed = {tensor.name for tensor in graph.initializer} | {""}
    face_only = {face}
    of_face, of_both = [], []
    for node in graph.node:
        used = set(node.input) - fixed
        if used and not used <= face_only:
            of_both.append(node)
            continue
        of_face.append(node)
        if used:
            face_only.update(node.output)
        else:
            fixed.update(node.output)
            of_both.append(node)
    return of_face, of_both


def _inferred_shapes(graph: GraphProto) -> Shapes:
    """Shapes between the layers with the batch left open, as far as ONNX could tell them."""
    shapes: Shapes = {}
    for value in graph.value_info:
        inner = [dim.dim_value for dim in value.type.tensor_type.shape.dim[1:]]
        shapes[value.name] = ["batch", *inner] if inner and all(inner) else None
    return shapes


def _rename(graph: GraphProto, names: dict[str, str]) -> None:
    for node in graph.node:
        for names_of in (node.input, node.output):
            for index, name in enumerate(names_of):
                names_of[index] = names.get(name, name)


def _save(model: ModelProto, nodes: list[NodeProto], inputs: Shapes, outputs: list[str], path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    used = {name for node in nodes for name in node.input}
    half = helper.make_model(
        helper.make_graph(
            nodes,
            path.stem,
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            [tensor for tensor in model.graph.initializer if tensor.name in used],
        ),
        opset_imports=list(model.opset_import),
    )
    half.ir_version = model.ir_version
    onnx.save(half, path)

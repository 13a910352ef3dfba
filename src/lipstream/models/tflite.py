"""Cut a part out of a TFLite network, for runtimes that know most of its operators, but not all.

A TFLite file is a FlatBuffer (https://flatbuffers.dev/internals/), laid out by TensorFlow Lite's ``schema.fbs``. A part
is made in place: the graph's lists of inputs, outputs and operators become shorter, everything else stays as it is.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from lipstream.errors import ModelError

# Positions of the fields in schema.fbs.
_MODEL_SUBGRAPHS = 2
_GRAPH_TENSORS, _GRAPH_INPUTS, _GRAPH_OUTPUTS, _GRAPH_OPERATORS = 0, 1, 2, 3
_TENSOR_NAME = 3
_OPERATOR_INPUTS, _OPERATOR_OUTPUTS = 1, 2


def cut(model: bytes, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """The part of ``model`` that computes the tensors named ``outputs`` from those named ``inputs``.

    The names are those inside the file. There may be at most as many inputs and outputs as the whole network has.
    Raises :class:`ModelError` (``model_damaged``) when the file is not as expected.
    """
    try:
        return _cut(bytearray(model), inputs, outputs)
    except (struct.error, KeyError, IndexError, UnicodeDecodeError) as error:
        raise ModelError("model_damaged", f"The TFLite network is not as expected ({error!r}).") from error


def _cut(data: bytearray, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    graph = _target(data, _vector(data, _target(data, 0), _MODEL_SUBGRAPHS)[0])
    names = {
        _string(data, _target(data, place)): index for index, place in enumerate(_vector(data, graph, _GRAPH_TENSORS))
    }
    sources, results = [names[name] for name in inputs], [names[name] for name in outputs]
    operators = [_target(data, place) for place in _vector(data, graph, _GRAPH_OPERATORS)]
    needed = _needed(data, operators, sources, results)
    _shorten(data, graph, _GRAPH_INPUTS, sources)
    _shorten(data, graph, _GRAPH_OUTPUTS, results)
    places = _vector(data, graph, _GRAPH_OPERATORS)
    offsets = [operator - place for place, operator in zip(places, needed, strict=False)]
    _shorten(data, graph, _GRAPH_OPERATORS, offsets)
    return bytes(data)


def _needed(data: bytearray, operators: list[int], sources: list[int], results: list[int]) -> list[int]:
    """Operators on the way from ``sources`` to ``results``, in the order of the file, which is that of execution."""
    wanted, kept = set(results), []
    for operator in reversed(operators):
        made = set(_integers(data, operator, _OPERATOR_OUTPUTS))
        if made & wanted:
            kept.append(operator)
            wanted |= set(_integers(data, operator, _OPERATOR_INPUTS)) - set(sources)
    return kept[::-1]


def _u32(data: bytearray, place: int) -> int:
    return int(struct.unpack_from("<I", data, place)[0])


def _target(data: bytearray, place: int) -> int:
    """Where the offset at ``place`` points to."""
    return place + _u32(data, place)


def _field(data: bytearray, table: int, field: int) -> int:
    """Where a table keeps a field; fields left out of a file are not expected here."""
    vtable = table - int(struct.unpack_from("<i", data, table)[0])
    (size,) = struct.unpack_from("<H", data, vtable)
    entry = 4 + 2 * field
    offset = struct.unpack_from("<H", data, vtable + entry)[0] if entry < size else 0
    if offset == 0:
        raise KeyError(field)
    return table + int(offset)


def _vector(data: bytearray, table: int, field: int) -> range:
    """Where the four-byte elements of a vector are."""
    start = _target(data, _field(data, table, field))
    return range(start + 4, start + 4 + 4 * _u32(data, start), 4)


def _integers(data: bytearray, table: int, field: int) -> Iterator[int]:
    return (int(struct.unpack_from("<i", data, place)[0]) for place in _vector(data, table, field))


def _string(data: bytearray, table: int) -> str:
    start = _target(data, _field(data, table, _TENSOR_NAME))
    return data[start + 4 : start + 4 + _u32(data, start)].decode()


def _shorten(data: bytearray, table: int, field: int, values: list[int]) -> None:
    """Replace a vector's elements by fewer or as many."""
    places = _vector(data, table, field)
    if len(values) > len(places):
        raise IndexError(f"{len(values)} elements do not fit in place of {len(places)}")
    struct.pack_into("<I", data, places.start - 4, len(values))
    struct.pack_into(f"<{len(values)}I", data, places.start, *values)

"""From a checkpoint's tensors to ONNX graphs that do as little work per frame as possible.

The published network is transformed in three ways, all exact up to rounding:

* Batch normalisation is folded into the convolution before it, and a residual layer ``conv(x) + x`` becomes one
  convolution whose centre tap has the identity added.
* The face of a still portrait is constant, so its encoder is a graph of its own that runs once per portrait. A layer
  over ``[decoder; face]`` is the sum of a layer over each, so the face graph also applies its half of it: what
  it gives out, the seven *shares*, only has to be added.
* Where only the mouth side of the picture is wanted, rows far enough above it are cut away inside the decoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipstream.engines.wav2lip.architecture import (
    MEL_BANDS,
    SIDE,
    WINDOW_COLUMNS,
    Generator,
    Layer,
    generator,
    rows_to_drop,
    share_rows,
)
from lipstream.models.onnx_graph import OnnxGraph, Shape

Weights = Mapping[str, NDArray[np.float32]]

MEL, FACE, PICTURE = "mel", "face", "picture"
"""Names of the graphs' inputs and output."""

_NORM_EPSILON = 1e-5  # PyTorch's default, which the published network uses


def share(index: int) -> str:
    """Name of the face share for decoder block ``index + 1`` (6: for the output block)."""
    return f"share{index}"


class _Graph(OnnxGraph):
    """The network's layers as ONNX operators."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self._weights = weights

    def layer(self, x: str, layer: Layer, channels: slice = slice(None), bias: bool = True) -> str:
        """A layer without its ReLU, over some of its input channels."""
        weight, offset = folded(self._weights, layer)
        parameters = [self.constant(weight[channels] if layer.transposed else weight[:, channels])]
        if bias:
            parameters.append(self.constant(offset))
        attributes: dict[str, Any] = {
            "kernel_shape": [layer.kernel, layer.kernel],
            "strides": list(layer.stride),
            "pads": [layer.padding] * 4,
        }
        if not layer.transposed:
            return self.add("Conv", x, *parameters, **attributes)
        attributes["output_padding"] = [step - 1 for step in layer.stride]
        return self.add("ConvTranspose", x, *parameters, **attributes)

    def layers(self, x: str, layers: tuple[Layer, ...]) -> str:
        for layer in layers:
            x = self.add("Relu", self.layer(x, layer))
        return x

    def joined(self, x: str, layer: Layer, channels: int, index: int) -> str:
        """A layer over ``[x; face features]`` of which ``x`` is the first ``channels``; the rest comes as a share."""
        own = self.layer(x, layer, slice(0, channels))
        return self.add("Relu", self.add("Add", own, share(index)))

    def below(self, x: str, rows: int) -> str:
        """``x`` without its first ``rows`` rows."""
        if rows == 0:
            return x
        bounds = [self.constant(np.array([n], np.int64)) for n in (rows, np.iinfo(np.int32).max, 2)]
        return self.add("Slice", x, *bounds)


def export_face_encoder(weights: Weights, width: int, path: Path) -> None:
    """Write the graph ``face (1, 6, 96, 96) -> share0 … share6``, to be run once per portrait."""
    model, graph = generator(width), _Graph(weights)
    x, features = FACE, []
    for block in model.face_encoder:
        x = graph.layers(x, block)
        features.append(x)
    for index, feature in enumerate(reversed(features)):
        layer = _joining_layer(model, index)
        of_face = slice(layer.inputs - model.features[index], layer.inputs)
        graph.add("Identity", graph.layer(feature, layer, of_face, bias=False), output=share(index))
    graph.save(path, {FACE: [1, 6, SIDE, SIDE]}, {share(index): None for index in range(len(features))})


def export_decoder(weights: Weights, width: int, path: Path, first_row: int = 0) -> None:
    """Write the graph ``mel (B, 1, 80, 16), share0 … share6 -> picture (B, 3, 96 - first_row, 96)``, BGR in [0, 1].

    The shares have batch size 1 and lack the rows :func:`share_rows` says.
    """
    model, graph = generator(width), _Graph(weights)
    drop = rows_to_drop(model, first_row)
    x = graph.layers(MEL, model.audio_encoder)
    for index, block in enumerate(model.decoder):
        if index == 0:
            x = graph.layers(x, block)
            continue
        x = graph.joined(x, block[0], block[0].inputs - model.features[index - 1], index - 1)
        x = graph.layers(x, block[1:])
        x = graph.below(x, drop[index] - 2 * drop[index - 1])
    last = len(model.features) - 1
    x = graph.joined(x, model.output, model.output.inputs - model.features[last], last)
    weight, bias = (weights[f"{model.picture}.{part}"] for part in ("weight", "bias"))
    x = graph.add("Conv", x, graph.constant(weight), graph.constant(bias), kernel_shape=[1, 1])
    x = graph.below(x, first_row - drop[-1])
    graph.add("Sigmoid", x, output=PICTURE)
    inputs: dict[str, Shape] = {MEL: ["batch", 1, MEL_BANDS, WINDOW_COLUMNS]}
    for index, rows in enumerate(share_rows(model, first_row)):
        side = _share_side(index)
        inputs[share(index)] = [1, _joining_layer(model, index).outputs, side - rows, side]
    graph.save(path, inputs, {PICTURE: None})


def folded(weights: Weights, layer: Layer) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weight and bias of one convolution that equals the layer up to its ReLU."""
    weight, bias = (weights[f"{layer.name}.conv_block.0.{part}"].astype(np.float64) for part in ("weight", "bias"))
    gain, offset, mean, variance = (
        weights[f"{layer.name}.conv_block.1.{part}"].astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gain / np.sqrt(variance + _NORM_EPSILON)
    weight = weight * (scale[None, :, None, None] if layer.transposed else scale[:, None, None, None])
    if layer.residual:
        channel, centre = np.arange(layer.outputs), layer.kernel // 2
        weight[channel, channel, centre, centre] += 1.0
    return weight.astype(np.float32), ((bias - mean) * scale + offset).astype(np.float32)


def _joining_layer(model: Generator, index: int) -> Layer:
    return model.decoder[index + 1][0] if index + 1 < len(model.decoder) else model.output


def _share_side(index: int) -> int:
    return (3, 6, 12, 24, 48, 96, 96)[index]

"""BiSeNet for face parsing: its layers under their published names, and the ONNX graph made of them.

Yu et al., "BiSeNet: Bilateral Segmentation Network for Real-time Semantic Segmentation", ECCV 2018, arXiv:1808.00897,
in the form of the published face-parsing checkpoint: the spatial path is replaced by the ResNet-18's own features at an
eighth of the picture. Only the main head is built; the two others helped in training. All convolutions lack a bias,
and every batch normalisation is folded into the convolution before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipstream.models.onnx_graph import OnnxGraph

CLASSES = 19
SIDE = 512
"""Side of the picture that the network was trained on, pixels."""

PICTURE, LOGITS = "picture", "logits"
"""Names of the graph's input and output."""

_NORM_EPSILON = 1e-5  # PyTorch's default, which the published network uses


@dataclass(frozen=True)
class Layer:
    """A convolution, with batch normalisation where ``norm`` names one."""

    name: str
    """Of the convolution in the state dictionary."""
    norm: str | None
    """Of its batch normalisation."""
    inputs: int
    """Channels."""
    outputs: int
    """Channels."""
    kernel: int = 3
    """Side, pixels."""
    stride: int = 1
    """Pixels."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Its tensors."""
        shapes: dict[str, tuple[int, ...]] = {
            f"{self.name}.weight": (self.outputs, self.inputs, self.kernel, self.kernel)
        }
        if self.norm:
            parts = ("weight", "bias", "running_mean", "running_var")
            shapes |= {f"{self.norm}.{part}": (self.outputs,) for part in parts}
        return shapes


def _conv(name: str, inputs: int, outputs: int, kernel: int = 3) -> Layer:
    return Layer(f"{name}.conv", f"{name}.bn", inputs, outputs, kernel)


@dataclass(frozen=True)
class Residual:
    """Two layers of the ResNet with a way around them."""

    first: Layer
    second: Layer
    around: Layer | None
    """None = the input itself."""

    def layers(self) -> Iterator[Layer]:
        """All of its layers."""
        yield from (self.first, self.second)
        if self.around:
            yield self.around


def _residuals(name: str, inputs: int, outputs: int, stride: int) -> tuple[Residual, Residual]:
    around = Layer(f"{name}.0.downsample.0", f"{name}.0.downsample.1", inputs, outputs, 1, stride)
    return (
        Residual(
            Layer(f"{name}.0.conv1", f"{name}.0.bn1", inputs, outputs, 3, stride),
            Layer(f"{name}.0.conv2", f"{name}.0.bn2", outputs, outputs),
            around if stride > 1 else None,
        ),
        Residual(
            Layer(f"{name}.1.conv1", f"{name}.1.bn1", outputs, outputs),
            Layer(f"{name}.1.conv2", f"{name}.1.bn2", outputs, outputs),
            None,
        ),
    )


STEM = Layer("cp.resnet.conv1", "cp.resnet.bn1", 3, 64, 7, 2)
STAGES = (
    _residuals("cp.resnet.layer1", 64, 64, 1),
    _residuals("cp.resnet.layer2", 64, 128, 2),
    _residuals("cp.resnet.layer3", 128, 256, 2),
    _residuals("cp.resnet.layer4", 256, 512, 2),
)
AVERAGE = _conv("cp.conv_avg", 512, 128, 1)
REFINE_32 = (_conv("cp.arm32.conv", 512, 128), Layer("cp.arm32.conv_atten", "cp.arm32.bn_atten", 128, 128, 1))
REFINE_16 = (_conv("cp.arm16.conv", 256, 128), Layer("cp.arm16.conv_atten", "cp.arm16.bn_atten", 128, 128, 1))
HEAD_32, HEAD_16 = _conv("cp.conv_head32", 128, 128), _conv("cp.conv_head16", 128, 128)
FUSION = _conv("ffm.convblk", 256, 256, 1)
FUSION_WEIGHTS = (Layer("ffm.conv1", None, 256, 64, 1), Layer("ffm.conv2", None, 64, 256, 1))
OUTPUT = (_conv("conv_out.conv", 256, 256), Layer("conv_out.conv_out", None, 256, CLASSES, 1))


def tensor_shapes() -> dict[str, tuple[int, ...]]:
    """Every tensor that the graph needs, by its published name."""
    residuals = [layer for stage in STAGES for residual in stage for layer in residual.layers()]
    layers = [STEM, *residuals, AVERAGE, *REFINE_32, *REFINE_16, HEAD_32, HEAD_16, FUSION, *FUSION_WEIGHTS, *OUTPUT]
    return {name: shape for layer in layers for name, shape in layer.shapes().items()}


def export(weights: Mapping[str, NDArray[np.float32]], path: Path) -> None:
    """Write the graph ``picture (1, 3, 512, 512) -> logits (1, 19, 512, 512)``. Needs the package ``onnx``.

    The picture is RGB in [0, 1], normalised with ImageNet's mean and standard deviation.
    """
    graph = _Graph(weights)
    x = graph.relu(graph.layer(PICTURE, STEM))
    x = graph.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    features = []
    for stage in STAGES:
        for residual in stage:
            x = graph.residual(x, residual)
        features.append(x)
    eighth, sixteenth, smallest = features[1:]
    average = graph.relu(graph.layer(graph.add("GlobalAveragePool", smallest), AVERAGE))
    x = graph.add("Add", graph.refined(smallest, *REFINE_32), average)
    x = graph.relu(graph.layer(graph.doubled(x), HEAD_32))
    x = graph.add("Add", graph.refined(sixteenth, *REFINE_16), x)
    x = graph.relu(graph.layer(graph.doubled(x), HEAD_16))
    x = graph.relu(graph.layer(graph.add("Concat", eighth, x, axis=1), FUSION))
    x = graph.add("Add", graph.weighted(x), x)
    x = graph.layer(graph.relu(graph.layer(x, OUTPUT[0])), OUTPUT[1])
    graph.enlarged(x)
    graph.save(path, {PICTURE: [1, 3, SIDE, SIDE]}, {LOGITS: [1, CLASSES, SIDE, SIDE]})


class _Graph(OnnxGraph):
    """The network's building blocks as ONNX operators."""

    def __init__(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        super().__init__()
        self._weights = weights

    def layer(self, x: str, layer: Layer) -> str:
        weight, bias = _folded(self._weights, layer)
        parameters = [self.constant(weight), *([self.constant(bias)] if bias is not None else [])]
        shape, pads = [layer.kernel, layer.kernel], [layer.kernel // 2] * 4
        return self.add("Conv", x, *parameters, kernel_shape=shape, strides=[layer.stride] * 2, pads=pads)

    def relu(self, x: str) -> str:
        return self.add("Relu", x)

    def residual(self, x: str, residual: Residual) -> str:
        y = self.layer(self.relu(self.layer(x, residual.first)), residual.second)
        around = self.layer(x, residual.around) if residual.around else x
        return self.relu(self.add("Add", y, around))

    def refined(self, x: str, conv: Layer, attention: Layer) -> str:
        """Attention refinement: channels weighted by what their averages say."""
        x = self.relu(self.layer(x, conv))
        weight = self.add("Sigmoid", self.layer(self.add("GlobalAveragePool", x), attention))
        return self.add("Mul", x, weight)

    def weighted(self, x: str) -> str:
        """Feature fusion's attention."""
        squeezed = self.relu(self.layer(self.add("GlobalAveragePool", x), FUSION_WEIGHTS[0]))
        return self.add("Mul", x, self.add("Sigmoid", self.layer(squeezed, FUSION_WEIGHTS[1])))

    def doubled(self, x: str) -> str:
        scales = self.constant(np.array([1, 1, 2, 2], np.float32))
        way = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self.add("Resize", x, "", scales, **way)

    def enlarged(self, x: str) -> str:
        scales = self.constant(np.array([1, 1, 8, 8], np.float32))
        way = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
        return self.add("Resize", x, "", scales, output=LOGITS, **way)


def _folded(
    weights: Mapping[str, NDArray[np.float32]], layer: Layer
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Weight and bias of one convolution that equals the layer with its batch normalisation."""
    weight = weights[f"{layer.name}.weight"]
    if layer.norm is None:
        return weight, None
    gain, offset, mean, variance = (
        weights[f"{layer.norm}.{part}"].astype(np.float64) for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gain / np.sqrt(variance + _NORM_EPSILON)
    return (weight * scale[:, None, None, None]).astype(np.float32), (offset - mean * scale).astype(np.float32)

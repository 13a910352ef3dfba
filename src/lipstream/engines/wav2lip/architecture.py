"""The generator's layers as a table: what a checkpoint must contain, and what the exported graphs are built from.

Every layer is a 3×3 convolution unless it says otherwise, followed by batch normalisation, the layer's own input
added where it is residual, and ReLU. All channel counts are multiples of one width, 16 in the published network
(36.3 million parameters).
"""

from __future__ import annotations

from dataclasses import dataclass

SIDE = 96
"""Side of the network's pictures, pixels."""
MEL_BANDS = 80
"""Mel bands of the audio window."""
WINDOW_COLUMNS = 16
"""Mel columns of the audio window, 200 ms."""

WIDTH_TENSOR = "face_encoder_blocks.0.0.conv_block.0.weight"
"""Its first dimension is the width."""
NORM = ("weight", "bias", "running_mean", "running_var")
"""What batch normalisation keeps per channel."""


@dataclass(frozen=True)
class Layer:
    """One convolution with its normalisation."""

    name: str
    """Prefix in the state dictionary."""
    inputs: int
    """Channels in."""
    outputs: int
    """Channels out."""
    kernel: int = 3
    """Side of the kernel."""
    stride: tuple[int, int] = (1, 1)
    """Vertical, horizontal. For a transposed layer 2 doubles the size, 1 turns 1 × 1 into 3 × 3."""
    padding: int = 1
    """Zeros around the input."""
    residual: bool = False
    """Whether the input is added before ReLU."""
    transposed: bool = False
    """Whether it is a transposed convolution."""

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """Shape of the convolution's weight, as PyTorch keeps it."""
        channels = (self.inputs, self.outputs) if self.transposed else (self.outputs, self.inputs)
        return *channels, self.kernel, self.kernel


@dataclass(frozen=True)
class Generator:
    """All layers of the generator for one width."""

    face_encoder: tuple[tuple[Layer, ...], ...]
    """Seven blocks; the output of each is kept for the decoder block of its size."""
    audio_encoder: tuple[Layer, ...]
    """From (1, 80, 16) to (32 × width, 1, 1)."""
    decoder: tuple[tuple[Layer, ...], ...]
    """Seven blocks; the face features of the block's size are appended to the output of each."""
    output: Layer
    """The last block before the 1 × 1 convolution to BGR and the sigmoid."""
    features: tuple[int, ...]
    """Channels of the face features that follow each decoder block."""
    picture: str
    """Prefix of the 1 × 1 convolution to BGR; it has no normalisation."""

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor a checkpoint must hold, in the checkpoint's order."""
        shapes: dict[str, tuple[int, ...]] = {}
        blocks = [*self.face_encoder, self.audio_encoder, *self.decoder, (self.output,)]
        for layer in (layer for block in blocks for layer in block):
            shapes[f"{layer.name}.conv_block.0.weight"] = layer.weight_shape
            shapes[f"{layer.name}.conv_block.0.bias"] = (layer.outputs,)
            for part in NORM:
                shapes[f"{layer.name}.conv_block.1.{part}"] = (layer.outputs,)
        shapes[f"{self.picture}.weight"] = (3, self.output.outputs, 1, 1)
        shapes[f"{self.picture}.bias"] = (3,)
        return shapes


def generator(width: int = 16) -> Generator:
    """The generator whose first face layer has ``width`` channels."""
    face = [width * n for n in (1, 2, 4, 8, 16, 32, 32)]
    residuals = (0, 2, 3, 2, 2, 1)
    encoder: list[tuple[Layer, ...]] = [(Layer("face_encoder_blocks.0.0", 6, face[0], kernel=7, padding=3),)]
    for block in range(1, 6):
        name = f"face_encoder_blocks.{block}"
        first = Layer(f"{name}.0", face[block - 1], face[block], stride=(2, 2))
        encoder.append((first, *_residual(name, face[block], residuals[block])))
    encoder.append(_bottleneck("face_encoder_blocks.6", 0, face[5], face[6]))

    inner = [width * n for n in (32, 32, 32, 24, 16, 8, 4)]
    features = face[::-1]
    decoder: list[tuple[Layer, ...]] = [(Layer("face_decoder_blocks.0.0", inner[0], inner[0], kernel=1, padding=0),)]
    for block in range(1, 7):
        name = f"face_decoder_blocks.{block}"
        stride, padding = ((1, 1), 0) if block == 1 else ((2, 2), 1)
        inputs = inner[block - 1] + features[block - 1]
        first = Layer(f"{name}.0", inputs, inner[block], stride=stride, padding=padding, transposed=True)
        decoder.append((first, *_residual(name, inner[block], 1 if block == 1 else 2)))

    return Generator(
        face_encoder=tuple(encoder),
        audio_encoder=_audio_encoder(width),
        decoder=tuple(decoder),
        output=Layer("output_block.0", inner[6] + features[6], 2 * width),
        features=tuple(features),
        picture="output_block.1",
    )


def _audio_encoder(width: int) -> tuple[Layer, ...]:
    layers: list[Layer] = []
    inputs = 1
    for outputs, stride, residuals in ((2, (1, 1), 2), (4, (3, 1), 2), (8, (3, 3), 2), (16, (3, 2), 1)):
        channels = width * outputs
        layers.append(Layer(f"audio_encoder.{len(layers)}", inputs, channels, stride=stride))
        layers.extend(_residual("audio_encoder", channels, residuals, first=len(layers)))
        inputs = channels
    layers.extend(_bottleneck("audio_encoder", len(layers), inputs, 32 * width))
    return tuple(layers)


def _residual(block: str, channels: int, count: int, first: int = 1) -> tuple[Layer, ...]:
    return tuple(Layer(f"{block}.{first + n}", channels, channels, residual=True) for n in range(count))


def _bottleneck(block: str, first: int, inputs: int, outputs: int) -> tuple[Layer, ...]:
    """3 × 3 becomes 1 × 1, then a 1 × 1 convolution."""
    return (
        Layer(f"{block}.{first}", inputs, outputs, padding=0),
        Layer(f"{block}.{first + 1}", outputs, outputs, kernel=1, padding=0),
    )


def rows_to_drop(model: Generator, first_row: int) -> tuple[int, ...]:
    """How many rows at the top need not be computed after each decoder block if only ``first_row`` and below are
    wanted.

    Counted at each block's own size, from the top of the full picture. A convolution next to a cut sees zeros instead
    of the rows that are gone, so every 3×3 layer behind a cut makes one more row wrong; the cuts leave that many rows
    as a margin.
    """
    drop = [0] * len(model.decoder)
    if first_row > 0:
        drop[-1] = first_row - 1
        for block in range(len(model.decoder) - 1, 2, -1):
            margin = len(model.decoder[block]) - 1
            drop[block - 1] = max(0, (drop[block] - margin) // 2)
    return tuple(drop)


def share_rows(model: Generator, first_row: int) -> tuple[int, ...]:
    """How many rows to cut off the top of each face share if the decoder computes only ``first_row`` and below.

    Share ``n`` belongs to decoder block ``n + 1``, which doubles what block ``n`` left; the last belongs to the output.
    """
    drop = rows_to_drop(model, first_row)
    return (0, *(2 * rows for rows in drop[1:-1]), drop[-1])

"""Wav2Lip's generator in plain PyTorch, written from the paper, with the parameter names of published checkpoints.

Prajwal et al., "A Lip Sync Expert Is All You Need for Speech to Lip Generation In the Wild", ACM MM 2020,
arXiv:2008.10010. Nothing here is optimised: this is what the engine must equal.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn


class Conv(nn.Module):  # type: ignore[misc]
    """Convolution, batch normalisation, optionally the input added, ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int | tuple[int, int],
        padding: int,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, padding), nn.BatchNorm2d(outputs))
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv_block(x)
        return torch.relu(y + x if self.residual else y)


class ConvTranspose(nn.Module):  # type: ignore[misc]
    """Transposed convolution, batch normalisation, ReLU. Stride 2 doubles the side, stride 1 grows 1 to 3."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        doubling = stride - 1
        self.conv_block = nn.Sequential(
            nn.ConvTranspose2d(inputs, outputs, 3, stride, doubling, doubling), nn.BatchNorm2d(outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv_block(x))


def _residuals(channels: int, count: int) -> list[nn.Module]:
    return [Conv(channels, channels, 3, 1, 1, residual=True) for _ in range(count)]


class Wav2Lip(nn.Module):  # type: ignore[misc]
    """``(mel (B, 1, 80, 16), face (B, 6, 96, 96)) -> (B, 3, 96, 96)`` in [0, 1].

    36.3 million parameters with the published ``width`` of 16; narrower ones are for fast tests.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        w = width
        self.face_encoder_blocks = nn.ModuleList(
            [
                nn.Sequential(Conv(6, w, 7, 1, 3)),
                nn.Sequential(Conv(w, 2 * w, 3, 2, 1), *_residuals(2 * w, 2)),
                nn.Sequential(Conv(2 * w, 4 * w, 3, 2, 1), *_residuals(4 * w, 3)),
                nn.Sequential(Conv(4 * w, 8 * w, 3, 2, 1), *_residuals(8 * w, 2)),
                nn.Sequential(Conv(8 * w, 16 * w, 3, 2, 1), *_residuals(16 * w, 2)),
                nn.Sequential(Conv(16 * w, 32 * w, 3, 2, 1), *_residuals(32 * w, 1)),
                nn.Sequential(Conv(32 * w, 32 * w, 3, 1, 0), Conv(32 * w, 32 * w, 1, 1, 0)),
            ]
        )
        self.audio_encoder = nn.Sequential(
            Conv(1, 2 * w, 3, 1, 1),
            *_residuals(2 * w, 2),
            Conv(2 * w, 4 * w, 3, (3, 1), 1),
            *_residuals(4 * w, 2),
            Conv(4 * w, 8 * w, 3, 3, 1),
            *_residuals(8 * w, 2),
            Conv(8 * w, 16 * w, 3, (3, 2), 1),
            *_residuals(16 * w, 1),
            Conv(16 * w, 32 * w, 3, 1, 0),
            Conv(32 * w, 32 * w, 1, 1, 0),
        )
        self.face_decoder_blocks = nn.ModuleList(
            [
                nn.Sequential(Conv(32 * w, 32 * w, 1, 1, 0)),
                nn.Sequential(ConvTranspose(64 * w, 32 * w, 1), *_residuals(32 * w, 1)),
                nn.Sequential(ConvTranspose(64 * w, 32 * w, 2), *_residuals(32 * w, 2)),
                nn.Sequential(ConvTranspose(48 * w, 24 * w, 2), *_residuals(24 * w, 2)),
                nn.Sequential(ConvTranspose(32 * w, 16 * w, 2), *_residuals(16 * w, 2)),
                nn.Sequential(ConvTranspose(20 * w, 8 * w, 2), *_residuals(8 * w, 2)),
                nn.Sequential(ConvTranspose(10 * w, 4 * w, 2), *_residuals(4 * w, 2)),
            ]
        )
        self.output_block = nn.Sequential(Conv(5 * w, 2 * w, 3, 1, 1), nn.Conv2d(2 * w, 3, 1), nn.Sigmoid())

    def forward(self, mel: Tensor, face: Tensor) -> Tensor:
        features = []
        for block in self.face_encoder_blocks:
            face = block(face)
            features.append(face)
        x = self.audio_encoder(mel)
        for block in self.face_decoder_blocks:
            x = torch.cat([block(x), features.pop()], dim=1)
        picture: Tensor = self.output_block(x)
        return picture


def random_network(seed: int = 0, width: int = 16) -> Wav2Lip:
    """A network with random weights and random batch-norm statistics, in eval mode.

    The scales keep activations of order one, as training does, so that rounding shows as it would there and the
    pictures use the whole range instead of saturating.
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(tensor: Tensor | None, low: float, high: float) -> None:
        assert tensor is not None
        tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)

    network = Wav2Lip(width)
    network.eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                # Terms in the sum of one output value; a doubling transposed convolution uses a quarter of its taps.
                taps = module.weight[0, 0].numel() / (module.stride[0] ** 2 if _transposed(module) else 1)
                spread = (2.0 / (module.in_channels * taps)) ** 0.5
                module.weight.copy_(torch.randn(module.weight.shape, generator=generator) * spread)
                uniform(module.bias, -0.1, 0.1)
            elif isinstance(module, nn.BatchNorm2d):
                uniform(module.weight, 0.5, 1.0)
                uniform(module.bias, -0.2, 0.2)
                uniform(module.running_mean, -0.2, 0.2)
                uniform(module.running_var, 0.5, 1.5)
    return network


def _transposed(module: nn.Module) -> bool:
    return isinstance(module, nn.ConvTranspose2d)


def save_checkpoint(network: Wav2Lip, path: Path) -> None:
    """Write ``network`` as the official checkpoints are: a dictionary whose ``state_dict`` has ``module.`` prefixes."""
    state = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save({"state_dict": state, "optimizer": None, "global_step": 1, "global_epoch": 1}, path)

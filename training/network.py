"""The network as PyTorch trains it. ``lipstream.engines.portrait.motion`` runs the same sums in NumPy."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipstream.engines.portrait.phones import N_STATES, STATES_PER_PHONE

INPUT_HOPS = 4
"""Hops the first layer sees at once, 40 ms."""
DEAF = 0.05
"""Part of the phones that a sequence does not hear in training."""
STEP_HOPS = 2
"""Hops per step: the network gives a mouth every 20 ms."""


class CausalBlock(nn.Module):  # type: ignore[misc]
    """Residual dilated convolution that looks only backwards."""

    def __init__(self, channels: int, dilation: int, dropout: float, kernel: int = 3) -> None:
        super().__init__()
        self.reach = (kernel - 1) * dilation
        self.convolution = nn.Conv1d(channels, channels, kernel, dilation=dilation)
        self.norm = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, steps) → the same shape."""
        h = self.convolution(functional.pad(x, (self.reach, 0)))
        h = functional.gelu(self.norm(h.transpose(1, 2)), approximate="tanh")
        return x + self.dropout(h).transpose(1, 2)


class MotionNetwork(nn.Module):  # type: ignore[misc]
    """Phone-state posteriors → mouth coefficients and articulation logits, 50 times a second."""

    def __init__(
        self,
        coefficients: int,
        articulations: int,
        channels: int = 96,
        dilations: tuple[int, ...] = (1, 2, 4),
        recurrent: bool = True,
        dropout: float = 0.15,
    ) -> None:
        super().__init__()
        self.coefficients = coefficients
        self.input = nn.Conv1d(N_STATES, channels, INPUT_HOPS, stride=STEP_HOPS)
        self.norm = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(CausalBlock(channels, d, dropout) for d in dilations)
        self.gru = nn.GRU(channels, channels, batch_first=True) if recurrent else None
        self.output = nn.Linear(channels, coefficients + articulations)

    def forward(self, posteriors: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, hops, 126) → coefficients (batch, steps, K) and articulation logits (batch, steps, A).

        steps = (hops - 4) / 2 + 1. The caller shifts the input, so that step s sees as far ahead as allowed.
        """
        heard = normalise(posteriors)
        if self.training:
            heard = deafen(heard)
        h = self.input(heard.transpose(1, 2)).transpose(1, 2)
        h = self.dropout(functional.gelu(self.norm(h), approximate="tanh")).transpose(1, 2)
        for block in self.blocks:
            h = block(h)
        h = h.transpose(1, 2)
        if self.gru is not None:
            h = h + self.gru(h)[0]
        out = self.output(h)
        return out[..., : self.coefficients], out[..., self.coefficients :]


def deafen(heard: Tensor) -> Tensor:
    """Make each sequence deaf for some phones, so that no sound is known by one phone alone."""
    batch, _, states = heard.shape
    deaf = torch.rand(batch, 1, states // STATES_PER_PHONE) < DEAF
    return heard.masked_fill(deaf.repeat_interleave(STATES_PER_PHONE, 2), -1.0)


def normalise(log_posteriors: Tensor) -> Tensor:
    """Log posteriors, cut where they no longer mean anything, to roughly -1…2."""
    return (log_posteriors.clamp(min=-6.0) + 4.0) / 2.0

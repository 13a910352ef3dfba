"""The network as PyTorch trains it. ``lipstream.engines.portrait.motion`` runs the same sums in NumPy."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipstream.engines.portrait.network import CEPSTRA_SPREAD
from lipstream.engines.portrait.phones import N_HEARD, N_STATES, STATES_PER_PHONE

INPUT_HOPS = 4
"""Hops the first layer sees at once, 40 ms."""
DEAF = 0.05
"""Part of the phones that a sequence does not hear in training."""
CEPSTRA_NOISE, CEPSTRA_OFFSET = 0.3, 0.25
"""Standard deviations of what is added to the cepstra, at each hop and for a whole sequence."""
POSTERIORS_LOST, CEPSTRA_LOST = 0.15, 0.22
"""Part of the sequences that are heard without the one or the other."""
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
        cepstra: bool = False,
    ) -> None:
        """With ``cepstra`` it hears these besides the posteriors."""
        super().__init__()
        self.coefficients = coefficients
        self.inputs = N_HEARD if cepstra else N_STATES
        self.input = nn.Conv1d(self.inputs, channels, INPUT_HOPS, stride=STEP_HOPS)
        self.norm = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(CausalBlock(channels, d, dropout) for d in dilations)
        self.gru = nn.GRU(channels, channels, batch_first=True) if recurrent else None
        self.output = nn.Linear(channels, coefficients + articulations)

    def forward(self, heard: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, hops, 139) → coefficients (batch, steps, K) and articulation logits (batch, steps, A).

        steps = (hops - 4) / 2 + 1. The caller shifts the input, so that step s sees as far ahead as allowed.
        """
        heard = normalise(heard)
        if self.training:
            heard = disturb(heard)
        h = self.input(heard[..., : self.inputs].transpose(1, 2)).transpose(1, 2)
        h = self.dropout(functional.gelu(self.norm(h), approximate="tanh")).transpose(1, 2)
        for block in self.blocks:
            h = block(h)
        h = h.transpose(1, 2)
        if self.gru is not None:
            h = h + self.gru(h)[0]
        out = self.output(h)
        return out[..., : self.coefficients], out[..., self.coefficients :]


def disturb(heard: Tensor) -> Tensor:
    """Make each sequence deaf for some phones, so that no sound is known by one phone alone, and the cepstra those of
    another voice and room; some sequences lose all of one or the other."""
    batch = len(heard)
    deaf = torch.rand(batch, 1, N_STATES // STATES_PER_PHONE) < DEAF
    posteriors = heard[..., :N_STATES].masked_fill(deaf.repeat_interleave(STATES_PER_PHONE, 2), -1.0)
    cepstra = heard[..., N_STATES:]
    cepstra = cepstra + CEPSTRA_NOISE * torch.randn_like(cepstra)
    cepstra = cepstra + CEPSTRA_OFFSET * torch.randn(batch, 1, cepstra.shape[2])
    lost = torch.rand(batch, 1, 1)
    posteriors = posteriors.masked_fill(lost < POSTERIORS_LOST, 0.0)
    return torch.cat([posteriors, cepstra.masked_fill(lost > 1.0 - CEPSTRA_LOST, 0.0)], 2)


def normalise(heard: Tensor) -> Tensor:
    """What :func:`lipstream.engines.portrait.network.normalised` does."""
    posteriors = (heard[..., :N_STATES].clamp(min=-6.0) + 4.0) / 2.0
    return torch.cat([posteriors, heard[..., N_STATES:] / torch.tensor(CEPSTRA_SPREAD)], -1)

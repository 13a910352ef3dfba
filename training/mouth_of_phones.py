"""What the filmed speaker's mouth does for a sequence of phones: targets for speech that was not filmed.

A small convolutional network from aligned phones to coefficients. It sees 0.3 s to both sides and often loses part of
it in training, so that it knows sounds rather than sentences.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from lipstream.engines.portrait.phones import BLOCK, HOP, PHONES, SAMPLE_RATE
from training.dataset import Sentence, moves_around, told_of
from training.export import closing_of, opening_of
from training.phonetics import BILABIAL
from training.prepare import Array
from training.speech import Spoken

Features = NDArray[np.float32]

HOPS_PER_SECOND = SAMPLE_RATE // HOP

EPOCHS, BATCH, RATE, DECAY = 16, 16, 3e-3, 0.05
CROP_STEPS = 140
"""Steps of a clip that are learned from at once."""
FORGOTTEN, STRETCH = 0.12, 8
"""Part of the phones that are removed from a sequence, and the length of the stretches in steps."""

_INDEX = {phone: i for i, phone in enumerate(PHONES)}
# Phones that GRID's words never show, as the ones that look most like them; HH takes the mouth of its neighbours.
_LOOKS_LIKE: dict[str, dict[str, float]] = {
    "SH": {"CH": 1.0},
    "ZH": {"JH": 1.0},
    "DH": {"TH": 1.0},
    "UH": {"UW": 0.5, "AH": 0.5},
    "NG": {"K": 1.0},
    "ER": {"R": 0.5, "AH": 0.5},
    "HH": {},
    "+NSN+": {"SIL": 1.0},
    "+SPN+": {"SIL": 1.0},
}


def _looks() -> Features:
    table = np.zeros((len(PHONES), len(PHONES)), np.float32)
    for phone, row in _INDEX.items():
        for like, part in _LOOKS_LIKE.get(phone, {phone: 1.0}).items():
            table[row, _INDEX[like]] = part
    return table


_LOOKS = _looks()


def steps_of(phones: list[str]) -> Features:
    """Phone of each hop of 10 ms → (steps, 42): how much of each phone a step of 20 ms shows."""
    shown = _LOOKS[[_INDEX[phone] for phone in phones]]
    steps = len(shown) // BLOCK
    return np.asarray(shown[: BLOCK * steps].reshape(steps, BLOCK, len(PHONES)).mean(axis=1), np.float32)


def hops_of(timed: tuple[tuple[str, float, float], ...], hops: int) -> list[str]:
    """The phone of each hop, given (phone, start, end) in seconds. OY is AO and then IH."""
    phones = ["SIL"] * hops
    for phone, start, end in timed:
        first, last = round(start * HOPS_PER_SECOND), min(hops, round(end * HOPS_PER_SECOND))
        for hop in range(first, last):
            late = hop - first > 0.55 * (last - first)
            phones[hop] = ("IH" if late else "AO") if phone == "OY" else phone
    return phones


class PhoneMouth(nn.Module):  # type: ignore[misc]
    """(batch, steps, 42) phones → (batch, steps, K) coefficients, before they are scaled."""

    def __init__(self, coefficients: int, channels: int = 160) -> None:
        super().__init__()
        self.embed = nn.Linear(len(PHONES), 32, bias=False)
        self.near = nn.Conv1d(32, channels, 7, padding=3)
        self.wide = nn.Conv1d(channels, channels, 5, padding=4, dilation=2)
        self.wider = nn.Conv1d(channels, channels, 5, padding=8, dilation=4)
        self.output = nn.Linear(channels, coefficients)
        self.dropout = nn.Dropout(0.3)

    def forward(self, phones: Tensor) -> Tensor:
        """See the class."""
        h = self.embed(phones)
        if self.training:
            kept = torch.rand(len(h), h.shape[1] // STRETCH + 1, 1) > FORGOTTEN
            h = h * kept.repeat_interleave(STRETCH, 1)[:, : h.shape[1]]
        h = self.dropout(functional.gelu(self.near(h.transpose(1, 2))))
        h = h + self.dropout(functional.gelu(self.wide(h)))
        h = h + self.dropout(functional.gelu(self.wider(h)))
        return self.output(h.transpose(1, 2))


def fit_phone_mouth(phones: list[Features], coefficients: list[Features], spread: Array, seed: int) -> PhoneMouth:
    """Learn from filmed clips: (steps, 42) and (steps, K) of each; ``spread`` (K,) is each coefficient's scale."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = PhoneMouth(len(spread))
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    batches = len(phones) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=EPOCHS * batches + 1)
    for _ in range(EPOCHS):
        order = rng.permutation(len(phones))[: batches * BATCH]
        for chosen in order.reshape(batches, BATCH):
            starts = [int(rng.integers(max(1, len(phones[i]) - CROP_STEPS))) for i in chosen]
            crops = [slice(start, start + CROP_STEPS) for start in starts]
            heard = torch.tensor(np.stack([phones[i][crop] for i, crop in zip(chosen, crops, strict=True)]))
            filmed = np.stack([coefficients[i][crop] for i, crop in zip(chosen, crops, strict=True)])
            error = network(heard) - torch.tensor((filmed / spread).astype(np.float32))
            cost = error.abs().mean() + (error[:, 2:] - error[:, :-2]).abs().mean()
            optimiser.zero_grad()
            cost.backward()
            optimiser.step()
            schedule.step()
    network.eval()
    return network


def imagined(spoken: Spoken, network: PhoneMouth, spread: Array, vectors: Array) -> Sentence:
    """Syllables with the motion that a film of them would probably show. ``vectors`` is the basis (K, 61, 3)."""
    steps = len(spoken.audio) // (BLOCK * HOP)
    phones = hops_of(spoken.phones, BLOCK * steps)
    spans = _spans(phones)
    shown = steps_of(phones)
    with torch.no_grad():
        coefficients = network(torch.tensor(shown)[None])[0].numpy() * spread
    talks = np.max([moves_around(steps, first, last) for first, last in spans], axis=0)
    coefficients = coefficients * talks[:, None]
    opens = opening_of(vectors)
    touches = shown[:, [_INDEX[phone] for phone in sorted(BILABIAL)]].sum(axis=1)
    gaps = np.maximum(0.0, coefficients @ opens) * np.clip(1.2 * touches, 0.0, 1.0)
    coefficients = coefficients + gaps[:, None] * closing_of(vectors, spread)
    told = told_of(coefficients @ opens, phones)
    samples = steps * BLOCK * HOP
    return Sentence(spoken.audio[:samples], coefficients.astype(np.float32), told.astype(np.float32), tuple(spans))


def _spans(phones: list[str]) -> list[tuple[int, int]]:
    """First and last step of each syllable, which lies between two silences."""
    silent = np.array([True, *(phone == "SIL" for phone in phones), True])
    borders = np.flatnonzero(np.diff(silent.astype(int)))
    return [(int(first) // BLOCK, int(last) // BLOCK) for first, last in borders.reshape(-1, 2)]

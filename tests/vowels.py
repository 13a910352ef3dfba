"""A small formant synthesiser: vowels and lip closures with known timing, from nothing but NumPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
"""Hz."""

FORMANTS = {"AA": (730.0, 1090.0, 2440.0), "IY": (270.0, 2290.0, 3010.0), "UW": (300.0, 870.0, 2240.0)}
"""First three formants of American English vowels in Hz, men's means (Peterson & Barney, JASA 1952)."""
_HIGHER_FORMANTS = (3500.0, 4500.0, 5500.0, 6500.0)
_BANDWIDTHS = (60.0, 90.0, 120.0, 150.0, 200.0, 200.0, 200.0)
_PITCH = 120.0


def silence(seconds: float) -> NDArray[np.float32]:
    """Digital silence."""
    return np.zeros(round(seconds * RATE), np.float32)


def hiss(seconds: float, level: float, seed: int = 0) -> NDArray[np.float32]:
    """White noise of a given standard deviation."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(round(seconds * RATE)) * level).astype(np.float32)


def vowel(name: str, seconds: float) -> NDArray[np.float32]:
    """A voiced vowel at a usual level, 20 ms of fade at both ends."""
    n = round(seconds * RATE)
    # A voice is never quite steady: its pitch falls and trembles, and it is a little breathy.
    tremble = np.convolve(np.random.default_rng(0).standard_normal(n), np.hanning(800) / 20, "same")
    pitch = _PITCH * (1.1 - 0.25 * np.arange(n) / n + 0.01 * tremble)
    phase = np.cumsum(pitch) / RATE
    pulses = np.diff(np.floor(phase), prepend=0.0) + hiss(seconds, 0.02)[:n]
    spectrum = np.fft.rfft(pulses, 2 * n)
    frequency = np.fft.rfftfreq(2 * n, 1 / RATE)
    z = np.exp(-2j * np.pi * frequency / RATE)
    spectrum *= 1 / (1 - 0.9 * z)  # the glottal pulse and the lips' radiation: falling by 6 dB per octave
    for formant, bandwidth in zip(FORMANTS[name] + _HIGHER_FORMANTS, _BANDWIDTHS, strict=True):
        radius = np.exp(-np.pi * bandwidth / RATE)
        spectrum /= 1 - 2 * radius * np.cos(2 * np.pi * formant / RATE) * z + radius**2 * z**2
    sound = np.fft.irfft(spectrum)[:n]
    fade = np.clip(np.minimum(np.arange(n), np.arange(n)[::-1]) / (0.02 * RATE), 0.0, 1.0)
    sound *= fade / np.abs(sound).max() * 0.4
    return sound.astype(np.float32)

"""What else a microphone hears: hiss, hum, music and the room, all synthesised."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from lipstream.engines.portrait.phones import SAMPLE_RATE

Sound = NDArray[np.float64]
Noise = Callable[[int, np.random.Generator], Sound]
"""Number of samples → (samples,) at 16 kHz, of any level."""

_NOTES_PER_SECOND = 2.5
_PARTIALS = 8
_REVERBERATION = (0.15, 0.6)  # seconds until a sound has fallen by 60 dB
_DIRECT = (0.3, 1.0)  # what the direct sound carries besides the room's 1


def coloured(samples: int, rng: np.random.Generator) -> Sound:
    """Between white and dark."""
    white = rng.standard_normal(samples + 1)
    return np.asarray(white[1:] + rng.uniform(0.0, 0.95) * white[:-1])


def pink(samples: int, rng: np.random.Generator) -> Sound:
    """Equal power in each octave: wind, traffic, a hall full of people far away."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    spectrum[0] = 0.0
    return np.fft.irfft(spectrum, samples)


def hum(samples: int, rng: np.random.Generator) -> Sound:
    """A machine: a low tone with harmonics, and the air it moves."""
    time = np.arange(samples) / SAMPLE_RATE
    base = rng.uniform(45.0, 220.0)
    tones = [
        np.sin(2 * np.pi * base * k * time + rng.uniform(0, 6.3)) / k ** rng.uniform(0.7, 1.5) for k in range(1, 9)
    ]
    return np.asarray(np.sum(tones, axis=0) + rng.uniform(0.05, 0.5) * coloured(samples, rng))


def music(samples: int, rng: np.random.Generator) -> Sound:
    """Chords of plucked or bowed tones over a beat."""
    sound = np.zeros(samples)
    for _ in range(max(1, round(samples / SAMPLE_RATE * _NOTES_PER_SECOND))):
        start, length = int(rng.integers(samples)), int(rng.uniform(0.2, 1.5) * SAMPLE_RATE)
        time = np.arange(min(length, samples - start)) / SAMPLE_RATE
        decay, bright = rng.uniform(0.1, 1.0), rng.uniform(0.8, 2.0)
        for semitone in (0, *rng.choice([3, 4, 7, 12], 2, replace=False)):
            pitch = 110.0 * 2 ** ((rng.integers(30) + semitone) / 12)
            tone = sum(
                np.sin(2 * np.pi * pitch * k * time) / k**bright
                for k in range(1, _PARTIALS)
                if pitch * k < SAMPLE_RATE / 2
            )
            sound[start : start + len(time)] += tone * np.exp(-time / decay) * np.minimum(1.0, time / 0.01)
    beat = int(SAMPLE_RATE * rng.uniform(0.25, 0.6))
    strokes = (np.arange(samples) % beat) / SAMPLE_RATE
    return sound + rng.uniform(0.0, 3.0) * np.exp(-strokes / 0.03) * rng.standard_normal(samples)


NOISES: tuple[Noise, ...] = (coloured, pink, hum, music)
"""All kinds."""


def at_level(noise: Sound, level: float) -> NDArray[np.float32]:
    """The same noise with an effective value of ``level``."""
    effective = float(np.sqrt((noise**2).sum() / max(1, noise.size)))
    return np.asarray(noise * (level / max(effective, 1e-9)), np.float32)


def in_a_room(sound: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """(samples,) with the echoes of a small or middling room: exponentially decaying noise behind the direct sound."""
    seconds = rng.uniform(*_REVERBERATION)
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    echoes = rng.standard_normal(len(time)) * 10.0 ** (-3.0 * time / seconds)
    echoes *= rng.uniform(*_DIRECT) / np.sqrt((echoes**2).sum())
    echoes[0] = 1.0
    return np.asarray(fftconvolve(sound, echoes)[: len(sound)], np.float32)

"""Speech, and sounds in which a mouth should be still: noise and music.

All are (n,) float32 at 16 kHz; 1 is full scale, which loud mixtures may pass.
"""

from __future__ import annotations

import math
import wave
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from lipstream.engines.base import SPEECH_RATE

Sound = NDArray[np.float32]

NOISE_DB = 10.0
"""Signal-to-noise ratio of noisy speech; noise alone is as loud as in it."""

_TEMPO = 0.5  # seconds per beat
_CHORDS = ((220.0, 261.6, 329.6), (174.6, 220.0, 261.6), (130.8, 164.8, 196.0), (196.0, 246.9, 293.7))
"""A minor, F, C, G: Hz."""
_HARMONICS = 6


def sample_speech() -> Sound:
    """The bundled sentence."""
    with wave.open(str(files("lipstream") / "assets" / "sample.wav")) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return np.asarray(samples / 32768, np.float32)


def silence(seconds: float) -> Sound:
    """Digital silence."""
    return np.zeros(round(seconds * SPEECH_RATE), np.float32)


def pink_noise(samples: int, level: float, seed: int = 0) -> Sound:
    """Noise that falls by 3 dB per octave, as rooms and streets do, with a standard deviation of ``level``."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(samples))
    frequency = np.maximum(np.fft.rfftfreq(samples, 1 / SPEECH_RATE), 20.0)
    sound = np.fft.irfft(spectrum / np.sqrt(frequency), samples)
    return np.asarray(sound * (level / sound.std()), np.float32)


def speech_level(speech: Sound) -> float:
    """Standard deviation of the louder half of the 20 ms blocks: pauses do not count."""
    block = SPEECH_RATE // 50
    power = (speech[: len(speech) // block * block].reshape(-1, block).astype(np.float64) ** 2).mean(axis=1)
    return float(np.sqrt(power[power >= np.median(power)].mean()))


def add_noise(speech: Sound, snr_db: float, seed: int = 0) -> Sound:
    """Speech with pink noise ``snr_db`` below it."""
    level = speech_level(speech) * 10 ** (-snr_db / 20)
    return speech + pink_noise(len(speech), level, seed)


def music(seconds: float, level: float, seed: int = 0) -> Sound:
    """A band without a singer: chords of plucked strings, bass, bass drum, snare and cymbal."""
    rng = np.random.default_rng(seed)
    sound = np.zeros(round(seconds * SPEECH_RATE))
    for beat in range(math.ceil(seconds / _TEMPO)):
        chord = _CHORDS[beat // 4 % len(_CHORDS)]
        parts = [0.3 * _note(frequency, 0.9) for frequency in chord] + [0.6 * _note(chord[0] / 2, 0.5)]
        parts.append(0.8 * _drum(rng, 55.0, 0.0) if beat % 2 == 0 else 0.6 * _drum(rng, 180.0, 0.8))
        for part in parts:
            _mix(sound, part, beat * _TEMPO)
        for half in (0.0, 0.5):
            _mix(sound, 0.15 * _drum(rng, 0.0, 1.0, seconds=0.06), (beat + half) * _TEMPO)
    return np.asarray(sound * (level / sound.std()), np.float32)


def _mix(sound: NDArray[np.float64], part: NDArray[np.float64], start: float) -> None:
    first = round(start * SPEECH_RATE)
    here = sound[first : first + len(part)]
    here += part[: len(here)]


def _note(frequency: float, seconds: float) -> NDArray[np.float64]:
    time = np.arange(round(seconds * SPEECH_RATE)) / SPEECH_RATE
    harmonics = [np.sin(2 * np.pi * k * frequency * time) * np.exp(-3 * k * time) / k for k in range(1, _HARMONICS + 1)]
    return np.asarray(np.sum(harmonics, axis=0))


def _drum(rng: np.random.Generator, frequency: float, hiss: float, seconds: float = 0.2) -> NDArray[np.float64]:
    time = np.arange(round(seconds * SPEECH_RATE)) / SPEECH_RATE
    tone = (1 - hiss) * np.sin(2 * np.pi * frequency * time)
    return np.asarray((tone + hiss * rng.standard_normal(len(time))) * np.exp(-4 * time / seconds))

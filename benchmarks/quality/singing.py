"""Sung vowels: whether the mouth stays open as long as they are held, alone, where nothing else tells the voice, and in
a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.sounds import Sound, silence
from lipstream.engines.base import SPEECH_RATE
from training.prepare import FPS

FORMANTS = {
    "AA": (730, 1090, 2440),
    "EH": (530, 1840, 2480),
    "IY": (270, 2290, 3010),
    "OW": (460, 900, 2400),
    "UW": (300, 870, 2240),
}
"""Hz, men's means (Peterson & Barney 1952); OW by ear."""
SINGERS = {"bass": (110.0, 1.0), "tenor": (165.0, 1.0), "alto": (220.0, 1.15), "soprano": (330.0, 1.18)}
"""Hz of the first note, and how much higher the formants are."""
STEPS = (0, 2, 4, 5, 7)
"""Semitones of the vowels' notes."""
HELD_SECONDS = 1.6
SHUT_IOD = 0.015
"""Opening below which a mouth counts as shut, inter-ocular distances."""

_VIBRATO_HZ, _VIBRATO = 5.5, 0.3  # semitones
_BANDWIDTHS = (80, 100, 140)
_HIGHER = ((3500, 150), (4500, 200))
_FADE, _BETWEEN = 0.08, 0.3  # seconds
_SETTLED = slice(int(0.3 * FPS), -int(0.15 * FPS))  # of the frames of a held vowel


@dataclass(frozen=True)
class Figures:
    """Of one singer."""

    shut_alone: float
    """Share of the time in which the mouth is shut while a vowel is held that is all there is to hear."""
    shut_in_a_row: float
    """The same when the vowels follow each other."""
    opens_for_aa: float
    """Mean opening for AA, in a row, IOD."""
    opens_for_uw: float
    """The same for UW: it should be less."""


def hold(vowel: str, singer: str, note: int) -> Sound:
    """A vowel for :data:`HELD_SECONDS`, ``note`` semitones above the first one."""
    hertz, higher = SINGERS[singer]
    n = round(HELD_SECONDS * SPEECH_RATE)
    time = np.arange(n) / SPEECH_RATE
    pitch = hertz * 2 ** ((note + _VIBRATO * np.sin(2 * np.pi * _VIBRATO_HZ * time)) / 12)
    pulses = np.diff(np.floor(np.cumsum(pitch) / SPEECH_RATE), prepend=0.0)
    z = np.exp(-2j * np.pi * np.fft.rfftfreq(2 * n, 1 / SPEECH_RATE) / SPEECH_RATE)
    spectrum = np.fft.rfft(pulses, 2 * n) / (1 - 0.9 * z)  # falls by 6 dB per octave
    for formant, width in (*zip(FORMANTS[vowel], _BANDWIDTHS, strict=True), *_HIGHER):
        radius = np.exp(-np.pi * width / SPEECH_RATE)
        spectrum /= 1 - 2 * radius * np.cos(2 * np.pi * higher * formant / SPEECH_RATE) * z + radius**2 * z**2
    sound = np.fft.irfft(spectrum)[:n]
    sound *= np.clip(np.minimum(time, time[::-1]) / _FADE, 0.0, 1.0)
    return np.asarray(sound * (0.06 / sound.std()), np.float32)


def measure_singing(opening: Callable[[Sound, int], NDArray[np.float64]]) -> dict[str, Figures]:
    """Figures by singer. ``opening`` gives a recording's opening in each frame (frames,), IOD."""
    return {singer: _measure(opening, singer) for singer in SINGERS}


def _measure(opening: Callable[[Sound, int], NDArray[np.float64]], singer: str) -> Figures:
    rest = silence(_BETWEEN)
    held = [hold(vowel, singer, note) for vowel, note in zip(FORMANTS, STEPS, strict=True)]
    alone = [_of(opening, np.concatenate([rest, vowel, rest]), 0) for vowel in held]
    row = np.concatenate([rest, *(part for vowel in held for part in (vowel, rest))])
    shown = dict(zip(FORMANTS, (_of(opening, row, number) for number in range(len(held))), strict=True))
    return Figures(
        float(np.mean([(frames < SHUT_IOD).mean() for frames in alone])),
        float(np.mean([(frames < SHUT_IOD).mean() for frames in shown.values()])),
        float(shown["AA"].mean()),
        float(shown["UW"].mean()),
    )


def _of(opening: Callable[[Sound, int], NDArray[np.float64]], sound: Sound, number: int) -> NDArray[np.float64]:
    """Opening while the vowel of this number is held."""
    shown = opening(sound, len(sound) * FPS // SPEECH_RATE)
    first = round((_BETWEEN + number * (HELD_SECONDS + _BETWEEN)) * FPS)
    return shown[first : first + int(HELD_SECONDS * FPS)][_SETTLED]

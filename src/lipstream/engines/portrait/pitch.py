"""How high the voice is, which also says how long the vocal tract is: women's and children's are shorter than men's.

The acoustic model hears m and b of a high voice as n and d. Stretching the frequencies of a short vocal tract to those
of a longer one corrects that (Lee & Rose 1996, "Speaker normalization using efficient frequency warping procedures").
How much to stretch is decided by the pitch, which correlates with the length and can be heard within a syllable.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

HIGH_WARP = 1.1
"""The stretch of a high voice's frequencies."""
HIGH_HZ = (140.0, 165.0)
"""Voices below the first count as low, above the second as high."""

_THINNED = 4  # samples that are averaged into one: pitch needs no high frequencies
_RATE = 16_000 / _THINNED
_PITCHES = (75.0, 420.0)
_LAGS = np.arange(int(_RATE / _PITCHES[1]), int(_RATE / _PITCHES[0]) + 1)
_N_FFT = 256
_VOICED = 0.7  # correlation of a sound with itself one period later from which on it counts as voiced
_NEARLY_BEST = 0.85  # of several periods that repeat about equally well, the shortest is the right one
_FAINT = 3e-4  # RMS of the window below which nothing counts
_PRIOR, _PRIOR_COUNT, _MEMORY = np.log(120.0), 15.0, 250.0


class VoiceHeight:
    """0…1: how high the voice heard so far is. A low one is expected at first. Not thread-safe."""

    def __init__(self) -> None:
        self._log_pitch = float(_PRIOR)
        self._count = _PRIOR_COUNT

    def update(self, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Hear (n, samples) in [-1, 1] at 16 kHz, 20 ms from one to the next; give the (n,) heights before each."""
        heights = np.empty(len(windows))
        for i, pitch in enumerate(pitches(windows)):
            heights[i] = np.interp(np.exp(self._log_pitch), HIGH_HZ, (0.0, 1.0))
            if pitch > 0:
                self._count = min(self._count + 1.0, _MEMORY)
                self._log_pitch += (np.log(pitch) - self._log_pitch) / self._count
        return heights


def pitches(windows: NDArray[np.float32]) -> NDArray[np.float64]:
    """(n, samples) in [-1, 1] at 16 kHz → (n,) Hz, 0 where no voice sounds: by autocorrelation (Boersma 1993)."""
    whole = windows.shape[1] // _THINNED
    thin = windows[:, : whole * _THINNED].reshape(len(windows), whole, _THINNED).mean(axis=2, dtype=np.float64)
    thin -= thin.mean(axis=1, keepdims=True)
    taper, tapered = _taper(whole)
    alike = _autocorrelation(thin * taper) / tapered
    loud = alike[:, 0] > _FAINT**2
    alike = alike[:, _LAGS] / np.maximum(alike[:, :1], 1e-12)
    peaks = np.zeros_like(alike)
    middle = alike[:, 1:-1]
    peaks[:, 1:-1] = np.where((middle >= alike[:, :-2]) & (middle > alike[:, 2:]), middle, 0.0)
    best = peaks.max(axis=1, keepdims=True)
    first = (peaks >= _NEARLY_BEST * best).argmax(axis=1)
    return np.asarray(np.where(loud & (best[:, 0] > _VOICED), _RATE / _LAGS[first], 0.0))


@cache
def _taper(samples: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(samples,) Hann window, and its autocorrelation (1, lags), by which measured ones have to be divided."""
    taper = np.hanning(samples)
    return taper, _autocorrelation(taper[np.newaxis])


def _autocorrelation(sound: NDArray[np.float64]) -> NDArray[np.float64]:
    spectrum = np.fft.rfft(sound, _N_FFT)
    correlation = np.fft.irfft(spectrum.real**2 + spectrum.imag**2)[:, : _LAGS[-1] + 1]
    return np.asarray(correlation / sound.shape[1])

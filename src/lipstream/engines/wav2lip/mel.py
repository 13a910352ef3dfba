"""Speech as the network hears it: mel windows of 200 ms, one per video frame, computed while the audio arrives.

The features are those Wav2Lip was trained on: 16 kHz, pre-emphasis 0.97, a centred short-time Fourier transform
(periodic Hann window of 800 samples every 200, zeros beyond both ends), 80 Slaney-normalised mel bands from 55 to 7600
Hz, decibels less a reference level of 20, mapped linearly from [-100, 0] dB to [-4, 4] and clipped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lipstream.engines.base import SPEECH_RATE
from lipstream.engines.wav2lip.architecture import MEL_BANDS, WINDOW_COLUMNS

N_FFT = 800  # samples, 50 ms; also the length of the Hann window
HOP_LENGTH = 200  # samples, 12.5 ms
COLUMN_RATE = SPEECH_RATE // HOP_LENGTH
"""Mel columns per second: 80."""
PRE_EMPHASIS = 0.97
MIN_HZ, MAX_HZ = 55.0, 7600.0
MIN_LEVEL = 1e-5  # amplitude, -100 dB
REFERENCE_DB = 20.0
FLOOR_DB = -100.0
MAX_VALUE = 4.0

WINDOW_OFFSET = Fraction(0)
"""Where a frame's window begins, in seconds after the frame.

The original's inference uses 0. In its training, the window began one frame earlier, at -1/25. So compared with what
the network learned, the published inference feeds it audio that is 40 ms ahead.
"""

LOOKAHEAD = WINDOW_OFFSET + Fraction((WINDOW_COLUMNS - 1) * HOP_LENGTH + N_FFT // 2, SPEECH_RATE)
"""Audio a frame needs after its own time, in seconds: 212.5 ms."""


class MelStream:
    """Mel columns of a recording that arrives in pieces. They are the same bit for bit, however the audio is cut.

    Column ``m`` is centred on sample ``m * HOP_LENGTH`` of the recording. Every column is computed alone from the same
    800 samples, so nothing depends on where the pieces begin.
    """

    def __init__(self) -> None:
        self._filters = mel_filters()
        self._window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)
        self._last = 0.0
        self._samples = np.zeros(N_FFT // 2)

    def push(self, speech: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """Hear more, (n,) at 16 kHz; give the columns that are complete now, each (80,) in [-4, 4]."""
        if len(speech) == 0:
            return
        raw = speech.astype(np.float64)
        emphasised = raw.copy()
        emphasised[1:] -= PRE_EMPHASIS * raw[:-1]
        emphasised[0] -= PRE_EMPHASIS * self._last
        self._last = float(raw[-1])
        yield from self._take(emphasised)

    def silence(self) -> Iterator[NDArray[np.float32]]:
        """After the end: endless columns of silence, like the zeros around a centred transform."""
        while True:
            yield from self._take(np.zeros(HOP_LENGTH))

    def _take(self, emphasised: NDArray[np.float64]) -> Iterator[NDArray[np.float32]]:
        self._samples = np.concatenate([self._samples, emphasised])
        while len(self._samples) >= N_FFT:
            spectrum = np.abs(np.fft.rfft(self._samples[:N_FFT] * self._window))
            self._samples = self._samples[HOP_LENGTH:]
            decibels = 20 * np.log10(np.maximum(MIN_LEVEL, self._filters @ spectrum)) - REFERENCE_DB
            scaled = (decibels - FLOOR_DB) / -FLOOR_DB * 2 * MAX_VALUE - MAX_VALUE
            yield np.clip(scaled, -MAX_VALUE, MAX_VALUE).astype(np.float32)


class WindowStream:
    """One mel window per video frame, in order, as soon as the audio for it is there."""

    def __init__(self, fps: Fraction, offset: Fraction = WINDOW_OFFSET) -> None:
        self._fps = fps
        self._offset = offset
        self._mel = MelStream()
        self._columns: list[NDArray[np.float32]] = []
        self._first = 0  # index of _columns[0]
        self._frame = 0

    def push(self, speech: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """Hear more, (n,) at 16 kHz; give the windows that are complete now, each (80, 16)."""
        self._columns.extend(self._mel.push(speech))
        return self._complete()

    def _complete(self) -> Iterator[NDArray[np.float32]]:
        while (window := self._next()) is not None:
            yield window

    def finish(self, frames: int) -> Iterator[NDArray[np.float32]]:
        """The audio is over: give the rest, so that there were ``frames`` windows in all; silence follows the audio."""
        silence = self._mel.silence()
        while self._frame < frames:
            window = self._next()
            if window is None:
                self._columns.append(next(silence))
            else:
                yield window

    def _next(self) -> NDArray[np.float32] | None:
        start = window_start(self._frame, self._fps, self._offset)
        gone = min(start - self._first, len(self._columns))
        del self._columns[:gone]
        self._first += gone
        if self._first < start or len(self._columns) < WINDOW_COLUMNS:
            return None
        self._frame += 1
        return np.stack(self._columns[:WINDOW_COLUMNS], axis=1)


def window_start(frame: int, fps: Fraction, offset: Fraction = WINDOW_OFFSET) -> int:
    """Index of the first mel column that video frame ``frame`` hears; never before the recording."""
    return max(0, math.floor((frame / fps + offset) * COLUMN_RATE))


def mel_filters() -> NDArray[np.float64]:
    """(80, 401) triangular filters of unit area over the transform's bins (Slaney, Auditory Toolbox, 1998)."""
    edges = _mel_to_hertz(np.linspace(_hertz_to_mel(MIN_HZ), _hertz_to_mel(MAX_HZ), MEL_BANDS + 2))
    bins = np.fft.rfftfreq(N_FFT, 1 / SPEECH_RATE)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return np.asarray(triangles * (2.0 / (high - low)), np.float64)


# Slaney's mel scale: linear below 1000 Hz (15 mel), logarithmic above with 27 steps to a factor of 6.4.
_HERTZ_PER_MEL = 200 / 3
_LINEAR_HERTZ, _LINEAR_MEL = 1000.0, 15.0
_LOG_STEP = math.log(6.4) / 27


def _hertz_to_mel(hertz: float) -> float:
    if hertz < _LINEAR_HERTZ:
        return hertz / _HERTZ_PER_MEL
    return _LINEAR_MEL + math.log(hertz / _LINEAR_HERTZ) / _LOG_STEP


def _mel_to_hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    logarithmic = _LINEAR_HERTZ * np.exp(_LOG_STEP * (mel - _LINEAR_MEL))
    return np.where(mel < _LINEAR_MEL, mel * _HERTZ_PER_MEL, logarithmic)

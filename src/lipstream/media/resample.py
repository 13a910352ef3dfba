"""Sample-rate conversion of one channel, chunk by chunk and without delay."""

from __future__ import annotations

import math
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

# libswresample's filter spans 32 samples at the lower rate; this is several times as many.
_TAIL = 256


class Resampler:
    """Turn mono audio at one sample rate into the same audio at another, chunk by chunk.

    Sample ``i`` of the output is the sound ``i / target_rate`` seconds after the first input sample: the delay of the
    filter makes samples come out later, but never shifts them. The output does not depend on how the input is split.
    Both rates are in Hz. Use one instance per stream; it is not thread-safe.
    """

    def __init__(self, source_rate: int, target_rate: int) -> None:
        self.source_rate = source_rate
        self.target_rate = target_rate
        self._begin()

    def _begin(self) -> None:
        self._swr = av.AudioResampler(format="flt", layout="mono", rate=self.target_rate)
        self._received = 0
        self._given = 0

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take (n,) float32 samples, n ≥ 0; returns the (m,) float32 samples that are final by now."""
        if self.source_rate == self.target_rate:
            return samples
        converted = self._convert(samples)
        self._received += len(samples)
        self._given += len(converted)
        return converted

    def flush(self) -> NDArray[np.float32]:
        """End the stream: returns the rest, so that there are ceil(n × target / source) samples in total. The instance
        can then be used for a new stream."""
        total = math.ceil(Fraction(self._received * self.target_rate, self.source_rate))
        missing = total - self._given
        # Silence pushes the last samples out of the filter. The library's own flush mirrors the signal instead, and
        # gives nothing for streams that are shorter than its filter.
        silence = np.zeros(_TAIL * max(1, math.ceil(self.source_rate / self.target_rate)), np.float32)
        pieces = [np.zeros(0, np.float32)]
        while missing > 0:
            piece = self._convert(silence)[:missing]
            pieces.append(piece)
            missing -= len(piece)
        self._begin()
        return np.concatenate(pieces)

    def _convert(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        if not len(samples):
            return np.zeros(0, np.float32)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples, np.float32)[None], format="flt", layout="mono")
        frame.sample_rate = self.source_rate
        out = [piece.to_ndarray()[0] for piece in self._swr.resample(frame)]
        return np.concatenate(out) if out else np.zeros(0, np.float32)

"""Recordings in any format that FFmpeg decodes: measured by decoding them once, then read block by block."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lipstream.errors import AudioError
from lipstream.media.decode import Piece, decode, padding
from lipstream.media.downmix import downmix
from lipstream.media.resample import Resampler

_BLOCK = 8_192  # samples; the longest block that is given


@dataclass(frozen=True)
class Recording:
    """A sound file and what it really contains. The sound stays encoded, so a long recording takes little memory."""

    data: bytes = field(repr=False)
    """The file, unchanged."""
    sample_rate: int
    """Sample rate of :meth:`blocks`, in Hz: the rate that most of the recording has."""
    channels: int
    """1 or 2; more are mixed down to 2."""
    samples: int
    """Length, in samples per channel; at least 1."""

    @property
    def duration(self) -> Fraction:
        """Length in seconds, exact."""
        return Fraction(self.samples, self.sample_rate)

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Decode from the beginning: (n, channels) float32 in [-1, 1], 0 < n ≤ 8192, :attr:`samples` in total."""
        left = self.samples
        for rate, pieces in itertools.groupby(decode(self.data), lambda piece: piece.sample_rate):
            for block in self._at_own_rate(rate, pieces):
                for start in range(0, min(len(block), left), _BLOCK):
                    yield block[start : min(start + _BLOCK, left)]
                left -= min(left, len(block))
                if not left:
                    return

    def _at_own_rate(self, rate: int, pieces: Iterable[Piece]) -> Iterator[NDArray[np.float32]]:
        pcm = (downmix(piece.to_float(), piece.speakers, self.channels) for piece in pieces)
        if rate == self.sample_rate:
            yield from pcm
            return
        resamplers = [Resampler(rate, self.sample_rate) for _ in range(self.channels)]
        for block in pcm:
            yield np.stack([one.push(channel) for one, channel in zip(resamplers, block.T, strict=True)], axis=1)
        yield np.stack([one.flush() for one in resamplers], axis=1)


def open_recording(data: bytes, *, max_seconds: float) -> Recording:
    """Measure a sound file by decoding it once. Headers are not trusted; of a damaged file, whatever decodes is kept.

    Decoding stops as soon as ``max_seconds`` is exceeded. Raises :class:`lipstream.errors.AudioError`: ``not_audio``,
    ``no_audio_stream``, ``audio_empty``, ``audio_too_long``.
    """
    runs, channels, last = _measure(data, max_seconds)
    if last is None:
        raise AudioError("audio_empty", "The recording contains no sound at all. Send one with some speech in it.")
    rate = max(runs, key=lambda run: run[1])[0]
    samples = sum(math.ceil(Fraction(count * rate, own_rate)) for own_rate, count in runs)
    return Recording(data, rate, channels, samples - padding(data, samples, rate, last))


def _measure(data: bytes, max_seconds: float) -> tuple[list[tuple[int, int]], int, Piece | None]:
    """Decode everything: (rate in Hz, samples) of each stretch with one rate, the channels (1 or 2), the last piece."""
    runs: list[tuple[int, int]] = []
    before = Fraction(0)
    channels, last = 1, None
    for rate, pieces in itertools.groupby(decode(data), lambda piece: piece.sample_rate):
        samples = 0
        for piece in pieces:
            last = piece
            samples += piece.samples
            channels = max(channels, min(len(piece.speakers), 2))
            if before + Fraction(samples, rate) > max_seconds:
                raise AudioError(
                    "audio_too_long",
                    f"The recording is longer than {max_seconds:g} seconds, which is the limit. Send a shorter one.",
                )
        before += Fraction(samples, rate)
        runs.append((rate, samples))
    return runs, channels, last

"""Which speech sound is being made: a streaming phone-state classifier in plain NumPy.

The acoustic model is the ``en-us`` model of the PocketSphinx project (BSD-2-Clause), evaluated without its decoder::

    audio → pre-emphasis → 25.6 ms windows → 25 mel bands → 13 cepstra → running mean subtraction
          → cepstra, deltas, double deltas → 42 codebooks × 128 Gaussians × 3 streams → 126 log posteriors

For every 10 ms it says how likely each of the three states of each of the 42 context-independent phones is. It was
trained on many voices, so the answer depends little on who speaks, which is what a mouth needs.

Sources: the front end follows the sphinxbase feature extraction (``fe_sigproc.c``, ``feat.c``, parameters in the
model's ``feat.params``); the files follow the Sphinx-3 parameter format (``s3file``) and the ``sendump`` format of
``ptm_mgau.c``; Huggins-Daines et al., "PocketSphinx: a free, real-time continuous speech recognition system for
hand-held devices", ICASSP 2006.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipstream.engines.portrait.pitch import HIGH_WARP
from lipstream.engines.portrait.sphinx import quadratic_form, read_gaussians, read_mixture_weights
from lipstream.engines.portrait.voice import Voice
from lipstream.errors import ModelError

SAMPLE_RATE = 16_000
"""Hz."""
HOP = 160
"""Samples between two analysis windows: 10 ms."""
WINDOW = 410
"""Samples in an analysis window, 25.6 ms; window i is centred on sample ``HOP * i``."""
HALF_WINDOW = WINDOW // 2
"""Samples of a window after its centre."""
BLOCK = 2
"""Hops that are computed together; streams may use a multiple. It never changes within a stream, because the last bits
of a matrix product depend on its shape."""
DELTA_REACH = 3
"""Hops after its own that a feature vector needs (the double deltas)."""

PHONES: tuple[str, ...] = (
    *("+NSN+", "+SPN+", "AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER"),
    *("EY", "F", "G", "HH", "IH", "IY", "JH", "K", "L", "M", "N", "NG", "OW", "OY"),
    *("P", "R", "S", "SH", "SIL", "T", "TH", "UH", "UW", "V", "W", "Y", "Z", "ZH"),
)
"""ARPAbet names in the order of the model's ``mdef``; +NSN+ and +SPN+ are noise, SIL is silence."""
STATES_PER_PHONE = 3
"""Begin, middle and end of a phone."""
N_STATES = len(PHONES) * STATES_PER_PHONE
"""State s belongs to phone ``s // 3``."""

N_FFT = 512
N_MELS = 25
MEL_RANGE = (130.0, 6800.0)
N_CEPSTRA = 13
N_HEARD = N_STATES + N_CEPSTRA
"""How many numbers :class:`PhoneStream` gives per hop."""
LIFTER = 22
PRE_EMPHASIS = 0.97
FULL_SCALE = 32_768.0
MIN_VARIANCE = 0.1
"""Floor of the Gaussians' variances, relative to the median one of the same stream and dimension.

A few Gaussians of the model have hardly any variance (one of ZH's sits on deltas of exactly zero). PocketSphinx's own
floor of 1e-4 leaves them so, and every perfectly steady sound, digital silence first of all, would be heard as ZH.
"""
ACOUSTIC_SCALE = 0.5
"""Exponent of the likelihoods: neighbouring windows overlap, so each alone would be over-confident."""
LOG_FLOOR = -10.0
"""Smallest log posterior given."""

_UNLIKELY = np.float32(1e-37)
"""Added to likelihoods relative to the greatest, so that they have a logarithm; near the smallest float32."""

# Sphinx adds ±1 bit of random dither so that digital silence has a logarithm. Here the power that noise at -80 dBFS
# would have in one mel band is added instead. It hides everything quieter, and equal input gives equal output.
_DITHER_POWER = 55.0


@dataclass(frozen=True)
class AcousticModel:
    """The Gaussian mixtures of every phone state. Immutable; share it between streams."""

    quadratic: NDArray[np.float32]
    """(3, 27, 5376): per stream, what [x², x, 1] is multiplied with to give every Gaussian's log density."""
    weights: NDArray[np.float32]
    """(3, 42, 3, 128): per stream and codebook, the weight in each state of each Gaussian; sums to 1 over Gaussians."""

    @classmethod
    def load(cls, means: Path, variances: Path, sendump: Path) -> AcousticModel:
        """Read the three files of a PTM model. Raises :class:`ModelError` (``model_missing``, ``model_damaged``)."""
        mean = read_gaussians(means)
        variance = read_gaussians(variances)
        if mean.shape != variance.shape or len(mean) != len(PHONES) or mean.shape[-1] != N_CEPSTRA:
            raise ModelError(
                "model_damaged",
                f"The acoustic model files {means} and {variances} do not belong together. "
                "Fetch them again with: lipstream models pull",
            )
        variance = np.maximum(variance, MIN_VARIANCE * np.median(variance, axis=(0, 2), keepdims=True))
        weight = read_mixture_weights(sendump, mean.shape[1], mean.shape[2], N_STATES)
        return cls(quadratic_form(mean, variance), _state_weights(weight))

    def log_posteriors(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, 3, 13) cepstra, deltas and double deltas → (n, 126) natural-log posteriors in [-10, 0]."""
        streams, codebooks = len(self.weights), len(PHONES)
        x = features.transpose(1, 0, 2)
        basis = np.concatenate([x * x, x, np.ones_like(x[:, :, :1])], axis=2)
        density = basis @ self.quadratic
        # Relative to the likeliest Gaussian of all: whatever exp() turns into zero is at most e⁻⁸⁷ times as likely.
        best = density.max(axis=2, keepdims=True)
        density -= best
        np.exp(density, out=density)
        gaussians = density.reshape(streams, len(features), codebooks, -1)
        likelihood = self.weights @ gaussians.transpose(0, 2, 3, 1)  # streams, codebooks, states, hops
        score = np.log(likelihood + _UNLIKELY).sum(axis=0).reshape(N_STATES, -1).T
        return _log_softmax(score * np.float32(ACOUSTIC_SCALE))


class PhoneStream:
    """Phone-state posteriors of one stream of audio, in order, however the audio is cut."""

    def __init__(
        self,
        model: AcousticModel,
        warp: float | None = None,
        *,
        block: int = BLOCK,
        voice: Voice | None = None,
    ) -> None:
        """``block`` hops are computed together: more are cheaper, but come later. ``voice`` is what is known about the
        speaker; None = nothing.

        ``warp`` stretches the frequency axis: above 1, the speaker sounds as if with a longer vocal tract. None chooses
        it by the pitch of the voice (:mod:`lipstream.engines.portrait.pitch`). In training, random values are used to
        vary the voices (Jaitly & Hinton 2013).
        """
        self._model = model
        self._low, self._high = mel_filters(warp or 1.0), mel_filters(warp or HIGH_WARP)
        self.voice = (voice or Voice()).remembered()
        """What was learned about the speaker."""
        self._follows_height = warp is None
        self._block = block
        self._windows = HOP * np.arange(block)[:, np.newaxis] + np.arange(WINDOW + 1)
        # Silence before the beginning fills the first windows and the history of the first deltas. Blocks of cepstra
        # begin early enough for the reach of the deltas to end together with a block.
        early = block * (DELTA_REACH // block + 1) - DELTA_REACH
        self._audio = np.zeros(HOP * early + HALF_WINDOW + 1, np.float32)
        self._cepstra = np.tile(self._silent_cepstra(), (max(0, DELTA_REACH - early), 1))
        self._reach = 2 * DELTA_REACH + block

    def push(self, speech: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take (n,) float32 samples in [-1, 1] at 16 kHz; give what is heard in the next m hops, whole blocks.

        (m, :data:`N_HEARD`): a hop's 126 log posteriors, then its 13 cepstra without their running mean.

        Hop i stands for the time ``i * HOP`` samples. It comes as soon as ``DELTA_REACH`` hops and half a
        window after the last hop of its block have been heard. NaN counts as silence; samples beyond full scale are
        clipped.
        """
        self._audio = np.concatenate([self._audio, _clean(speech)])
        blocks = []
        needed = WINDOW + 1 + HOP * (self._block - 1)
        start = 0
        while len(self._audio) - start >= needed:
            block = self._audio[start : start + needed]
            start += HOP * self._block
            more = self._cepstra_of(block[self._windows])
            self._cepstra = np.concatenate([self._cepstra, more])[-self._reach :]
            if len(self._cepstra) == self._reach:
                features = self._features()
                blocks.append(np.concatenate([self._model.log_posteriors(features), features[:, 0]], axis=1))
                self._cepstra = self._cepstra[self._block :]
        self._audio = self._audio[start:]
        return np.concatenate(blocks) if blocks else np.zeros((0, N_HEARD), np.float32)

    def _silent_cepstra(self) -> NDArray[np.float64]:
        return cepstra(np.zeros((1, WINDOW + 1), np.float32), self._low)

    def _cepstra_of(self, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        """(block, 411) samples → (block, 13), in the voice's own frequencies."""
        if not self._follows_height:
            return cepstra(windows, self._low)
        heights = np.repeat(self.voice.height.update(windows[::BLOCK]), BLOCK)[:, np.newaxis]
        return cepstra(windows, self._low, self._high, heights)

    def _features(self) -> NDArray[np.float32]:
        """The oldest complete block: (block, 3, 13), statics freed of the running mean."""
        now = self._cepstra[DELTA_REACH:-DELTA_REACH]
        deltas = self._cepstra[4:] - self._cepstra[:-4]  # of the hop before the block to the one after it
        features = np.empty((len(now), 3, N_CEPSTRA), np.float32)
        features[:, 0] = now - self.voice.update(now)
        features[:, 1] = deltas[1:-1]
        features[:, 2] = deltas[2:] - deltas[:-2]
        return features


def acquaint(speech: NDArray[np.float32]) -> Voice:
    """What a :class:`PhoneStream` may know about a voice in advance, from (n,) float32 samples in [-1, 1] at 16 kHz."""
    voice = Voice()
    windows = _view(_clean(speech), WINDOW + 1)[::HOP]
    low, high = mel_filters(), mel_filters(HIGH_WARP)
    heights = np.repeat(voice.height.update(windows[::BLOCK]), BLOCK)[: len(windows), np.newaxis]
    voice.update(cepstra(windows, low, high, heights))
    return voice


def _clean(speech: NDArray[np.float32]) -> NDArray[np.float32]:
    """NaN counts as silence; samples beyond full scale are clipped."""
    clean: NDArray[np.float32] = np.minimum(np.maximum(speech, np.float32(-1.0)), np.float32(1.0))
    clean[np.isnan(clean)] = 0.0
    return clean


def _view(samples: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Every stretch of ``length`` samples; none if there are fewer."""
    if len(samples) < length:
        return np.zeros((0, length), np.float32)
    stretches: NDArray[np.float32] = np.lib.stride_tricks.sliding_window_view(samples, length)
    return stretches


def cepstra(
    windows: NDArray[np.float32],
    filters: NDArray[np.float64],
    others: NDArray[np.float64] | None = None,
    share: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """(n, 411) samples in [-1, 1], the first one before the window → (n, 13) liftered mel-frequency cepstra.

    A ``share`` (n, 1) 0…1 of each band's power is taken from ``others`` instead of ``filters``; both are (257, 25).
    """
    pcm = np.multiply(windows, FULL_SCALE, dtype=np.float64)
    pcm -= np.add.reduce(pcm, axis=1, keepdims=True) / pcm.shape[1]
    emphasised = pcm[:, 1:] - PRE_EMPHASIS * pcm[:, :-1]
    emphasised *= _HAMMING
    spectrum = np.fft.rfft(emphasised, N_FFT)
    power = spectrum.real**2 + spectrum.imag**2
    bands = power @ filters
    if others is not None and share is not None and share.any():
        bands += share * (power @ others - bands)
    return np.log(bands + _DITHER_POWER) @ _DCT


def _log_softmax(score: NDArray[np.float32]) -> NDArray[np.float32]:
    score = score - score.max(axis=1, keepdims=True)
    score -= np.log(np.exp(score).sum(axis=1, keepdims=True))
    clipped: NDArray[np.float32] = np.maximum(score, np.float32(LOG_FLOOR))
    return clipped


@lru_cache(maxsize=4)  # in training every sequence has a warp of its own
def mel_filters(warp: float = 1.0) -> NDArray[np.float64]:
    """(257, 25) triangles of unit area, their corners rounded to FFT bins as sphinx does.

    ``warp``, 0.8…1.2, multiplies the corners; what would leave the spectrum is kept inside it.
    """

    def mel(hertz: float) -> float:
        return float(2595.0 * np.log10(1.0 + hertz / 700.0))

    mels = np.linspace(mel(MEL_RANGE[0]), mel(MEL_RANGE[1]), N_MELS + 2)
    bin_width = SAMPLE_RATE / N_FFT
    hertz = 700.0 * (10.0 ** (mels / 2595.0) - 1.0) * warp
    room = np.arange(N_MELS + 1, -1, -1) * bin_width
    corners = np.round(np.minimum(hertz, SAMPLE_RATE / 2 - bin_width - room) / bin_width) * bin_width
    frequency = np.arange(N_FFT // 2 + 1) * bin_width
    left, centre, right = corners[:-2], corners[1:-1], corners[2:]
    rising = (frequency[:, None] - left) / (centre - left)
    falling = (right - frequency[:, None]) / (right - centre)
    return np.asarray(np.maximum(0.0, np.minimum(rising, falling)) * 2.0 / (right - left))


def _dct() -> NDArray[np.float64]:
    """(25, 13) orthonormal DCT-II, the sinusoidal lifter included."""
    order = np.arange(N_CEPSTRA)
    basis = np.cos(np.pi * order * (np.arange(N_MELS)[:, None] + 0.5) / N_MELS)
    basis *= np.where(order == 0, np.sqrt(1.0 / N_MELS), np.sqrt(2.0 / N_MELS))
    return np.asarray(basis * (1.0 + LIFTER / 2.0 * np.sin(np.pi * order / LIFTER)))


_HAMMING = np.hamming(WINDOW)
_DCT = _dct()


def _state_weights(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """(3, 128, 126) → (3, 42, 3, 128), each state's weights scaled to sum to one."""
    streams, densities, _ = weight.shape
    scaled = weight / weight.sum(axis=1, keepdims=True)
    grouped = scaled.reshape(streams, densities, len(PHONES), STATES_PER_PHONE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(grouped, np.float32)

"""Speech → the motion of the mouth: phone-state posteriors through a small recurrent network, 50 times a second.

The network (dilated causal convolutions and a gated recurrent unit, ``training/network.py``) was trained on the GRID
corpus; ``docs/model-card.md`` tells how and how well. It runs here in plain NumPy, in steps of 20 ms::

    phones.PhoneStream → steps of 20 ms → coefficients and articulation → frames at any rate, means of steps

All sums have the same shapes however the audio is cut, so any chunking of the same audio gives the same bits.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipstream.engines.portrait.gates import LOGITS, SHOWN, SILENT, Gates, opening_of, ramp
from lipstream.engines.portrait.network import Network, State
from lipstream.engines.portrait.phones import (
    BLOCK,
    DELTA_REACH,
    HALF_WINDOW,
    HOP,
    PHONES,
    SAMPLE_RATE,
    AcousticModel,
    PhoneStream,
)
from lipstream.engines.portrait.visemes import Ear
from lipstream.engines.portrait.voice import Voice
from lipstream.errors import ModelError

Array = NDArray[np.float32]

STEP_SECONDS = Fraction(BLOCK * HOP, SAMPLE_RATE)
"""The network gives one mouth per step: 20 ms."""
STEP_LEAD = 4
"""A step sees its own block of posteriors and so many blocks after it, 80 ms."""
BLEND, BLEND_LATE = 1.5, 0.2
"""The coefficients of a frame are a weighted mean of the steps around it, because single steps tremble. The weight
falls from 1 to 0 over the first number of steps. It is greatest the second number after the frame, because unknown
voices are heard late. Steps that begin more than one after it do not count, because of the lookahead. Contacts, which
must be complete, and teeth and tongue, which are eased already, are interpolated linearly."""
LOOKAHEAD = Fraction((BLOCK * (STEP_LEAD + 1) - 1 + DELTA_REACH) * HOP + HALF_WINDOW, SAMPLE_RATE) + STEP_SECONDS
"""Seconds of audio after the time of a frame that must be known before the frame is certain, including the analysis
windows, the deltas and the step after it."""

DEFAULT_WEIGHTS = Path(__file__).parent / "weights" / "motion.npz"

_EASE_IN = 6
"""Steps over which an utterance leaves the mouth at rest, which the picture before it shows; 120 ms."""
_MOST_STEPS = 8
"""Steps that are computed together if frames may be held back, 160 ms; more would not be cheaper."""
_SILENT_SAMPLES = SAMPLE_RATE // 8
"""After so much silence, the deltas have heard nothing else."""
_SETTLE_STEPS = 19
"""Steps of silence before every utterance, including one that hears its beginning."""


@dataclass(frozen=True)
class MotionBasis:
    """What the coefficients mean: displacements of mesh points from the mouth at rest.

    Frame: origin at mesh point 168 (between the eyes), x along the eyes to the picture's right, y down, z away from the
    viewer's side as MediaPipe has it; unit = inter-ocular distance (between the eyes' centres). Displacement = mean +
    Σ coefficient · vector; coefficients of zero are the relaxed closed mouth.
    """

    points: NDArray[np.int64]
    """(61,) indices into the face mesh: 20 outer lip, 20 inner lip, 21 jaw and chin."""
    mean: Array
    """(61, 3) displacement that belongs to coefficients of zero: all zero."""
    vectors: Array
    """(K, 61, 3) orthonormal displacements, the strongest first; each opens the mouth when positive."""
    canonical: Array
    """(478, 3) the face the frame was defined on, its mouth at rest."""


@dataclass(frozen=True)
class Motion:
    """What the mouth does in m consecutive frames."""

    coefficients: Array
    """(m, K) of :class:`MotionBasis`; zero = at rest."""
    closed: Array
    """(m,) 0…1: how nearly the lips touch (b, p, m)."""
    lip_bite: Array
    """(m,) 0…1: how nearly the lower lip touches the upper teeth (f, v)."""
    dental: Array
    """(m,) 0…1: how far the tip of the tongue is between the teeth (th)."""
    tongue: Array
    """(m,) 0…1: how far the tip of the tongue is up (l, n, t, d, and th)."""

    def __len__(self) -> int:
        return len(self.coefficients)


class MotionModel:
    """The acoustic model and the network. Immutable: share it between threads and streams."""

    lookahead = LOOKAHEAD

    def __init__(self, acoustic: AcousticModel, network: Network, basis: MotionBasis, gates: Gates) -> None:
        """``gates`` must be those of the basis."""
        if network.outputs != len(basis.vectors) + len(LOGITS) + len(PHONES):
            raise ValueError("the network does not fit the basis")
        self.basis = basis
        self._acoustic = acoustic
        self._network = network
        self._gates = gates
        self._rest = self._settled(None)

    @classmethod
    def load(cls, acoustic: AcousticModel, weights: Path | None = None) -> MotionModel:
        """Read the weights, by default the ones that come with lipstream.

        Raises :class:`ModelError` (``model_missing``, ``model_damaged``).
        """
        path = weights or DEFAULT_WEIGHTS
        arrays = _read_weights(path)
        try:
            basis = MotionBasis(
                points=arrays["basis.points"].astype(np.int64),
                mean=np.zeros(arrays["basis.vectors"].shape[1:], np.float32),
                vectors=arrays["basis.vectors"].astype(np.float32),
                canonical=arrays["basis.canonical"].astype(np.float32),
            )
            closing, spreading = (arrays[name].astype(np.float32) for name in ("closing", "spreading"))
            gates = Gates(opening_of(basis.points, basis.vectors), closing, spreading)
            return cls(acoustic, Network(arrays, len(basis.vectors), len(PHONES)), basis, gates)
        except (KeyError, ValueError, IndexError) as error:
            raise _damaged(path) from error

    def listen(self, fps: Fraction, batch: int = 1, voice: Voice | None = None) -> MotionStream:
        """Begin an utterance at ``fps`` frames per second, more than 0.

        Up to ``batch`` frames may be held back in order to be computed together, which is faster; with 1, none is.
        ``voice`` is what is known about the speaker: :attr:`MotionStream.voice` of the previous utterance, or
        :func:`lipstream.engines.portrait.phones.acquaint`.
        """
        rest = self._rest if voice is None else self._settled(voice)
        return MotionStream(self._acoustic, self._network, self._gates, rest, fps, batch, voice)

    def _settled(self, voice: Voice | None) -> State:
        """What the network remembers after silence. It depends on the voice, because the running mean does."""
        silence = PhoneStream(self._acoustic, voice=voice).push(np.zeros(_SILENT_SAMPLES, np.float32))[-BLOCK:]
        state = self._network.state()
        self._network.steps(np.tile(silence, (_SETTLE_STEPS, 1)), state)
        return state


class MotionStream:
    """The mouth of one utterance. Not thread-safe."""

    def __init__(
        self,
        acoustic: AcousticModel,
        network: Network,
        gates: Gates,
        rest: State,
        fps: Fraction,
        batch: int,
        voice: Voice | None,
    ) -> None:
        """Use :meth:`MotionModel.listen`."""
        if fps <= 0:
            raise ValueError(f"fps must be positive, not {fps}")
        self._steps_per_frame = 1 / (STEP_SECONDS * fps)
        self._block = BLOCK * _steps_together(self._steps_per_frame, batch)
        self._phones = PhoneStream(acoustic, block=self._block, voice=voice)
        self._network = network
        self._gates = gates
        self._state = rest.copy()
        self._frame = 0
        self._steps: list[Array] = []
        self._next_step = -STEP_LEAD
        self._ear = Ear(BLOCK * STEP_LEAD, SILENT[1])

    @property
    def voice(self) -> Voice:
        """What is known about the speaker so far."""
        return self._phones.voice

    def push(self, speech: NDArray[np.float32]) -> Motion:
        """Hear (n,) float32 samples in [-1, 1] at 16 kHz, n ≥ 0; return the frames that have become certain."""
        self._listen(speech)
        return self._motion(self._ready_frames(None))

    def finish(self, frames: int) -> Motion:
        """The audio is over, silence follows: return the remaining frames, so that there are ``frames`` in total.

        Frames that were returned before are not taken back. The stream cannot be used afterwards.
        """
        silence = np.zeros(BLOCK * HOP, np.float32)
        rows = self._ready_frames(frames)
        while self._frame < frames:
            self._listen(silence)
            rows += self._ready_frames(frames)
        return self._motion(rows)

    def _listen(self, speech: NDArray[np.float32]) -> None:
        """Turn audio into steps."""
        heard = self._phones.push(speech)
        self._ear.hear(heard)
        for first in range(0, len(heard), self._block):
            for out in self._network.steps(heard[first : first + self._block], self._state):
                told = self._ear.step(out[-len(PHONES) :])
                if self._next_step >= 0:
                    self._steps.append(self._gates(out[: -len(PHONES)], told, ramp(self._next_step, 0, _EASE_IN)))
                self._next_step += 1

    def _ready_frames(self, limit: int | None) -> list[Array]:
        """Rows (K + 4,) of the next frames that the steps so far determine, up to frame ``limit``."""
        rows: list[Array] = []
        first = self._next_step - len(self._steps)
        while limit is None or self._frame < limit:
            position = self._frame * self._steps_per_frame
            own = int(position)
            if own + 1 >= self._next_step:
                break
            phase = float(position - own)
            before, here, after = (self._steps[max(0, step) - first] for step in (own - 1, own, own + 1))
            weights = blend(phase)
            row = weights[0] * before + weights[1] * here + weights[2] * after
            shown = slice(-len(SHOWN), None)
            row[shown] = here[shown] + (after - here)[shown] * np.float32(phase)
            rows.append(row)
            self._frame += 1
        used = int(self._frame * self._steps_per_frame) - 1 - first
        del self._steps[: max(0, used)]
        return rows

    def _motion(self, rows: list[Array]) -> Motion:
        k = len(self._gates.opening)
        table = np.array(rows, np.float32).reshape(len(rows), k + len(SHOWN))
        return Motion(table[:, :k], *table[:, k:].T)


def blend(phase: float) -> list[np.float32]:
    """Weights of the step before the one in which a frame lies, of that one, and of the next; they sum to 1. ``phase``
    0…1 is how far into its step the frame is."""
    weights = [max(0.0, 1 - abs(step - phase - BLEND_LATE) / BLEND) for step in (-1, 0, 1)]
    return [np.float32(weight / sum(weights)) for weight in weights]


def _steps_together(steps_per_frame: Fraction, batch: int) -> int:
    """How many steps to compute together. The cost of a step is reading the weights, so several cost little more than
    one.

    If only every other step has a frame, pairs of steps delay no frame: each needs the step after its own.
    """
    if batch > 1:
        return max(1, min(_MOST_STEPS, int(batch * steps_per_frame)))
    return 2 if steps_per_frame % 2 == 0 else 1


def _read_weights(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(
            "model_missing", f"The motion weights {path} cannot be read ({error.strerror}). Install lipstream again."
        ) from error
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {
                Path(name).stem: np.load(io.BytesIO(archive.read(name)), allow_pickle=False)
                for name in archive.namelist()
            }
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> ModelError:
    return ModelError("model_damaged", f"The motion weights {path} are damaged. Install lipstream again.")

"""How alike a shown mouth and a filmed one move: correlations, lag, amplitude, closures, stillness.

Works on displacements of :data:`training.prepare.POINTS`, wherever they come from: a motion model or a face mesh run on
finished video.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipstream.engines.portrait.phones import HOP, N_STATES, SAMPLE_RATE, AcousticModel, PhoneStream
from training.openings import (
    Span,
    chance,
    closures,
    correlation,
    is_closed,
    is_closed_near,
    lag_correlations,
    peak,
    speech_span,
)
from training.phonetics import BILABIAL, PRONUNCIATIONS, align_sentence, align_words, grid_sentence
from training.prepare import FPS, N_LIP, Array, Clip, jaw_map, opening_map, silent_frames, width_map

COMPONENTS = 3
"""How many components of the motion are compared one by one."""

_PAUSE_GUARD = round(0.3 * FPS)  # frames around words in which the mouth may still move
_SHORTEST_PAUSE = 3  # frames
_PLACES = {"opening": opening_map(), "width": width_map(), "jaw": jaw_map()}


@dataclass(frozen=True)
class Figures:
    """Means over clips unless said otherwise; None where there was nothing of the kind.

    "Closures" are b, p and m where words are known, else as filmed.
    """

    clips: int
    """How many."""
    opening_r: float
    """Correlation of the gap between the lips."""
    width_r: float
    """Correlation of the mouth's width."""
    jaw_r: float
    """Correlation of the chin's height."""
    component_r: tuple[float, ...]
    """Correlations of the first three components of the motion; empty without a basis."""
    opening_rmse: float
    """Root mean square error of the gap, in inter-ocular distances (IOD)."""
    width_rmse: float
    """The same for the width."""
    jaw_rmse: float
    """The same for the chin's height."""
    lip_rmse: float
    """Root mean square distance of the 40 lip points, IOD."""
    lag_frames: float
    """By how much the predicted opening comes late, frames of 40 ms: where its mean correlation is greatest."""
    amplitude: float
    """Standard deviation of the predicted opening over the true one."""
    amplitude_width: float
    """The same for the width."""
    closures: float | None
    """Part of the closures in which the predicted mouth closes, within 40 ms."""
    closures_chance: float | None
    """The same for as many moments picked blindly while somebody speaks."""
    bilabials: int
    """b, p and m in all clips, found in the sound by the words."""
    bilabials_hit: float | None
    """Part of them in which the predicted mouth closes."""
    bilabials_chance: float | None
    """What blind picking hits."""
    bilabials_filmed: float | None
    """Part in which the filmed mouth is seen to close: at 25 pictures per second not every closure is."""
    filmed_closures: int
    """Closures between two openings in the film, in all clips."""
    filmed_hit: float | None
    """Part of them in which the predicted mouth closes."""
    filmed_chance: float | None
    """What blind picking hits."""
    closures_right: float | None
    """Part of the predicted closures that are true ones by the film, within 40 ms."""
    pauses_closed: float | None
    """Part of the time in pauses in which the predicted mouth is closed."""
    pauses_chance: float | None
    """Part of all the time in which it is."""
    rest_jitter: float | None
    """Standard deviation of the opening's change from frame to frame in pauses, IOD."""
    rest_opening: float | None
    """Mean absolute predicted opening in pauses, IOD."""


@dataclass
class Comparison:
    """Adds up clips and gives their figures."""

    basis: Array | None = None
    """(K, 183) directions whose first three are compared one by one."""
    _rows: dict[str, list[float]] = field(default_factory=dict)
    _lags: list[Array] = field(default_factory=list)
    _per_frame: int = 1

    def add(self, clip: Clip, shown: Array, bilabials: list[int], per_frame: int = 1) -> None:
        """Compare ``shown`` (frames × per_frame, 183), displacements at ``per_frame`` times 25 per second, with a clip.

        ``per_frame`` must be the same for all clips; :func:`bilabials_of` gives the frames of b, p and m.
        """
        self._per_frame = per_frame
        true = clip.raw.reshape(len(clip.raw), -1)
        frames = shown[::per_frame]
        for place, operator in _PLACES.items():
            self._note(f"{place}_r", correlation(frames @ operator, true @ operator))
            self._note(f"{place}_rmse", _rms((frames - true) @ operator))
        for direction in [] if self.basis is None else self.basis[:COMPONENTS]:
            self._note("component_r", correlation(frames @ direction, true @ direction))
        lips = (frames - true).reshape(len(true), -1, 3)[:, :N_LIP]
        self._note("lip_rmse", float(np.sqrt((lips**2).sum(axis=-1).mean())))
        opening, true_opening = frames @ opening_map(), true @ opening_map()
        self._note("amplitude", float(opening.std() / true_opening.std()))
        self._note("amplitude_width", float((frames @ width_map()).std() / (true @ width_map()).std()))
        self._lags.append(lag_correlations(shown @ opening_map(), true_opening, per_frame))
        self._add_closures(opening, true_opening, bilabials)
        self._add_pauses(clip, opening)

    def _add_closures(self, opening: Array, true_opening: Array, bilabials: list[int]) -> None:
        blind = chance(opening, speech_span(true_opening))
        for frame in bilabials:
            self._note("bilabials_hit", is_closed_near(opening, frame))
            self._note("bilabials_filmed", is_closed_near(true_opening, frame))
            self._note("bilabials_chance", blind)
        for frame in closures(true_opening):
            self._note("filmed_hit", is_closed_near(opening, frame))
            self._note("filmed_chance", blind)
        for frame in closures(opening):
            self._note("closures_right", is_closed_near(true_opening, frame))

    def _add_pauses(self, clip: Clip, opening: Array) -> None:
        shut = is_closed(opening)
        for first, last in pauses(clip, len(opening)):
            for frame in range(first, last):
                self._note("pauses_closed", float(shut[frame]))
                self._note("pauses_chance", float(shut.mean()))
                self._note("rest_opening", abs(float(opening[frame])))
            for change in np.diff(opening[first:last]):
                self._note("rest_change", float(change))

    def _note(self, name: str, value: float) -> None:
        self._rows.setdefault(name, []).append(value)

    def _mean(self, name: str) -> float | None:
        return float(np.mean(self._rows[name])) if name in self._rows else None

    def figures(self) -> Figures:
        """What came out; at least one clip must have been added."""
        bilabials, filmed = len(self._rows.get("bilabials_hit", [])), len(self._rows.get("filmed_hit", []))
        components = np.reshape(self._rows.get("component_r", []), (len(self._lags), -1)).mean(axis=0)
        best = "bilabials" if bilabials else "filmed"
        names = [f"{place}_{kind}" for place in _PLACES for kind in ("r", "rmse")]
        names += ["lip_rmse", "amplitude", "amplitude_width", "closures_right"]
        names += ["bilabials_hit", "bilabials_chance", "bilabials_filmed", "filmed_hit", "filmed_chance"]
        names += ["pauses_closed", "pauses_chance", "rest_opening"]
        means: dict[str, Any] = {name: self._mean(name) for name in names}
        return Figures(
            clips=len(self._lags),
            component_r=tuple(components.tolist()),
            lag_frames=peak(np.mean(self._lags, axis=0)) / self._per_frame,
            closures=self._mean(f"{best}_hit"),
            closures_chance=self._mean(f"{best}_chance"),
            bilabials=bilabials,
            filmed_closures=filmed,
            rest_jitter=float(np.std(self._rows["rest_change"])) if "rest_change" in self._rows else None,
            **means,
        )


def measure(
    show: Callable[[NDArray[np.float32], int], Array],
    clips: list[Clip],
    *,
    per_frame: int = 1,
    basis: Array | None = None,
    acoustic: AcousticModel | None = None,
) -> Figures:
    """Compare everything that ``show`` makes of the clips' sound with what was filmed.

    ``show(audio, frames)`` gives (frames × per_frame, 183) displacements. With ``acoustic`` b, p and m are found in
    clips whose words are known. ``basis`` see :class:`Comparison`.
    """
    comparison = Comparison(basis)
    for clip in clips:
        bilabials = bilabials_of(acoustic, clip) if acoustic else []
        comparison.add(clip, show(clip.audio, len(clip.raw)), bilabials, per_frame)
    return comparison.figures()


def _rms(error: Array) -> float:
    return float(np.sqrt((error**2).mean()))


def bilabials_of(acoustic: AcousticModel, clip: Clip) -> list[int]:
    """The frame in the middle of each b, p and m: the words' pronunciations laid along the sound.

    Without ``words.tsv`` the words are those that the clip's name tells in the GRID corpus. None where words are
    unknown, or are not those of the corpus.
    """
    heard = PhoneStream(acoustic).push(np.concatenate([clip.audio, np.zeros(SAMPLE_RATE // 4, np.float32)]))[
        :, :N_STATES
    ]
    if clip.words and all(word in PRONUNCIATIONS for _, _, word in clip.words):
        phones = align_words(heard, clip.words)
    elif not clip.words and grid_sentence(clip.name):
        phones = align_sentence(heard, grid_sentence(clip.name))
    else:
        return []
    middles = [(start + end) / 2 * (HOP / SAMPLE_RATE) for start, end in _runs([phone in BILABIAL for phone in phones])]
    return [int(middle * FPS) for middle in middles if middle * FPS < len(clip.raw)]


def _runs(flags: Sequence[bool] | NDArray[np.bool_]) -> list[Span]:
    """Where neighbouring flags are set."""
    edges = np.diff(np.concatenate([[0], np.asarray(flags, np.int8), [0]]))
    return list(zip(np.flatnonzero(edges > 0).tolist(), np.flatnonzero(edges < 0).tolist(), strict=True))


def pauses(clip: Clip, frames: int) -> list[Span]:
    """Spans in which nobody speaks, 300 ms away from speech, by the words or else by the level."""
    spans = []
    for start, end in _runs(silent_frames(frames, clip.audio, clip.words)):
        first = start + (_PAUSE_GUARD if start > 0 else 0)
        last = end - (_PAUSE_GUARD if end < frames - 1 else 0)
        if last - first >= _SHORTEST_PAUSE:
            spans.append((first, last))
    return spans

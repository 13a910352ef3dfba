"""How near the predicted mouth is to the filmed one: ``python -m training.evaluate --data DIR --others DIR``.

Measured through the runtime (NumPy), from audio to displacements, so that what is measured is what is shipped.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipstream.engines.portrait.motion import Motion, MotionModel
from lipstream.engines.portrait.phones import AcousticModel
from lipstream.models import assets
from lipstream.models.store import ModelStore
from training.prepare import FPS, N_LIP, Array, Clip, jaw_map, load_clips, opening_map, width_map
from training.split import split

_RATE = 100  # Hz at which the prediction is sampled, to see lags finer than a frame
_PER_FRAME = _RATE // FPS
_LAGS = range(-12, 13)
_EDGE = 4  # frames left out at both ends when lags are compared

CLOSED = 0.15
"""A mouth whose opening is below this part of the clip's 95th percentile counts as closed."""
OPEN = 0.35
"""Above this part it counts as open: a closure lies between two such frames."""
CLOSURE_REACH = 5
"""Frames before and after a closure's deepest point in which the mouth must be open: 200 ms."""
CLOSURE_TOLERANCE = 1
"""Frames by which a predicted closure may miss the true one: 40 ms."""


@dataclass(frozen=True)
class Figures:
    """Means over clips unless said otherwise."""

    clips: int
    """How many."""
    r_opening: float
    """Correlation of the gap between the lips."""
    r_width: float
    """Correlation of the mouth's width."""
    r_jaw: float
    """Correlation of the chin's height."""
    lip_rmse: float
    """Root mean square distance of the 40 lip points, in inter-ocular distances (IOD)."""
    lag_ms: float
    """By how much the predicted opening comes late: where its mean correlation is greatest."""
    amplitude_opening: float
    """Standard deviation of the predicted opening over the true one."""
    amplitude_width: float
    """The same for the width."""
    closures: int
    """True closures between two openings, in all clips."""
    closures_hit: float
    """Part of them in which the predicted mouth closes too, within 40 ms."""
    closures_right: float
    """Part of the predicted closures that are true ones, within 40 ms."""
    rest_jitter: float
    """Standard deviation of the opening's change from frame to frame in pauses, IOD; 0 if no pauses are known."""
    rest_opening: float
    """Mean absolute predicted opening in pauses, IOD."""


def correlation(a: Array, b: Array) -> float:
    """Pearson's r; 0 if either does not move."""
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / size if size > 1e-12 else 0.0


def closures(opening: Array) -> list[int]:
    """Frames (25 per second) in which the mouth is closed between two openings, one for each closure."""
    scale = float(np.percentile(opening, 95))
    found = []
    for i in range(1, len(opening) - 1):
        before, after = opening[max(0, i - CLOSURE_REACH) : i], opening[i + 1 : i + 1 + CLOSURE_REACH]
        deepest = before.min() > opening[i] <= after.min()
        if deepest and opening[i] < CLOSED * scale and min(before.max(), after.max()) > OPEN * scale:
            found.append(i)
    return found


def is_closed_near(opening: Array, frame: int) -> bool:
    """Whether the mouth is closed within the tolerance around a frame."""
    near = opening[max(0, frame - CLOSURE_TOLERANCE) : frame + CLOSURE_TOLERANCE + 1]
    return bool(near.min() < CLOSED * float(np.percentile(opening, 95)))


def perform(model: MotionModel, audio: NDArray[np.float32], frames: int, fps: int) -> Motion:
    """The motion of a whole recording."""
    stream = model.listen(Fraction(fps))
    parts = [stream.push(audio), stream.finish(frames)]
    return Motion(
        *(
            np.concatenate([getattr(p, name) for p in parts])[:frames]
            for name in ("coefficients", "closed", "lip_bite", "tongue", "speech")
        )
    )


def evaluate(model: MotionModel, clips: list[Clip]) -> Figures:
    """Compare the model with what was filmed."""
    rows: dict[str, list[float]] = {}
    lags = np.zeros(len(_LAGS))
    hits: list[bool] = []
    right: list[bool] = []
    changes: list[Array] = []
    rests: list[Array] = []
    vectors = model.basis.vectors.reshape(len(model.basis.vectors), -1).astype(np.float64)
    for clip in clips:
        frames = len(clip.raw)
        fine = perform(model, clip.audio, frames * _PER_FRAME, _RATE).coefficients.astype(np.float64) @ vectors
        predicted, true = fine[::_PER_FRAME], clip.raw.reshape(frames, -1)
        opening, true_opening = predicted @ opening_map(), true @ opening_map()
        width, true_width = predicted @ width_map(), true @ width_map()
        lips = (predicted - true).reshape(frames, -1, 3)[:, :N_LIP]
        figures = {
            "r_opening": correlation(opening, true_opening),
            "r_width": correlation(width, true_width),
            "r_jaw": correlation(predicted @ jaw_map(), true @ jaw_map()),
            "lip_rmse": float(np.sqrt((lips**2).sum(axis=-1).mean())),
            "amplitude_opening": float(opening.std() / true_opening.std()),
            "amplitude_width": float(width.std() / true_width.std()),
        }
        for name, value in figures.items():
            rows.setdefault(name, []).append(value)
        lags += _lag_correlations(fine @ opening_map(), true_opening)
        hits += [is_closed_near(opening, frame) for frame in closures(true_opening)]
        right += [is_closed_near(true_opening, frame) for frame in closures(opening)]
        for first, last in _pauses(clip, frames):
            changes.append(np.diff(opening[first:last]))
            rests.append(np.abs(opening[first:last]))
    return Figures(
        clips=len(clips),
        lag_ms=float(_LAGS[int(lags.argmax())]) * 1000.0 / _RATE,
        closures=len(hits),
        closures_hit=float(np.mean(hits)) if hits else 0.0,
        closures_right=float(np.mean(right)) if right else 0.0,
        rest_jitter=float(np.concatenate(changes).std()) if changes else 0.0,
        rest_opening=float(np.concatenate(rests).mean()) if rests else 0.0,
        **{name: float(np.mean(values)) for name, values in rows.items()},
    )


def _lag_correlations(fine: Array, true: Array) -> Array:
    """Correlation of the prediction with the truth when it is read later by each of the lags."""
    frames = np.arange(_EDGE, len(true) - _EDGE)
    return np.array([correlation(fine[frames * _PER_FRAME + lag], true[frames]) for lag in _LAGS])


def _pauses(clip: Clip, frames: int) -> list[tuple[int, int]]:
    """Spans of frames in which nobody speaks, 300 ms away from any word."""
    guard = round(0.3 * FPS)
    spans = []
    for start, end, word in clip.words:
        first = 0 if start == 0.0 else int(np.ceil(start * FPS)) + guard
        last = min(frames, int(end * FPS)) - (0 if end * FPS >= frames - 1 else guard)
        if word == "sil" and last - first >= 3:
            spans.append((first, last))
    return spans


def acoustic_model(store: ModelStore) -> AcousticModel:
    """The phone model out of the store, fetched if need be."""
    return AcousticModel.load(
        store.fetch(assets.PHONE_MEANS), store.fetch(assets.PHONE_VARIANCES), store.fetch(assets.PHONE_SENDUMP)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="GRID s1, prepared")
    parser.add_argument("--others", type=Path, help="other GRID speakers, prepared")
    parser.add_argument("--weights", type=Path, help="default: the committed ones")
    options = parser.parse_args()
    model = MotionModel.load(acoustic_model(ModelStore()), options.weights)
    canonical = np.load(options.data / "canonical.npy").astype(np.float64)
    parts = {"s1 held out": split(load_clips(options.data, canonical, own_shape=False)).test}
    if options.others is not None:
        parts["others"] = load_clips(options.others, canonical, own_shape=True)
    print(json.dumps({name: asdict(evaluate(model, clips)) for name, clips in parts.items()}, indent=2))


if __name__ == "__main__":
    main()

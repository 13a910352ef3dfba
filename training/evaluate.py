"""How near the predicted mouth is to the filmed one: ``python -m training.evaluate --data DIR --others DIR``.

Measured through the runtime (NumPy), from audio to displacements, so that what is measured is what is shipped.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, fields
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipstream.engines.portrait.motion import Motion, MotionModel
from lipstream.engines.portrait.phones import AcousticModel, acquaint
from lipstream.engines.portrait.voice import Voice
from lipstream.models import assets
from lipstream.models.store import ModelStore
from training.measures import Figures, measure
from training.prepare import FPS, Array, Clip, load_clips
from training.split import split

PER_FRAME = 4
"""Predictions are sampled at 100 Hz, to see lags finer than a frame."""


def perform(
    model: MotionModel, audio: NDArray[np.float32], frames: int, fps: int, voice: Voice | None = None
) -> Motion:
    """The motion of a whole recording, heard as a live stream; ``voice`` is what is known of it beforehand."""
    stream = model.listen(Fraction(fps), voice=voice)
    parts = [stream.push(audio), stream.finish(frames)]
    names = [field.name for field in fields(Motion)]
    return Motion(*(np.concatenate([getattr(part, name) for part in parts])[:frames] for name in names))


def displacements(model: MotionModel, audio: NDArray[np.float32], frames: int, *, met: bool = False) -> Array:
    """(frames × :data:`PER_FRAME`, 183) of a whole recording; ``met`` is how a job hears it, live streams do not."""
    motion = perform(model, audio, frames * PER_FRAME, FPS * PER_FRAME, acquaint(audio) if met else None)
    return motion.coefficients.astype(np.float64) @ flat_basis(model)


def flat_basis(model: MotionModel) -> Array:
    """(K, 183) of the model."""
    return model.basis.vectors.reshape(len(model.basis.vectors), -1).astype(np.float64)


def evaluate(
    model: MotionModel, clips: list[Clip], acoustic: AcousticModel | None = None, *, met: bool = False
) -> Figures:
    """Compare the model with what was filmed. With ``acoustic`` b, p and m are found in clips whose words are known."""
    show = partial(displacements, model, met=met)
    return measure(show, clips, per_frame=PER_FRAME, basis=flat_basis(model), acoustic=acoustic)


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
    acoustic = acoustic_model(ModelStore())
    model = MotionModel.load(acoustic, options.weights)
    canonical = np.load(options.data / "canonical.npy").astype(np.float64)
    parts = {"s1 held out": split(load_clips(options.data, canonical, own_shape=False)).test}
    if options.others is not None:
        parts["others"] = load_clips(options.others, canonical, own_shape=True)
    figures = {name: evaluate(model, clips, acoustic) for name, clips in parts.items()}
    figures |= {f"{name}, voice met": evaluate(model, clips, acoustic, met=True) for name, clips in parts.items()}
    print(json.dumps({name: asdict(found) for name, found in figures.items()}, indent=2))


if __name__ == "__main__":
    main()

"""What drawing a frame costs: mouth, its inside, blink and sway together, before the encoder."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from fractions import Fraction

from benchmarks.portrait_frames import LIVELY, PICTURES, frame_times, placed
from benchmarks.quality.sounds import sample_speech
from benchmarks.quality.video import BATCH, Pixels
from lipstream.engines.base import SPEECH_RATE, Actor, Engine
from lipstream.engines.portrait.engine import PortraitActor
from lipstream.face.finder import FaceFinder
from lipstream.session import Session
from training.prepare import FPS


def render_ms(engine: Engine, finder: FaceFinder, picture: Pixels) -> dict[str, float]:
    """Milliseconds of one core per frame at the two usual sizes, ``render_ms_512`` and ``render_ms_1080p``."""
    scale = finder.largest(picture).scale
    return {
        f"render_ms_{name}": frame_ms(engine.prepare(placed(picture, width, height, pixels / scale, finder)))
        for name, (width, height, pixels) in zip(("512", "1080p"), PICTURES, strict=True)
    }


def frame_ms(actor: Actor) -> float:
    """Median of the built-in engine's living frames; of others the mean over speech, their networks included."""
    if isinstance(actor, PortraitActor):
        return statistics.median(frame_times(actor, replace(LIVELY, blink=0.5))) * 1e3
    session = Session(actor, sample_rate=SPEECH_RATE, fps=Fraction(FPS), batch=BATCH)
    speech = sample_speech()[: 3 * SPEECH_RATE]
    start = time.process_time()
    frames = [*session.push(speech), *session.flush()]
    return (time.process_time() - start) / len(frames) * 1e3

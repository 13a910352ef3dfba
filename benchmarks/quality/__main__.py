"""How good a talking picture is: ``python -m benchmarks.quality --data DIR [--json]``.

``DIR`` holds folders of filmed clips in the format of training/README.md: ``grid_s1``, ``grid_others`` and any others.
Prints tables, writes them with pictures into one HTML file, and ends with the figures as one line of JSON.
``docs/benchmarks.md`` tells what each figure means.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.quality.motion import load_corpora, noisy
from benchmarks.quality.pictures import SECONDS, Watcher, measure_pictures
from benchmarks.quality.portraits import close_up, load_portraits, sample_picture
from benchmarks.quality.report import Curve, page, tables, text
from benchmarks.quality.sheets import sheet_of
from benchmarks.quality.singing import measure_singing
from benchmarks.quality.sounds import sample_speech
from benchmarks.quality.speed import render_ms
from benchmarks.quality.video import MouthReader, Pixels
from benchmarks.quality.voices import LINES, measure_articulations, measure_voices
from lipstream.avatar import Avatar
from lipstream.config import Settings
from lipstream.engines.base import SPEECH_RATE, Engine
from lipstream.engines.portrait.engine import PortraitEngine
from lipstream.engines.portrait.motion import MotionModel
from lipstream.errors import LipstreamError
from lipstream.face.finder import FaceFinder
from lipstream.models.store import ModelStore
from lipstream.studio import Studio
from lipstream.threads import one_thread_per_library
from training.evaluate import PER_FRAME, acoustic_model, displacements, flat_basis, perform
from training.measures import measure
from training.prepare import FPS, Array, Clip, opening_map

CLIPS, QUICK_CLIPS = 100, 20
"""Most clips of each folder whose motion is compared."""
VIDEO_CLIPS, QUICK_VIDEO_CLIPS = 12, 2
"""The same for motion seen in finished video."""
CURVES = 3
"""Clips of each folder whose curves are drawn."""
QUICK_LINES = 2
"""Lines that each voice reads in a quick run."""
QUICK_SECONDS = 1.5
"""Length of silence, noise and music in a quick run; speech may take twice as long."""

TERMINAL_COLUMNS = 3
"""Most columns of a table in the terminal."""


class Benchmark:
    """One engine, and all that it is measured with."""

    def __init__(self, engine_name: str, weights: Path | None, quick: bool) -> None:
        """Raises :class:`lipstream.errors.LipstreamError` when a model is missing."""
        settings = Settings()
        self.store = ModelStore(settings.cache_dir, settings.checkpoints_dir)
        self.acoustic = acoustic_model(self.store)
        self.finder = FaceFinder.load(self.store)
        self.model = MotionModel.load(self.acoustic, weights)
        self.tells = engine_name == "portrait"
        """Whether the engine tells how it moves the mouth."""
        self.engine: Engine = PortraitEngine(self.model) if self.tells else Studio.open(settings).engine("wav2lip")
        self.studio = Studio(self.finder, [self.engine], settings)
        self.quick = quick
        speech = sample_speech()
        self.speech = speech[: int(2 * QUICK_SECONDS * SPEECH_RATE)] if quick else speech

    def watcher(self, avatar: Avatar) -> Watcher:
        """A camera in front of a portrait."""
        seconds = QUICK_SECONDS if self.quick else SECONDS
        return Watcher(self.engine.prepare(avatar), MouthReader.load(self.store, avatar.face), seconds)

    def motion(self, clips: list[Clip]) -> dict[str, Any]:
        """Figures of what the model says, clean and in noise."""
        show, basis = partial(displacements, self.model), flat_basis(self.model)
        clips = clips[: QUICK_CLIPS if self.quick else CLIPS]
        figures = measure(show, clips, per_frame=PER_FRAME, basis=basis, acoustic=self.acoustic)
        return asdict(figures) | {"noisy_opening_r": measure(show, noisy(clips), per_frame=PER_FRAME).opening_r}

    def voices(self) -> dict[str, Any]:
        """Figures of voices that nothing was learned from; none without flite."""

        def show(audio: NDArray[np.float32], frames: int) -> Array:
            return displacements(self.model, audio, frames)[::PER_FRAME]

        found = measure_voices(show, QUICK_LINES if self.quick else len(LINES))
        return {name: asdict(figures) for name, figures in found.items()}

    def articulations(self) -> dict[str, Any]:
        """Figures of teeth and tongue, the same voices."""
        found = measure_articulations(partial(perform, self.model, fps=FPS), QUICK_LINES if self.quick else len(LINES))
        return {name: asdict(figures) for name, figures in found.items()}

    def singing(self) -> dict[str, Any]:
        """Figures of held vowels, as live streams and as jobs hear them."""
        heard: dict[str, Any] = {}
        for how, met in (("", False), (", in a job", True)):

            def opening(audio: NDArray[np.float32], frames: int, met: bool = met) -> Array:
                shown: Array = displacements(self.model, audio, frames, met=met)[::PER_FRAME] @ opening_map()
                return shown

            heard |= {f"{name}{how}": asdict(figures) for name, figures in measure_singing(opening).items()}
        return heard

    def video_motion(self, watcher: Watcher, clips: list[Clip]) -> dict[str, Any]:
        """Figures of what the face mesh sees in finished videos of one portrait."""
        clips = spread(clips, QUICK_VIDEO_CLIPS if self.quick else VIDEO_CLIPS)
        figures = measure(watcher.displacements, clips, basis=flat_basis(self.model), acoustic=self.acoustic)
        return asdict(figures)

    def curves(self, name: str, clips: list[Clip], watcher: Watcher) -> list[Curve]:
        """Filmed and shown opening of a few clips."""
        found = []
        for clip in spread(clips, CURVES):
            frames = len(clip.raw)
            if self.tells:
                shown = displacements(self.model, clip.audio, frames)[::PER_FRAME]
            else:
                shown = watcher.displacements(clip.audio, frames)
            filmed = clip.raw.reshape(frames, -1) @ opening_map()
            found.append(Curve(f"{name}: {clip.name}", filmed, shown @ opening_map()))
        return found


def spread(clips: list[Clip], count: int) -> list[Clip]:
    """At most ``count`` clips, evenly out of all."""
    return clips[:: max(1, len(clips) // count)][:count]


def run(
    benchmark: Benchmark, data: Path | None, folder: Path | None
) -> tuple[dict[str, Any], list[Curve], dict[str, Pixels]]:
    """Everything: figures, curves and contact sheets."""
    corpora = load_corpora(data) if data else {}
    sample = sample_picture(benchmark.store)
    close = benchmark.watcher(close_up(sample, benchmark.finder))
    results: dict[str, Any] = {"engine": benchmark.engine.name, "video": {}, "pictures": {}}
    curves: list[Curve] = []
    for name, clips in corpora.items():
        say(f"{name}: {len(clips)} clips")
        results["video"][name] = benchmark.video_motion(close, clips)
        results[name] = benchmark.motion(clips) if benchmark.tells else results["video"][name]
        curves += benchmark.curves(name, clips, close)
    if benchmark.tells:
        results["voices"], results["articulations"] = benchmark.voices(), benchmark.articulations()
        results["singing"] = benchmark.singing()
        say("voices" if results["voices"] else "voices: left out, flite is not installed")
    avatars, refused = load_portraits(benchmark.studio, folder) if folder else ({}, {})
    watchers = {"sample close up": close}
    if not benchmark.quick:
        avatars["sample"] = Avatar(sample, benchmark.finder.largest(sample), "sample")
    sheets = {}
    for name in [*watchers, *avatars]:
        say(f"portrait {name}")
        watcher = watchers.get(name) or benchmark.watcher(avatars[name])
        results["pictures"][name] = asdict(measure_pictures(watcher, benchmark.speech))
        sheets[name] = sheet_of(watcher.actor, benchmark.speech)
    results |= {"refused": refused} if refused else {}
    results["silence_jitter_iod"] = max(figures["silence_jitter_iod"] for figures in results["pictures"].values())
    results |= render_ms(benchmark.engine, benchmark.finder, sample)
    return results, curves, sheets


def say(sentence: str) -> None:
    """Progress, apart from the results."""
    print(sentence, file=sys.stderr, flush=True)


def terminal_tables(title: str, columns: dict[str, dict[str, Any]]) -> Iterator[Table]:
    """A table for the terminal; when it is wide, several."""
    names = list(columns)
    for first in range(0, len(names), TERMINAL_COLUMNS):
        part = names[first : first + TERMINAL_COLUMNS]
        table = Table("", *part, title=title)
        for row in columns[names[0]]:
            table.add_row(row, *(text(columns[name].get(row)) for name in part))
        yield table


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of folders with filmed clips; without it pictures only")
    parser.add_argument("--engine", choices=("portrait", "wav2lip"), default="portrait")
    parser.add_argument("--weights", type=Path, help="motion weights for the engine portrait (default: its own)")
    parser.add_argument("--portraits", type=Path, help="folder with further portraits to look at")
    parser.add_argument(
        "--html", type=Path, default=Path("quality.html"), help="report to write (default: %(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="fewer clips and sounds: shows large differences only")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    one_thread_per_library()
    try:
        benchmark = Benchmark(options.engine, options.weights, options.quick)
        results, curves, sheets = run(benchmark, options.data, options.portraits)
    except (LipstreamError, FileNotFoundError) as error:
        sys.exit(f"{error}")
    console = Console()
    for title, columns in tables(results).items():
        for table in terminal_tables(title, columns):
            console.print(table)
    options.html.write_text(page(results, sheets, curves), encoding="utf-8")
    console.print(f"Report: {options.html}", highlight=False)
    if options.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()

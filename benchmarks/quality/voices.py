"""Voices that nothing was learned from, whose phones are known: do the lips touch for b, p and m, and only then? Do the
teeth and the tongue show where they should?

Four recorded voices of flite (``apt-get install flite``); what is installed is measured.
"""

from __future__ import annotations

import shutil
import subprocess
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.sounds import NOISE_DB, add_noise
from lipstream.engines.portrait.motion import Motion
from lipstream.engines.portrait.visemes import VISEMES
from training.openings import chance, correlation, is_closed, is_closed_near, speech_span
from training.prepare import FPS, Array, opening_map
from training.speech import Spoken, at_speech_level

VOICES = ("awb", "kal16", "rms", "slt")
"""Scottish man, American men and woman."""
LINES = (
    "Maybe we should move on to bigger problems.",
    "My mother bought a map of the old Bombay market.",
    "The number of people in the room keeps climbing.",
    "Please bring both books back before nine.",
    "A small boat came up the river, and nobody was on board.",
    "Keep the lamp above the table, my brother said.",
    "He hopes that more rain will help the apple trees.",
    "Pack up the camera, the film is over.",
    "We met some amazing builders in September.",
    "Impossible, I remember every name.",
)
OPEN_VOWELS = frozenset({"AA", "AE", "AO", "AW", "AY", "EH", "EY", "OW"})
LONG_SECONDS = 0.08
"""A vowel at least so long must be seen open."""

_ARPABET = {"pau": "SIL", "ax": "AH", "axr": "ER", "el": "L", "em": "M", "en": "N", "dx": "D", "ix": "IH"}
_BILABIAL = frozenset({"B", "P", "M"})

SEEN, SUSPECTED = 0.8, 0.3
"""An articulation is seen in a phone if it once reaches the first, and wrong elsewhere if it passes the second."""

Show = Callable[[NDArray[np.float32], int], Array]
"""(audio, frames) → (frames, 183) displacements."""
Perform = Callable[[NDArray[np.float32], int], Motion]
"""(audio, frames) → their motion."""


@dataclass(frozen=True)
class VoiceFigures:
    """One voice, all lines."""

    bilabials: int
    """b, p and m."""
    bilabials_hit: float
    """Part of them in which the mouth closes, within 40 ms."""
    bilabials_chance: float
    """What blind picking hits."""
    vowels: int
    """Long open vowels."""
    vowels_shut: float
    """Part of them in whose middle the mouth is closed."""
    opening: float
    """95th percentile of the opening, IOD."""
    noisy_r: float
    """Correlation of the opening in pink noise 10 dB below the speech with that in clean speech."""


def measure_voices(show: Show, lines: int = len(LINES)) -> dict[str, VoiceFigures]:
    """Each voice; empty without flite."""
    if shutil.which("flite") is None:
        return {}
    return {voice: measure_voice(show, [read(voice, line) for line in LINES[:lines]]) for voice in VOICES}


def measure_voice(show: Show, spoken: list[Spoken]) -> VoiceFigures:
    """What the mouth does while these are said."""
    hits, blind, shut, wide, noisy_r = [], [], [], [], []
    for seed, line in enumerate(spoken):
        frames = int(len(line.audio) * FPS / 16_000)
        opening = show(line.audio, frames) @ opening_map()
        noisy = show(add_noise(line.audio, NOISE_DB, seed), frames) @ opening_map()
        touching = [_middle(phone) for phone in line.phones if phone[0] in _BILABIAL]
        vowels = [
            _middle(phone) for phone in line.phones if phone[0] in OPEN_VOWELS and phone[2] - phone[1] >= LONG_SECONDS
        ]
        hits += [is_closed_near(opening, frame) for frame in touching]
        blind += [chance(opening, speech_span(opening))] * len(touching)
        shut += [bool(is_closed(opening)[frame]) for frame in vowels]
        wide.append(float(np.percentile(opening, 95)))
        noisy_r.append(correlation(noisy, opening))
    means = [float(np.mean(values)) for values in (hits, blind, shut, wide, noisy_r)]
    return VoiceFigures(len(hits), means[0], means[1], len(shut), *means[2:])


@dataclass(frozen=True)
class ArticulationFigures:
    """Teeth on the lip, the tip of the tongue between the teeth or up, all lines of all voices."""

    phones: int
    """Phones that are made so."""
    seen: float
    """Part of them in which it is seen, within 40 ms."""
    wrong: float
    """Part of the other phones, neighbours left out, in which it shows."""


def measure_articulations(perform: Perform, lines: int = len(LINES)) -> dict[str, ArticulationFigures]:
    """Each articulation that :class:`Motion` tells; empty without flite."""
    if shutil.which("flite") is None:
        return {}
    spoken = [read(voice, line) for voice in VOICES for line in LINES[:lines]]
    motions = [perform(line.audio, int(len(line.audio) * FPS / 16_000)) for line in spoken]
    return {name: measure_articulation(motions, spoken, name) for name in ("lip_bite", "dental", "tongue")}


def measure_articulation(motions: list[Motion], spoken: list[Spoken], name: str) -> ArticulationFigures:
    """One articulation in the motions of these lines."""
    seen, wrong = [], []
    for motion, line in zip(motions, spoken, strict=True):
        values = getattr(motion, name)
        made_so = [phone[0] in VISEMES[name] for phone in line.phones]
        for place, (_, start, end) in enumerate(line.phones):
            first, last = int(start * FPS), max(int(start * FPS) + 1, round(end * FPS))
            if made_so[place]:
                seen.append(bool((values[max(0, first - 1) : last + 1] > SEEN).any()))
            elif not any(made_so[max(0, place - 1) : place + 2]):
                wrong.append(bool((values[first:last] > SUSPECTED).any()))
    return ArticulationFigures(len(seen), float(np.mean(seen)), float(np.mean(wrong)))


def read(voice: str, text: str) -> Spoken:
    """A line by flite, with its phones."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "line.wav"
        told = subprocess.run(
            ["flite", "-voice", voice, "-psdur", "-t", text, "-o", str(path)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        with wave.open(str(path)) as file:
            sound = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
            rate = file.getframerate()
    names, ends = zip(*((name, float(end)) for name, end in (phone.split(":") for phone in told.split())), strict=True)
    phones = [_ARPABET.get(name, name.upper()) for name in names]
    return Spoken(at_speech_level(sound, rate), tuple(zip(phones, (0.0, *ends[:-1]), ends, strict=True)))


def _middle(phone: tuple[str, float, float]) -> int:
    """Its frame."""
    return int((phone[1] + phone[2]) / 2 * FPS)

"""Song that nobody filmed: the vowels of spoken lines are held on notes, by the vocoder WORLD (Morise et al. 2016).

Whoever only knows speech takes a held vowel for music, during which the mouth should rest.
"""

from __future__ import annotations

import numpy as np
import pyworld
from numpy.typing import NDArray

from lipstream.engines.portrait.phones import SAMPLE_RATE
from training.speech import Spoken, at_speech_level

Array = NDArray[np.float64]

VOWELS = frozenset({"AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"})
HELD_SECONDS = (0.25, 1.6)
"""Range of how long a vowel lasts in a song."""
ALONE, ALONE_SECONDS = 0.4, (0.6, 2.5)
"""Part of the songs that are a single vowel, and how long that lasts."""
SCALE = (-5, -3, 0, 2, 4, 7, 9)
"""Semitones of the notes above the voice's own."""
VIBRATO, VIBRATO_HZ = (0.0, 0.6), (4.5, 6.5)
"""Ranges of its depth, semitones, and of its rate."""
SHORTEST = 0.04
"""Vowels that are shorter are left alone, seconds."""

_FRAME = 0.005  # seconds
_REST = 0.3  # seconds of silence around a vowel alone
_FADE = 0.06  # seconds


def sing(spoken: Spoken, rng: np.random.Generator) -> Spoken | None:
    """The line as a song, or None if it has no vowel to hold."""
    held = [phone for phone in spoken.phones if phone[0] in VOWELS and phone[2] - phone[1] >= SHORTEST]
    if not held:
        return None
    if rng.random() < ALONE:
        name, start, end = held[rng.integers(len(held))]
        seconds = float(rng.uniform(*ALONE_SECONDS))
        sound = _resung(spoken, np.linspace(0.35, 0.65, round(seconds / _FRAME)) * (end - start) + start, rng)
        fade = np.minimum(1.0, np.minimum(np.arange(len(sound)), np.arange(len(sound))[::-1]) / (_FADE * SAMPLE_RATE))
        rest = np.zeros(round(_REST * SAMPLE_RATE))
        sound = np.concatenate([rest, sound * fade, rest])
        return Spoken(at_speech_level(_loud(sound), SAMPLE_RATE), ((name, _REST, _REST + seconds),))
    times, phones, now = [], [], 0.0
    for name, start, end in spoken.phones:
        seconds = float(rng.uniform(*HELD_SECONDS)) if (name, start, end) in held else end - start
        # A held vowel is its middle; its beginning and its end are as short as in speech.
        middle = [0.0, min(0.4, 0.4 * (end - start) / max(seconds, 1e-3)), 1.0]
        middle.insert(2, 1.0 - middle[1])
        source = np.interp(np.arange(0.0, 1.0, _FRAME / max(seconds, _FRAME)), middle, [0.0, 0.4, 0.6, 1.0])
        times.append(start + source * (end - start))
        phones.append((name, now, now + len(source) * _FRAME))
        now = phones[-1][2]
    sound = _resung(spoken, np.concatenate(times), rng)
    return Spoken(at_speech_level(_loud(sound), SAMPLE_RATE), tuple(phones))


def _loud(sound: Array) -> Array:
    """However softly the vowel was spoken."""
    return np.asarray(0.5 * sound / max(float(np.abs(sound).max()), 1e-6))


def _resung(spoken: Spoken, times: Array, rng: np.random.Generator) -> Array:
    """The voice at these (n,) times of the line, on notes that change from vowel to vowel, 5 ms each."""
    audio = spoken.audio.astype(np.float64)
    pitch, centres = pyworld.harvest(audio, SAMPLE_RATE, frame_period=1000 * _FRAME)
    spectra = pyworld.cheaptrick(audio, pitch, centres, SAMPLE_RATE)
    breath = pyworld.d4c(audio, pitch, centres, SAMPLE_RATE)
    frames = np.minimum(np.round(times / _FRAME).astype(int), len(pitch) - 1)
    voiced = pitch[frames] > 0
    own = float(np.median(pitch[pitch > 0])) if (pitch > 0).any() else 150.0
    starts = [start for name, start, _ in spoken.phones if name in VOWELS]
    notes = rng.choice(SCALE, len(starts) + 1)
    note = np.asarray(notes[np.searchsorted(starts, times, "right")], np.float64)
    glide = np.hanning(13) / np.hanning(13).sum()
    note = np.convolve(np.pad(note, 6, "edge"), glide, "valid")
    seconds = np.arange(len(times)) * _FRAME
    note += rng.uniform(*VIBRATO) * np.sin(2 * np.pi * rng.uniform(*VIBRATO_HZ) * seconds)
    sung = np.where(voiced, own * 2 ** (note / 12), 0.0)
    return np.asarray(pyworld.synthesize(sung, spectra[frames], breath[frames], SAMPLE_RATE, 1000 * _FRAME))

"""The songs that the mouth learns from: what is held, what stays as it was spoken, and that the sound follows."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pyworld", reason="needs the train extra")

import pyworld

from lipstream.engines.portrait.phones import SAMPLE_RATE
from tests.vowels import hiss, vowel
from training.singing import ALONE_SECONDS, HELD_SECONDS, SCALE, VIBRATO, sing
from training.speech import Spoken

LINE = Spoken(
    np.concatenate([hiss(0.1, 0.05), vowel("AA", 0.2), hiss(0.1, 0.05), vowel("IY", 0.15)]),
    (("S", 0.0, 0.1), ("AA", 0.1, 0.3), ("S", 0.3, 0.4), ("IY", 0.4, 0.55)),
)


def songs(count: int) -> list[Spoken]:
    made = [sing(LINE, np.random.default_rng(seed)) for seed in range(count)]
    return [song for song in made if song is not None]


def pitch(song: Spoken, start: float, end: float) -> float:
    """Median in Hz."""
    found, _ = pyworld.harvest(song.audio.astype(np.float64), SAMPLE_RATE)
    inside = found[int(200 * start) : int(200 * end)]
    return float(np.median(inside[inside > 0]))


def test_vowels_are_held_and_consonants_are_not() -> None:
    for song in songs(12):
        lengths = [(name, end - start) for name, start, end in song.phones]
        if len(lengths) == 1:
            assert ALONE_SECONDS[0] <= lengths[0][1] <= ALONE_SECONDS[1]
            continue
        assert [name for name, _ in lengths] == ["S", "AA", "S", "IY"]
        assert all(abs(seconds - 0.1) < 0.01 for name, seconds in lengths if name == "S")
        assert all(HELD_SECONDS[0] <= seconds <= HELD_SECONDS[1] + 0.01 for name, seconds in lengths if name != "S")
        assert all(before[2] == after[1] for before, after in zip(song.phones, song.phones[1:], strict=False))
        assert abs(len(song.audio) / SAMPLE_RATE - song.phones[-1][2]) < 0.05


def test_some_vowels_are_sung_alone() -> None:
    assert 0 < sum(len(song.phones) == 1 for song in songs(12)) < 12


def test_the_voice_is_on_the_notes() -> None:
    own, within = pitch(LINE, 0.1, 0.3), VIBRATO[1] + 0.5
    for song in songs(8):
        for name, start, end in song.phones:
            if name != "S":
                semitones = 12 * np.log2(pitch(song, start + 0.1, end - 0.05) / own)
                assert min(abs(semitones - note) for note in SCALE) < within, (name, semitones)


def test_a_line_without_vowels_is_no_song() -> None:
    assert sing(Spoken(hiss(0.3, 0.05), (("S", 0.0, 0.3),)), np.random.default_rng(0)) is None

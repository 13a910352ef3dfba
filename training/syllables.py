"""Single syllables that nobody filmed, spoken by eSpeak NG in many voices: ``apt-get install libespeak-ng1``.

A film of sentences never shows a vowel alone; a network that knows only sentences takes one for noise.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from lipstream.engines.portrait.phones import SAMPLE_RATE

LIBRARY = "libespeak-ng.so.1"
LANGUAGES = ("en-us", "en-gb", "en-gb-scotland")
VARIANTS = (
    *("", "+m1", "+m2", "+m3", "+m4", "+m5", "+m6", "+m7", "+f1", "+f2", "+f3", "+f4", "+f5"),
    *("+klatt", "+klatt2", "+Andy", "+Annie", "+anika"),
)
VOWELS = ("A:", "i:", "u:", "O:", "E", "3:", "a", "I", "U", "oU", "aI", "eI", "aU", "OI")
ONSETS = ("", "", "", "m", "b", "f", "l", "t", "s", "k", "w", "r", "n", "d", "p", "v", "S")
"""In eSpeak's own phoneme names."""
SYLLABLES = (3, 6)
WORDS_PER_MINUTE, PITCH, MELODY = (80, 150), (20, 80), (0, 60)
LEVEL = 0.06
"""Effective value of what is spoken."""

# What the voices make of the above, in IPA.
_DIPHTHONGS = {
    **{"aɪ": "AY", "aʊ": "AW", "ɔɪ": "OY", "eɪ": "EY", "oʊ": "OW", "əʊ": "OW"},
    **{"tʃ": "CH", "dʒ": "JH"},
}
_PHONES = {
    **{"a": "AA", "ɑ": "AA", "ɒ": "AO", "ɔ": "AO", "æ": "AE", "ʌ": "AH", "ə": "AH", "ɐ": "AH", "ɜ": "ER", "ɚ": "ER"},
    **{"e": "EH", "ɛ": "EH", "i": "IY", "ɪ": "IH", "u": "UW", "ʊ": "UH", "ʉ": "UW", "o": "OW", "y": "UW", "ø": "UH"},
    **{"p": "P", "b": "B", "m": "M", "f": "F", "v": "V", "t": "T", "d": "D", "n": "N", "s": "S", "ʃ": "SH", "l": "L"},
    **{"ɫ": "L", "r": "R", "ɹ": "R", "ɾ": "D", "k": "K", "w": "W", "j": "Y", "ʔ": "SIL"},
}

_SYNCHRONOUS, _PHONEME_EVENTS, _IPA = 2, 1, 2
_PHONEMES_IN_BRACKETS, _UTF8 = 0x100, 1
_END, _PHONEME = 0, 7
_RATE, _PITCH, _RANGE = 1, 3, 4


@dataclass(frozen=True)
class Spoken:
    """A row of syllables with pauses between them."""

    audio: NDArray[np.float32]
    """(n,) mono at 16 kHz."""
    phones: tuple[tuple[str, float, float], ...]
    """ARPAbet name, start and end in seconds, in order."""


class _Event(ctypes.Structure):
    """``espeak_EVENT`` of ``espeak-ng/speak_lib.h``."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Speaker:
    """eSpeak NG. There can be one in a process."""

    def __init__(self) -> None:
        """Raises OSError when the library is not there."""
        self._library: Any = ctypes.CDLL(LIBRARY)
        self._sound: list[NDArray[np.int16]] = []
        self._names: list[tuple[int, str]] = []
        self._callback = _Callback(self._hear)  # as long as the library may call it
        self._rate: int = self._library.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONEME_EVENTS | _IPA)
        self._library.espeak_SetSynthCallback(self._callback)

    def _hear(self, samples: Any, count: int, events: Any) -> int:
        if samples and count:
            self._sound.append(np.ctypeslib.as_array(samples, (count,)).copy())
        place = 0
        while events[place].type != _END:
            if events[place].type == _PHONEME:
                self._names.append((events[place].sample, events[place].name.decode("utf-8", "replace")))
            place += 1
        return 0

    def say(self, rng: np.random.Generator) -> Spoken:
        """A few random syllables in a random voice."""
        syllables = [f"[[{rng.choice(ONSETS)}'{rng.choice(VOWELS)}]]" for _ in range(rng.integers(*SYLLABLES) + 1)]
        language = str(rng.choice(LANGUAGES))
        if self._library.espeak_SetVoiceByName((language + str(rng.choice(VARIANTS))).encode()):
            self._library.espeak_SetVoiceByName(language.encode())
        for parameter, limits in ((_RATE, WORDS_PER_MINUTE), (_PITCH, PITCH), (_RANGE, MELODY)):
            self._library.espeak_SetParameter(parameter, int(rng.integers(*limits)), 0)
        text = (" , ".join(syllables) + " .").encode()
        self._sound, self._names = [], []
        flags = _UTF8 | _PHONEMES_IN_BRACKETS
        self._library.espeak_Synth(text, len(text) + 1, 0, 1, 0, flags, None, None)
        sound = np.concatenate(self._sound) / 32768
        return Spoken(self._converted(sound), tuple(self._timed(len(sound))))

    def _converted(self, sound: NDArray[np.float64]) -> NDArray[np.float32]:
        common = gcd(SAMPLE_RATE, self._rate)
        sound = resample_poly(sound, SAMPLE_RATE // common, self._rate // common)
        loud = sound[np.abs(sound) > 0.02]
        return np.asarray(sound * (LEVEL / max(float(np.sqrt((loud**2).mean())), 1e-3)), np.float32)

    def _timed(self, samples: int) -> list[tuple[str, float, float]]:
        """Each phone until the next one."""
        ends = [start for start, _ in self._names[1:]] + [samples]
        rows = []
        for (start, name), end in zip(self._names, ends, strict=True):
            phones = arpabet(name)
            step = (end - start) / max(1, len(phones))
            for i, phone in enumerate(phones):
                rows.append((phone, (start + i * step) / self._rate, (start + (i + 1) * step) / self._rate))
        return rows


def arpabet(ipa: str) -> list[str]:
    """The ARPAbet phones of one of eSpeak's; silence for pauses, nothing for what has no place in the table."""
    plain = "".join(c for c in ipa if c not in "ˈˌːˑ.̩ʰ")
    if plain in _DIPHTHONGS:
        return [_DIPHTHONGS[plain]]
    if plain in ("", "_"):
        return ["SIL"]
    return [_PHONES[c] for c in plain if c in _PHONES]

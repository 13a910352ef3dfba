"""Speech that nobody filmed, by eSpeak NG in many voices and languages: ``apt-get install libespeak-ng1``.

A film of sentences never shows a vowel alone, and a network that knows only sentences takes one for noise; a film of
one speaker does not tell how other voices sound when lips touch. Of what is spoken here the phones are known.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.speech import Spoken, at_speech_level, pseudo_words

LIBRARY = "libespeak-ng.so.1"
ENGLISH = ("en-us", "en-gb", "en-gb-scotland")
LETTERS: dict[str, tuple[str, str]] = {
    "en-us": ("p t k b d g m n f v s z l r h w sh ch th j", "a e i o u ee oo ai ou ay ar or er"),
    "en-gb": ("p t k b d g m n f v s z l r h w sh ch th j", "a e i o u ee oo ai ou ay ar or er"),
    "de": ("p t k b d g m n f s z l r h w sch ch st", "a e i o u ä ö ü ei au eu ie"),
    "fr": ("p t k b d g m n f v s z l r ch j gn", "a é è i o u ou eu an on in oi"),
    "es": ("p t b d g m n f s l r j ñ ch ll rr", "a e i o u ie ue"),
    "it": ("p t k b d g m n f v s z l r gli sc ci", "a e i o u ia uo"),
    "pl": ("p t k b d g m n f w s z l r h sz cz ż ś", "a e i o u y ą ę"),
    "nl": ("p t k b d g m n f v s z l r h w sch", "a aa e ee i ie o oo oe u uu ui eu ij"),
    "sv": ("p t k b d g m n f v s l r h j sj", "a e i o u y å ä ö"),
    "pt": ("p t k b d g m n f v s z l r lh nh ch", "a e i o u ão ei ou"),
    "tr": ("p t k b d g m n f v s z l r h y ş ç c", "a e ı i o ö u ü"),
    "sw": ("p t k b d g m n f v s z l r h w sh ch ng", "a e i o u"),
    "fi": ("p t k d m n s v l r h j", "a aa e i ii o u uu y ä ö"),
}
"""Per language, what words are made of: onsets and nuclei as it writes them."""
CODAS = ("", "", "", "n", "l", "s", "m")
VARIANTS = (
    *("", "+m1", "+m2", "+m3", "+m4", "+m5", "+m6", "+m7", "+f1", "+f2", "+f3", "+f4", "+f5"),
    *("+klatt", "+klatt2", "+Andy", "+Annie", "+anika"),
)
VOWELS = ("A:", "i:", "u:", "O:", "E", "3:", "a", "I", "U", "oU", "aI", "eI", "aU", "OI")
ONSETS = ("", "", "", "m", "b", "f", "l", "t", "s", "k", "w", "r", "n", "d", "p", "v", "S")
"""In eSpeak's own phoneme names."""
SLOW, USUAL = (80, 150), (110, 220)
"""Words per minute."""
PITCH, MELODY = (20, 80), (0, 70)

# What the voices make of the above, in IPA.
_DIPHTHONGS = {
    **{"aɪ": "AY", "aʊ": "AW", "ɔɪ": "OY", "ɔʏ": "OY", "eɪ": "EY", "oʊ": "OW", "əʊ": "OW"},
    **{"tʃ": "CH", "dʒ": "JH", "tɕ": "CH", "dʑ": "JH", "tʂ": "CH"},
}
_PHONES = {
    **{"a": "AA", "ɑ": "AA", "ɒ": "AO", "ɔ": "AO", "æ": "AE", "ʌ": "AH", "ə": "AH", "ɐ": "AH", "ɜ": "ER", "ɚ": "ER"},
    **{"ɝ": "ER", "e": "EH", "ɛ": "EH", "i": "IY", "ɪ": "IH", "ɨ": "IH", "ᵻ": "IH", "y": "UW", "ʏ": "UH", "u": "UW"},
    **{"ʊ": "UH", "ʉ": "UW", "ɯ": "IH", "o": "OW", "ø": "UH", "œ": "UH", "ɤ": "AH", "ɵ": "UH", "ɘ": "IH", "ɞ": "ER"},
    **{"p": "P", "b": "B", "m": "M", "ɱ": "F", "f": "F", "v": "V", "ʋ": "V", "β": "V", "ɸ": "F", "θ": "TH", "ð": "DH"},
    **{"t": "T", "d": "D", "n": "N", "s": "S", "z": "Z", "l": "L", "ɫ": "L", "r": "R", "ɹ": "R", "ɾ": "D", "ʀ": "G"},
    **{"ʁ": "G", "ʃ": "SH", "ʒ": "ZH", "ɕ": "SH", "ʑ": "ZH", "ʂ": "SH", "ʐ": "ZH", "ɧ": "SH", "j": "Y", "ʝ": "Y"},
    **{"ʎ": "L", "ɲ": "N", "ŋ": "NG", "k": "K", "ɡ": "G", "g": "G", "x": "HH", "χ": "HH", "ɣ": "G", "h": "HH"},
    **{"ɦ": "HH", "ç": "HH", "w": "W", "ɥ": "W", "ʔ": "SIL", "ʈ": "T", "ɖ": "D", "ɳ": "N", "ɭ": "L", "ɽ": "D"},
    **{"c": "K", "ɟ": "G", "q": "K", "ʍ": "W", "ɻ": "R"},
}
_LENGTH_AND_STRESS = "ˈˌːˑ.ʰʲʷ\u0303\u0329\u032f"

_SYNCHRONOUS, _PHONEME_EVENTS, _IPA = 2, 1, 2
_PHONEMES_IN_BRACKETS, _UTF8 = 0x100, 1
_END, _PHONEME = 0, 7
_RATE, _PITCH, _RANGE = 1, 3, 4


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

    def syllables(self, rng: np.random.Generator) -> Spoken:
        """A few single syllables with pauses between them."""
        count = rng.integers(3, 7)
        text = " , ".join(f"[[{rng.choice(ONSETS)}'{rng.choice(VOWELS)}]]" for _ in range(count))
        return self._say(text, str(rng.choice(ENGLISH)), SLOW, rng)

    def line(self, rng: np.random.Generator) -> Spoken:
        """Words of no meaning in one of many languages."""
        language = str(rng.choice(list(LETTERS)))
        onsets, nuclei = (part.split() for part in LETTERS[language])
        return self._say(pseudo_words(rng, onsets, nuclei, CODAS), language, USUAL, rng)

    def _say(self, text: str, language: str, speed: tuple[int, int], rng: np.random.Generator) -> Spoken:
        """In a random voice."""
        if self._library.espeak_SetVoiceByName((language + str(rng.choice(VARIANTS))).encode()):
            self._library.espeak_SetVoiceByName(language.encode())
        for parameter, limits in ((_RATE, speed), (_PITCH, PITCH), (_RANGE, MELODY)):
            self._library.espeak_SetParameter(parameter, int(rng.integers(*limits)), 0)
        said = f"{text} .".encode()
        self._sound, self._names = [], []
        self._library.espeak_Synth(said, len(said) + 1, 0, 1, 0, _UTF8 | _PHONEMES_IN_BRACKETS, None, None)
        sound = np.concatenate(self._sound) / 32768
        return Spoken(at_speech_level(sound, self._rate), tuple(self._timed(len(sound))))

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
    plain = "".join(c for c in ipa if c not in _LENGTH_AND_STRESS)
    if plain in _DIPHTHONGS:
        return [_DIPHTHONGS[plain]]
    if plain in ("", "_"):
        return ["SIL"]
    return [_PHONES[c] for c in plain if c in _PHONES]

"""Speech that nobody filmed, by Festival in recorded voices; ``training/README.md`` lists the packages.

eSpeak's voices are computed; these were recorded from people, so that lips sound as lips do when they part. All but one
speak another language than the filmed speaker: what is learned from them is the sound of contact, not words.
"""

from __future__ import annotations

import subprocess
import wave
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from lipstream.engines.portrait.phones import PHONES
from training.speech import Spoken, at_speech_level, pseudo_words

ONSETS, NUCLEI, CODAS = tuple("ptkbdgmnfvszlr"), tuple("aeiou"), ("", "", "", "", "n", "l", "s", "m")
"""What words are made of: letters that all these languages read alike."""
STRETCH = (0.75, 1.3)
"""Range of how much longer than the voice's own the phones last."""

_CYRILLIC = str.maketrans("ptkbdgmnfvszlraeiou", "пткбдгмнфвсзлраэиоу")
_CONSONANTS = dict(zip("ptkbdgmnfvszlr", "पतकबदगमनफवसजलर", strict=True))
_VOWEL_SIGNS = dict(zip("aeiou", "ाेिोु", strict=True))

# What the voices call their phones, in ARPAbet; length, stress and softness are taken away before.
_COMMON: dict[str, str] = {
    **{"a": "AA", "aa": "AA", "e": "EH", "ee": "EH", "E": "EH", "i": "IY", "ii": "IY", "o": "AO", "oo": "AO"},
    **{"O": "AO", "u": "UW", "uu": "UW", "ax": "AH", "p": "P", "b": "B", "m": "M", "f": "F", "v": "V", "w": "W"},
    **{"t": "T", "d": "D", "n": "N", "s": "S", "z": "Z", "l": "L", "r": "R", "rr": "R", "k": "K", "g": "G"},
    **{"h": "HH", "j": "Y", "J": "N", "S": "SH", "Z": "ZH", "L": "L", "N": "NG", "ng": "NG", "nf": "F", "ts": "S"},
    **{"tS": "CH", "dz": "Z", "dZ": "JH", "c": "S", "ch": "CH", "sh": "SH", "zh": "ZH"},
    **dict.fromkeys(("#", "_", "pau", "@@"), "SIL"),
}
_CZECH = {"ch": "HH", "c~": "CH", "dz~": "JH", "d~": "D", "t~": "T", "n~": "N", "n*": "NG", "r~": "ZH", "r~*": "SH"}
_CZECH |= {"s~": "SH", "z~": "ZH"}
_FINNISH = {"y": "UW", "@": "AE", "7": "UH", "T": "TH", "D": "DH"}
_RUSSIAN = {"y": "IH", "yy": "IH", "ay": "AH", "ae": "IH", "ur": "UH", "sch": "SH"}
_HINDI = {"a": "AH", "ih": "IH", "iy": "IY", "uh": "UH", "uw": "UW", "eh": "EH", "oh": "OW", "T": "T", "D": "D"}
_HINDI |= {"N": "N", "th": "T", "dh": "D", "y": "Y", "j": "JH", "bh": "B", "kh": "K", "gh": "G", "R": "R", "ph": "F"}
_ENGLISH = {phone.lower(): phone for phone in PHONES}
_ENGLISH |= {"ax": "AH", "axr": "ER", "el": "L", "em": "M", "en": "N", "dx": "D"}


@dataclass(frozen=True)
class Reader:
    """One of Festival's voices."""

    voice: str
    """As Festival calls it."""
    phones: dict[str, str] = field(default_factory=dict)
    """Its own phones."""
    script: str = "latin"
    """What it reads: latin, cyrillic or devanagari."""

    def write(self, text: str) -> str:
        """Latin letters in the voice's own script."""
        if self.script == "cyrillic":
            return text.translate(_CYRILLIC)
        if self.script == "devanagari":
            return "".join((_CONSONANTS | _VOWEL_SIGNS).get(letter, letter) for letter in text)
        return text

    def arpabet(self, name: str) -> str:
        """The ARPAbet phone of one of the voice's."""
        plain = name.rstrip("0123456789:") or name
        names = _COMMON | self.phones
        if plain not in names and len(plain) == 2 and plain[0] == plain[1]:  # a soft or long consonant
            plain = plain[0]
        return names[plain]


READERS = (
    Reader("ked_diphone", _ENGLISH),
    Reader("lp_diphone"),
    Reader("pc_diphone"),
    *(Reader(f"czech_{name}", _CZECH) for name in ("dita", "krb", "machac", "ph")),
    Reader("suo_fi_lj_diphone", _FINNISH),
    Reader("hy_fi_mv_diphone", _FINNISH),
    Reader("msu_ru_nsh_clunits", _RUSSIAN, "cyrillic"),
    Reader("upc_ca_ona_hts"),
    Reader("hindi_NSK_diphone", _HINDI, "devanagari"),
)


def read_aloud(count: int, rng: np.random.Generator) -> list[Spoken]:
    """``count`` lines of words of no meaning, the voices taking turns.

    Raises FileNotFoundError without Festival, CalledProcessError without one of the voices.
    """
    spoken = []
    share = np.linspace(0, count, len(READERS) + 1).astype(int)
    for reader, lines in zip(READERS, np.diff(share), strict=True):
        spoken += _read_lines(reader, [pseudo_words(rng, ONSETS, NUCLEI, CODAS) for _ in range(lines)], rng)
    return spoken


def _read_lines(reader: Reader, lines: list[str], rng: np.random.Generator) -> list[Spoken]:
    with TemporaryDirectory() as name:
        folder = Path(name)
        commands = [f"(voice_{reader.voice})"]
        for i, line in enumerate(lines):
            commands += [
                f"(Parameter.set 'Duration_Stretch {rng.uniform(*STRETCH):.2f})",
                f'(set! said (utt.synth (Utterance Text "{reader.write(line)}")))',
                f'(utt.save.wave said "{folder / str(i)}.wav" \'riff)',
                f'(utt.save.segs said "{folder / str(i)}.lab")',
            ]
        (folder / "read.scm").write_text("\n".join(commands))
        subprocess.run(
            ["festival", "-b", str(folder / "read.scm")],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return [load_line(reader, folder / f"{i}.wav") for i in range(len(lines))]


def load_line(reader: Reader, path: Path) -> Spoken:
    """A line that Festival wrote: the sound, and beside it the ends of its phones (``.lab``)."""
    with wave.open(str(path)) as file:
        rate = file.getframerate()
        sound: NDArray[np.float64] = np.frombuffer(file.readframes(file.getnframes()), np.int16) / 32768
    rows = [line.split() for line in path.with_suffix(".lab").read_text().splitlines()[1:]]
    ends = [float(row[0]) for row in rows]
    names = [reader.arpabet(row[2]) for row in rows]
    return Spoken(at_speech_level(sound, rate), tuple(zip(names, [0.0, *ends[:-1]], ends, strict=True)))

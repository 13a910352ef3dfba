"""Speech that nobody filmed, by the neural voices of Kokoro-82M (Apache-2.0), with the phones it consists of.

These voices sound like people, there are dozens of them, and mixing two gives a third: from them the network learns
what a phone sounds like in any voice. They are told phones and tell how long each lasts, so all of it is known.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from lipstream.engines.portrait.phones import HOP, N_STATES, AcousticModel
from training.dataset import hear
from training.espeak import arpabet
from training.phonetics import a_grid_sentence, align_near
from training.speech import Spoken, at_speech_level

Array = NDArray[np.float32]
Timed = tuple[tuple[str, float, float], ...]

RATE, FRAME_SECONDS = 24_000, 0.025
"""Of the sound, and what durations are counted in."""
LATE = 0.05
"""How much earlier than the durations say a phone is heard, seconds: measured with the posteriors of forty lines."""
COMMON_WORDS, FLATTENED = 9000, 0.45
"""Words to speak, and the exponent of their frequency: rare ones have the rare phones."""
WORDS = (3, 10)
"""Range of the words in a line."""
COMMANDS = 0.2
"""Part of the lines that say what the film's say."""
MIXED = 0.4
"""Part of the lines that are spoken by the mean of two voices."""
SPEED = (0.85, 1.3)
"""Range of the pace."""
ENGLISH_SHARE = 3
"""How many times as often voices that learned English speak."""

_LETTERS = str.maketrans(
    {
        "A": "eɪ",
        "I": "aɪ",
        "O": "oʊ",
        "Q": "əʊ",
        "W": "aʊ",
        "Y": "ɔɪ",
        "T": "ɾ",
        "ᵊ": "ə",
        "ʤ": "dʒ",
        "ʧ": "tʃ",
        "ʔ": "t",
    }
)
_SPELLED: dict[str, str] = {
    **{"a": "ˈA", "b": "bˈi", "c": "sˈi", "d": "dˈi", "e": "ˈi", "f": "ˈɛf", "g": "ʤˈi", "h": "ˈAʧ", "i": "ˈI"},
    **{"j": "ʤˈA", "k": "kˈA", "l": "ˈɛl", "m": "ˈɛm", "n": "ˈɛn", "o": "ˈO", "p": "pˈi", "q": "kjˈu", "r": "ˈɑɹ"},
    **{"s": "ˈɛs", "t": "tˈi", "u": "jˈu", "v": "vˈi", "x": "ˈɛks", "y": "wˈI", "z": "zˈɛd"},
}
_STRESS, _LONG, _END = ("ˈ", "ˌ"), "ː", (".", ".", "!", "?")


@dataclass(frozen=True)
class Said:
    """One symbol and how long it lasts."""

    symbol: str
    seconds: float


class Kokoro:
    """The synthesiser. Needs a folder with ``kokoro.onnx``, ``vocab.json`` and ``voices/*.bin``: training/README.md."""

    def __init__(self, folder: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        model, self._durations = with_durations(onnx.load(folder / "kokoro.onnx"))
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._ids: dict[str, int] = json.loads((folder / "vocab.json").read_text())["vocab"]
        self.voices = {
            path.stem: np.fromfile(path, np.float32).reshape(-1, 256) for path in folder.glob("voices/*.bin")
        }

    def say(self, symbols: str, voice: Array, speed: float) -> tuple[Array, list[Said]]:
        """Symbols of its vocabulary → sound (n,) at :data:`RATE` and how long each of them lasts. ``voice`` is
        (lengths, 256): styles for lines of that many symbols."""
        known = [symbol for symbol in symbols if symbol in self._ids]
        audio, frames = self._session.run(
            ["audio", self._durations],
            {
                "tokens": np.array([[0, *(self._ids[symbol] for symbol in known), 0]], np.int64),
                "style": voice[min(len(known), len(voice)) - 1][None],
                "speed": np.array([speed], np.float32),
            },
        )
        seconds = frames.ravel() * FRAME_SECONDS
        said = [Said(symbol, float(s)) for symbol, s in zip(["", *known, ""], seconds, strict=True)]
        return audio.ravel(), said


def with_durations(model: onnx.ModelProto) -> tuple[onnx.ModelProto, str]:
    """The graph with the durations among its outputs, and their name: they are what is rounded and then clipped."""
    rounded = {node.output[0] for node in model.graph.node if node.op_type == "Round"}
    (name,) = (n.output[0] for n in model.graph.node if n.op_type == "Clip" and n.input[0] in rounded)
    model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return model, name


def timed(said: list[Said]) -> Timed:
    """ARPAbet phones with start and end. Stress belongs to the vowel after it, a blank to its two neighbours."""
    phones: list[tuple[str, float, float]] = []
    now = before = 0.0
    for each in said:
        start, now = now - before, now + each.seconds
        before = 0.0
        if each.symbol in _STRESS:
            before = now - start
        elif each.symbol == " ":
            before = each.seconds / 2
            if phones:
                phones[-1] = (*phones[-1][:2], now - before)
        elif each.symbol == _LONG and phones:
            phones[-1] = (*phones[-1][:2], now)
        else:
            names = arpabet(each.symbol.translate(_LETTERS)) if each.symbol.isalpha() else ["SIL"]
            phones += [(name, start, now) for name in names]
    return tuple((name, max(0.0, start - LATE), end - LATE) for name, start, end in phones)


def converse(acoustic: AcousticModel, folder: Path, minutes: float, rng: np.random.Generator) -> Iterator[Spoken]:
    """So much speech, line by line, each in another voice."""
    kokoro, writer = Kokoro(folder), _Writer()
    names = sorted(kokoro.voices)
    names = [name for name in names if name[0] in "ab"] * ENGLISH_SHARE + names
    left = 60 * minutes
    while left > 0:
        name = rng.choice(names)
        voice = kokoro.voices[name]
        if rng.random() < MIXED:
            voice = np.float32(0.5) * (voice + kokoro.voices[rng.choice(names)])
        line = writer.command(rng) if rng.random() < COMMANDS else writer.line(rng, british=name[0] == "b")
        audio, said = kokoro.say(line, voice, rng.uniform(*SPEED))
        left -= len(audio) / RATE
        sound = at_speech_level(audio.astype(np.float64), RATE)
        heard = hear(acoustic, sound, len(sound) // HOP)[:, :N_STATES]
        yield Spoken(sound, align_near(heard, timed(said)))


class _Writer:
    """Lines of words of no meaning, in Kokoro's symbols."""

    def __init__(self) -> None:
        from wordfreq import top_n_list, word_frequency

        self._said = [_dictionary(name) for name in ("us_gold.json", "gb_gold.json")]
        self._words = [w for w in top_n_list("en", COMMON_WORDS) if w.isalpha() and all(w in d for d in self._said)]
        frequency = np.array([word_frequency(word, "en") for word in self._words]) ** FLATTENED
        self._frequency = frequency / frequency.sum()

    def line(self, rng: np.random.Generator, *, british: bool) -> str:
        words = [self._said[british][w] for w in rng.choice(self._words, rng.integers(*WORDS) + 1, p=self._frequency)]
        if len(words) > WORDS[1] // 2 and rng.random() < 0.5:
            words[len(words) // 2] += ","
        return " ".join(words) + str(rng.choice(_END))

    def command(self, rng: np.random.Generator) -> str:
        return " ".join(_SPELLED.get(word) or self._said[0][word] for word in a_grid_sentence(rng)) + "."


def _dictionary(name: str) -> dict[str, str]:
    read = json.loads(resources.files("misaki.data").joinpath(name).read_text(encoding="utf-8"))
    said = {word: entry["DEFAULT"] if isinstance(entry, dict) else entry for word, entry in read.items()}
    return {word: symbols for word, symbols in said.items() if symbols}

"""Which phone is spoken when: the GRID words' pronunciations, aligned to the phone-state posteriors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lipstream.engines.portrait.phones import HOP, PHONES, SAMPLE_RATE, STATES_PER_PHONE

_HOPS_PER_SECOND = SAMPLE_RATE // HOP
_SLACK = 3  # hops by which a word may begin earlier or end later than its timing says

NEAR = 0.08
"""How far from where they are known to be :func:`align_near` looks for phones, seconds."""

_UNLIKELY, _IMPOSSIBLE = -8.0, -1e4  # log posteriors

BILABIAL = frozenset({"B", "P", "M"})

PRONUNCIATIONS: dict[str, str] = {
    **{"a": "EY", "b": "B IY", "c": "S IY", "d": "D IY", "e": "IY", "f": "EH F", "g": "JH IY", "h": "EY CH"},
    **{"i": "AY", "j": "JH EY", "k": "K EY", "l": "EH L", "m": "EH M", "n": "EH N", "o": "OW", "p": "P IY"},
    **{"q": "K Y UW", "r": "AA R", "s": "EH S", "t": "T IY", "u": "Y UW", "v": "V IY", "x": "EH K S"},
    **{"y": "W AY", "z": "Z EH D", "zero": "Z IH R OW", "one": "W AH N", "two": "T UW", "three": "TH R IY"},
    **{"four": "F AO R", "five": "F AY V", "six": "S IH K S", "seven": "S EH V AH N", "eight": "EY T"},
    **{"nine": "N AY N", "bin": "B IH N", "lay": "L EY", "place": "P L EY S", "set": "S EH T"},
    **{"blue": "B L UW", "green": "G R IY N", "red": "R EH D", "white": "W AY T", "at": "AE T", "by": "B AY"},
    **{"in": "IH N", "with": "W IH TH", "again": "AH G EH N", "now": "N AW", "please": "P L IY Z"},
    **{"soon": "S UW N", "sil": "SIL", "sp": "SIL"},
}
"""ARPAbet pronunciations of every GRID word, pauses included."""


_SENTENCE = (
    {"b": "bin", "l": "lay", "p": "place", "s": "set"},
    {"b": "blue", "g": "green", "r": "red", "w": "white"},
    {"a": "at", "b": "by", "i": "in", "w": "with"},
    {letter: letter for letter in "abcdefghijklmnopqrstuvxyz"},
    dict(
        zip("z123456789", ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"], strict=True)
    ),
    {"a": "again", "n": "now", "p": "please", "s": "soon"},
)
"""What each letter of a GRID clip's name says."""


def grid_sentence(name: str) -> list[str]:
    """The words of a GRID clip by its name (``bbaf2n``, ``s26_bgbsza``); empty if that is no such name."""
    code = name.split("_")[-1].lower()
    if len(code) != len(_SENTENCE) or any(letter not in said for letter, said in zip(code, _SENTENCE, strict=True)):
        return []
    return [said[letter] for letter, said in zip(code, _SENTENCE, strict=True)]


def a_grid_sentence(rng: np.random.Generator) -> list[str]:
    """The words of a random command as GRID has them."""
    return [str(rng.choice(list(said.values()))) for said in _SENTENCE]


def align_sentence(log_posteriors: NDArray[np.float32], words: list[str]) -> list[str]:
    """The phone of each hop of (n, 126) log posteriors in which these words are said, silence around them.

    For recordings whose word timings are unknown; with timings :func:`align_words` is surer.
    """
    phones = ["SIL", *(phone for word in words for phone in PRONUNCIATIONS[word].split()), "SIL"]
    states = [PHONES.index(phone) * STATES_PER_PHONE + state for phone in phones for state in range(STATES_PER_PHONE)]
    return [phones[position // STATES_PER_PHONE] for position in _left_to_right(log_posteriors[:, states])]


def align_words(log_posteriors: NDArray[np.float32], words: tuple[tuple[float, float, str], ...]) -> list[str]:
    """The phone of each hop of (n, 126) log posteriors, given word timings (start, end, word) in seconds.

    Each word's states are laid along its time by the Viterbi algorithm (left to right, none skipped).
    """
    phones = ["SIL"] * len(log_posteriors)
    for start, end, word in words:
        states = [
            PHONES.index(phone) * STATES_PER_PHONE + state
            for phone in PRONUNCIATIONS[word].split()
            for state in range(STATES_PER_PHONE)
        ]
        if word in ("sil", "sp"):
            continue
        first = max(0, round(start * _HOPS_PER_SECOND) - _SLACK)
        last = min(len(log_posteriors), round(end * _HOPS_PER_SECOND) + _SLACK)
        if last - first < len(states):
            continue
        path = _left_to_right(log_posteriors[first:last][:, states])
        for hop, position in enumerate(path, first):
            phones[hop] = PHONES[states[position] // STATES_PER_PHONE]
    return phones


def align_near(
    log_posteriors: NDArray[np.float32], timed: tuple[tuple[str, float, float], ...]
) -> tuple[tuple[str, float, float], ...]:
    """(phone, start, end) in seconds, roughly known → the same where (n, 126) log posteriors say that they are, within
    :data:`NEAR` of what was known."""
    hops = len(log_posteriors)
    scores = np.full((hops, STATES_PER_PHONE * len(timed)), _IMPOSSIBLE, np.float32)
    for place, (phone, start, end) in enumerate(timed):
        near = slice(max(0, int((start - NEAR) * _HOPS_PER_SECOND)), int((end + NEAR) * _HOPS_PER_SECOND) + 1)
        first = PHONES.index(phone) * STATES_PER_PHONE
        states = slice(STATES_PER_PHONE * place, STATES_PER_PHONE * (place + 1))
        scores[near, states] = np.maximum(log_posteriors[near, first : first + STATES_PER_PHONE], _UNLIKELY)
    places = np.array(_left_to_right(scores)) // STATES_PER_PHONE
    starts = np.flatnonzero(np.diff(places, prepend=-1))
    ends = np.append(starts[1:], hops)
    return tuple(
        (timed[places[start]][0], start / _HOPS_PER_SECOND, end / _HOPS_PER_SECOND)
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    )


def _left_to_right(scores: NDArray[np.float32]) -> list[int]:
    """Best monotonic path through (hops, states), from the first state to the last."""
    hops, states = scores.shape
    best = np.full(states, -np.inf)
    best[0] = scores[0, 0]
    moved = np.zeros((hops, states), bool)
    for hop in range(1, hops):
        previous = np.concatenate([[-np.inf], best[:-1]])
        moved[hop] = previous > best
        best = np.maximum(previous, best) + scores[hop]
    path = [states - 1]
    for hop in range(hops - 1, 0, -1):
        path.append(path[-1] - int(moved[hop, path[-1]]))
    return path[::-1]

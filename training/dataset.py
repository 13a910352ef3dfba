"""Sequences to learn from: sentences with pauses of any length between them, heard by the phone model, with targets.

Every GRID clip has the same rhythm and grammar: a pause, six words, a pause. A recurrent network would learn to count,
and take a single vowel for noise. So the clips' own pauses are shortened, what is put between the sentences is now
nothing, now seconds of silence or noise, and single words stand among them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from lipstream.engines.portrait.gates import LOGITS
from lipstream.engines.portrait.motion import STEP_LEAD, STEP_SECONDS
from lipstream.engines.portrait.phones import BLOCK, HOP, N_STATES, PHONES, SAMPLE_RATE, AcousticModel, PhoneStream
from lipstream.engines.portrait.visemes import AHEAD_HOPS
from training.noises import NOISES, Noise, at_level, coloured, in_a_room
from training.phonetics import BILABIAL, align_words
from training.prepare import FPS, Array, Clip, opening_map

Features = NDArray[np.float32]

TOLD = (*LOGITS, *PHONES)
"""What the network tells besides the motion: whether lips touch, whether somebody speaks, and which phone it is."""
STEPS_PER_SECOND = int(1 / STEP_SECONDS)
SEQUENCE_STEPS = 400
"""Eight seconds: two or three sentences."""
MARGIN_SECONDS = (0.2, 1.5)
"""Range of how much of a clip's own pause is kept before its first and after its last word, if there is that much."""
REST_SECONDS = (0.35, 0.45)
"""Further than this from the first and the last word, the target is the mouth at rest, whatever the speaker's mouth
did: breathing in cannot be heard, and a mouth that opens in silence looks wrong."""
PAUSE_SECONDS = (0.0, 0.6)
"""Range of a usual pause between sentences."""
LONG_PAUSE_SECONDS = (1.0, 6.0)
"""Range of a long one."""
LONG_PAUSES = 0.12
"""Part of the pauses that are long."""
FRAGMENTS = 0.5
"""How likely a fragment of one to three words follows each sentence."""
FRAGMENT_WORDS = 3
"""Most words in a fragment."""
PAUSE_NOISE = (1e-5, 5e-3)
"""Range of the level of the noise in every other pause; the rest are digital silence."""
NOISE_SECONDS = (0.5, 8.0)
"""Range of how long a noise lasts where nobody speaks."""
NOISE_LEVEL = (1e-4, 0.2)
"""Range of its RMS."""

_STEP_SAMPLES = BLOCK * HOP
_LIPS_TOUCH = 0.03  # opening, in inter-ocular distances, below which a bilabial counts as closed
_LIPS_REST = 0.02  # the same for silence
_REST_RAMP = 5  # steps
_FRAGMENT_REACH = 8  # steps around a fragment in which the mouth moves
_BEFORE_SPEECH, _AFTER_SPEECH = 8, 10  # steps around words in which the mouth moves too


@dataclass(frozen=True)
class Voice:
    """How a recording is changed before the phone model hears it."""

    warp: tuple[float, float] = (1.0, 1.0)
    """Range of the frequency warp."""
    gain_db: tuple[float, float] = (0.0, 0.0)
    """Range of the gain."""
    snr_db: tuple[float, float] | None = None
    """Range of the signal-to-noise ratio of added noise, None = no noise. The noise fills the pauses too."""
    noises: tuple[Noise, ...] = (coloured,)
    """Kinds of noise, one for each sequence."""
    rooms: float = 0.0
    """How likely a sequence is heard with the echoes of a room."""
    tilt: tuple[float, float] = (0.0, 0.0)
    """Range of the microphone's timbre: the weight with which each sample is added to the next one."""


@dataclass(frozen=True)
class Sequences:
    """n sequences, all of the same length."""

    heard: Features
    """(n, hops, 139) as :class:`PhoneStream` gives it; step s of the targets sees hops 2s … 2s + 3."""
    coefficients: Features
    """(n, steps, K)"""
    told: Features
    """(n, steps, 44) 0…1, in the order of TOLD."""


def hear(acoustic: AcousticModel, audio: NDArray[np.float32], hops: int, warp: float = 1.0) -> Features:
    """(hops, 139) what is heard of a recording, silence following it."""
    silence = np.zeros(max(0, hops * HOP - len(audio)) + SAMPLE_RATE // 4, np.float32)
    return PhoneStream(acoustic, warp).push(np.concatenate([audio, silence]))[:hops]


def align_clip(acoustic: AcousticModel, clip: Clip) -> list[str]:
    """The phone of each hop of a clip."""
    return align_words(hear(acoustic, clip.audio, len(clip.audio) // HOP)[:, :N_STATES], clip.words)


def build(acoustic: AcousticModel, sentences: list[Sentence], voice: Voice, seed: int) -> Sequences:
    """Put the sentences in a random order into sequences, each of them once or so."""
    rng = np.random.default_rng(seed)
    waiting = [sentences[i] for i in rng.permutation(len(sentences))]
    filled = []
    while waiting:
        filled.append(_fill(waiting, sentences, rng))
    heard = [_hear_sequence(acoustic, sentence.audio, voice, rng) for sentence in filled]
    return Sequences(
        np.stack(heard),
        np.stack([sentence.coefficients for sentence in filled]),
        np.stack([sentence.told for sentence in filled]),
    )


def nobody(acoustic: AcousticModel, count: int, coefficients: int, voice: Voice, seed: int) -> Sequences:
    """``count`` sequences of silence, noise and music at any level, in which the mouth is to be at rest."""
    rng = np.random.default_rng(seed)
    heard = []
    for _ in range(count):
        sound = np.zeros(0, np.float32)
        while len(sound) < SEQUENCE_STEPS * _STEP_SAMPLES:
            samples = int(rng.uniform(*NOISE_SECONDS) * SAMPLE_RATE)
            kind = rng.integers(len(NOISES) + 1)
            level = float(np.exp(rng.uniform(*np.log(NOISE_LEVEL))))
            noise = at_level(NOISES[kind](samples, rng), level) if kind < len(NOISES) else np.zeros(samples, np.float32)
            sound = np.concatenate([sound, noise])
        heard.append(_hear_sequence(acoustic, sound[: SEQUENCE_STEPS * _STEP_SAMPLES], voice, rng))
    still = np.zeros((count, SEQUENCE_STEPS, coefficients), np.float32)
    return Sequences(np.stack(heard), still, np.tile(_rest(SEQUENCE_STEPS), (count, 1, 1)))


@dataclass(frozen=True)
class Sentence:
    """Sound of some steps and what the mouth is to do."""

    audio: NDArray[np.float32]
    """(steps × 320,)"""
    coefficients: Features
    """(steps, K)"""
    told: Features
    """(steps, 44)"""
    words: tuple[tuple[int, int], ...] = ()
    """First and last step of each word."""

    def fragment(self, first_word: int, last_word: int) -> Sentence:
        """Some of the words on their own, with silence around them; the mouth starts from rest and returns to it."""
        start, end = self.words[first_word][0], self.words[last_word][1]
        times = np.arange(len(self.audio)) / _STEP_SAMPLES
        heard = np.interp(times, [start - 1, start, end, end + 1], [0.0, 1.0, 1.0, 0.0])
        steps = np.arange(len(self.coefficients))
        reach = [start - _FRAGMENT_REACH, start - 1, end + 1, end + _FRAGMENT_REACH]
        moves = np.interp(steps, reach, [0.0, 1.0, 1.0, 0.0])[:, None]
        rest = _rest(len(steps))
        alone = Sentence(
            (self.audio * heard).astype(np.float32),
            (self.coefficients * moves).astype(np.float32),
            np.where(moves > 0.5, self.told, rest).astype(np.float32),
        )
        return alone.part(max(0, start - _FRAGMENT_REACH), end + _FRAGMENT_REACH)

    def part(self, first: int, last: int) -> Sentence:
        """The steps from ``first`` to before ``last``."""
        samples = slice(first * _STEP_SAMPLES, last * _STEP_SAMPLES)
        return Sentence(self.audio[samples], self.coefficients[first:last], self.told[first:last])


def filmed(clip: Clip, phones: list[str], vectors: Array) -> Sentence:
    """A clip, given the phone of each hop and the basis (K, 61, 3)."""
    steps = len(clip.audio) // _STEP_SAMPLES
    spoken = [(start, end) for start, end, word in clip.words if word not in ("sil", "sp")]
    first = int(min(start for start, _ in spoken) * STEPS_PER_SECOND)
    last = int(max(end for _, end in spoken) * STEPS_PER_SECOND)
    moves = moves_around(steps, first, last)
    coefficients = _coefficients(clip, vectors, steps) * moves[:, None]
    opening = coefficients @ (vectors.reshape(len(vectors), -1) @ opening_map())
    return Sentence(
        clip.audio[: steps * _STEP_SAMPLES],
        coefficients.astype(np.float32),
        told_of(opening, phones).astype(np.float32),
        tuple((int(start * STEPS_PER_SECOND), int(end * STEPS_PER_SECOND)) for start, end in spoken),
    )


def moves_around(steps: int, first: int, last: int) -> Array:
    """(steps,) 1 in and around the words, 0 where the mouth is to be at rest."""
    before, after = (round(seconds * STEPS_PER_SECOND) for seconds in REST_SECONDS)
    inside = [first - before, first - before + _REST_RAMP, last + after - _REST_RAMP, last + after]
    return np.interp(np.arange(steps), inside, [0.0, 1.0, 1.0, 0.0])


def _rest(steps: int) -> Features:
    """(steps, 44): lips closed, nobody speaks, silence."""
    still = [float(name in ("closed", "SIL")) for name in TOLD]
    return np.tile(np.array(still, np.float32), (steps, 1))


def _pause(steps: int, coefficients: int, rng: np.random.Generator) -> Sentence:
    """Silence or soft noise, the mouth at rest."""
    audio = np.zeros(steps * _STEP_SAMPLES, np.float32)
    if rng.random() < 0.5:
        audio = at_level(coloured(len(audio), rng), float(np.exp(rng.uniform(*np.log(PAUSE_NOISE)))))
    return Sentence(audio, np.zeros((steps, coefficients), np.float32), _rest(steps))


def _random_pause(width: int, rng: np.random.Generator) -> Sentence:
    seconds = rng.uniform(*(LONG_PAUSE_SECONDS if rng.random() < LONG_PAUSES else PAUSE_SECONDS))
    return _pause(round(seconds * STEPS_PER_SECOND), width, rng)


def _fill(waiting: list[Sentence], sentences: list[Sentence], rng: np.random.Generator) -> Sentence:
    """Take sentences off the waiting list until a sequence is full; the last one may be cut off."""
    width = waiting[0].coefficients.shape[1]
    parts: list[Sentence] = []
    steps = 0
    while steps < SEQUENCE_STEPS:
        parts.append(_random_pause(width, rng))
        if waiting:
            whole = waiting.pop()
            before, after = (rng.uniform(*MARGIN_SECONDS, 2) * STEPS_PER_SECOND).astype(int)
            parts.append(whole.part(max(0, whole.words[0][0] - before), whole.words[-1][1] + after))
        if rng.random() < FRAGMENTS:
            whole = sentences[rng.integers(len(sentences))]
            first = int(rng.integers(len(whole.words)))
            last = min(first + int(rng.integers(FRAGMENT_WORDS)), len(whole.words) - 1)
            parts += [_random_pause(width, rng), whole.fragment(first, last)]
        steps = sum(len(part.coefficients) for part in parts)
    return Sentence(
        np.concatenate([part.audio for part in parts]),
        np.concatenate([part.coefficients for part in parts]),
        np.concatenate([part.told for part in parts]),
    ).part(0, SEQUENCE_STEPS)


def _hear_sequence(
    acoustic: AcousticModel, clean: NDArray[np.float32], voice: Voice, rng: np.random.Generator
) -> Features:
    """(hops, 139) of a sequence in a voice, shifted so that step s of the targets belongs to hops 2s … 2s + 3."""
    gain = 10.0 ** (rng.uniform(*voice.gain_db) / 20.0)
    sound = clean * np.float32(gain)
    if rng.random() < voice.rooms:
        sound = in_a_room(sound, rng)
    if voice.snr_db is not None:
        speech_level = float(np.sqrt((sound.astype(np.float64) ** 2).mean()))
        kind = voice.noises[rng.integers(len(voice.noises))]
        sound = sound + at_level(kind(len(sound), rng), speech_level * 10.0 ** (-rng.uniform(*voice.snr_db) / 20.0))
    sound[1:] += np.float32(rng.uniform(*voice.tilt)) * sound[:-1]
    warp = float(np.exp(rng.uniform(*np.log(voice.warp))))
    # A step sees the block before the last one of its lead, and the last one.
    ahead = (STEP_LEAD - 1) * BLOCK
    heard = hear(acoustic, sound, BLOCK * (SEQUENCE_STEPS + STEP_LEAD), warp)
    return heard[ahead : ahead + BLOCK * (SEQUENCE_STEPS + 1)].astype(np.float32)


def _step_times(clip: Clip, steps: int) -> Array:
    times = np.arange(steps) / STEPS_PER_SECOND + AHEAD_HOPS * HOP / SAMPLE_RATE
    return np.minimum(times, (len(clip.motion) - 1) / FPS)


def _coefficients(clip: Clip, vectors: Array, steps: int) -> Array:
    """(steps, K): the filmed motion in the basis, by cubic interpolation between its frames."""
    k = len(vectors)
    filmed = clip.motion.reshape(len(clip.motion), -1) @ vectors.reshape(k, -1).T
    return np.asarray(CubicSpline(np.arange(len(filmed)) / FPS, filmed)(_step_times(clip, steps)))


def told_of(opening: Array, phones: list[str]) -> Array:
    """(steps, 44) from the aligned phones; closed lips must be closed in the film too, by its (steps,) opening."""
    target = np.zeros((len(opening), len(TOLD)))
    for step, gap in enumerate(opening):
        hop = BLOCK * step + AHEAD_HOPS
        here, near = set(phones[max(0, hop - 1) : hop + 2]), set(phones[max(0, hop - 2) : hop + 3])
        wide = set(phones[max(0, hop - BLOCK * _AFTER_SPEECH) : hop + BLOCK * _BEFORE_SPEECH + 1])
        touches = bool(near & BILABIAL) and gap < _LIPS_TOUCH
        rests = here == {"SIL"} and gap < _LIPS_REST
        target[step, : len(LOGITS)] = touches or rests, wide != {"SIL"}
        heard = phones[hop : hop + BLOCK] or phones[-1:]
        for phone in heard:
            target[step, TOLD.index(phone)] += 1 / len(heard)
    return target

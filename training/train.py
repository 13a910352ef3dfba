"""Train the mouth and write its weights: ``python -m training.train --data DIR --others DIR --out FILE``."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lipstream.engines.portrait.gates import LOGITS
from lipstream.engines.portrait.motion import MotionModel
from lipstream.engines.portrait.phones import N_STATES, AcousticModel
from lipstream.models.store import ModelStore
from training.dataset import TOLD, Sequences, Voice, align_clip, build, filmed, nobody
from training.espeak import Speaker
from training.evaluate import acoustic_model, evaluate
from training.export import export
from training.festival import read_aloud
from training.kokoro import converse
from training.mouth_of_phones import PhoneMouth, fit_phone_mouth, imagined, steps_of
from training.network import MotionNetwork
from training.noises import NOISES, coloured, pink
from training.prepare import N_LIP, POINTS, Array, Clip, load_clips, motion_basis, opening_map, width_map
from training.singing import sing
from training.split import split

COEFFICIENTS = 10
"""Number of directions in the basis; they explain 99.7 % of the motion of s1."""

VOICES = (
    Voice(),
    Voice(gain_db=(-24.0, 8.0)),
    Voice(warp=(0.88, 1.14), gain_db=(-12.0, 4.0), tilt=(-0.5, 0.5)),
    Voice((0.95, 1.06), (-12.0, 4.0), snr_db=(10.0, 40.0), noises=(coloured, pink), rooms=0.15, tilt=(-0.5, 0.5)),
    Voice((0.92, 1.09), (-18.0, 8.0), snr_db=(3.0, 22.0), noises=NOISES, rooms=0.35, tilt=(-0.6, 0.6)),
)
"""Every clip is used once with each of these changes."""
SYLLABLES, SYLLABLE_VOICES = 160, (Voice((0.9, 1.12), (-12.0, 6.0), snr_db=(12.0, 45.0), tilt=(-0.5, 0.5)),) * 2
"""Rows of spoken syllables, and the same for them."""
LINES = 300
"""Lines that eSpeak speaks, and as many that Festival does."""
LINE_VOICES = (
    Voice((0.85, 1.18), (-12.0, 6.0), tilt=(-0.5, 0.5)),
    Voice((0.88, 1.14), (-12.0, 6.0), snr_db=(10.0, 40.0), noises=(coloured, pink), rooms=0.2, tilt=(-0.6, 0.6)),
    Voice((0.9, 1.12), (-14.0, 6.0), snr_db=(3.0, 22.0), noises=NOISES, rooms=0.35, tilt=(-0.6, 0.6)),
)
"""All synthetic speech is used once with each of these changes."""
LINE_WEIGHT = 0.15
"""Weight of their motion, which is only estimated. Their phones are known, so lip contact has full weight."""
MINUTES_READ = 45.0
"""How long Kokoro's voices speak."""
READ_VOICES = (
    Voice(),
    Voice((0.92, 1.1), (-18.0, 6.0), snr_db=(10.0, 40.0), noises=(coloured, pink), rooms=0.2, tilt=(-0.6, 0.6)),
    Voice((0.93, 1.08), (-18.0, 6.0), snr_db=(3.0, 22.0), noises=NOISES, rooms=0.35, tilt=(-0.7, 0.6)),
)
"""All of it is heard in each of these ways, by the teachers in the first."""
READ_WEIGHT = 0.5
"""What the motion counts that the teachers heard in it."""
SUNG = 240
"""How many of these lines are sung as well, and heard in the same ways."""
SUNG_WEIGHT = 0.3
"""What their motion counts, which is only estimated."""
NOBODY, NOBODY_SPEAKS = 100, Voice(rooms=0.2)
"""Sequences in which nobody speaks."""


@dataclass(frozen=True)
class Recipe:
    """What decides the result."""

    channels: tuple[int, int] = (112, 96)
    """Of a teacher that hears phones alone, and of one that hears cepstra too."""
    epochs: int = 9
    """A teacher's passes over all sequences."""
    elder_channels: int = 128
    """Of the teachers' first pupil, which teaches the second one."""
    elder_epochs: int = 15
    """Its passes over all sequences."""
    pupil_channels: int = 160
    """Of the network that is shipped."""
    pupil_epochs: int = 20
    """Its passes over all sequences."""
    batch: int = 12
    """Sequences per step of the optimiser."""
    rate: float = 2e-3
    """Peak of the one-cycle learning rate."""
    decay: float = 0.02
    """Weight decay."""
    noise: float = 0.3
    """Standard deviation of the noise on the log posteriors."""
    events: float = 0.3
    """Weight of the cross entropy of touching lips and speech."""
    phones: float = 0.3
    """Weight of the cross entropy of the phones."""
    seed: int = 0
    """Seed of everything random."""


class MotionLoss:
    """How far apart two motions look: lips before jaw, opening and width above all, and their speed."""

    def __init__(self, vectors: Array, recipe: Recipe) -> None:
        flat = vectors.reshape(len(vectors), -1)
        weight = np.ones((len(POINTS), 3))
        weight[:N_LIP] = 3.0
        weight[:, 2] *= 0.3
        weight /= weight.mean()
        self._points = torch.tensor((flat * weight.reshape(-1)).astype(np.float32))
        self._mouth = torch.tensor(np.stack([flat @ opening_map(), flat @ width_map()], 1).astype(np.float32))
        self._events, self._phones = recipe.events, recipe.phones

    def __call__(self, motion: Tensor, logits: Tensor, true_motion: Tensor, true_told: Tensor) -> Tensor:
        """Coefficients (batch, steps, K) and logits (batch, steps, 44) against their targets → scalar."""
        error = motion - true_motion
        # Over two steps, one film frame: faster changes are the interpolation's.
        speed = error[:, 2:] - error[:, :-2]
        events, phones = logits[..., : len(LOGITS)], logits[..., len(LOGITS) :]
        happens = functional.binary_cross_entropy_with_logits(events, true_told[..., : len(LOGITS)])
        said = -(true_told[..., len(LOGITS) :] * functional.log_softmax(phones, -1)).sum(-1).mean()
        return self._distance(error) + self._distance(speed) + self._events * happens + self._phones * said

    def _distance(self, error: Tensor) -> Tensor:
        return 40.0 * (error @ self._points).abs().mean() + 10.0 * (error @ self._mouth).abs().mean()


@dataclass(frozen=True)
class Data:
    """All sequences of all voices as tensors."""

    heard: Tensor
    """(n, hops, 139) float16"""
    coefficients: Tensor
    """(n, steps, K)"""
    told: Tensor
    """(n, steps, 44) as :data:`training.dataset.TOLD`."""
    weight: Tensor
    """(n,) weight of the motion."""

    @classmethod
    def join(cls, parts: list[Sequences], weights: list[float]) -> Data:
        """Put the voices together, each with its weight."""
        return cls(
            torch.tensor(np.concatenate([p.heard.astype(np.float16) for p in parts])),
            torch.tensor(np.concatenate([p.coefficients for p in parts])),
            torch.tensor(np.concatenate([p.told for p in parts])),
            torch.cat([torch.full((len(p.heard),), weight) for p, weight in zip(parts, weights, strict=True)]),
        )

    def and_also(self, other: Data) -> Data:
        """Both."""
        return Data(*(torch.cat([getattr(self, field.name), getattr(other, field.name)]) for field in fields(Data)))


def fit(data: Data, spread: Tensor, loss: MotionLoss, recipe: Recipe, seed: int, *, cepstra: bool) -> MotionNetwork:
    """Train one network. ``spread`` (K,) scales its coefficients."""
    torch.manual_seed(seed)
    network = MotionNetwork(COEFFICIENTS, len(TOLD), recipe.channels[cepstra], cepstra=cepstra)
    with torch.no_grad():
        network.output.weight.mul_(0.3)
    optimiser = torch.optim.AdamW(network.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    batches = len(data.heard) // recipe.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.rate, total_steps=recipe.epochs * batches + 1, pct_start=0.1
    )
    network.train()
    for epoch in range(recipe.epochs):
        begun, total = time.monotonic(), 0.0
        for chosen in torch.randperm(len(data.heard))[: batches * recipe.batch].split(recipe.batch):
            heard = data.heard[chosen].float()
            heard[..., :N_STATES] += torch.randn_like(heard[..., :N_STATES]) * recipe.noise
            motion, logits = network(heard)
            weight = data.weight[chosen, None, None]
            cost = loss(motion * spread * weight, logits, data.coefficients[chosen] * weight, data.told[chosen])
            optimiser.zero_grad()
            cost.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += cost.item()
        took = time.monotonic() - begun
        print(f"seed {seed} epoch {epoch + 1}/{recipe.epochs}: loss {total / batches:.4f}, {took:.0f} s", flush=True)
    network.eval()
    return network


def taught(data: Data, teachers: list[MotionNetwork], spread: Tensor) -> Data:
    """The same sequences with targets half filmed, half the teachers' mean (Hinton et al. 2015)."""
    motion, events = _asked(teachers, data.heard, spread)
    return Data(data.heard, (motion + data.coefficients) / 2, _half_taught(data.told, events), data.weight)


def overheard(read: list[Sequences], teachers: list[MotionNetwork], spread: Tensor) -> Data:
    """Speech that nobody filmed, in several voices, of which the first is clear: the mouth moves in all of them as the
    teachers say when they hear that one, so that the pupil learns to hear it in the others too."""
    data = Data.join(read, [READ_WEIGHT] * len(read))
    motion, events = _asked(teachers, torch.tensor(read[0].heard.astype(np.float16)), spread)
    told = _half_taught(data.told, events.repeat(len(read), 1, 1))
    return Data(data.heard, motion.repeat(len(read), 1, 1), told, data.weight)


def _asked(teachers: list[MotionNetwork], heard: Tensor, spread: Tensor) -> tuple[Tensor, Tensor]:
    """Means of the teachers' coefficients (n, steps, K) and of their probabilities of LOGITS (n, steps, 2)."""
    motion, events = [], []
    with torch.no_grad():
        for chosen in heard.split(64):
            answers = [teacher(chosen.float()) for teacher in teachers]
            motion.append(torch.stack([a[0] for a in answers]).mean(0) * spread)
            events.append(torch.sigmoid(torch.stack([a[1] for a in answers])[..., : len(LOGITS)]).mean(0))
    return torch.cat(motion), torch.cat(events)


def _half_taught(told: Tensor, events: Tensor) -> Tensor:
    """The phones are known, so only LOGITS are halfway between what was and what the teachers say."""
    return torch.cat([(told[..., : len(LOGITS)] + events) / 2, told[..., len(LOGITS) :]], -1)


def sequences(
    acoustic: AcousticModel, clips: list[Clip], vectors: Array, spread: Array, seed: int
) -> tuple[Data, PhoneMouth]:
    """All that the teachers learn from: the film with all changes, synthetic speech, and sounds that are not speech.
    And what the film's mouth does for which phones."""
    phones = [align_clip(acoustic, clip) for clip in clips]
    sentences = [filmed(clip, spoken, vectors) for clip, spoken in zip(clips, phones, strict=True)]
    parts = [build(acoustic, sentences, voice, seed + i) for i, voice in enumerate(VOICES)]
    steps = [steps_of(spoken)[: len(s.coefficients)] for spoken, s in zip(phones, sentences, strict=True)]
    mouth = fit_phone_mouth(
        steps, [s.coefficients[: len(p)] for p, s in zip(steps, sentences, strict=True)], spread, seed
    )
    speaker, rng = Speaker(), np.random.default_rng(seed)
    syllables = [imagined(speaker.syllables(rng), mouth, spread, vectors) for _ in range(SYLLABLES)]
    parts += [build(acoustic, syllables, voice, seed + 50 + i) for i, voice in enumerate(SYLLABLE_VOICES)]
    parts.append(nobody(acoustic, NOBODY, len(vectors), NOBODY_SPEAKS, seed))
    weights = [1.0] * len(parts)
    lines = [speaker.line(rng) for _ in range(LINES)] + read_aloud(LINES, rng)
    read = [imagined(line, mouth, spread, vectors) for line in lines]
    parts += [build(acoustic, read, voice, seed + 60 + i) for i, voice in enumerate(LINE_VOICES)]
    return Data.join(parts, weights + [LINE_WEIGHT] * len(LINE_VOICES)), mouth


def train(
    acoustic: AcousticModel, clips: list[Clip], canonical: Array, kokoro: Path, recipe: Recipe, out: Path
) -> None:
    """From clips and a synthesiser to a weights file."""
    vectors, deviation = motion_basis(clips, COEFFICIENTS)
    scale = 3.0 * deviation
    data, mouth = sequences(acoustic, clips, vectors, scale, recipe.seed)
    spread = torch.tensor(scale.astype(np.float32))
    loss = MotionLoss(vectors, recipe)
    # Posteriors carry over to other voices, cepstra tell more of this one: from both kinds the pupil learns both.
    of_phones = fit(data, spread, loss, recipe, recipe.seed, cepstra=False)
    of_both, another = (fit(data, spread, loss, recipe, recipe.seed + n, cepstra=True) for n in (1, 2))
    lessons = taught(data, [of_phones, of_both], spread)
    of_phones = fit(lessons, spread, loss, recipe, recipe.seed + 5, cepstra=False)
    teachers = [of_phones, of_both, another]
    longer = replace(recipe, epochs=recipe.elder_epochs, channels=(recipe.elder_channels,) * 2)
    elder = fit(taught(data, teachers, spread), spread, loss, longer, recipe.seed + 6, cepstra=True)
    rng = np.random.default_rng(recipe.seed)
    lines = list(converse(acoustic, kokoro, MINUTES_READ, rng))
    songs = [song for line in lines[:SUNG] if (song := sing(line, rng)) is not None]
    read, sung = (
        [
            build(acoustic, [imagined(line, mouth, scale, vectors) for line in part], voice, recipe.seed + 70)
            for voice in READ_VOICES
        ]
        for part in (lines, songs)
    )
    teachers += [elder] * len(teachers)  # It knows what all of them know, and counts as much as all of them.
    lessons = taught(data, teachers, spread).and_also(overheard(read, teachers, spread))
    lessons = lessons.and_also(Data.join(sung, [SUNG_WEIGHT] * len(sung)))
    longer = replace(recipe, epochs=recipe.pupil_epochs, channels=(recipe.pupil_channels,) * 2)
    pupil = fit(lessons, spread, loss, longer, recipe.seed + 7, cepstra=True)
    export(pupil, vectors, scale, rest_face(canonical, clips), out)


def rest_face(canonical: Array, clips: list[Clip]) -> Array:
    """The canonical face (478, 3) with its mouth at rest."""
    face: Array = canonical.copy()
    face[list(POINTS)] = np.mean([clip.neutral for clip in clips], axis=0)
    return face


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="GRID s1, prepared")
    parser.add_argument("--others", type=Path, help="other GRID speakers, prepared: only measured on")
    parser.add_argument("--kokoro", type=Path, required=True, help="folder of the synthesiser Kokoro")
    parser.add_argument("--out", type=Path, required=True, help="weights file to write")
    parser.add_argument("--development", action="store_true", help="hold the development clips out and measure on them")
    choices = {name: value for name, value in asdict(Recipe()).items() if name != "channels"}
    for name, value in choices.items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    options = parser.parse_args()
    recipe = Recipe(**{name: getattr(options, name) for name in choices})
    torch.set_num_threads(1)
    acoustic = acoustic_model(ModelStore())
    canonical = np.load(options.data / "canonical.npy").astype(np.float64)
    parts = split(load_clips(options.data, canonical, own_shape=False))
    learned = parts.train if options.development else parts.train + parts.development
    train(acoustic, learned, canonical, options.kokoro, recipe, options.out)
    model = MotionModel.load(acoustic, options.out)
    measured = {"development": parts.development} if options.development else {"s1 held out": parts.test}
    if options.others is not None:
        measured["others"] = load_clips(options.others, canonical, own_shape=True)
    print(json.dumps({name: asdict(evaluate(model, clips)) for name, clips in measured.items()}, indent=2))


if __name__ == "__main__":
    main()

"""What one portrait looks like while it speaks, and how still it is when nobody does: figures from finished videos."""

from __future__ import annotations

from dataclasses import dataclass, fields

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.sounds import NOISE_DB, Sound, add_noise, music, pink_noise, silence, speech_level
from benchmarks.quality.video import Film, MouthReader, Pixels, film, frames_of, shown, still
from lipstream.engines.base import SPEECH_RATE, Actor
from lipstream.engines.portrait.engine import PortraitActor
from lipstream.engines.portrait.motion import Motion
from lipstream.engines.portrait.style import MouthPose, motion_vectors
from training.evaluate import perform
from training.openings import correlation
from training.prepare import FPS, N_LIP, Array, opening_map

SECONDS = 4.0
"""Length of silence, noise and music."""
SHUT_IOD = 0.012
"""A mouth counts as shut if it is seen open by less than this beyond rest, IOD; the mesh sees touching lips so."""
COMMANDED_SHUT_IOD = 0.001
HELD_IOD = 0.006
"""The lips count as held while their points move by less than this from frame to frame, IOD (mean)."""
SEEN_IOD = 0.04
"""Openings of at least this much have a visible inside, IOD."""
CLEAR_IOD = 0.06
"""From this opening on, the edges of the lips stay out of what the mesh takes for the inside, however they move,
IOD."""

_SETTLED = FPS // 2  # frames after speech in which a mouth may still close
_BOX_MARGIN = 0.12  # IOD around the lips
_EDGE_IOD = 0.02  # how far from the lips' edges the inside begins


@dataclass(frozen=True)
class PictureFigures:
    """Of one portrait. None = this engine does not tell, or there was no such moment."""

    iod_pixels: float
    """Distance between the eyes, pixels: what all IOD figures should be read with."""
    command_r: float | None
    """Correlation of the opening that the engine asked for with the one that the mesh sees after the encoder."""
    command_gain: float | None
    """By how much the seen opening grows with the one asked for (least squares)."""
    shut_seen: float | None
    """Part of the frames asked to be shut that look shut."""
    sharpness: float
    """Variance of the Laplacian around the mouth over that of the photo: median over speech, before the encoder."""
    sharpness_coded: float
    """The same after the encoder."""
    rest_gap_iod: float
    """Distance between the lips in silence: everything else is counted from there."""
    silence_jitter_iod: float
    """Standard deviation of the seen opening's change from frame to frame in digital silence: the worse of silence
    from the start and silence after speech."""
    noise_jitter_iod: float
    """The same in noise alone."""
    noise_opening_iod: float
    """How far the mouth opens in noise alone: 95th percentile."""
    music_jitter_iod: float
    """The same as for noise, in music without a voice."""
    music_opening_iod: float
    """95th percentile of the opening in music."""
    noisy_speech_r: float
    """Correlation of the seen opening in speech with noise with that in clean speech."""
    identity_psnr_db: float
    """Pixels that were never drawn on, against the same encode of the still picture: the worst frame."""
    interior_flicker: float | None
    """Mean change of grey levels (0…255) from frame to frame between parted lips that hold."""
    interior_flicker_worst: float | None
    """The largest of those changes."""
    interior_undone: float | None
    """Mean change of grey levels between parted lips that the next frame takes back, whether they hold or not."""
    interior_undone_worst: float | None
    """The largest of those."""


@dataclass(frozen=True)
class Seen:
    """A film and what the mesh saw in it."""

    film: Film
    landmarks: NDArray[np.float32]
    """(n, 468, 3)"""
    moved: Array
    """(n, 183) displacement from rest, IOD."""

    @property
    def opening(self) -> Array:
        """(n,) more than at rest, IOD."""
        return self.moved @ opening_map()


class Watcher:
    """Films one actor and measures the films."""

    def __init__(self, actor: Actor, reader: MouthReader, seconds: float = SECONDS) -> None:
        self.actor = actor
        self.seconds = seconds
        self._reader = reader
        quiet = film(actor, silence(seconds))
        landmarks = self._read(quiet)
        self._rest = np.asarray(np.median(landmarks, axis=0), np.float32)
        self.rest_gap = reader.gap(self._rest)
        self.quiet = self._seen(quiet, landmarks)

    def watch(self, sound: Sound) -> Seen:
        """Film a sound and look at it."""
        made = film(self.actor, sound)
        return self._seen(made, self._read(made))

    def displacements(self, sound: Sound, frames: int) -> Array:
        """(frames, 183) of a sound, for :func:`training.measures.measure`."""
        seen = self._reader.displacements(self._read(film(self.actor, sound)), self._rest)
        return np.concatenate([seen, np.repeat(seen[-1:], max(0, frames - len(seen)), axis=0)])[:frames]

    def _read(self, made: Film) -> NDArray[np.float32]:
        return np.stack([self._reader.read(picture) for picture in made.frames()])

    def _seen(self, made: Film, landmarks: NDArray[np.float32]) -> Seen:
        return Seen(made, landmarks, self._reader.displacements(landmarks, self._rest))

    def inside(self, landmarks: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.bool_]:
        """(height, width) what is between the lips, without their edges."""
        return between_lips(self._reader.inner_lips(landmarks), size, self.actor.avatar.face.scale)


def measure_pictures(watcher: Watcher, speech: Sound) -> PictureFigures:
    """All figures of one portrait; about half a minute."""
    actor, seconds = watcher.actor, watcher.seconds
    level = speech_level(speech)
    spoken = watcher.watch(np.concatenate([speech, silence(_SETTLED / FPS + seconds)]))
    noisy = watcher.watch(add_noise(speech, NOISE_DB))
    noise = watcher.watch(pink_noise(round(seconds * SPEECH_RATE), level * 10 ** (-NOISE_DB / 20)))
    band = watcher.watch(music(seconds, level))
    words = frames_of(speech)
    gaps = commanded_opening(actor, speech, words)
    r, gain, shut = obeyed(gaps, spoken.opening[:words])
    after = spoken.opening[words + _SETTLED :]
    flicker, undone = interior_flicker(watcher, spoken), interior_undone(watcher, spoken)
    sharp, sharp_coded = sharpness(spoken, actor, words)
    return PictureFigures(
        iod_pixels=actor.avatar.face.scale,
        command_r=r,
        command_gain=gain,
        shut_seen=shut,
        sharpness=sharp,
        sharpness_coded=sharp_coded,
        rest_gap_iod=watcher.rest_gap,
        silence_jitter_iod=max(jitter(watcher.quiet.opening), jitter(after)),
        noise_jitter_iod=jitter(noise.opening),
        noise_opening_iod=float(np.percentile(noise.opening, 95)),
        music_jitter_iod=jitter(band.opening),
        music_opening_iod=float(np.percentile(band.opening, 95)),
        noisy_speech_r=correlation(noisy.opening, spoken.opening[:words]),
        identity_psnr_db=identity_psnr(spoken.film, still(actor, len(spoken.opening))),
        interior_flicker=float(np.mean(flicker)) if flicker else None,
        interior_flicker_worst=max(flicker, default=None),
        interior_undone=float(np.mean(undone)) if undone else None,
        interior_undone_worst=max(undone, default=None),
    )


def jitter(opening: Array) -> float:
    """Standard deviation of the change from frame to frame."""
    return float(np.diff(opening).std())


# What was asked for


def mouth_pose(actor: PortraitActor, motion: Motion, frame: int) -> MouthPose:
    """The mouth of one frame of a motion."""
    values = [getattr(motion, column.name)[frame] for column in fields(motion)]
    return actor.style.pose(values[0], *(float(value) for value in values[1:]))


def commanded_opening(actor: Actor, speech: Sound, frames: int) -> Array | None:
    """(frames,) opening that the engine asks for, IOD; None if the engine does not think in lips."""
    if not isinstance(actor, PortraitActor):
        return None
    _, vectors = motion_vectors(actor.model.basis)
    opens = vectors.reshape(len(vectors), -1) @ opening_map()
    motion = perform(actor.model, speech, frames, FPS)
    return np.array([mouth_pose(actor, motion, frame).weights @ opens for frame in range(frames)])


def obeyed(gaps: Array | None, opening: Array) -> tuple[float | None, float | None, float | None]:
    """r, gain, and the part of the frames asked to be shut that look shut."""
    if gaps is None:
        return None, None, None
    shut = gaps <= COMMANDED_SHUT_IOD
    gain = float(np.polyfit(gaps, opening, 1)[0]) if gaps.std() > 0 else None
    return correlation(gaps, opening), gain, float((opening[shut] < SHUT_IOD).mean()) if shut.any() else None


# Pixels


def grey(picture: Pixels) -> NDArray[np.float32]:
    """(height, width) 0…255."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.float32)


def mouth_box(landmarks: NDArray[np.float32], scale: float, size: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns around the lips of (468, 3) landmarks."""
    lips = landmarks[[61, 291, 0, 17], :2]
    low, high = lips.min(axis=0) - _BOX_MARGIN * scale, lips.max(axis=0) + _BOX_MARGIN * scale
    left, top = np.maximum(low, 0).astype(int)
    right, bottom = np.minimum(np.ceil(high), size[1::-1]).astype(int)
    return slice(int(top), int(bottom)), slice(int(left), int(right))


def laplacian_variance(picture: Pixels, box: tuple[slice, slice]) -> float:
    """How much fine detail a part of a picture has."""
    return float(cv2.Laplacian(grey(picture[box]), cv2.CV_32F).var())


def sharpness(spoken: Seen, actor: Actor, words: int) -> tuple[float, float]:
    """Around the mouth, before and after the encoder, over the photo."""
    picture, face = actor.avatar.picture, actor.avatar.face
    box = mouth_box(face.landmarks, face.scale, picture.shape)
    photo = laplacian_variance(picture, box)
    drawn = [laplacian_variance(shown(picture, patch), box) for patch in spoken.film.patches[:words]]
    coded = [laplacian_variance(frame, box) for frame, _ in zip(spoken.film.frames(), range(words), strict=False)]
    return float(np.median(drawn)) / photo, float(np.median(coded)) / photo


def identity_psnr(spoken: Film, unmoved: Film) -> float:
    """dB over the pixels that were never drawn on, the worst frame; 100 if they are all the same."""
    same = ~spoken.touched
    pairs = zip(spoken.frames(), unmoved.frames(), strict=True)
    errors = [float(((a[same].astype(np.float32) - b[same]) ** 2).mean()) for a, b in pairs]
    return float(10 * np.log10(255**2 / max(*errors, 255**2 * 1e-10)))


def interior_flicker(watcher: Watcher, spoken: Seen) -> list[float]:
    """Mean change between the lips for each pair of frames between which parted lips hold."""
    return held_changes(*_insides(watcher, spoken), spoken.moved)


def interior_undone(watcher: Watcher, spoken: Seen) -> list[float]:
    """What of the change between parted lips the next frame takes back: a mean for each three frames."""
    return undone_changes(*_insides(watcher, spoken), spoken.moved)


def between_lips(outline: NDArray[np.float32], size: tuple[int, ...], scale: float) -> NDArray[np.bool_]:
    """(height, width) what is within an ``outline`` (n, 2) of the inner lips, without their edges."""
    mask = np.zeros(size, np.uint8)
    cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 1)
    reach = max(1, round(_EDGE_IOD * scale))
    return np.asarray(cv2.erode(mask, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)), bool)


def _insides(watcher: Watcher, spoken: Seen) -> tuple[list[NDArray[np.float32]], list[NDArray[np.bool_]]]:
    frames = [grey(frame) for frame in spoken.film.frames()]
    return frames, [watcher.inside(landmarks, frames[0].shape) for landmarks in spoken.landmarks]


def held_changes(frames: list[NDArray[np.float32]], insides: list[NDArray[np.bool_]], moved: Array) -> list[float]:
    """Mean change in what is ``insides`` of both of two ``frames``, between which parted lips hold.

    ``moved`` (n, 183) is the mouth's displacement from rest, IOD; frames are (height, width) of 0…255.
    """
    lips = moved.reshape(len(moved), -1, 3)[:, :N_LIP]
    held = np.sqrt((np.diff(lips, axis=0) ** 2).sum(axis=2)).mean(axis=1) < HELD_IOD
    parted = moved @ opening_map() > SEEN_IOD
    changes = []
    for first in np.flatnonzero(held & parted[1:] & parted[:-1]):
        both = insides[first] & insides[first + 1]
        if both.any():
            changes.append(float(np.abs(frames[first + 1] - frames[first])[both].mean()))
    return changes


def undone_changes(frames: list[NDArray[np.float32]], insides: list[NDArray[np.bool_]], moved: Array) -> list[float]:
    """What of the change of each pixel the next frame takes back: mean over what is inside of three frames.

    A mouth that opens or closes gets brighter or darker throughout and counts nothing; a flash counts fully. Arguments
    are those of :func:`held_changes`.
    """
    parted = moved @ opening_map() > CLEAR_IOD
    changes = []
    for first in np.flatnonzero(parted[:-2] & parted[1:-1] & parted[2:]):
        inside = insides[first] & insides[first + 1] & insides[first + 2]
        if inside.any():
            there, back = np.diff([frame[inside] for frame in frames[first : first + 3]], axis=0)
            undone = np.where(there * back < 0, np.minimum(np.abs(there), np.abs(back)), 0)
            changes.append(float(undone.mean()))
    return changes

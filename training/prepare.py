"""Landmarks of a speaking face → displacement of the mouth from rest, in a frame that moves with the head."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipstream.media.audio import open_recording

Array = NDArray[np.float64]

FPS = 25
"""Pictures per second of the GRID corpus; landmark frame i is the picture at i / FPS seconds of the audio."""
SAMPLE_RATE = 16_000

OUTER_LIP = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
INNER_LIP = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
JAW = (132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 18, 200, 199, 175)
POINTS = OUTER_LIP + INNER_LIP + JAW
"""Indices of the 61 mesh points that speech moves."""
N_LIP = len(OUTER_LIP) + len(INNER_LIP)
RIGID = (33, 133, 362, 263, 168, 6, 197, 9, 8, 151, 10, 127, 356, 234, 454, 54, 284, 103, 332, 195)
"""Points that speech hardly moves: eye corners, nose bridge, forehead, temples."""
EYES = ((33, 133), (362, 263))
"""Corners of the two eyes; an eye's centre is the mean of its corners."""

_MIRROR_PAIRS = (
    *((61, 291), (146, 375), (91, 321), (181, 405), (84, 314), (409, 185), (270, 40), (269, 39), (267, 37)),
    *((78, 308), (95, 324), (88, 318), (178, 402), (87, 317), (415, 191), (310, 80), (311, 81), (312, 82)),
    *((132, 361), (58, 288), (172, 397), (136, 365), (150, 379), (149, 378), (176, 400), (148, 377)),
)
_LOWER_INNER, _UPPER_INNER = (14, 87, 317), (13, 82, 312)
_CORNERS = (61, 291)
_CHIN = 152


@dataclass(frozen=True)
class Clip:
    """One recording with the mouth's motion."""

    name: str
    """Name in the corpus."""
    audio: NDArray[np.float32]
    """(n,) mono at 16 kHz."""
    motion: Array
    """(frames, 61, 3) displacement from the speaker's rest, in inter-ocular distances, left and right made equal."""
    raw: Array
    """The same with the speaker's own asymmetry: what predictions are compared with."""
    neutral: Array
    """(61, 3) the mouth at rest in the canonical frame."""
    words: tuple[tuple[float, float, str], ...]
    """(start, end) in seconds and word; "sil" and "sp" are pauses; empty if the corpus part has none."""


def index_of(point: int) -> int:
    """Where a mesh point is among :data:`POINTS`."""
    return POINTS.index(point)


def opening_map() -> Array:
    """(183,) weights: times a flattened displacement, they give the change of the gap between the inner lips."""
    row = np.zeros((len(POINTS), 3))
    for point in _LOWER_INNER:
        row[index_of(point), 1] += 1 / 3
    for point in _UPPER_INNER:
        row[index_of(point), 1] -= 1 / 3
    return row.reshape(-1)


def width_map() -> Array:
    """(183,) weights: times a flattened displacement, they give the change of the mouth's width."""
    row = np.zeros((len(POINTS), 3))
    row[index_of(_CORNERS[1]), 0], row[index_of(_CORNERS[0]), 0] = 1.0, -1.0
    return row.reshape(-1)


def jaw_map() -> Array:
    """(183,) weights: times a flattened displacement, they give how far the chin went down."""
    row = np.zeros((len(POINTS), 3))
    row[index_of(_CHIN), 1] = 1.0
    return row.reshape(-1)


def mirror(shapes: Array) -> Array:
    """(..., 61, 3) as seen in a mirror, for the canonical frame (x to the side)."""
    partner = {a: b for pair in _MIRROR_PAIRS for a, b in (pair, pair[::-1])}
    order = [index_of(partner.get(point, point)) for point in POINTS]
    mirrored: Array = shapes[..., order, :].copy()
    mirrored[..., 0] *= -1
    return mirrored


def similarity(source: Array, target: Array) -> tuple[Array, Array, Array]:
    """Scale (n,), rotation (n, 3, 3) and shift (n, 3) that bring (n, p, 3) nearest to (p, 3) (Umeyama, PAMI 1991)."""
    source_mean, target_mean = source.mean(axis=1), target.mean(axis=0)
    a, b = source - source_mean[:, None], target - target_mean
    covariance = np.einsum("pi,npj->nij", b, a)
    u, s, vt = np.linalg.svd(covariance)
    sign = np.ones((len(source), 3))
    sign[:, 2] = np.sign(np.linalg.det(u @ vt))
    rotation = u * sign[:, None, :] @ vt
    scale = (s * sign).sum(axis=1) / (a**2).sum(axis=(1, 2))
    shift = target_mean - scale[:, None] * np.einsum("nij,nj->ni", rotation, source_mean)
    return scale, rotation, shift


def align(landmarks: Array, rigid_target: Array, rigid: list[int]) -> Array:
    """Remove the motion of the head: move each frame (n, p, 3) so that its rigid points fit the target's (r, 3)."""
    scale, rotation, shift = similarity(landmarks[:, rigid], rigid_target)
    turned = np.einsum("nij,npj->npi", rotation, landmarks)
    return np.asarray(scale[:, None, None] * turned + shift[:, None])


def load_clips(folder: Path, canonical: Array, own_shape: bool) -> list[Clip]:
    """All usable clips of a corpus part.

    ``canonical`` (478, 3) fixes the frame. With ``own_shape`` the rigid points of the speaker (the name up to the first
    underscore) replace the canonical ones, scaled to an inter-ocular distance of one: for speakers other than the
    canonical face's.
    """
    words = _read_words(folder / "words.tsv")
    recordings = list(_read_landmarks(folder / "landmarks.npz"))
    points = [int(p) for p in np.load(folder / "landmarks.npz")["points"]]
    targets: dict[str, Array] = {}
    if own_shape:
        for speaker in sorted({_speaker(name) for name, _ in recordings}):
            frames = np.concatenate([xyz for name, xyz in recordings if _speaker(name) == speaker])
            targets[speaker] = _own_rigid_shape(frames, points, canonical)
    clips = []
    for name, xyz in recordings:
        audio = _read_audio(folder / "audio" / f"{name}.flac")
        target = targets.get(_speaker(name), canonical[list(RIGID)])
        clips.append(_clip(name, xyz, points, target, audio, words.get(name, ())))
    return clips


def motion_basis(clips: list[Clip], size: int) -> tuple[Array, Array]:
    """The ``size`` directions that explain most of the motion: (size, 61, 3), and each one's standard deviation.

    The mean is not taken out first: coefficients of zero are the mouth at rest.
    """
    flat = np.concatenate([clip.motion.reshape(len(clip.motion), -1) for clip in clips])
    _, vectors = np.linalg.eigh(flat.T @ flat / len(flat))
    chosen = vectors[:, ::-1][:, :size].T
    opens = chosen @ opening_map()
    chosen = chosen * np.where(opens < 0, -1.0, 1.0)[:, None]
    return chosen.reshape(size, len(POINTS), 3), np.asarray((flat @ chosen.T).std(axis=0))


def _read_audio(path: Path) -> NDArray[np.float32]:
    recording = open_recording(path.read_bytes(), max_seconds=3600)
    if recording.sample_rate != SAMPLE_RATE:
        raise ValueError(f"{path}: {recording.sample_rate} Hz instead of {SAMPLE_RATE}")
    return np.concatenate([block[:, 0] for block in recording.blocks()])


def _read_words(path: Path) -> dict[str, tuple[tuple[float, float, str], ...]]:
    words: dict[str, list[tuple[float, float, str]]] = {}
    if path.is_file():
        with path.open(newline="") as stream:
            for row in csv.DictReader(stream, delimiter="\t"):
                words.setdefault(row["clip"], []).append((float(row["start_s"]), float(row["end_s"]), row["word"]))
    return {name: tuple(spoken) for name, spoken in words.items()}


def _read_landmarks(path: Path) -> Iterator[tuple[str, Array]]:
    """Name and (frames, p, 3) landmarks in pixels of every clip in which a face was found throughout."""
    stored: Any = np.load(path)
    packed, start, scale = stored["xyz"], stored["start"], float(stored["scale"])
    for name, first, end in zip(stored["names"], start[:-1], start[1:], strict=True):
        frames = packed[first:end]
        if len(frames) >= FPS and not (frames == np.iinfo(np.int16).min).any():
            yield str(name), frames.astype(np.float64) / scale


def _speaker(name: str) -> str:
    return name.split("_")[0]


def _own_rigid_shape(frames: Array, points: list[int], canonical: Array) -> Array:
    rigid = [points.index(p) for p in RIGID]
    shape = np.median(align(frames, canonical[list(RIGID)], rigid), axis=0)
    centres = [(shape[points.index(a)] + shape[points.index(b)]) / 2 for a, b in EYES]
    own = shape[rigid] - shape[rigid].mean(axis=0)
    return np.asarray(own / np.linalg.norm(centres[0] - centres[1]))


def _clip(
    name: str,
    xyz: Array,
    points: list[int],
    rigid_target: Array,
    audio: NDArray[np.float32],
    words: tuple[tuple[float, float, str], ...],
) -> Clip:
    shapes = align(xyz, rigid_target, [points.index(p) for p in RIGID])[:, [points.index(p) for p in POINTS]]
    neutral = _neutral(shapes, audio, words)
    raw = shapes - neutral
    return Clip(name, audio, (raw + mirror(raw)) / 2, raw, (neutral + mirror(neutral)) / 2, words)


def _neutral(shapes: Array, audio: NDArray[np.float32], words: tuple[tuple[float, float, str], ...]) -> Array:
    """The mouth at rest: the median of the more closed half of the silent frames."""
    frames = len(shapes)
    opening = shapes.reshape(frames, -1) @ opening_map()
    silent = silent_frames(frames, audio, words)
    if silent.sum() < 4:
        silent = opening <= np.percentile(opening, 15)
    closed = silent & (opening <= np.median(opening[silent]))
    return np.asarray(np.median(shapes[closed], axis=0))


def silent_frames(
    frames: int, audio: NDArray[np.float32], words: tuple[tuple[float, float, str], ...]
) -> NDArray[np.bool_]:
    """Frames in which nothing is said, by the word timings or else by the level."""
    silent = np.zeros(frames, bool)
    if words:
        for start, end, word in words:
            if word == "sil":
                silent[int(np.ceil(start * FPS)) : int(end * FPS)] = True
        return silent
    hop = SAMPLE_RATE // FPS
    padded = np.pad(audio, (hop // 2, max(0, (frames + 1) * hop - len(audio))))
    level = 20 * np.log10(1e-5 + np.sqrt((padded[: frames * hop].reshape(frames, hop) ** 2).mean(axis=1)))
    low, high = np.percentile(level, 5), np.percentile(level, 95)
    return np.asarray(level < low + 0.25 * (high - low))

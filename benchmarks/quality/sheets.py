"""Contact sheets: what a portrait looks like in the poses that people look for, and in speech."""

from __future__ import annotations

from dataclasses import dataclass, fields
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.pictures import mouth_box, mouth_pose
from benchmarks.quality.sounds import Sound
from benchmarks.quality.video import BATCH, Pixels, shown
from lipstream.avatar import Avatar
from lipstream.engines.base import SPEECH_RATE, Actor, Patch
from lipstream.engines.portrait.engine import PortraitActor
from lipstream.engines.portrait.motion import Motion
from lipstream.engines.portrait.renderer import Renderer
from lipstream.session import Session
from training.evaluate import perform
from training.prepare import FPS, Array, opening_map, width_map

TILE = 220
"""Side of a tile, pixels."""
_HEAD_MARGIN = 0.25  # of the face's box around it
_LABEL = 0.45  # size of the lettering


@dataclass(frozen=True)
class Shape:
    """A mouth as speakers show it, in a usual face's own measure: engines make of it what they make of all motion."""

    label: str
    opening: float = 0.0
    """Gap between the lips, IOD."""
    width: float = 0.0
    """Wider than at rest, IOD."""
    articulation: tuple[str, ...] = ()
    """Probabilities of :class:`~lipstream.engines.portrait.motion.Motion` that are 1."""


SHAPES = (
    Shape("rest"),
    Shape("M", articulation=("closed",)),
    Shape("AA", 0.16, 0.0),
    Shape("EE", 0.07, 0.06),
    Shape("OO", 0.05, -0.05),
    Shape("F", 0.02, 0.0, ("lip_bite",)),
    Shape("L", 0.08, 0.02, ("tongue",)),
    Shape("TH", 0.08, 0.02, ("dental",)),
)


def shape_poses(actor: PortraitActor, speech: Sound) -> list[tuple[str, Pixels]]:
    """A picture of each of :data:`SHAPES`.

    Opening and width alone do not make a mouth: the rest is what most likely goes with them in ``speech``, as this
    model speaks it (the conditional mean of a normal distribution).
    """
    spoken = perform(actor.model, speech, len(speech) * FPS // SPEECH_RATE, FPS)
    coefficients = spoken.coefficients.astype(np.float64)
    spread = coefficients.T @ coefficients / len(coefficients) + 1e-6 * np.eye(coefficients.shape[1])
    vectors = actor.model.basis.vectors.reshape(coefficients.shape[1], -1).astype(np.float64)
    measured = np.stack([vectors @ opening_map(), vectors @ width_map()])
    likely = spread @ measured.T @ np.linalg.inv(measured @ spread @ measured.T)
    return [(shape.label, _posed(actor, shape, likely)) for shape in SHAPES]


def _posed(actor: PortraitActor, shape: Shape, likely: Array) -> Pixels:
    values = {
        column.name: np.full(1, float(column.name in shape.articulation), np.float32) for column in fields(Motion)
    }
    values["coefficients"] = (likely @ np.array([shape.opening, shape.width])).astype(np.float32)[None]
    pose = mouth_pose(actor, Motion(**values), 0)
    region = actor.rig.region
    return shown(actor.avatar.picture, Patch(region.x, region.y, Renderer(actor.rig).draw(pose)))


def speech_pictures(actor: Actor, speech: Sound, count: int) -> list[tuple[str, Pixels]]:
    """Pictures of ``count`` moments of speech, evenly apart, before encoding."""
    session = Session(actor, sample_rate=SPEECH_RATE, fps=Fraction(FPS), batch=BATCH)
    frames = [*session.push(speech), *session.flush()]
    chosen = np.linspace(0, len(frames) - 1, count + 2).astype(int)[1:-1]
    return [(f"{float(frames[i].time):.2f} s", shown(actor.avatar.picture, frames[i].patch)) for i in chosen]


def contact_sheet(avatar: Avatar, pictures: list[tuple[str, Pixels]], columns: int) -> Pixels:
    """Heads in rows of ``columns``, each row followed by its mouths in close-up."""
    head, mouth = head_box(avatar), close_box(avatar)
    rows = []
    for first in range(0, len(pictures), columns):
        row = pictures[first : first + columns]
        for box in (head, mouth):
            tiles = [tile(picture[box], label if box is head else "") for label, picture in row]
            tiles += [np.full_like(tiles[0], 255)] * (columns - len(row))
            rows.append(np.hstack(tiles))
    return np.vstack(rows)


def head_box(avatar: Avatar) -> tuple[slice, slice]:
    """A square around the face, as large as the picture allows."""
    left, top, right, bottom = avatar.face.box
    side = max(right - left, bottom - top) * (1 + 2 * _HEAD_MARGIN)
    return _square((left + right) / 2, (top + bottom) / 2, side, avatar.picture.shape)


def close_box(avatar: Avatar) -> tuple[slice, slice]:
    """A square around the mouth."""
    rows, columns = mouth_box(avatar.face.landmarks, avatar.face.scale, avatar.picture.shape)
    side = 1.15 * max(rows.stop - rows.start, columns.stop - columns.start)
    x, y = (columns.start + columns.stop) / 2, (rows.start + rows.stop) / 2 + 0.05 * side
    return _square(x, y, side, avatar.picture.shape)


def _square(x: float, y: float, side: float, size: tuple[int, ...]) -> tuple[slice, slice]:
    side = min(side, *size[:2])
    left, top = (int(np.clip(middle - side / 2, 0, length - side)) for middle, length in ((x, size[1]), (y, size[0])))
    return slice(top, top + int(side)), slice(left, left + int(side))


def tile(part: Pixels, label: str, side: int = TILE) -> Pixels:
    """A part of a picture at the size of a tile, lettered."""
    mode = cv2.INTER_AREA if part.shape[0] > side else cv2.INTER_CUBIC
    image = np.asarray(cv2.resize(part, (side, side), interpolation=mode), np.uint8)
    if label:
        (width, height), _ = cv2.getTextSize(label, cv2.FONT_HERSHEY_SIMPLEX, _LABEL, 1)
        cv2.rectangle(image, (0, 0), (width + 10, height + 10), (32, 32, 32), cv2.FILLED)
        cv2.putText(image, label, (5, height + 5), cv2.FONT_HERSHEY_SIMPLEX, _LABEL, (255, 255, 255), 1, cv2.LINE_AA)
    return image


def webp(image: Pixels, quality: int = 80) -> bytes:
    """A picture as a small file."""
    done, data = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, quality])
    assert done
    return data.tobytes()


def sheet_of(actor: Actor, speech: Sound, columns: int = 6) -> Pixels:
    """The usual sheet: the photo, every shape if the engine can be told, and speech to fill the rows."""
    pictures: list[tuple[str, NDArray[np.uint8]]] = [("photo", actor.avatar.picture)]
    if isinstance(actor, PortraitActor):
        pictures += shape_poses(actor, speech)
    count = -len(pictures) % columns or columns
    return contact_sheet(actor.avatar, pictures + speech_pictures(actor, speech, count), columns)

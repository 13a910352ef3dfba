"""One portrait prepared to move: everything that does not depend on what is said."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipstream.avatar import Avatar
from lipstream.engines.portrait import topology as mesh
from lipstream.engines.portrait.closing import closing_motion, fit_landmarks, smile_of
from lipstream.engines.portrait.colour import measure_palette
from lipstream.engines.portrait.fields import FieldOperators, Frame, Points, motion_fields
from lipstream.engines.portrait.folds import soften_folds
from lipstream.engines.portrait.gloss import dull_gloss
from lipstream.engines.portrait.interior import Interior, paint_interior
from lipstream.engines.portrait.layers import Layers, cut_layers, seam_darkness
from lipstream.engines.portrait.lips import LipLine, find_lip_line
from lipstream.engines.portrait.texture import Texture, measure_texture
from lipstream.engines.portrait.warp import Floats, Lattice
from lipstream.errors import FaceError
from lipstream.face.mesh import Face
from lipstream.face.pose import canonical_face

NODES_PER_IOD = 28
"""Density of the lattices; at this scale the motion of lips is smooth."""
SUPERSAMPLED_PIXELS = 600_000
"""Largest region, in pixels, whose source is kept at twice the resolution. Above this, pictures are sharp enough, and
memory matters more."""
OUTER_LIPS = mesh.OUTER_UPPER_LIP, mesh.OUTER_LOWER_LIP
INNER_LIPS = mesh.INNER_UPPER_LIP, mesh.INNER_LOWER_LIP
GUARD_POINTS = 17
"""Points along each lip's edge that bound where the interior may show."""


@dataclass(frozen=True)
class Rig:
    """A prepared portrait. Never written to; the motion columns are those of :func:`.style.motion_vectors`."""

    region: Lattice
    """The part of the picture that moves."""
    block: Lattice
    """The part around the mouth where the two layers overlap; inside ``region``, at least two nodes of padding."""
    lower: Floats
    """(columns, nodes * 2) displacement of the lower layer, in nodes, over ``region``."""
    upper: Floats
    """(columns, nodes * 2) displacement of the upper layer, in nodes, over ``block``."""
    edges: Floats
    """(columns + 1, 4 * GUARD_POINTS) the lips' edges as a polygon, pixels: motion per column, then place at rest."""
    jaw: Floats
    """(columns, 2) motion of the jaw bone, pixels."""
    layers: Layers
    interior: Interior
    scale: float
    """Pixels per inter-ocular distance."""
    texture: Texture
    """Sharpness and grain of the photo's face."""

    @property
    def columns(self) -> int:
        """Number of motion columns."""
        return len(self.jaw)


def build_rig(avatar: Avatar, columns: NDArray[np.floating]) -> Rig:
    """Prepare a portrait for motion columns (columns, 468, 2), displacement of every mesh point in pixels per unit.

    Raises :class:`lipstream.errors.FaceError` (``face_cut_off``) when the mouth is not in the picture.
    """
    picture, face = avatar.picture, avatar.face
    frame = face_frame(face)
    landmarks = face.landmarks[:, :2].astype(np.float64)
    _require_mouth(landmarks, avatar.size)
    photo = find_lip_line(picture, landmarks, frame)
    points = fit_landmarks(landmarks, photo, frame)
    region = _region(points, frame, avatar.size, max(1, round(frame.scale / NODES_PER_IOD)))
    block = _block(photo.middle, frame, region)
    rest = _closed_mouth(points, photo, frame, region, block, avatar.size)

    supersampling = 2 if region.width * region.height <= SUPERSAMPLED_PIXELS else 1
    palette = measure_palette(picture, points, frame)
    texture = measure_texture(picture, landmarks, frame)
    smile = smile_of(points, frame) if photo.is_open else 0.0
    skin = soften_folds(dull_gloss(picture, points, frame, region, smile), points, frame, region, smile)
    seam = seam_darkness(picture, points, palette.colourful)
    layers = cut_layers(skin, photo, rest.line, frame, region, block, rest.closing, supersampling, seam, texture.blur)

    operators = FieldOperators(rest.points, frame, region, avatar.size)
    motion = columns.astype(np.float64)
    lower, upper = motion_fields(operators, region, block, motion, frame.scale)
    return Rig(
        region,
        block,
        lower.reshape(len(motion), -1),
        upper.reshape(len(motion), -1),
        _edges(operators, rest.line, motion),
        motion[:, [*mesh.CHIN_PAD, mesh.CHIN_TIP]].mean(axis=1).astype(np.float32),
        layers,
        paint_interior(picture, palette, photo, rest.line, frame, face.pose, block, texture, supersampling),
        frame.scale,
        texture,
    )


@dataclass(frozen=True)
class _ClosedMouth:
    """The mouth at rest, which all motion starts from."""

    points: Points
    """(468, 2) the mesh's points, pixels."""
    line: Points
    """(n, 2) where the lips meet, pixels, from the left corner to the right."""
    closing: tuple[Floats, Floats]
    """The lower and the upper displacement field that close the photo's mouth, (rows, columns, 2) in nodes; empty
    where it is closed already."""


def _closed_mouth(
    points: Points, photo: LipLine, frame: Frame, region: Lattice, block: Lattice, size: tuple[int, int]
) -> _ClosedMouth:
    """Close the mouth of a photo of ``size`` (width, height), whose mesh ``points`` (468, 2) are fitted to its lips."""
    if not photo.is_open:
        return _ClosedMouth(points, photo.middle, (np.zeros(0, np.float32), np.zeros(0, np.float32)))
    operators = FieldOperators(points, frame, region, size)
    motion = closing_motion(points, photo, frame)
    lower, upper = motion_fields(operators, region, block, motion[None], frame.scale)
    met_upper = photo.upper + operators.upper(photo.upper, motion[None])[0]
    met_lower = photo.lower + operators.lower(photo.lower, motion[None])[0]
    closed, above, below = points + motion, list(mesh.INNER_UPPER_LIP), list(mesh.INNER_LOWER_LIP)
    closed[above] = closed[below] = (closed[above] + closed[below]) / 2
    return _ClosedMouth(closed, (met_upper + met_lower) / 2, (lower[0], upper[0]))


def _require_mouth(landmarks: Points, size: tuple[int, int]) -> None:
    mouth = landmarks[[*mesh.OUTER_UPPER_LIP, *mesh.OUTER_LOWER_LIP]]
    if mouth.min() < 0 or (mouth > np.array(size) - 1).any():
        raise FaceError(
            "face_cut_off", "The edge of the picture cuts through the mouth. Use a picture that shows the whole face."
        )


def face_frame(face: Face) -> Frame:
    """The face's axes in the picture plane, from its pose."""
    right = face.pose.rotation[:2, 0] / np.hypot(*face.pose.rotation[:2, 0])
    return Frame(face.scale, right, np.array([-right[1], right[0]]))


def _region(points: Points, frame: Frame, size: tuple[int, int], step: int) -> Lattice:
    """The lower face and some neck, even-aligned, inside the picture."""
    below = points[mesh.CHIN_TIP] + frame.down * 0.5 * frame.scale
    top = points[[5, 195], 1].min() - 0.1 * frame.scale
    jaw = points[[*mesh.JAW, 93, 323]]
    left, right = min(jaw[:, 0].min(), below[0]), max(jaw[:, 0].max(), below[0])
    bottom = max(below[1], points[:, 1].max())
    margin = 0.15 * frame.scale
    return _even_block(left - margin, top, right + margin, bottom, (0, 0, *size), step, 1)


def _block(line: Points, frame: Frame, region: Lattice) -> Lattice:
    """Room for the mouth to move in."""
    left, right = line[:, 0].min(), line[:, 0].max()
    top, bottom = line[[0, -1], 1].min(), line[:, 1].max()
    s = frame.scale
    bounds = (region.x, region.y, region.x + region.width, region.y + region.height)
    return _even_block(left - 0.45 * s, top - 0.45 * s, right + 0.45 * s, bottom + 0.7 * s, bounds, region.step, 4)


def _even_block(
    left: float, top: float, right: float, bottom: float, bounds: tuple[int, int, int, int], step: int, pad: int
) -> Lattice:
    x0, y0 = max(int(left), bounds[0]) & ~1, max(int(top), bounds[1]) & ~1
    x1, y1 = min(int(np.ceil(right)) + 1 & ~1, bounds[2]), min(int(np.ceil(bottom)) + 1 & ~1, bounds[3])
    return Lattice(x0, y0, max(2, x1 - x0), max(2, y1 - y0), step, pad)


def _edges(operators: FieldOperators, line: Points, motion: Points) -> Floats:
    picked = line[np.linspace(0, len(line) - 1, GUARD_POINTS).round().astype(int)]
    there, back = operators.upper(picked, motion), operators.lower(picked, motion)[:, ::-1]
    moving = np.concatenate([there, back], axis=1).reshape(len(motion), -1)
    still = np.concatenate([picked, picked[::-1]]).reshape(1, -1)
    return np.concatenate([moving, still]).astype(np.float32)


def mesh_columns(points: NDArray[np.integer], vectors: NDArray[np.floating], face: Face) -> Points:
    """Motion vectors (columns, len(points), 3), canonical IOD → picture pixels of all mesh points, (columns, 468, 2).

    Mesh points that are not in the motion basis stay still; the fields ignore them.
    """
    everywhere = np.zeros((len(vectors), len(canonical_face()), 3))
    everywhere[:, points] = vectors
    _swell_as_thick(everywhere, face)
    moving: Points = np.zeros((*everywhere.shape[:2], 2))
    moving[:, points] = face.pose.project_vectors(everywhere[:, points])[..., :2]
    return moving


def _swell_as_thick(vectors: Points, face: Face) -> None:
    """Thin lips swell less than thick ones: scale the motion of the outer lips relative to the inner ones."""
    for outer, inner, share in zip(OUTER_LIPS, INNER_LIPS, lip_thickness(face), strict=True):
        middle = list(inner[1:-1])
        swelling = vectors[:, list(outer[1:-1]), 1] - vectors[:, middle, 1]
        vectors[:, list(outer[1:-1]), 1] = vectors[:, middle, 1] + min(1.0, share) * swelling


def lip_thickness(face: Face) -> tuple[float, float]:
    """Area of the upper and of the lower lip over that of the canonical face's. (The thickness alone would not do: a
    smile stretches lips thin.)"""
    seen, usual = face.pose.to_canonical(face.landmarks), canonical_face()

    def area(points: NDArray[np.float32], outer: tuple[int, ...], inner: tuple[int, ...]) -> float:
        left, right = mesh.OUTER_CORNERS
        thickness = np.abs(points[list(outer[3:-3]), 1] - points[list(inner[3:-3]), 1]).mean()
        return float(thickness * (points[right, 0] - points[left, 0]))

    upper, lower = (
        float(np.clip(area(seen, *lip) / area(usual, *lip), 0.4, 1.3))
        for lip in zip(OUTER_LIPS, INNER_LIPS, strict=True)
    )
    return upper, lower

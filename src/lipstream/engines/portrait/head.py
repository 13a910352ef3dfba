"""A still head made to sway and breathe: seven displacement fields over the head, and the picture they sample.

The face turns as a solid of the mesh's depth; its outline, skull and hair included, moves with it, and from there the
motion fades into the background and down the neck. So nothing has to be cut out, no edge of hair is doubled, and what
should stand still is bent by no more than a few pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.avatar import Avatar
from lipstream.engines.base import Liveliness
from lipstream.engines.portrait import topology as mesh
from lipstream.engines.portrait.fields import Frame, Points, ThinPlate
from lipstream.engines.portrait.rig import Rig
from lipstream.engines.portrait.warp import Floats, Lattice, smoothstep, supersample
from lipstream.face.mesh import Face
from lipstream.face.pose import canonical_face

Pixels = NDArray[np.uint8]

MOST_TURN = 1.5
"""Limit of yaw, pitch and roll: beyond it straight lines near the head bend visibly; degrees."""
MOST_SHIFT, MOST_SCALING = 0.025, 0.02
"""Limits of the shift (inter-ocular distances) and of the change of size."""
NECK_Y = 1.25
"""Height in the canonical face of the joint between skull and neck, about which heads turn, IOD below the eyes."""
CROWN_IOD, TEMPLE_IOD = 0.50, 0.28
"""How far skull and hair reach beyond the mesh above the forehead and beside the ears."""
FADE_IOD = 0.95
"""Width of the ring around the head over which its motion fades out."""
BELOW_CHIN_IOD = 1.15
"""How far below the chin the picture may change: neck and shoulders."""
EDGE_IOD = 0.30
"""Width of the ramp to no motion along the region's edges."""
BREATH_IOD = 0.014
"""How far the shoulders rise with a breath."""
SHOULDERS_IOD = (0.25, 0.85)
"""From the first distance below the chin on the body rises with the breath, from the second on fully."""
SUPERSAMPLED_PIXELS = 1_300_000
"""Largest region, in pixels, whose source is kept at twice the resolution. At the picture's own resolution, hair loses
five sixths of its sharpness half way between two pixels and regains it at the next one, so it flickers. Above this
size, memory (16 bytes per pixel) and time matter more."""
DEPTH_SMOOTHING = 5e-3
"""Regularisation of the depth's spline."""


FARTHEST = Liveliness(MOST_TURN, MOST_TURN, MOST_TURN, MOST_SHIFT, MOST_SHIFT, 1 + MOST_SCALING, 1.0)


@dataclass(frozen=True)
class Head:
    """Everything that does not depend on the frame. Columns are yaw, pitch, roll, x, y, scale and breath, per unit of
    :func:`sway_weights`. Never written to."""

    region: Lattice
    """The part of the picture that may change; its nodes include those of the rig's region."""
    columns: Floats
    """(7, nodes * 2) displacement over ``region``, in nodes."""
    upper: Floats
    """(7, nodes * 2) the same over the rig's mouth block."""
    upper_sheet: Pixels
    """(height, width, 4) the rig's upper layer over ``upper_block``, including the surroundings that may move in."""
    upper_block: Lattice
    """The rig's mouth block, larger by as much as the head may move."""
    edges: Floats
    """(7, 4 * GUARD_POINTS) displacement of the lips' edges, pixels."""
    mouth: Floats
    """(7, 2) displacement of the middle of the mouth, pixels."""
    source: Pixels
    """(height, width, 4) samples of the picture over ``region``, with the rig's lower layer and its transparency."""
    supersampling: int
    """Samples per picture pixel."""


def sway_weights(life: Liveliness) -> Floats:
    """(7,) yaw, pitch, roll in radians, shift in IOD, growth, breath: within the limits."""
    turns = np.radians(np.clip([life.yaw, life.pitch, life.roll], -MOST_TURN, MOST_TURN))
    shift = np.clip([life.x, life.y], -MOST_SHIFT, MOST_SHIFT)
    growth = np.clip(life.scale - 1.0, -MOST_SCALING, MOST_SCALING)
    return np.array([*turns, *shift, growth, np.clip(life.breath, 0.0, 1.0)], np.float32)


def build_head(avatar: Avatar, rig: Rig, frame: Frame) -> Head:
    """Prepare the head around a rig."""
    outline = _outline(avatar.face)
    region = _region(outline, avatar.face, avatar.size, rig.region)
    columns = _columns(region, outline, avatar, frame)
    supersampling = 2 if region.width * region.height <= SUPERSAMPLED_PIXELS else 1
    supersampling = min(supersampling, rig.layers.supersampling)
    edges = rig.edges[-1].reshape(-1, 2).astype(np.float64)
    in_nodes = columns.reshape(len(columns), *region.shape, 2)
    upper = sampled(in_nodes, region, rig.block.nodes())
    farthest = np.abs(upper).reshape(len(upper), -1).T @ sway_weights(FARTHEST)
    upper_sheet, upper_block = _wider_sheet(rig, 2 + int(np.ceil(float(farthest.max()) * region.step)))
    return Head(
        region,
        columns,
        upper.reshape(len(columns), -1),
        upper_sheet,
        upper_block,
        sampled(in_nodes, region, edges).reshape(len(columns), -1) * np.float32(region.step),
        sampled(in_nodes, region, edges.mean(axis=0)[None])[:, 0] * np.float32(region.step),
        _source(avatar.picture, region, rig, supersampling),
        supersampling,
    )


def _source(picture: Pixels, region: Lattice, rig: Rig, supersampling: int) -> Pixels:
    """The picture over ``region``, (height, width, 4), with the mouth's lower layer in it."""
    large = supersample(np.ascontiguousarray(region.block(picture)), supersampling)
    source = np.asarray(cv2.cvtColor(large, cv2.COLOR_BGR2BGRA), np.uint8)
    # The layer may have more samples per pixel; those that are kept lie on pixels exactly.
    lower = rig.layers.lower[:: rig.layers.supersampling // supersampling, :: rig.layers.supersampling // supersampling]
    x, y = (rig.region.x - region.x) * supersampling, (rig.region.y - region.y) * supersampling
    source[y : y + lower.shape[0], x : x + lower.shape[1]] = lower
    return source


def _wider_sheet(rig: Rig, reach: int) -> tuple[Pixels, Lattice]:
    """The upper layer with a margin, in the colours of the lower one: beyond the block both layers show the same."""
    region, block, fine = rig.region, rig.block, rig.layers.supersampling
    x, y = max(region.x, block.x - reach), max(region.y, block.y - reach)
    right = min(region.x + region.width, block.x + block.width + reach)
    bottom = min(region.y + region.height, block.y + block.height + reach)
    wide = Lattice(x, y, right - x, bottom - y, block.step)
    left, top = (block.x - x) * fine, (block.y - y) * fine
    inside = np.s_[top : top + block.height * fine, left : left + block.width * fine]
    rows, columns = wide.height * fine, wide.width * fine
    alpha = cv2.copyMakeBorder(
        cv2.extractChannel(rig.layers.upper, 3),
        *(top, rows - inside[0].stop, left, columns - inside[1].stop),
        cv2.BORDER_REPLICATE,
    )
    start_y, start_x = (y - region.y) * fine, (x - region.x) * fine
    colours = rig.layers.lower[start_y : start_y + rows, start_x : start_x + columns, :3]
    sheet = np.dstack([cv2.multiply(colours, cv2.merge([alpha] * 3), scale=1 / 255), alpha]).astype(np.uint8)
    sheet[inside] = rig.layers.upper
    return sheet, wide


def sampled(fields: Floats, region: Lattice, at: Points) -> Floats:
    """Fields (columns, rows, columns of nodes, 2) over ``region`` at places (n, 2) in pixels: (columns, n, 2)."""
    place = (at - [region.x, region.y] + 0.5) / region.step + region.pad - 0.5
    x, y = (np.ascontiguousarray(p, np.float32)[None] for p in place.T)
    taken = [cv2.remap(field, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0] for field in fields]
    return np.asarray(taken, np.float32)


def _outline(face: Face) -> Points:
    """Where skull and hair end, (36, 3) pixels with depth: the oval of the face, enlarged except along the jaw."""
    oval = canonical_face()[list(mesh.FACE_OVAL)].astype(np.float64)
    depth = float(canonical_face()[list(mesh.EARS), 2].mean())
    up = smoothstep((0.9 - oval[:, 1]) / 1.6)
    away = oval[:, :2] - np.array([0.0, 0.4])
    away /= np.hypot(*away.T)[:, None]
    grown = oval[:, :2] + away * (TEMPLE_IOD + (CROWN_IOD - TEMPLE_IOD) * up)[:, None] * smoothstep(4 * up)[:, None]
    return face.pose.project(np.column_stack([grown, np.full(len(oval), depth)])).astype(np.float64)


def _region(outline: Points, face: Face, size: tuple[int, int], inner: Lattice) -> Lattice:
    """Head, hair, neck and the ring around them; even-aligned, inside the picture, on the nodes of ``inner``."""
    step, fade = inner.step, FADE_IOD * face.scale
    # With an odd step, edges move by two steps at a time, so that they stay even.
    stride = step if step % 2 == 0 else 2 * step
    left, top = outline[:, :2].min(axis=0) - fade
    right = outline[:, 0].max() + fade
    bottom = max(outline[:, 1].max(), face.landmarks[mesh.CHIN_TIP, 1]) + BELOW_CHIN_IOD * face.scale
    x, y = (
        start - stride * max(0, min(start // stride, int(np.ceil((start - low) / stride))))
        for start, low in ((inner.x, left), (inner.y, top))
    )
    end_x = min(size[0], max(inner.x + inner.width, int(np.ceil(right)) + 1 & ~1))
    end_y = min(size[1], max(inner.y + inner.height, int(np.ceil(bottom)) + 1 & ~1))
    return Lattice(x, y, end_x - x, end_y - y, step)


def _columns(region: Lattice, outline: Points, avatar: Avatar, frame: Frame) -> Floats:
    """The seven fields at the region's nodes, (7, nodes * 2) in nodes."""
    face, scale = avatar.face, frame.scale
    at = region.nodes()
    ears = float(canonical_face()[list(mesh.EARS), 2].mean())
    pivot = face.pose.project(np.array([0.0, NECK_Y, ears])).astype(np.float64)
    depth = _depth(at, face, outline) - pivot[2]
    x, y = (at - pivot[:2]).T
    none = np.zeros(len(at))
    moves = np.array(
        [
            [-depth, none],
            [none, depth],
            [-y, x],
            [none + scale, none],
            [none, none + scale],
            [x, y],
        ]
    ).transpose(0, 2, 1)
    still = _window(at, region, scale, avatar.size)
    head = _falloff(region, outline, scale) * still
    chin = face.landmarks[mesh.CHIN_TIP, :2].astype(np.float64)
    below = (at - chin) @ frame.down / scale
    body = smoothstep((below - SHOULDERS_IOD[0]) / (SHOULDERS_IOD[1] - SHOULDERS_IOD[0])) * still
    lift = -BREATH_IOD * scale * body[:, None] * frame.down
    fields = np.concatenate([moves * head[:, None], lift[None]]) / region.step
    return fields.reshape(len(fields), -1).astype(np.float32)


def _depth(at: Points, face: Face, outline: Points) -> NDArray[np.float64]:
    """Depth of the head at places (n, 2), pixels: that of the mesh, and constant beyond the outline of the skull."""
    points = face.landmarks[::6].astype(np.float64)
    solid = np.concatenate([points, outline[::2]])
    spline = ThinPlate(solid[:, :2] / face.scale, DEPTH_SMOOTHING)
    depth = spline(solid[:, 2:] / face.scale, at / face.scale)[:, 0] * face.scale
    clipped: NDArray[np.float64] = np.clip(depth, solid[:, 2].min(), solid[:, 2].max())
    return clipped


def _falloff(region: Lattice, outline: Points, scale: float) -> NDArray[np.float64]:
    """1 on the head, falling to 0 at :data:`FADE_IOD` around it; (nodes,)."""
    rows, columns = region.shape
    reach = int(np.ceil(scale / region.step))
    corners = (outline[:, :2] - [region.x, region.y] + 0.5) / region.step + region.pad - 0.5 + reach
    mask = np.full((rows + 2 * reach, columns + 2 * reach), 255, np.uint8)
    cv2.fillPoly(mask, [np.round(corners * 16).astype(np.int32)], 0, cv2.LINE_8, 4)
    distance = np.asarray(cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float64)
    falloff = 1 - smoothstep(distance * region.step / (FADE_IOD * scale))
    smooth = cv2.GaussianBlur(falloff, (0, 0), 1.5)[reach : reach + rows, reach : reach + columns]
    return np.asarray(smooth, np.float64).ravel()


def _window(at: Points, region: Lattice, scale: float, size: tuple[int, int]) -> NDArray[np.float64]:
    """1 inside, exactly 0 at the outermost nodes, so that the outermost pixels are left untouched; (nodes,).

    If the region ends at the bottom of the picture, the body continues below it, so nothing is held there.
    """
    hold, ramp = region.step + 2.0, EDGE_IOD * scale
    right, bottom = region.x + region.width, region.y + region.height
    weight = smoothstep((at[:, 0] - region.x - hold) / ramp) * smoothstep((right - at[:, 0] - hold) / ramp)
    weight *= smoothstep((at[:, 1] - region.y - hold) / ramp)
    if bottom < size[1]:
        weight *= smoothstep((bottom - at[:, 1] - hold) / ramp)
    return weight

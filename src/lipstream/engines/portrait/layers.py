"""The two sheets a portrait is cut into: the upper lip with what is above it, the lower lip with what is below.

Both are pictures with transparency, parted along the line between the lips. Moving them apart opens the mouth; what
then shows between them is drawn by :mod:`lipstream.engines.portrait.interior`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.engines.portrait.colour import face_pixels
from lipstream.engines.portrait.fields import Frame, Points
from lipstream.engines.portrait.lips import LipLine, from_corners
from lipstream.engines.portrait.warp import (
    Floats,
    Lattice,
    invert,
    sampling_maps,
    smoothstep,
    supersample,
    supersample_map,
)

Pixels = NDArray[np.uint8]

SOFT_EDGE_IOD = 0.006
"""Standard deviation of the softened cut between the lips, inter-ocular distances; never below :data:`SOFT_EDGE_PX`. It
is the same in soft pictures, because with a softer cut, lips that are a little apart would seem to touch. The rest of
their softness is :attr:`Layers.edge_blur`."""
SOFT_EDGE_PX = 0.6
SOFTEST_EDGE_IOD = 0.014
"""The most by which the edges of parted lips are softened, standard deviation, IOD."""
LIP_INSET_IOD = 0.014
"""Width of the rim of open lips that is painted over with the lip behind it, because teeth, gum and shadow mix in
there."""
FILL_BLEND_IOD = 0.03
"""Standard deviation of the blend that keeps painted lips from showing stripes."""
SEAM_STRENGTH = (0.22, 0.45)
"""Darkness of the line that is drawn where lips meet that were apart, on the lower and on the upper lip (whose shadow
it is)."""
SEAM_COLOUR = np.array([0.15, 0.10, -0.25])
"""How much more that shadow takes from blue, green and red: skin is reddish in the shade."""
USUAL_CONTRAST = 0.70
"""How much darker the darkest part of a face is than its median, in ordinary pictures: .71 to .89 in photographs and
paintings. Pale statues and faded pictures have .2 to .35, and a dark line between their lips would look like a pen
stroke."""
BAKING = (0.4,) * 40
"""Step sizes for inverting the closing field, which folds at the corners of a smile. They are small and many, to be
safe; this is done only once."""


@dataclass(frozen=True)
class Layers:
    """Sources to sample, at ``supersampling`` samples per pixel."""

    lower: Pixels
    """(height, width, 4) over the region: BGR not premultiplied, alpha 0 where the upper lip covers it."""
    upper: Pixels
    """(height, width, 4) over the mouth block: BGR premultiplied by alpha."""
    upper_end: int
    """Row of the block, in picture pixels, from which on the upper layer is clear."""
    supersampling: int
    """Samples per picture pixel."""
    edge_blur: float
    """Standard deviation, pixels, by which the edges of parted lips are to be softer than the cut; mostly 0."""


def cut_layers(
    picture: Pixels,
    photo: LipLine,
    rest: Points,
    frame: Frame,
    region: Lattice,
    block: Lattice,
    closing: tuple[Floats, Floats],
    supersampling: int,
    seam: NDArray[np.float64],
    blur: float,
) -> Layers:
    """Cut the portrait into its two layers, mouth closed.

    ``photo`` is the lips' line in the picture, ``rest`` (n, 2) the one after closing; ``closing`` are the lower and the
    upper field of the motion that closes the mouth, (rows, columns, 2) in nodes (not used on a closed mouth). ``seam``
    (3,) says how dark the line between lips that were apart is, see :func:`seam_darkness`; ``blur`` is the portrait's
    own softness, pixels, which that line gets.
    """
    sources = [region.block(picture), block.block(picture)]
    if photo.is_open:
        lower, upper = _fill(block.block(picture), photo, frame, block)
        sources = [sources[0].copy(), upper]
        _inside(region, block, sources[0])[:] = lower
    large = [supersample(np.ascontiguousarray(s), supersampling) for s in sources]
    if photo.is_open:
        large = [
            _bake(image, field, lattice, supersampling)
            for image, field, lattice in zip(large, closing, (region, block), strict=True)
        ]
        large = [
            _draw_line(image, rest, frame, lattice, supersampling, strength * seam, blur)
            for image, lattice, strength in zip(large, (region, block), SEAM_STRENGTH, strict=True)
        ]
    over = _above(rest, frame, block, supersampling)
    sigma = max(SOFT_EDGE_PX, SOFT_EDGE_IOD * frame.scale) * supersampling
    upper_alpha = np.asarray(cv2.GaussianBlur(over, (0, 0), sigma), np.float32)
    under = _lower_alpha(rest, frame, block, supersampling, sigma)
    whole = np.ones(large[0].shape[:2], np.float32)
    _inside(region, block, whole, supersampling)[:] = under
    upper = _with_alpha(large[1], upper_alpha, premultiply=True)
    covered = np.flatnonzero(upper[..., 3].any(axis=1))
    return Layers(
        _with_alpha(large[0], whole, premultiply=False),
        upper,
        (int(covered[-1]) if len(covered) else 0) // supersampling + 1,
        supersampling,
        _edge_blur(blur, sigma / supersampling, frame.scale),
    )


def _edge_blur(blur: float, sigma: float, scale: float) -> float:
    """How much softness a cut as soft as ``sigma`` lacks of the picture's own ``blur``, pixels; 0 if too little to be
    seen."""
    lacking = float(np.sqrt(max(0.0, blur**2 - sigma**2)))
    return min(lacking, SOFTEST_EDGE_IOD * scale) if lacking > SOFT_EDGE_PX else 0.0


def seam_darkness(picture: Pixels, points: Points, colourful: float) -> NDArray[np.float64]:
    """(3,) factors on :data:`SEAM_STRENGTH` for blue, green and red; less where nothing in the face is dark.

    ``points`` (468, 2) are the mesh's; ``colourful`` is 0 for a black-and-white picture, 1 for a coloured one.
    """
    grey = cv2.cvtColor(face_pixels(picture, points)[None], cv2.COLOR_BGR2GRAY)
    darkest, usual = np.percentile(grey, [1, 50])
    contrast = float(np.clip((1 - darkest / max(usual, 1)) / USUAL_CONTRAST, 0, 1))
    darkness: NDArray[np.float64] = contrast * (1 + colourful * SEAM_COLOUR)
    return darkness


def _with_alpha(image: Pixels, alpha: Floats, *, premultiply: bool) -> Pixels:
    alpha8 = np.round(alpha * 255).astype(np.uint8)
    if premultiply:
        image = np.asarray(cv2.multiply(image, cv2.merge([alpha8] * 3), scale=1 / 255), np.uint8)
    return np.dstack([image, alpha8])


def _above(line: Points, frame: Frame, lattice: Lattice, supersampling: int) -> Floats:
    """1 above the line between the lips, 0 below, (height, width) samples of the lattice's block.

    Beyond the corners the border widens into a ramp: there both layers show the same cheek.
    """
    far = 4 * frame.scale
    ends = line[0] - frame.right * far, line[-1] + frame.right * far
    outline = np.array([ends[0], *line, ends[1], ends[1] - frame.down * far, ends[0] - frame.down * far])
    height, width = lattice.height * supersampling, lattice.width * supersampling
    mask = np.zeros((height, width), np.uint8)
    scaled = (outline - [lattice.x, lattice.y]) * supersampling
    cv2.fillPoly(mask, [np.round(scaled * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    over: Floats = mask.astype(np.float32) / np.float32(255)

    x = lattice.x + np.arange(width) / supersampling
    y = lattice.y + np.arange(height)[:, None] / supersampling
    for corner, outward in ((line[0], -frame.right), (line[-1], frame.right)):
        beyond = (x - corner[0]) * outward[0] + (y - corner[1]) * outward[1]
        depth = (x - corner[0]) * frame.down[0] + (y - corner[1]) * frame.down[1]
        ramp = smoothstep(0.5 - depth / (1.2 * np.maximum(beyond, 0) + 1.5))
        over = np.where(beyond > 0, ramp, over).astype(np.float32)
    return over


def _lower_alpha(line: Points, frame: Frame, block: Lattice, supersampling: int, sigma: float) -> Floats:
    """Opacity of the lower layer over the mouth block: reaches above the line so that closed lips leave no gap."""
    under: Floats = np.float32(1) - _above(line, frame, block, supersampling)
    corners = line[0], line[-1]
    x = block.x + np.arange(block.width * supersampling) / supersampling
    y = block.y + np.arange(block.height * supersampling)[:, None] / supersampling
    for corner, outward in zip(corners, (-frame.right, frame.right), strict=True):
        under[(x - corner[0]) * outward[0] + (y - corner[1]) * outward[1] > 0] = 1
    rise = int(np.ceil(1.3 * sigma))
    raised = cv2.GaussianBlur(cv2.dilate(under, np.ones((2 * rise + 1, 1), np.uint8)), (0, 0), sigma)
    top = smoothstep((block.y + 0.2 * frame.scale - y) / (0.08 * frame.scale))
    return np.maximum(raised, top).astype(np.float32)


def _inside(region: Lattice, block: Lattice, image: NDArray[Any], supersampling: int = 1) -> NDArray[Any]:
    """The block's part of an image of the region, a view."""
    top, left = (block.y - region.y) * supersampling, (block.x - region.x) * supersampling
    return image[top : top + block.height * supersampling, left : left + block.width * supersampling]


def _fill(pixels: Pixels, line: LipLine, frame: Frame, block: Lattice) -> tuple[Pixels, Pixels]:
    """The block with what shows between open lips painted over by the lower lip, and by the upper lip."""
    inset = from_corners(len(line.upper), 0.2)[:, None] * LIP_INSET_IOD * frame.scale * frame.down
    mask = np.zeros(pixels.shape[:2], np.uint8)
    outline = np.concatenate([line.upper - inset, (line.lower + inset)[::-1]]) - [block.x, block.y]
    cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_8, 4)
    hidden = np.asarray(cv2.dilate(mask, np.ones((3, 3), np.uint8)), np.uint8) > 0
    filled = []
    for edge, sign in ((line.lower + inset, -1), (line.upper - inset, 1)):
        image = pixels.copy()
        blocked = _half_plane(edge, sign, frame, block) | hidden
        away, labels = cv2.distanceTransformWithLabels(
            blocked.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        colours = np.zeros((int(labels.max()) + 1, 3), np.uint8)
        colours[labels[~blocked]] = image[~blocked]
        image[hidden] = colours[labels[hidden]]
        _blend_fill(image, hidden, ~blocked | hidden, np.asarray(away, np.float32), frame.scale)
        filled.append(image)
    return filled[0], filled[1]


def _blend_fill(image: Pixels, filled: NDArray[np.bool_], known: NDArray[np.bool_], away: Floats, scale: float) -> None:
    """Blend the filled pixels with their surroundings, the more the further inside they lie: copies of the nearest
    colours would look like stripes."""
    sigma = max(0.5, FILL_BLEND_IOD * scale)
    weight = cv2.GaussianBlur(known.astype(np.float32), (0, 0), sigma)
    smooth = cv2.GaussianBlur(image * known[..., None].astype(np.float32), (0, 0), sigma) / weight[..., None].clip(1e-3)
    share = np.clip(away / (2 * sigma), 0, 1)[..., None]
    blended = np.round(image + share * (smooth - image)).astype(np.uint8)
    image[filled] = blended[filled]


def _half_plane(edge: Points, sign: int, frame: Frame, block: Lattice) -> NDArray[np.bool_]:
    """Pixels of the block on the ``sign`` side (1 below, -1 above) of an edge that is prolonged to both sides."""
    far = 4 * frame.scale
    ends = edge[0] - frame.right * far, edge[-1] + frame.right * far
    away = sign * frame.down * far
    outline = np.array([ends[0], *edge, ends[1], ends[1] + away, ends[0] + away]) - [block.x, block.y]
    mask = np.zeros((block.height, block.width), np.uint8)
    cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
    return mask > 0


def _bake(image: Pixels, field: Floats, lattice: Lattice, supersampling: int) -> Pixels:
    """Move the samples of a source by a displacement field, (rows, columns, 2) in nodes."""
    identity = lattice.identity()
    nodes = identity + invert(field, identity, BAKING)
    maps = sampling_maps(lattice, nodes, (lattice.x, lattice.y), supersampling)
    x, y = (supersample_map(positions, supersampling) for positions in maps)
    moved = cv2.remap(image, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


def _draw_line(
    image: Pixels,
    line: Points,
    frame: Frame,
    lattice: Lattice,
    supersampling: int,
    strength: NDArray[np.float64],
    blur: float,
) -> Pixels:
    """Darken the line where lips that were apart now meet, by (3,) strengths for BGR: the photo has no shadow there."""
    narrow, wide = max(0.010, 0.6 / frame.scale), max(0.035, 1.2 / frame.scale)
    # In a soft picture the line is softer and fainter as well.
    soft = float(np.hypot(narrow, np.sqrt(max(0.0, blur**2 - SOFT_EDGE_PX**2)) / frame.scale))
    samples = (line - [lattice.x, lattice.y]) * supersampling
    unit = supersampling * frame.scale
    low = np.maximum(np.floor(samples.min(axis=0) - 2.5 * wide * unit).astype(int), 0)
    high = np.minimum(np.ceil(samples.max(axis=0) + 2.5 * wide * unit).astype(int), image.shape[1::-1])
    near = image[low[1] : high[1], low[0] : high[0]]
    mask = np.full(near.shape[:2], 255, np.uint8)
    cv2.polylines(mask, [np.round((samples - low) * 16).astype(np.int32)], False, 0, 1, cv2.LINE_8, 4)
    distance = np.asarray(cv2.distanceTransform(mask, cv2.DIST_L2, 5), np.float32) / np.float32(unit)
    first, chord = samples[0] - low, samples[-1] - samples[0]
    x, y = np.arange(near.shape[1]) - first[0], np.arange(near.shape[0])[:, None] - first[1]
    along = (x * chord[0] + y * chord[1]) / (chord @ chord)
    taper = np.clip(4 * along * (1 - along), 0, 1) ** 0.7
    dark = taper * (
        (narrow / soft) ** 0.5 * np.exp(-((distance / soft) ** 2)) + 0.25 * np.exp(-((distance / wide) ** 2))
    )
    drawn: Pixels = image.copy()
    drawn[low[1] : high[1], low[0] : high[0]] = (near * (1 - dark[..., None] * strength)).astype(np.uint8)
    return drawn

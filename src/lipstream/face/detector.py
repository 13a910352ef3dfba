"""BlazeFace: where the faces in a picture are.

Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs", 2019, arXiv:1907.05047. The two
published networks share one output format: per anchor a logit, a box and six points, all relative to the anchor.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.models.runtime import Network

_MERGE_IOU = 0.3


@dataclass(frozen=True)
class Grid:
    """Anchors of one feature map."""

    stride: int
    """Input pixels per cell."""
    per_cell: int
    """Anchors in each cell, all in its centre."""


SHORT_RANGE = (Grid(8, 2), Grid(16, 6))
"""Anchors of the 128 px network: 896 in all."""
FULL_RANGE = (Grid(4, 1),)
"""Anchors of the 192 px network: 2304 in all."""


@dataclass(frozen=True, eq=False)
class Detection:
    """A place that looks like a face."""

    score: float
    """0 to 1."""
    box: NDArray[np.float32]
    """(4,): left, top, right, bottom in pixels, from the eyebrows to the chin."""
    points: NDArray[np.float32]
    """(6, 2) pixels: the subject's right eye, left eye, tip of the nose, mouth, right ear, left ear."""

    @property
    def size(self) -> float:
        """Longer side of the box, pixels."""
        return float(max(self.box[2] - self.box[0], self.box[3] - self.box[1]))


class Detector:
    """One of the two networks. Thread-safe."""

    def __init__(self, network: Network, grids: tuple[Grid, ...]) -> None:
        self._network = network
        ((self._input, shape),) = network.inputs.items()
        self.input_size = shape[1]
        """Side of the network's picture, pixels."""
        self._anchors = anchors(grids, self.input_size)

    def windows(self, picture: NDArray[np.uint8], corners: NDArray[np.intp], min_score: float) -> list[Detection]:
        """Detections in windows of the network's own size; ``corners`` (n, 2) are their left-top x, y.

        Windows may reach beyond the picture, where it is black. The same face may be found in several of them.
        """
        found = (self._window(picture, int(x), int(y), min_score) for x, y in corners)
        return merge(list(itertools.chain.from_iterable(found)))

    def _window(self, picture: NDArray[np.uint8], x: int, y: int, min_score: float) -> list[Detection]:
        size = self.input_size
        height, width = picture.shape[:2]
        window = np.zeros((size, size, 3), np.uint8)
        left, top, right, bottom = max(x, 0), max(y, 0), min(x + size, width), min(y + size, height)
        if left >= right or top >= bottom:
            return []
        window[top - y : bottom - y, left - x : right - x] = picture[top:bottom, left:right]
        rgb = window[np.newaxis, :, :, ::-1].astype(np.float32) / 127.5 - 1.0
        outputs = self._network({self._input: rgb}).values()
        regressors = next(output[0] for output in outputs if output.shape[-1] == 16)
        logits = next(output[0, :, 0] for output in outputs if output.shape[-1] == 1)
        return self._decode(regressors, logits, np.array([x, y], np.float32), min_score)

    def _decode(
        self,
        regressors: NDArray[np.float32],
        logits: NDArray[np.float32],
        corner: NDArray[np.float32],
        min_score: float,
    ) -> list[Detection]:
        found = []
        for i in np.flatnonzero(logits > np.log(min_score / (1.0 - min_score))):
            pairs = regressors[i].reshape(8, 2)
            centre = pairs[0] + self._anchors[i] + corner
            half = pairs[1] / 2
            points = pairs[2:] + self._anchors[i] + corner
            score = 1.0 / (1.0 + np.exp(-float(logits[i])))
            found.append(Detection(score, np.concatenate([centre - half, centre + half]), points))
        return found


def anchors(grids: tuple[Grid, ...], input_size: int) -> NDArray[np.float32]:
    """(n, 2) anchor centres x, y in input pixels, in the order of the network's outputs."""
    layers = []
    for grid in grids:
        cells = input_size // grid.stride
        centres = (np.arange(cells) + 0.5) * grid.stride
        x, y = np.meshgrid(centres, centres)
        layers.append(np.repeat(np.column_stack([x.ravel(), y.ravel()]), grid.per_cell, axis=0))
    return np.concatenate(layers).astype(np.float32)


def overlap(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Intersection over union of two boxes (left, top, right, bottom)."""
    size = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = float(np.prod(np.maximum(size, 0)))
    return shared / max(float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - shared, 1e-9)


def merge(detections: list[Detection]) -> list[Detection]:
    """One detection per face, best first: overlapping ones become their mean, weighted by score."""
    rest = sorted(detections, key=lambda detection: -detection.score)
    merged = []
    while rest:
        best = rest[0]
        same = [other for other in rest if overlap(best.box, other.box) > _MERGE_IOU]
        # A box without area overlaps nothing, not even itself.
        same = same or [best]
        rest = [other for other in rest if all(other is not member for member in same)]
        weights = np.array([member.score for member in same], np.float32)
        weights /= weights.sum()
        box = np.einsum("n,nk->k", weights, np.stack([member.box for member in same]))
        points = np.einsum("n,nkd->kd", weights, np.stack([member.points for member in same]))
        merged.append(Detection(best.score, box, points))
    return merged


def shrink(picture: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """The picture at ``scale`` times its size, without aliasing when it becomes smaller."""
    if scale == 1.0:
        return picture
    height, width = picture.shape[:2]
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    method = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, size, interpolation=method), np.uint8)

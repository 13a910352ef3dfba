"""Tracks one face through a video: follows it from picture to picture, finds it again, bridges short gaps and smooths
jitter."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lipstream.face.finder import FaceFinder
from lipstream.face.mesh import Face
from lipstream.face.pose import RIGID, estimate_pose

SMOOTHING = Fraction(1, 5)
"""Length of the window that landmarks are averaged over, seconds; centred, so that nothing lags behind."""
BRIDGED = Fraction(2, 5)
"""Gaps in which the face was not seen are filled if they are no longer than this, seconds."""
_SEARCH = Fraction(1, 5)  # seconds between two searches of the whole picture while there is no face
_NEAR = 2.0  # IOD from where the face was last
_FAITHFUL = 1  # second: after losing the face, no face further away than _NEAR is taken for it for this long
_JUMP = 0.6  # IOD: if a face moves further from one picture to the next, it is another scene
_BRIDGE_JUMP = 1.2  # IOD over a bridged gap


class FaceTracker:
    """Follows the largest face of a video's beginning. Not thread-safe."""

    def __init__(self, finder: FaceFinder, fps: Fraction) -> None:
        self._finder = finder
        self._fps = fps
        self._seen: list[Face | None] = []
        self._last: Face | None = None
        self._lost = 0  # pictures since the face was seen

    def add(self, picture: NDArray[np.uint8]) -> None:
        """Look at the next picture, (height, width, 3) BGR."""
        face = self._finder.follow(picture, self._last) if self._last and not self._lost else None
        if face is None and self._lost % max(1, round(_SEARCH * self._fps)) == 0:
            face = self._find(picture)
        self._lost = 0 if face else self._lost + 1
        self._last = face or self._last
        self._seen.append(face)

    def _find(self, picture: NDArray[np.uint8]) -> Face | None:
        """The face to follow: the largest at first, later the one nearest to where it was."""
        faces, last = self._finder.find(picture), self._last
        if last is None:
            return faces[0] if faces else None
        nearest = min(faces, key=lambda face: _distance(last, face), default=None)
        # A face that is hidden for a moment comes back where it was; a face elsewhere is another person's.
        strange = nearest is not None and _distance(last, nearest) > _NEAR
        return None if strange and self._lost < _FAITHFUL * self._fps else nearest

    def finish(self) -> tuple[Face | None, ...]:
        """The face of every picture; None where there was none for longer than a bridged gap."""
        bridged = bridge(self._seen, round(BRIDGED * self._fps))
        return smooth(bridged, round(SMOOTHING * self._fps) // 2)


def bridge(faces: Sequence[Face | None], longest: int) -> list[Face | None]:
    """Fill gaps of up to ``longest`` pictures, between faces that are near each other, in a straight line."""
    filled = list(faces)
    known = [index for index, face in enumerate(faces) if face]
    for first, last in pairwise(known):
        before, after = faces[first], faces[last]
        assert before
        assert after
        if 1 < last - first <= longest + 1 and _distance(before, after) < _BRIDGE_JUMP:
            for index in range(first + 1, last):
                part = np.float32((index - first) / (last - first))
                landmarks = before.landmarks + part * (after.landmarks - before.landmarks)
                filled[index] = _face(landmarks, min(before.score, after.score))
    return filled


def smooth(faces: Sequence[Face | None], reach: int) -> tuple[Face | None, ...]:
    """Average every face with up to ``reach`` before and as many after it, the nearer ones counting more.

    The window never crosses a gap or a cut. Towards the ends of a scene it gets shorter on both sides, so that it stays
    centred.
    """
    smoothed = list(faces)
    for start, stop in _scenes(faces):
        scene = [face for face in faces[start:stop] if face]
        points = np.stack([face.landmarks for face in scene])
        for index in range(len(scene)):
            half = min(reach, index, len(scene) - 1 - index)
            weights = np.hanning(2 * half + 3)[1:-1].astype(np.float32)
            landmarks = np.tensordot(weights / weights.sum(), points[index - half : index + half + 1], 1)
            smoothed[start + index] = _face(landmarks, scene[index].score)
    return tuple(smoothed)


def _scenes(faces: Sequence[Face | None]) -> list[tuple[int, int]]:
    """(first, one behind the last) of every run in which the face moves without a jump."""
    scenes: list[tuple[int, int]] = []
    for index, face in enumerate(faces):
        if face is None:
            continue
        before = faces[index - 1] if index else None
        if before is not None and _distance(before, face) < _JUMP:
            scenes[-1] = scenes[-1][0], index + 1
        else:
            scenes.append((index, index + 1))
    return scenes


def _distance(a: Face, b: Face) -> float:
    """How far apart two faces are, in IOD of the smaller one."""
    shift = a.landmarks[RIGID, :2].mean(axis=0) - b.landmarks[RIGID, :2].mean(axis=0)
    return float(np.hypot(*shift)) / min(a.scale, b.scale)


def _face(landmarks: NDArray[np.float32], score: float) -> Face:
    return Face(landmarks, score, estimate_pose(landmarks))

"""Find the faces in a picture of any size: detectors propose, the mesh decides."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lipstream.errors import FaceError
from lipstream.face.detector import FULL_RANGE, SHORT_RANGE, Detection, Detector, merge, overlap, shrink
from lipstream.face.mesh import Face, FaceMesh, Region, cut, region_of
from lipstream.face.pose import estimate_pose
from lipstream.models.assets import FACE_DETECTOR_FULL, FACE_DETECTOR_SHORT, FACE_MESH
from lipstream.models.runtime import Network
from lipstream.models.store import ModelStore

SMALLEST_FACE = 64
"""Faces at least this wide are found in pictures of any size; pixels."""

_DETECTOR_SCORE = 0.5
_MESH_SCORE = 0.9
# IOD, up to this yaw in degrees and beyond: see docs/face.md.
_MAX_RESIDUAL, _MAX_RESIDUAL_TURNED, _TURNED = 0.12, 0.16, 35.0
_TURN_MARGIN = 1.15  # the detector needs a little more around the face than the mesh
_SMALLEST_IN_WINDOW = 14  # px: the full-range network still sees faces of this width
_WINDOW_OVERLAP = 64  # px: larger faces are found one level coarser, where they are half as large
_REGION_MARGIN = 1.5  # over the detector's box, as the mesh network was trained
_FAR = 0.04  # of its region; if a face moved further than this, it is measured again, centred
_SAME_FACE = 0.4  # intersection over union of two meshes


class FaceFinder:
    """Finds faces and measures them. Thread-safe; one instance serves a process."""

    def __init__(self, short_range: Detector, full_range: Detector, mesh: FaceMesh) -> None:
        self._short = short_range
        self._full = full_range
        self._mesh = mesh

    @classmethod
    def load(cls, store: ModelStore) -> FaceFinder:
        """Load the networks. Raises :class:`lipstream.errors.ModelError` when one is not there."""
        return cls(
            Detector(Network(store.network(FACE_DETECTOR_SHORT)), SHORT_RANGE),
            Detector(Network(store.network(FACE_DETECTOR_FULL)), FULL_RANGE),
            FaceMesh(*(Network(store.network(FACE_MESH, part)) for part in FACE_MESH.parts)),
        )

    def largest(self, picture: NDArray[np.uint8]) -> Face:
        """The largest face, measured precisely. Raises :class:`FaceError` (``no_face``)."""
        faces = self.find(picture)
        if not faces:
            raise FaceError(
                "no_face",
                f"There is no face in this picture, or it is less than {SMALLEST_FACE} pixels wide. "
                "Use a picture that shows one face from the front.",
            )
        return self._mesh.refine(picture, faces[0])

    def chosen(self, picture: NDArray[np.uint8], index: int, *, onto: NDArray[np.uint8] | None = None) -> Face:
        """The face with this number, counted from 0 from left to right, measured precisely.

        Faces are counted as by :meth:`everyone`; ``onto`` is the same picture at another size, in which the face is
        measured. Raises :class:`FaceError` (``no_face``, ``face_index_out_of_range``).
        """
        faces = self.everyone(picture)
        if not faces:
            return self.largest(picture)
        if not 0 <= index < len(faces):
            raise FaceError(
                "face_index_out_of_range",
                f"There is 1 face in this picture, so face_index can only be 0, not {index}. Leave it out."
                if len(faces) == 1
                else f"There are {len(faces)} faces in this picture, so face_index must be from 0 (the leftmost) to "
                f"{len(faces) - 1}, not {index}. Leave it out for the largest.",
            )
        face = faces[index]
        if onto is None:
            return self._mesh.refine(picture, face)
        factor = np.float32(onto.shape[1] / picture.shape[1])
        return self._mesh.refine(onto, replace(face, landmarks=face.landmarks * factor))

    def everyone(self, picture: NDArray[np.uint8]) -> list[Face]:
        """All faces at least :data:`SMALLEST_FACE` wide, and smaller ones that happen to be found, from left to right.

        Each is measured once. Unlike :meth:`find`, this searches every size, so it takes as long as if there were none.
        """
        candidates = merge([found for level in self._levels(picture) for found in level])
        return sorted(self._confirm(picture, candidates), key=lambda face: face.box[0] + face.box[2])

    def refine(self, picture: NDArray[np.uint8], face: Face) -> Face:
        """A face that was found, measured as precisely as :meth:`largest` does."""
        return self._mesh.refine(picture, face)

    def follow(self, picture: NDArray[np.uint8], face: Face) -> Face | None:
        """The face near the place of ``face``, which was found in the previous picture; None if there is none. Takes a
        tenth of the time of a search."""
        region = region_of(face.landmarks)
        landmarks, score = self._mesh.locate(picture, region)
        there = region_of(landmarks)
        if max(abs(there.x - region.x), abs(there.y - region.y)) > _FAR * region.size:
            landmarks, score = self._mesh.locate(picture, there)
        found = Face(landmarks, score, estimate_pose(landmarks))
        return found if _plausible(found) else None

    def find(self, picture: NDArray[np.uint8]) -> list[Face]:
        """The faces in a (height, width, 3) BGR picture, the largest first, measured once each.

        The search goes from coarse to fine and stops at the first size that shows a face, so faces much smaller than
        the largest may be left out.
        """
        for candidates in self._levels(picture):
            faces = self._confirm(picture, candidates)
            if faces:
                return faces
        return []

    def _levels(self, picture: NDArray[np.uint8]) -> itertools.chain[list[Detection]]:
        """Candidates in picture pixels: the whole picture first, then ever smaller windows of it."""
        longest = max(picture.shape[:2])
        finest = _SMALLEST_IN_WINDOW / SMALLEST_FACE * longest
        doubled = itertools.takewhile(
            lambda size: size < finest, (2.0**n * self._full.input_size for n in itertools.count(1))
        )
        fine = (self._search(self._full, picture, size) for size in [*doubled, max(finest, 0)] if size > 192)
        return itertools.chain([self._whole(picture)], fine)

    def _whole(self, picture: NDArray[np.uint8]) -> list[Detection]:
        return merge(
            [
                *self._search(self._short, picture, self._short.input_size),
                *self._search(self._full, picture, self._full.input_size),
            ]
        )

    def _search(self, detector: Detector, picture: NDArray[np.uint8], longest: float) -> list[Detection]:
        """Look at the picture shrunk to ``longest`` pixels, window by window."""
        scale = longest / max(picture.shape[:2])
        small = shrink(picture, scale)
        height, width = small.shape[:2]
        columns = _starts(width, detector.input_size)
        rows = _starts(height, detector.input_size)
        corners = np.array([(x, y) for y in rows for x in columns], np.intp)
        factor = np.array([picture.shape[1] / width, picture.shape[0] / height], np.float32)
        found = detector.windows(small, corners, _DETECTOR_SCORE)
        return [Detection(d.score, d.box * np.tile(factor, 2), d.points * factor) for d in found]

    def _confirm(self, picture: NDArray[np.uint8], candidates: list[Detection]) -> list[Face]:
        """Fit the mesh to each candidate, and keep those that are faces according to it."""
        faces: list[Face] = []
        for candidate in candidates:
            face = self._upright(picture, self._mesh.fit(picture, _region(candidate)))
            if _plausible(face) and not any(same_face(face, other) for other in faces):
                faces.append(face)
        return sorted(faces, key=lambda face: -face.scale)

    def _upright(self, picture: NDArray[np.uint8], face: Face) -> Face:
        """Fit again if the mesh lies askew on the face: it also fits itself to faces that are upside down.

        The detector is stricter, so it is shown the face in four rotations.
        """
        region = region_of(face.landmarks)
        best, best_turn, best_map = None, 0, np.eye(2, 3, dtype=np.float32)
        for turn in range(4):
            turned = replace(region, size=region.size * _TURN_MARGIN, roll=region.roll + turn * np.pi / 2)
            crop, to_picture = cut(picture, turned, self._short.input_size)
            found = self._short.windows(crop, np.zeros((1, 2), np.intp), _DETECTOR_SCORE)
            if found and (best is None or found[0].score > best.score):
                best, best_turn, best_map = found[0], turn, to_picture
        if best is None or (best_turn == 0 and _plausible(face)):
            return face
        centre = best_map[:, :2] @ ((best.box[:2] + best.box[2:]) / 2) + best_map[:, 2]
        eyes = best_map[:, :2] @ (best.points[1] - best.points[0])
        size = best.size * float(np.linalg.norm(best_map[:, 0])) * _REGION_MARGIN
        roll = float(np.arctan2(eyes[1], eyes[0]))
        return self._mesh.fit(picture, Region(float(centre[0]), float(centre[1]), size, roll))


def _region(detection: Detection) -> Region:
    right_eye, left_eye = detection.points[:2]
    roll = float(np.arctan2(left_eye[1] - right_eye[1], left_eye[0] - right_eye[0]))
    x, y = (detection.box[:2] + detection.box[2:]) / 2
    return Region(float(x), float(y), detection.size * _REGION_MARGIN, roll)


def _plausible(face: Face) -> bool:
    limit = _MAX_RESIDUAL if abs(face.pose.yaw) < _TURNED else _MAX_RESIDUAL_TURNED
    return face.score >= _MESH_SCORE and face.pose.residual <= limit


def same_face(a: Face, b: Face) -> bool:
    """Whether two faces are at the same place."""
    return overlap(np.array(a.box, np.float32), np.array(b.box, np.float32)) > _SAME_FACE


def _starts(length: int, window: int) -> NDArray[np.intp]:
    """Where windows begin so that they cover ``length`` evenly. A single one is centred and may extend beyond it."""
    if length <= window:
        return np.array([(length - window) // 2], np.intp)
    count = int(np.ceil((length - window) / (window - _WINDOW_OVERLAP))) + 1
    return np.asarray(np.linspace(0, length - window, count).round(), np.intp)

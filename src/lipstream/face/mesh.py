"""The 468-point face mesh: from a place where a face might be to the points of that face.

Kartynnik et al., "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs", 2019, arXiv:1907.06724, and
Grishchenko et al., "Attention Mesh: High-fidelity Face Mesh Prediction in Real-time", 2020, arXiv:2006.10962: a trunk
finds all points, then small heads look again at the lips and the eyes in the trunk's feature map.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.face.pose import LEFT_EYE, MESH_POINTS, RIGHT_EYE, Pose, estimate_pose, mirror_points, seen_yaw
from lipstream.face.topology import INNER_LIPS, LEFT_EYE_REGION, LIP_REGION, OUTER_LIPS, RIGHT_EYE_REGION, UPPER_FACE
from lipstream.models.runtime import Network

_INPUT = 192  # px, side of the trunk's picture
_FEATURES = 48  # cells, side of the trunk's feature map
_CROP = 16  # cells, side of what a head looks at
_HEAD_UNITS = 64  # the heads count in quarters of a cell
_MARGIN = 1.5  # region of interest over the box of its points, as the networks were trained

# Views over which a precise fit is averaged: shift, size, rotation and mirroring in a balanced two-level design of
# eight runs, so that the first-order errors of the network cancel.
_VIEWS = [(dx, dy, size, dx * dy, dx * size > 0) for dx, dy, size in product((-1, 1), repeat=3)]
_VIEW_SHIFT = 0.05  # of the face's size
_VIEW_SCALE = 0.05
_VIEW_ROLL = 0.05  # radians


TOWARDS_FRONT = 1.17
"""Real yaw of a head over the yaw of the mesh, because the network draws turned heads more frontal than they are. Mean
over synthetic turns of seven frontal portraits by up to 60° (``docs/face.md``)."""


@dataclass(frozen=True)
class Region:
    """A square in the picture, turned so that the eyes lie level in it."""

    x: float
    """Centre, pixels."""
    y: float
    """Centre, pixels."""
    size: float
    """Side, pixels."""
    roll: float
    """Turn in radians, positive clockwise in the picture."""


@dataclass(frozen=True, eq=False)
class Face:
    """A face found in a picture."""

    landmarks: NDArray[np.float32]
    """(468, 3) in picture pixels: x right, y down, z away from the camera with its zero in the middle of the head."""
    score: float
    """How sure the mesh network is that this is a face, 0 to 1."""
    pose: Pose
    """Where the head looks and how large it is."""
    lip_jitter: float = 0.0
    """RMS distance of the points of the lips from their mean over several views, IOD; 0 if there was a single view."""
    jitter: float = 0.0
    """The same for the upper face."""

    @property
    def scale(self) -> float:
        """Pixels per canonical unit (unit IOD), see :class:`Pose`."""
        return self.pose.scale

    @property
    def yaw(self) -> float:
        """How far the head is turned, degrees, signed as in :class:`Pose`; up to 45° right within about 4°.

        Corrected for the network's error, so decisions should use this. :attr:`pose` fits the points as the network
        drew them.
        """
        return TOWARDS_FRONT * seen_yaw(self.landmarks)

    @property
    def iod(self) -> float:
        """Distance between the eye centres as the picture shows it, pixels (shorter than ``scale`` on turned heads)."""
        right, left = self.landmarks[RIGHT_EYE].mean(axis=0), self.landmarks[LEFT_EYE].mean(axis=0)
        return float(np.hypot(*(left - right)[:2]))

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) around all points, pixels; may reach beyond the picture."""
        low, high = self.landmarks[:, :2].min(axis=0), self.landmarks[:, :2].max(axis=0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])


@dataclass(frozen=True, eq=False)
class Head:
    """One of the small networks that refine a part of the mesh."""

    network: Network
    """From (1, 16, 16, 32) features to (1, 1, 1, 2n) points."""
    points: NDArray[np.intp]
    """(n,) mesh points it gives, in its order."""
    level: tuple[int, int]
    """Two mesh points that lie on a horizontal line in what it looks at."""


class FaceMesh:
    """Fits the mesh to one face at a time. Thread-safe."""

    def __init__(self, trunk: Network, lips: Network, right_eye: Network, left_eye: Network) -> None:
        self._trunk = trunk
        self._heads = (
            Head(lips, LIP_REGION, (61, 291)),
            Head(right_eye, RIGHT_EYE_REGION, (33, 133)),
            Head(left_eye, LEFT_EYE_REGION, (362, 263)),
        )

    def fit(self, picture: NDArray[np.uint8], region: Region) -> Face:
        """The face in ``region`` of a (height, width, 3) BGR picture; check ``score``, there may be none.

        The network runs twice: in the given region, and then in the region that its own points define.
        """
        landmarks, _ = self.locate(picture, region)
        landmarks, score = self.locate(picture, region_of(landmarks))
        return Face(landmarks, score, estimate_pose(landmarks))

    def refine(self, picture: NDArray[np.uint8], face: Face) -> Face:
        """The same face measured more precisely: the mean over eight slightly different views of it."""
        region = region_of(face.landmarks)
        located = [
            self.locate(picture, _moved(region, dx, dy, size, roll), mirrored=mirrored)
            for dx, dy, size, roll, mirrored in _VIEWS
        ]
        views = np.stack([points for points, _ in located])
        landmarks = views.mean(axis=0, dtype=np.float32)
        pose = estimate_pose(landmarks)
        jitter = np.sqrt(views[..., :2].var(axis=0).sum(axis=1)) / pose.scale
        score = float(np.mean([score for _, score in located]))
        lips = np.concatenate([OUTER_LIPS, INNER_LIPS])
        return Face(landmarks, score, pose, float(jitter[lips].mean()), float(jitter[UPPER_FACE].mean()))

    def locate(
        self, picture: NDArray[np.uint8], region: Region, *, mirrored: bool = False
    ) -> tuple[NDArray[np.float32], float]:
        """One pass of the networks: landmarks (468, 3) in picture pixels and the score 0 to 1.

        ``mirrored`` shows the networks a mirror image; the result still refers to the picture as it is.
        """
        crop, to_picture = cut(picture, region, _INPUT)
        points, score = self._run(crop[:, ::-1] if mirrored else crop)
        if mirrored:
            points = points[mirror_points()]
            points[:, 0] = _INPUT - points[:, 0]
        landmarks = np.empty_like(points)
        # The network counts from pixel corners, the picture from pixel centres.
        landmarks[:, :2] = (points[:, :2] - 0.5) @ to_picture[:, :2].T + to_picture[:, 2]
        landmarks[:, 2] = points[:, 2] * (region.size / _INPUT)
        return landmarks, score

    def _run(self, crop: NDArray[np.uint8]) -> tuple[NDArray[np.float32], float]:
        """(192, 192, 3) BGR → points (468, 3) in crop pixels, z in the same unit, and the score 0 to 1."""
        rgb = crop[np.newaxis, :, :, ::-1].astype(np.float32) / 255.0
        outputs = self._trunk({"input_1": rgb})
        mesh = outputs["output_mesh_identity"].reshape(MESH_POINTS, 3)
        features = outputs["p_re_lu_3"][0]
        points = mesh.copy()
        for head in self._heads:
            points[head.points, :2] = _look_again(head, features, mesh[:, :2])
        return points, float(1.0 / (1.0 + np.exp(-outputs["conv_faceflag"].item())))


def _look_again(head: Head, features: NDArray[np.float32], mesh: NDArray[np.float32]) -> NDArray[np.float32]:
    """The points of ``head`` refined: (n, 2) in crop pixels, from the features and the trunk's points (468, 2)."""
    # A box around the points, level with them, as an affine map from its cells to those of the feature map.
    mesh = mesh * (_FEATURES / _INPUT)
    right, left = mesh[head.level[0]], mesh[head.level[1]]
    c, s = (left - right) / np.linalg.norm(left - right)
    turn = np.array([[c, -s], [s, c]])
    level = mesh[head.points] @ turn
    low, high = level.min(axis=0), level.max(axis=0)
    linear = turn * (_MARGIN * (high - low) / _CROP)
    corner = turn @ ((low + high) / 2) - linear @ np.full(2, _CROP / 2)
    # From here to pixel centres, which is what sampling needs.
    centre = corner + linear @ np.full(2, 0.5) - 0.5
    sampled = _sample(features, np.column_stack([linear, centre]), _CROP)
    ((name, _),) = head.network.inputs.items()
    (found,) = head.network({name: sampled[np.newaxis]}).values()
    cells = found.reshape(-1, 2) * (_CROP / _HEAD_UNITS)
    refined: NDArray[np.float32] = (cells @ linear.T + corner) * (_INPUT / _FEATURES)
    return refined


def _sample(features: NDArray[np.float32], affine: NDArray[np.float64], size: int) -> NDArray[np.float32]:
    """(size, size, channels) out of a feature map, bilinear, zero outside; ``affine`` (2, 3) maps target to source."""
    # OpenCV warps at most four channels at a time.
    slices = [
        cv2.warpAffine(
            features[:, :, first : first + 4],
            affine,
            (size, size),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        )
        for first in range(0, features.shape[2], 4)
    ]
    return np.concatenate(slices, axis=2, dtype=np.float32)


def _moved(region: Region, dx: int, dy: int, size: int, roll: int) -> Region:
    step = _VIEW_SHIFT * region.size / _MARGIN
    return replace(
        region,
        x=region.x + dx * step,
        y=region.y + dy * step,
        size=region.size * (1 + size * _VIEW_SCALE),
        roll=region.roll + roll * _VIEW_ROLL,
    )


def region_of(landmarks: NDArray[np.float32]) -> Region:
    """The region in which the networks see these points as they were trained to: eyes level, a margin all around."""
    eyes = landmarks[263, :2] - landmarks[33, :2]
    roll = float(np.arctan2(eyes[1], eyes[0]))
    low, high = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
    x, y = (low + high) / 2
    return Region(float(x), float(y), float((high - low).max()) * _MARGIN, roll)


def cut(picture: NDArray[np.uint8], region: Region, size: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Sample ``region`` as a ``size`` × ``size`` picture, black outside; also the (2, 3) map from its pixels back."""
    step = region.size / size
    c, s = step * np.cos(region.roll), step * np.sin(region.roll)
    turn = np.array([[c, -s], [s, c]])
    centre = np.array([region.x, region.y])
    shift = centre - turn @ np.full(2, (size - 1) / 2)
    to_picture = np.column_stack([turn, shift]).astype(np.float32)
    crop = cv2.warpAffine(picture, to_picture, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return np.asarray(crop, np.uint8), to_picture

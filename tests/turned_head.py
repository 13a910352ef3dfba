"""A portrait turned to the side: its face mesh, with some skull around it, drawn again from another angle."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.face.mesh import Face
from lipstream.face.pose import canonical_face, rotation_from_angles

# How much wider than the face, and how far behind its outline in IOD, the rings are that stand for the skull.
RINGS = ((1.25, 0.55), (1.5, 1.1))


def turned_head(picture: NDArray[np.uint8], face: Face, yaw: float) -> NDArray[np.uint8]:
    """``picture`` (height, width, 3) BGR with the head of ``face`` turned by ``yaw`` degrees more."""
    flat = np.ascontiguousarray(canonical_face()[:, :2])
    points = face.pose.to_canonical(face.landmarks)
    outline = cv2.convexHull(flat, returnPoints=False).ravel()
    for width, depth in RINGS:
        ring = points[outline].mean(axis=0) + (points[outline] - points[outline].mean(axis=0)) * np.float32(width)
        ring[:, 2] = points[outline, 2] + depth
        points = np.vstack([points, ring])
        middle = flat[outline].mean(axis=0)
        flat = np.vstack([flat, middle + (flat[outline] - middle) * np.float32(width)])
    source = face.pose.project(points)[:, :2]
    target = face.scale * (points @ rotation_from_angles(yaw, 0, 0).T) + face.pose.origin
    triangles = delaunay(flat)
    result = np.asarray(cv2.GaussianBlur(picture, (0, 0), face.scale / 2), np.uint8)
    for triangle in triangles[np.argsort(-target[triangles, 2].mean(axis=1))]:
        if area(target[triangle, :2]) * area(flat[triangle]) > 0:
            draw(result, picture, source[triangle], target[triangle, :2].astype(np.float32))
    return result


def delaunay(points: NDArray[np.float32]) -> NDArray[np.intp]:
    """(n, 3) indices of the triangles over (m, 2) points."""
    low = points.min(axis=0)
    scaled = (points - low) * (1000 / (points - low).max()) + 1
    subdivision = cv2.Subdiv2D((0, 0, 1003, 1003))
    for x, y in scaled:
        subdivision.insert((float(x), float(y)))
    corners = np.asarray(subdivision.getTriangleList()).reshape(-1, 3, 2)
    distances = np.linalg.norm(corners[:, :, np.newaxis] - scaled, axis=3)
    return np.asarray(distances.argmin(axis=2)[(distances.min(axis=2) < 0.01).all(axis=1)], np.intp)


def area(corners: NDArray[np.floating]) -> float:
    """Twice the signed area of a (3, 2) triangle."""
    (ax, ay), (bx, by) = corners[1] - corners[0], corners[2] - corners[0]
    return float(ax * by - ay * bx)


def draw(
    result: NDArray[np.uint8], picture: NDArray[np.uint8], source: NDArray[np.float32], target: NDArray[np.float32]
) -> None:
    """Warp one triangle of ``picture`` into ``result``."""
    height, width = result.shape[:2]
    left, top = np.maximum(np.floor(target.min(axis=0)).astype(int) - 1, 0).tolist()
    right, bottom = np.minimum(np.ceil(target.max(axis=0)).astype(int) + 2, [width, height]).tolist()
    if left >= right or top >= bottom:
        return
    affine = cv2.getAffineTransform(source, target - np.array([left, top], np.float32))
    size = (right - left, bottom - top)
    patch = cv2.warpAffine(picture, affine, size, borderMode=cv2.BORDER_REPLICATE)
    mask = np.zeros((bottom - top, right - left), np.uint8)
    cv2.fillConvexPoly(mask, np.round((target - [left, top]) * 16).astype(np.int32), 255, cv2.LINE_8, 4)
    # Half a pixel wider, so that no cracks stay between neighbours.
    inside = cv2.dilate(mask, np.ones((2, 2), np.uint8)) > 0
    result[top:bottom, left:right][inside] = patch[inside]

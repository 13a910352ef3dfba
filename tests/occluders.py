"""Things in front of a face, drawn into a portrait: a hand, a microphone, a mask; and glasses and a beard."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.engines.portrait import topology as mesh
from lipstream.engines.portrait.rig import face_frame
from lipstream.face.mesh import Face

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]

MASK = (197, 50, 123, 132, 172, 150, 152, 379, 397, 361, 352, 280)
"""Mesh points around what a mask covers."""
BEARD = (98, 327, 132, 172, 150, 152, 379, 397, 361)
"""Mesh points around where beards grow."""


def hand(picture: Picture, face: Face, angle: float = 0.0) -> Picture:
    """Four fingers of the cheek's colour across the mouth, turned by ``angle`` degrees."""
    x, y = np.round(face.landmarks[[50, 280, 205, 425], :2]).astype(int).T
    skin = np.median(picture[y, x], axis=0)
    result = picture
    for number in range(4):
        along, beside = _axes(picture, face, angle)
        beside = beside - 0.24 * (number - 1.5)
        tip = 0.55 - 0.08 * abs(number - 1.2)
        away = np.where(along > tip, np.hypot(along - tip, beside), np.abs(beside)) / 0.12
        shade = 1.02 - 0.45 * np.clip(away, 0, 1) ** 3
        result = _over(result, skin * shade[..., None], (away < 1) & (along > -1.6), face)
    return result


def microphone(picture: Picture, face: Face) -> Picture:
    """A dark ball on a stick, right in front of the mouth."""
    x, y = _axes(picture, face)
    stick = _over(picture, np.full(picture.shape, 35.0), (np.abs(x - 0.2 * y) < 0.11) & (y > 0), face)
    away = np.hypot(x, y - 0.05) / 0.34
    light = (
        60 + 70 * np.clip(1 - np.hypot(x + 0.1, y + 0.05) / 0.34, 0, 1) + 12 * np.sign(np.sin(60 * x) * np.sin(60 * y))
    )
    return _over(stick, np.repeat(light[..., None], 3, axis=2), away < 1, face)


def mask(picture: Picture, face: Face) -> Picture:
    """A light blue one with pleats, from the nose to below the chin."""
    x, y = _axes(picture, face)
    shade = 1 - 0.25 * np.abs(x) ** 1.5 - 0.1 * np.clip(y, -1, 1) + 0.05 * np.sign(np.sin(22 * y))
    return _over(picture, np.array([215.0, 190.0, 150.0]) * shade[..., None], _inside(picture, face, MASK), face)


def glasses(picture: Picture, face: Face) -> Picture:
    """Dark round rims."""
    result: Picture = picture.copy()
    radius, width = round(0.42 * face.scale), max(1, round(0.05 * face.scale))
    for eye in mesh.EYES:
        x, y = np.round(face.landmarks[list(eye), :2].mean(axis=0)).astype(int).tolist()
        cv2.circle(result, (x, y), radius, (35, 35, 40), width, cv2.LINE_AA)
    return result


def beard(picture: Picture, face: Face) -> Picture:
    """A full dark one around the lips."""
    lips = (*mesh.OUTER_UPPER_LIP, *mesh.OUTER_LOWER_LIP)
    hair = np.random.default_rng(0).normal(45, 25, picture.shape[:2])[..., None].repeat(3, axis=2)
    grown = _inside(picture, face, BEARD) & ~_inside(picture, face, lips)
    return _over(picture, 0.15 * picture + 0.85 * hair, grown, face)


def _axes(picture: Picture, face: Face, angle: float = 0.0) -> tuple[Floats, Floats]:
    """Place of every pixel from the middle of the mouth along the face's axes, turned by ``angle`` degrees; IOD."""
    frame = face_frame(face)
    middle = face.landmarks[[13, 14], :2].mean(axis=0)
    turn = np.radians(angle)
    right = np.cos(turn) * frame.right + np.sin(turn) * frame.down
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
    x, y = (columns - middle[0]) / face.scale, (rows - middle[1]) / face.scale
    return x * right[0] + y * right[1], y * right[0] - x * right[1]


def _inside(picture: Picture, face: Face, points: tuple[int, ...]) -> NDArray[np.bool_]:
    area = np.zeros(picture.shape[:2], np.uint8)
    outline = cv2.convexHull(face.landmarks[list(points), :2])
    cv2.fillConvexPoly(area, np.round(outline).astype(np.int32), 1)
    return area > 0


def _over(picture: Picture, colour: Floats, where: NDArray[np.bool_], face: Face) -> Picture:
    """``colour`` (height, width, 3) with a little grain over the picture, with soft edges."""
    alpha = cv2.GaussianBlur(where.astype(np.float64), (0, 0), max(0.4, 0.01 * face.scale))[..., None]
    grain = np.random.default_rng(1).normal(0, 3, picture.shape)
    blended = np.clip(picture * (1 - alpha) + (colour + grain) * alpha, 0, 255)
    return np.asarray(blended, np.uint8)

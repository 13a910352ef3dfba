"""The colours of one portrait's mouth, measured on its face, in linear light (BGR, 1 = white)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.engines.portrait import topology as mesh
from lipstream.engines.portrait.fields import Frame, Points
from lipstream.engines.portrait.unblinking import wears_glasses

Pixels = NDArray[np.uint8]
Values = NDArray[np.float64]

GAMMA = 2.2
LUMA = np.array([0.114, 0.587, 0.299])
ENAMEL = np.array([0.70, 0.97, 1.16])
"""Colour of teeth between red lips in white light, luma 1."""
SKIN_WARMTH = 2.9
"""Red over blue of skin in white light. If a portrait's skin differs from this, the difference is put down to the
colour of the light."""
FLESH = np.array([0.66, 0.72, 1.56])
"""Colour of a healthy tongue in white light, luma 1."""
OF_EYE, OF_RED = 0.25, 0.22
"""Part of their tint that teeth take from the white of the eyes, or from the lips if there are glasses: glasses are
often tinted and throw a shade, so the eyes behind them say nothing. Teeth are then as bright as if the eyes were as
bright as the skin."""
WHITES, WHITEST = 0.01, 10.0
"""Part of a picture that must be as bright as the skin before its whites are used to judge the light, and the
percentile of their red over blue that counts as white. The light is no warmer than the geometric mean of what skin and
whites say."""
OF_LIPS, OF_LIGHT = 0.35, 0.5
"""Part of its colour that the flesh of the mouth takes from the portrait's lips, and the power of the light's warmth
that the rest takes on (the lips already have it)."""
TOOTH_LEVEL = 1.2
"""Luminance of fully lit teeth over that of the white of the eye, which is shaded by lid and brow."""
DARK_SKIN = 0.30
"""On skin darker than this luminance, eyes that are brighter than the skin are believed: teeth do not get darker with
the skin."""
COLOURED = 8.0
"""CIELAB chroma of the skin from which on a picture counts as fully coloured."""
LIGHTEST_DARK = 0.5
"""The dark inside a mouth is at most this bright, over the luminance of the lips."""
LIP_POINTS = (85, 16, 315, 86, 316, 15)
LEFT_CHEEK, RIGHT_CHEEK = (50, 36, 205, 187), (280, 266, 425, 411)


@dataclass(frozen=True)
class Palette:
    """What the inside of the mouth is painted with."""

    tooth: Values
    """(3,) fully lit enamel."""
    lip: Values
    """(3,) the lower lip."""
    flesh: Values
    """(3,) colour of tongue and palate at luma 1."""
    dark: float
    """First percentile of the face's luminance: the mouth is hardly darker than this, in faded pictures too."""
    skin: float
    """Luminance of the brighter cheek."""
    colourful: float
    """0 in a black-and-white picture, 1 in a coloured one."""
    slope: float
    """Growth of the light from the picture's left to its right, per inter-ocular distance, relative to the middle."""

    def light(self, u: Values) -> Values:
        """Relative brightness at places ``u`` along the mouth, IOD from its middle."""
        result: Values = np.clip(1 + self.slope * u, 0.35, 1.65)
        return result

    def tinted(self, colour: NDArray[np.floating]) -> Values:
        """Any linear colours (..., 3) as this picture would show them: grey when it is black and white."""
        grey = (colour @ LUMA)[..., None]
        result: Values = grey + self.colourful * (colour - grey)
        return result


def measure_palette(picture: Pixels, landmarks: Points, frame: Frame) -> Palette:
    """Estimate the palette of a (height, width, 3) BGR picture from skin, lips and eyes; ``landmarks`` (468, 2)."""
    cheeks = _colours_at(picture, landmarks[list(mesh.CHEEKS)], frame)
    skin = np.median(cheeks, axis=0)
    bright = float(np.percentile(cheeks @ LUMA, 75))
    warmth = skin[2] / max(skin[0], 1e-3) / SKIN_WARMTH
    warmth = min(warmth, float(np.sqrt(warmth * _warmth_of_whites(picture, bright))))
    lip = np.median(_colours_at(picture, landmarks[list(LIP_POINTS)], frame), axis=0)
    white, tint = bright, (1 - OF_RED) * ENAMEL * _light_of(warmth) + OF_RED * hue(lip)
    if not wears_glasses(picture, landmarks, frame):
        eye = _eye_white(picture, landmarks)
        brightest = max(1.0, min(1.8, DARK_SKIN / max(bright, 1e-3)))
        white = float(np.clip(eye @ LUMA, 0.75 * bright, brightest * bright))
        tint = (1 - OF_EYE) * ENAMEL * _light_of(warmth) + OF_EYE * hue(eye)
    left, right = (
        float(np.median(_colours_at(picture, landmarks[list(side)], frame) @ LUMA))
        for side in (LEFT_CHEEK, RIGHT_CHEEK)
    )
    slope = 2 * float(np.clip((right - left) / max(right + left, 1e-3), -0.6, 0.6))
    darkest = float(np.percentile(linear(face_pixels(picture, landmarks)) @ LUMA, 1))
    dark = min(darkest, LIGHTEST_DARK * float(lip @ LUMA))
    tooth = np.clip(TOOTH_LEVEL * white * tint / (tint @ LUMA), 0, 0.9)
    flesh = hue(OF_LIPS * hue(lip) + (1 - OF_LIPS) * FLESH * _light_of(max(warmth, 1.0) ** OF_LIGHT))
    return Palette(tooth, lip, flesh, dark, bright, _colourful(picture, landmarks), slope)


def _light_of(warmth: float) -> Values:
    """(3,) BGR tint that the mouth gets in a light in which skin is ``warmth`` times as red over blue as usual."""
    return np.array([warmth**-0.45, 1.0, warmth**0.35])


def _warmth_of_whites(picture: Pixels, bright: float) -> float:
    """Red over blue of what is white in a picture, at least 1: of the most neutral parts that are as bright as the
    skin.

    Infinite if hardly anything is that bright. At least 1, because skies and blue walls do not make the light cold.
    """
    small = cv2.resize(picture, (128, 128), interpolation=cv2.INTER_AREA)
    light = linear(np.asarray(small, np.uint8).reshape(-1, 3))
    light = light[light @ LUMA >= bright]
    if len(light) < WHITES * small.shape[0] * small.shape[1]:
        return float("inf")
    return max(1.0, float(np.percentile(light[:, 2] / np.maximum(light[:, 0], 1e-3), WHITEST)))


def face_pixels(picture: Pixels, landmarks: Points) -> Pixels:
    """What is inside the outline of mesh ``landmarks`` (468, 2), (n, 3) BGR."""
    low = np.maximum(np.floor(landmarks.min(axis=0)).astype(int), 0)
    high = np.ceil(landmarks.max(axis=0)).astype(int) + 1
    face = picture[low[1] : high[1], low[0] : high[0]]
    inside = np.zeros(face.shape[:2], np.uint8)
    cv2.fillConvexPoly(inside, np.round(cv2.convexHull((landmarks - low).astype(np.float32))).astype(np.int32), 1)
    return face[inside > 0]


def _colourful(picture: Pixels, landmarks: Points) -> float:
    """Chroma of the cheeks, 1 from :data:`COLOURED` on."""
    limit = np.array(picture.shape[1::-1]) - 1
    x, y = np.clip(np.round(landmarks[list(mesh.CHEEKS)]).astype(int), 0, limit).T
    lab = cv2.cvtColor(picture[y, x][None].astype(np.float32) / 255, cv2.COLOR_BGR2LAB)[0]
    return float(np.clip(np.median(np.hypot(lab[:, 1], lab[:, 2])) / COLOURED, 0, 1))


def hue(colour: Values) -> Values:
    """A linear colour (3,) at luma 1."""
    result: Values = colour / max(float(colour @ LUMA), 1e-3)
    return result


def linear(pixels: Pixels) -> Values:
    """uint8 → linear light, 0…1."""
    result: Values = (pixels.astype(np.float64) / 255) ** GAMMA
    return result


def encoded(values: NDArray[np.floating]) -> Pixels:
    """Linear light → uint8."""
    pixels: Pixels = np.round(np.clip(values, 0, 1) ** (1 / GAMMA) * 255).astype(np.uint8)
    return pixels


def _colours_at(picture: Pixels, points: Points, frame: Frame) -> Values:
    """Mean colours around those points (n, 2) that are in the picture, (m, 3)."""
    size = max(1, int(0.05 * frame.scale))
    height, width = picture.shape[:2]
    colours = [
        linear(picture[max(0, y - size) : y + size + 1, max(0, x - size) : x + size + 1].reshape(-1, 3)).mean(axis=0)
        for x, y in np.round(points).astype(int)
        if 0 <= x < width and 0 <= y < height
    ]
    return np.array(colours) if colours else np.full((1, 3), 0.4)


def _eye_white(picture: Pixels, landmarks: Points) -> Values:
    """Colour of the brighter quarter of the brighter eye."""
    best = np.full(3, 1e-3)
    for outline in mesh.EYES:
        corners = np.round(landmarks[list(outline)]).astype(np.int32)
        left, top = np.maximum(corners.min(axis=0), 0)
        right, bottom = np.maximum(corners.max(axis=0) + 1, [left, top])
        eye = picture[top:bottom, left:right]
        if not eye.size:
            continue  # beyond the picture's edge
        mask = np.zeros(eye.shape[:2], np.uint8)
        cv2.fillPoly(mask, [corners - np.array([left, top], np.int32)], 255)
        pixels = linear(eye[mask > 0])
        if len(pixels) < 8:
            continue
        luma = pixels @ LUMA
        white = pixels[luma >= np.percentile(luma, 75)].mean(axis=0)
        if white @ LUMA > best @ LUMA:
            best = white
    return best

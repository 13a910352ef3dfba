"""How sharp and how grainy a portrait is, so that whatever is painted into it does not stand out."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.engines.portrait import topology as mesh
from lipstream.engines.portrait.fields import Frame, Points

Pixels = NDArray[np.uint8]
Values = NDArray[np.float64]

SHARPEST, SOFTEST = 0.3, 5.0
"""Least and greatest blur that is reported, pixels."""
BINS = 64
"""Steps of the radial spectrum per cycle per pixel."""
LARGEST_SPECTRUM = 512
"""Greatest side of the square whose spectrum is taken, pixels."""
NOISELESS = 2.0
"""If the power at the highest frequencies (grey levels squared) is below this, there is no grain that hides the
blur."""
PLAIN = (*mesh.CHEEKS, 151, 108, 337, 9)
"""Mesh points with plain skin around them: cheeks and forehead."""
PATCH_IOD = 0.22
"""Side of the patch of skin whose grain is taken, inter-ocular distances."""
SMALLEST_PATCH = 12
"""Pixels; faces that are too small for it get no grain."""
SHADING_IOD = 0.025
"""Unevenness of the skin that is larger than this is shading, not grain."""


@dataclass(frozen=True)
class Texture:
    """Sharpness and grain of a picture's face."""

    blur: float
    """Standard deviation of the Gaussian that an ideal edge would be blurred by to look like this, pixels."""
    spot: Values
    """(n, n, 3) a patch of skin without its shading, grey levels of BGR: white noise convolved with it is the grain."""

    def grain(self, height: int, width: int) -> Values:
        """Grain like the skin's, (height, width, 3) grey levels around 0; the same each time.

        It is a Gaussian texture with the patch's own spectrum and colours (Galerne, Gousseau & Morel, "Random phase
        textures", 2011).
        """
        n = len(self.spot)
        size = (height + n, width + n)
        noise = np.fft.rfft2(np.random.default_rng(5).standard_normal(size))
        spectrum = np.fft.rfft2(self.spot, size, axes=(0, 1))
        grain: Values = np.fft.irfft2(spectrum * noise[..., None], size, axes=(0, 1))[n:, n:] / n
        return grain


def measure_texture(picture: Pixels, landmarks: Points, frame: Frame) -> Texture:
    """Look at a (height, width, 3) BGR picture's face; ``landmarks`` (468, 2) pixels."""
    return Texture(estimate_blur(picture, landmarks), _plainest_skin(picture, landmarks, frame))


def estimate_blur(picture: Pixels, landmarks: Points) -> float:
    """Softness of a face as the standard deviation of a Gaussian, pixels, :data:`SHARPEST` to :data:`SOFTEST`.

    The greater of two estimates. Edges work in photos, whatever their grain. The spectrum works where edges mislead: in
    enlarged paintings, whose finest strokes look like sharp edges.
    """
    low = np.maximum(np.floor(landmarks.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(landmarks.max(axis=0)).astype(int) + 1, picture.shape[1::-1])
    face = picture[low[1] : high[1], low[0] : high[0]]
    if min(face.shape[:2]) < 8:
        return 1.0
    grey = cv2.cvtColor(face, cv2.COLOR_BGR2GRAY).astype(np.float32)
    sigma = float(np.clip(0.012 * np.ptp(landmarks[:, 0]), 1.0, 3.0))
    return float(np.clip(max(_blur_of_edges(grey, sigma), _blur_of_spectrum(grey)), SHARPEST, SOFTEST))


def _blur_of_edges(grey: NDArray[np.float32], sigma: float) -> float:
    """The ratio of gradients before and after a known blur (Zhuo & Sim, "Defocus map estimation from a single image",
    2011), at the sharpest tenth of the strongest edges, as many edges of a face are soft by nature.

    Grain, canvas and compression between the edges do not count, so enlarged pictures are recognised as soft.
    """
    before = 0.5
    sharp, soft = _gradient(grey, before), _gradient(grey, sigma)
    strong = soft >= np.percentile(soft, 97)
    ratio = np.maximum(np.percentile(sharp[strong] / np.maximum(soft[strong], 1e-3), 90), 1.02)
    return float(np.sqrt(max((sigma**2 - before**2 * ratio**2) / (ratio**2 - 1), 0.0)))


def _gradient(grey: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    smooth = cv2.GaussianBlur(grey, (0, 0), sigma)
    x, y = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    return np.asarray(cv2.magnitude(x, y), np.float32)


def _blur_of_spectrum(grey: NDArray[np.float32]) -> float:
    """Blur in pixels, from how much faster the power falls with frequency f than the f⁻² of sharp pictures; 0 if grain
    hides it."""
    power = _radial_power(grey)
    floor = float(np.percentile(power[3 * BINS // 8 :], 25))
    frequency = (np.arange(len(power)) + 0.5) / BINS
    buried = np.flatnonzero(power[2:] <= 3 * floor)
    seen = slice(2, 2 + int(buried[0]) if len(buried) else len(power))
    if floor > NOISELESS or seen.stop - seen.start < 4:
        return 0.0
    excess = np.log(power[seen] * frequency[seen] ** 2)
    slope = np.polyfit((2 * np.pi * frequency[seen]) ** 2, excess, 1)[0]
    return float(np.sqrt(max(-slope, 0.0)))


def _radial_power(grey: NDArray[np.float32]) -> Values:
    """Mean power per frequency step, up to half a cycle per pixel, in the middle of the picture."""
    top, left = (max(0, (side - LARGEST_SPECTRUM) // 2) for side in grey.shape)
    grey = grey[top : top + LARGEST_SPECTRUM, left : left + LARGEST_SPECTRUM]
    window = np.outer(np.hanning(grey.shape[0]), np.hanning(grey.shape[1]))
    power = np.abs(np.fft.rfft2((grey - grey.mean()) * window)) ** 2 / np.sum(window**2)
    across = np.hypot(np.fft.fftfreq(grey.shape[0])[:, None], np.fft.rfftfreq(grey.shape[1]))
    step = np.floor(across * BINS).astype(int).ravel()
    total, count = np.bincount(step, power.ravel()), np.bincount(step)
    result: Values = (total / np.maximum(count, 1))[: BINS // 2] + 1e-9
    return result


def _plainest_skin(picture: Pixels, landmarks: Points, frame: Frame) -> Values:
    """The most even of several patches of skin, windowed, without its shading, at its own strength."""
    side = round(PATCH_IOD * frame.scale)
    height, width = picture.shape[:2]
    patches = []
    for x, y in np.round(landmarks[list(PLAIN)] - side / 2).astype(int):
        if side >= SMALLEST_PATCH and 0 <= x <= width - side and 0 <= y <= height - side:
            patch = picture[y : y + side, x : x + side].astype(np.float64)
            patches.append(patch - cv2.GaussianBlur(patch, (0, 0), max(2.0, SHADING_IOD * frame.scale)))
    if not patches:
        return np.zeros((1, 1, 3))
    plainest = min(patches, key=lambda patch: float(patch.std()))
    window = np.outer(np.hanning(side), np.hanning(side))[..., None]
    return np.asarray(plainest * window / np.sqrt(np.mean(window**2)))

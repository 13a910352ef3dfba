"""Face segmentation: which pixels of a portrait are skin, lips and the inside of the mouth.

The network is :mod:`lipstream.enhance.bisenet`. It gets the head as in its training pictures (CelebAMask-HQ), upright
and with the hair around it. A tightly cut face, as other programs feed it, would look different to it.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lipstream.engines.wav2lip.network import Runner, TiledNetwork
from lipstream.enhance import bisenet
from lipstream.enhance.bisenet import LOGITS, PICTURE, SIDE
from lipstream.enhance.imported import Description, Step, make_import, no_report
from lipstream.face.mesh import Face, Region, cut
from lipstream.face.pose import LEFT_EYE, RIGHT_EYE
from lipstream.models.convert import convert
from lipstream.models.pytorch import read_weights

# The published checkpoint's classes, counted as in CelebAMask-HQ.
SKIN, INNER_MOUTH, UPPER_LIP, LOWER_LIP = 1, 11, 12, 13
REPLACEABLE = (SKIN, INNER_MOUTH, UPPER_LIP, LOWER_LIP)
"""Classes a lip-sync engine may draw over; hair, glasses, hands, clothes and the background are not among them."""

# ImageNet's, RGB.
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)

# How CelebA-HQ was cut: Karras et al., "Progressive Growing of GANs", ICLR 2018, arXiv:1710.10196, appendix C.
_SIDE_IN_EYES, _SIDE_IN_HEIGHTS, _SHIFT = 4.0, 3.6, 0.1
_MOUTH_CORNERS = [61, 291]

_FEATHER = 0.03  # how far inside the region the mask reaches its full value, in sides of the square
_FILE = "parser.mnn"
KIND = "segmentation"
"""Folder of these imports in the cache."""


class FaceParser:
    """The segmentation network, loaded. Thread-safe."""

    def __init__(self, network: Runner) -> None:
        self._network = network

    @classmethod
    def load(cls, checkpoint: Path, cache: Path, *, threads: int = 1, on_progress: Step = no_report) -> FaceParser:
        """Import the checkpoint if that has not been done, and load it.

        Raises :class:`lipstream.errors.ModelError`: ``model_missing`` (no such file, or the extra ``torch`` is needed
        for the import and not installed), ``model_damaged`` (something else).
        """
        folder = import_segmentation(checkpoint, cache, on_progress)
        # Large tiles are a sixth faster, but their logits are off by up to 0.008; with small ones by 0.00002.
        return cls(TiledNetwork(folder / _FILE, threads, tiles=1, batch_tiles=1))

    def logits(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(19, 512, 512), one score per class and pixel of a (512, 512, 3) BGR picture."""
        rgb = picture[:, :, ::-1].astype(np.float32) / np.float32(255.0)
        normalised = ((rgb - _MEAN) / _DEVIATION).transpose(2, 0, 1)[np.newaxis]
        return np.asarray(self._network({PICTURE: np.ascontiguousarray(normalised)})[LOGITS][0], np.float32)

    def parse(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Classes, (h, w) uint8, of a (h, w, 3) BGR picture that a head fills."""
        height, width = picture.shape[:2]
        labels = self.logits(_shrunk(picture)).argmax(axis=0).astype(np.uint8)
        return np.asarray(cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)

    def mask(self, picture: NDArray[np.uint8], face: Face) -> NDArray[np.float32]:
        """How far each pixel of a (h, w, 3) BGR picture may be replaced: (h, w), 0 to 1, feathered inwards."""
        region = head_square(face)
        square, to_picture = cut(picture, region, SIDE)
        if region.size >= 2 * SIDE:
            # The square above was sampled too sparsely.
            fine, _ = cut(picture, region, SIDE * int(region.size / SIDE))
            square = _shrunk(fine)
        return placed(replaceable_mask(self.parse(square)), to_picture, picture.shape)


def _shrunk(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    # As the checkpoint's own code does it; OpenCV's linear filter would skip pixels.
    return np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def replaceable_mask(labels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Where classes (h, w) may be drawn over: (h, w), 0 to 1; 1 only well inside the region."""
    inside = np.isin(labels, REPLACEABLE).astype(np.uint8)
    # The picture's own edge is not an edge of the region.
    distance = cv2.distanceTransform(
        cv2.copyMakeBorder(inside, 1, 1, 1, 1, cv2.BORDER_REPLICATE), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
    )[1:-1, 1:-1]
    ramp = np.clip((distance - 1.0) / (_FEATHER * max(labels.shape)), 0.0, 1.0)
    return np.asarray(ramp * ramp * (3.0 - 2.0 * ramp), np.float32)


def placed(mask: NDArray[np.float32], to_picture: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A mask over a square cut out of a picture of ``shape``, laid back into it; zero outside the square."""
    height, width = shape[:2]
    laid = cv2.warpAffine(mask, to_picture, (width, height), flags=cv2.INTER_LINEAR)
    return np.asarray(laid, np.float32)


def head_square(face: Face) -> Region:
    """The part of the picture that CelebA-HQ would show of this head, level with the eyes."""
    points = face.landmarks[:, :2].astype(np.float64)
    right, left = points[RIGHT_EYE].mean(axis=0), points[LEFT_EYE].mean(axis=0)
    eyes, mouth = (right + left) / 2, points[_MOUTH_CORNERS].mean(axis=0)
    across, down = left - right, mouth - eyes
    centre = eyes + _SHIFT * down
    size = max(_SIDE_IN_EYES * float(np.hypot(*across)), _SIDE_IN_HEIGHTS * float(np.hypot(*down)))
    # The tilt of the head is averaged from both axes of the face.
    level = across / np.hypot(*across) + np.array([down[1], -down[0]]) / np.hypot(*down)
    return Region(float(centre[0]), float(centre[1]), size, float(np.arctan2(level[1], level[0])))


def import_segmentation(checkpoint: Path, cache: Path, on_progress: Step = no_report) -> Path:
    """The folder of the checkpoint's import, made now if it is not cached. Raises as :meth:`FaceParser.load` does."""

    def write(folder: Path) -> Description:
        on_progress("reading the checkpoint", 0, 2)
        weights = read_weights(checkpoint, bisenet.tensor_shapes(), "a BiSeNet face-parsing checkpoint")
        on_progress("face parser", 1, 2)
        graph = folder / "parser.onnx"
        bisenet.export(weights, graph)
        convert(graph, folder / _FILE)
        graph.unlink()
        on_progress("done", 2, 2)
        return {}

    folder, _ = make_import(checkpoint, KIND, cache, write, extra="torch")
    return folder

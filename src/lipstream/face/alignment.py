"""Face boxes from S3FD, the detector of the face-alignment library, by the rule of the original Wav2Lip.

Zhang et al., "S3FD: Single Shot Scale-invariant Face Detector", ICCV 2017, arXiv:1708.05237. The library and PyTorch
come with the extra ``face-alignment``; its weights are ``s3fd*.pth`` in ``checkpoints/`` or the library's own download.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.errors import FaceError, ModelError
from lipstream.models.checkpoints import find_s3fd
from lipstream.models.pytorch import read_weights

MAX_PIXELS = 1_310_720
"""Larger pictures are reduced to this many pixels (1280 × 1024) before S3FD sees them. Per pixel it takes about a
kilobyte of memory and ten microseconds on two cores."""

CoarseBox = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels, as the original cuts them off."""


class FaceAlignmentDetector:
    """S3FD, loaded. Thread-safe; threads that call at the same time take turns."""

    def __init__(self, weights: Path | None = None, *, device: str = "cpu", max_pixels: int = MAX_PIXELS) -> None:
        """``weights`` None = the library's own file, which it downloads (90 MB) when PyTorch's cache lacks it.

        Raises :class:`ModelError`: ``model_missing`` (the library is not installed, or there is no such file),
        ``model_damaged`` (not S3FD), ``model_download_failed``.
        """
        sfd = _import_library()
        if weights is not None:
            # Checked here because the library's own message would list every tensor of a wrong file.
            expected = {name: tuple(tensor.shape) for name, tensor in sfd.net_s3fd.s3fd().state_dict().items()}
            read_weights(weights, expected, "an S3FD detector")
        try:
            self._detector = sfd.FaceDetector(device, path_to_detector=str(weights) if weights else None, verbose=False)
        except OSError as error:
            raise ModelError(
                "model_download_failed",
                f"The face-alignment library cannot download its detector ({error}). "
                "Fetch it with: lipstream models pull s3fd",
            ) from error
        except RuntimeError as error:
            where = weights or "PyTorch's cache directory"
            raise ModelError(
                "model_damaged",
                f"The detector in {where} is not the face-alignment library's S3FD. "
                "Fetch it with: lipstream models pull s3fd",
            ) from error
        self._max_pixels = max_pixels
        self._lock = threading.Lock()

    @classmethod
    def load(cls, checkpoints: Path, *, device: str = "cpu") -> FaceAlignmentDetector:
        """With the first ``s3fd*.pth`` in ``checkpoints``, else with the library's own file. Raises as above."""
        return cls(find_s3fd(checkpoints), device=device)

    def boxes(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Faces in a (h, w, 3) BGR picture: (n, 5) left, top, right, bottom in pixels and score, best score first.

        The library only returns scores above 0.5 and has resolved overlaps.
        """
        height, width = picture.shape[:2]
        scale = min(1.0, (self._max_pixels / (height * width)) ** 0.5)
        seen = picture
        if scale < 1.0:
            seen = np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
        with self._lock:
            # The library expects RGB and reverses it for the network. The original reverses its BGR only once, so its
            # network sees RGB. Given BGR, the library's network sees RGB as well.
            found = self._detector.detect_from_image(seen)
        if len(found) == 0:
            return np.zeros((0, 5), np.float32)
        boxes = np.array(found, np.float32)
        boxes[:, :4] *= np.array([width / seen.shape[1], height / seen.shape[0]] * 2, np.float32)
        return boxes

    def box(self, picture: NDArray[np.uint8], near: tuple[float, float, float, float]) -> CoarseBox:
        """The box that the original would use, before pads: of the face with the best score that overlaps ``near``.

        ``near`` is (left, top, right, bottom) of the face to animate, pixels. In pictures of one face, this is the same
        choice as the original's, which takes the best score. Raises :class:`FaceError` (``no_face``).
        """
        for left, top, right, bottom, _ in self.boxes(picture):
            if left < near[2] and right > near[0] and top < near[3] and bottom > near[1]:
                return cut_off((left, top, right, bottom))
        raise FaceError(
            "no_face",
            "The face-alignment detector does not find the face in this picture. "
            'Use a picture that shows it from the front, or set face_detector to "mesh".',
        )


def cut_off(box: tuple[float, float, float, float]) -> CoarseBox:
    """Whole pixels as the original makes them: nothing below zero, fractions dropped."""
    left, top, right, bottom = (int(max(0.0, float(edge))) for edge in box)
    return left, top, right, bottom


def _import_library() -> Any:
    try:
        from face_alignment.detection import sfd
    except ImportError as error:
        raise ModelError(
            "model_missing",
            f'The setting face_detector is "face-alignment", whose library is not installed ({error}). '
            "Run: pip install 'lipstream[face-alignment]'",
        ) from error
    return sfd

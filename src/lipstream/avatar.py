"""An avatar: the picture or the clip that will speak, and where its face is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipstream.errors import FaceError
from lipstream.face.mesh import Face
from lipstream.media.clip import Clip

MAX_YAW = 45.0
"""A head turned further shows too little of the far side of the mouth to animate it; degrees."""
MAX_ROLL = 50.0
"""If a head is tilted further, its mouth leaves the part of the picture that engines draw; degrees."""


@dataclass(frozen=True, eq=False)
class Footage:
    """A clip whose face was tracked."""

    clip: Clip
    faces: tuple[Face | None, ...]
    """The face in every frame of ``clip``; None where no face is seen. Such frames are shown unchanged."""
    still: Face
    """The face in the avatar's picture as the tracking found it. (Motion between two frames can only be measured
    between faces that were found in the same way.)"""

    @property
    def nbytes(self) -> int:
        """Memory of frames and landmarks."""
        return self.clip.nbytes + sum(face.landmarks.nbytes for face in self.faces if face)


@dataclass(frozen=True, eq=False)
class Avatar:
    """A still portrait or a clip, decoded and measured. Immutable; ``digest`` identifies it in caches."""

    picture: NDArray[np.uint8]
    """(height, width, 3) BGR; height and width are even. Treated as read-only. For a clip, its best frame."""
    face: Face
    """The face to animate, in pixels of ``picture``."""
    digest: str
    """SHA-256 of shape and pixels, hexadecimal: the same picture has the same digest, whatever file it came from."""
    footage: Footage | None = None
    """All frames, if it is a clip."""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        height, width = self.picture.shape[:2]
        return width, height


def require_upright_front(avatar: Avatar) -> None:
    """Raises :class:`lipstream.errors.FaceError` (``face_turned``) for a head that engines cannot make speak."""
    face, source = avatar.face, "video" if avatar.footage else "picture"
    if abs(face.yaw) > MAX_YAW:
        raise FaceError(
            "face_turned",
            f"The face is turned {abs(face.yaw):.0f}° to the side; up to {MAX_YAW:.0f}° works. "
            f"Use a {source} that shows more of the front.",
        )
    if abs(face.pose.roll) > MAX_ROLL:
        raise FaceError(
            "face_turned",
            f"The head is tilted by {abs(face.pose.roll):.0f}°; up to {MAX_ROLL:.0f}° works. "
            f"Turn the {source} upright.",
        )


def picture_digest(picture: NDArray[np.uint8]) -> str:
    """SHA-256 over a picture's shape and pixels, as 64 hexadecimal digits."""
    shape = np.asarray(picture.shape, dtype="<i8").tobytes()
    return hashlib.sha256(shape + np.ascontiguousarray(picture).tobytes()).hexdigest()

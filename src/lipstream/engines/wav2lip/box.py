"""The box around the face that the network sees."""

from __future__ import annotations

import numpy as np

from lipstream.engines.box import Box
from lipstream.errors import FaceError
from lipstream.face.mesh import Face

__all__ = ["DEFAULT_PADS", "Box", "Corners", "Pads", "carry", "face_box"]

Pads = tuple[int, int, int, int]
"""Pixels added to the face box: top, bottom, left, right. Negative values shrink it."""

Corners = tuple[float, float, float, float]
"""Left, top, right, bottom of a detector's box, pixels."""

DEFAULT_PADS: Pads = (0, 10, 0, 0)
_SMALLEST = 8  # px; a box under this has no face to show

FOREHEAD = 0.12
"""How far above the mesh the box begins, in heights of the mesh.

The network was trained on boxes of the detector S3FD. They reach up to the hairline, like the annotations that S3FD
learned from; the mesh ends below it. MTCNN, which learned from the same annotations, begins 6 to 18 % above the mesh on
ten portraits (median 12 %), and agrees with the mesh within 5 % on the other sides of faces that are not turned.
"""


def face_box(
    face: Face,
    shape: tuple[int, ...],
    pads: Pads = DEFAULT_PADS,
    detected: Corners | None = None,
) -> Box:
    """The box around a face, grown by ``pads`` and kept inside a picture of ``shape`` (height, width, ...).

    ``detected`` (left, top, right, bottom) is a detector's own box; without it the one around the mesh's points is
    taken. It ends at the lower part of the forehead, so it is extended upwards to where the boxes of S3FD begin.

    Raises :class:`FaceError` (``no_face``) when nothing of the face is left.
    """
    height, width = shape[:2]
    left, top, right, bottom = face.box
    top -= FOREHEAD * (bottom - top)
    if detected:
        left, top, right, bottom = detected
    above, below, before, behind = pads
    box = Box(
        max(0, int(left) - before),
        max(0, int(top) - above),
        min(width, int(right) + behind),
        min(height, int(bottom) + below),
    )
    if box.width < _SMALLEST or box.height < _SMALLEST:
        raise FaceError(
            "no_face", f"With pads {list(pads)} nothing is left of the face box. Use [0, 10, 0, 0] or larger numbers."
        )
    return box


def carry(box: Corners, was: Face, now: Face) -> Corners:
    """A detector's box of a face ``was``, moved and resized as the box of its mesh has been ``now``."""
    old, new = np.array(was.box).reshape(2, 2), np.array(now.box).reshape(2, 2)
    place = (np.array(box).reshape(2, 2) - old[0]) / (old[1] - old[0])
    left, top, right, bottom = (float(edge) for edge in (new[0] + place * (new[1] - new[0])).reshape(-1))
    return left, top, right, bottom

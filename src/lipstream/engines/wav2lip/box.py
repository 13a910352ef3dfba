"""Rectangles of whole pixels: the box around the face that the network sees, and the part of it that changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar, cast

from numpy.typing import NDArray

from lipstream.errors import FaceError
from lipstream.face.mesh import Face

Array = TypeVar("Array", bound=NDArray[Any])

Pads = tuple[int, int, int, int]
"""Pixels added to the face box: top, bottom, left, right. Negative values shrink it."""

DEFAULT_PADS: Pads = (0, 10, 0, 0)
_SMALLEST = 8  # px; a box under this has no face to show

FOREHEAD = 0.12
"""How far above the mesh the box begins, in heights of the mesh.

The network was trained on boxes of the detector S3FD, which reach up to the hairline, as the annotations do that
it learned from; the mesh ends below. MTCNN, which learned from the same annotations, begins 6 to 18 % above the mesh on
ten portraits (median 12 %), and agrees with it within 5 % on the other sides of faces that are not turned.
"""


@dataclass(frozen=True)
class Box:
    """Columns ``left`` to ``right`` and rows ``top`` to ``bottom`` of a picture, the last ones not included."""

    left: int
    """First column, pixels."""
    top: int
    """First row, pixels."""
    right: int
    """One behind the last column, pixels."""
    bottom: int
    """One behind the last row, pixels."""

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    def cut(self, picture: Array) -> Array:
        """This part of a picture, as a view."""
        return cast(Array, picture[self.top : self.bottom, self.left : self.right])

    def within(self, outer: Box) -> Box:
        """The same place, counted from the corner of ``outer``."""
        left, top = self.left - outer.left, self.top - outer.top
        return Box(left, top, left + self.width, top + self.height)

    def even(self, shape: tuple[int, ...]) -> Box:
        """The smallest box around this one with even coordinates, inside a picture of even ``shape``."""
        height, width = shape[:2]
        return Box(
            self.left // 2 * 2,
            self.top // 2 * 2,
            min(width, -(-self.right // 2) * 2),
            min(height, -(-self.bottom // 2) * 2),
        )


def face_box(
    face: Face,
    shape: tuple[int, ...],
    pads: Pads = DEFAULT_PADS,
    detected: tuple[float, float, float, float] | None = None,
) -> Box:
    """The box around a face, grown by ``pads`` and kept inside a picture of ``shape`` (height, width, ...).

    ``detected`` (left, top, right, bottom) is a detector's own box; without it the one around the mesh's points is
    taken, which ends at the forehead's lower part and is grown to where S3FD's begin.

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

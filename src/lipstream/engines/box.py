"""Rectangles of whole pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar, cast

from numpy.typing import NDArray

Array = TypeVar("Array", bound=NDArray[Any])


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

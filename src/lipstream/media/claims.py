"""Detects files whose headers make FFmpeg allocate gigabytes before it notices that the file has no such content.

FFmpeg checks nearly every length against the size of the file, but not the ones here. A few kilobytes are enough to
exhaust the memory of a server this way, and neither PyAV nor FFmpeg's options offer a limit.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

# Boxes with a sample count that takes no further bytes if all samples are alike (ISO/IEC 14496-12, 8.7.3 and 8.8.8).
# The count is at this offset after the name of the box.
_COUNTED = {b"stsz": 8, b"trun": 4}
_COUNT = re.compile(b"|".join(_COUNTED))

# For compressed sound, QuickTime counts the samples before compression: IMA ADPCM has nearly two per byte.
_SAMPLES_PER_BYTE = 2


# FFmpeg recognises a file as MP4 or QuickTime if it begins with a chain of boxes that contains one of these.
_MP4_BOXES = frozenset(
    {
        b"ftyp",
        b"styp",
        b"moov",
        b"moof",
        b"mdat",
        b"trak",
        b"free",
        b"skip",
        b"wide",
        b"junk",
        b"pnot",
        b"uuid",
        b"udta",
    }
)


def claims_too_much(data: bytes) -> bool:
    """Whether the file claims to contain a list that is longer than the file itself."""
    if data[:4] in (b"RIFF", b"RIFX", b"RF64"):
        return _riff_claims_too_much(data)
    return _mp4_claims_too_much(data)


def _riff_claims_too_much(data: bytes) -> bool:
    """FFmpeg reads entries of an INFO list into zeroed memory of the size that they claim."""
    at = data.find(b"LIST")
    while 0 <= at <= len(data) - 12:
        (size,) = struct.unpack_from(">I" if data[:4] == b"RIFX" else "<I", data, at + 4)
        if data[at + 8 : at + 12] == b"INFO" and size > len(data) - at:
            return True
        at = data.find(b"LIST", at + 4)
    return False


def _mp4_claims_too_much(data: bytes) -> bool:
    """FFmpeg makes an index entry of 24 bytes for every sample that is counted."""
    boxes = list(_top_level_boxes(data))
    if not any(kind in _MP4_BOXES for kind, _, _ in boxes):
        return False
    for kind, start, end in boxes:
        if kind == b"mdat":
            continue
        if data.find(b"cmov", start, end) >= 0:  # a compressed index could hide anything
            return True
        for found in _COUNT.finditer(data, start, end):
            at = found.end() + _COUNTED[found.group()]
            if int.from_bytes(data[at : at + 4], "big") > _SAMPLES_PER_BYTE * len(data):
                return True
    return False


def _top_level_boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, beginning and end of each top-level box in the file."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size == 1 and at + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, at + 8)
        end = at + size if 8 <= size <= len(data) - at else len(data)
        yield kind, at, end
        at = end

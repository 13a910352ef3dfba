"""A reader of MP4 boxes (ISO/IEC 14496-12), just enough to look at what was written."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Box:
    """One box of a file."""

    kind: str
    """Its four characters."""
    body: bytes
    """What follows the header."""
    offset: int
    """Where its header begins in the file."""

    def inside(self) -> list[Box]:
        """The boxes in this one."""
        return list(boxes(self.body, self.offset + 8))

    def find(self, path: str) -> Box:
        """The first box at a path such as ``mdia/mdhd``."""
        first, _, rest = path.partition("/")
        box = next(box for box in self.inside() if box.kind == first)
        return box.find(rest) if rest else box

    def numbers(self, layout: str, skip: int = 4) -> tuple[int, ...]:
        """Big-endian numbers after ``skip`` bytes (version and flags)."""
        return struct.unpack_from(">" + layout, self.body, skip)

    @property
    def version(self) -> int:
        """0: times of 32 bits, 1: of 64."""
        return self.body[0]


def boxes(data: bytes, base: int = 0) -> Iterator[Box]:
    """The boxes that follow one another in ``data``, which must end where the last one does."""
    at = 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        header = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
            header = 16
        assert header <= size <= len(data) - at, f"{kind!r} claims {size} of {len(data) - at} bytes"
        yield Box(kind.decode("latin-1"), data[at + header : at + size], base + at)
        at += size


@dataclass(frozen=True)
class Track:
    """What the index says of one track."""

    kind: str
    """``vide`` or ``soun``."""
    start: Fraction
    """What the edit list leaves out at the beginning, in seconds of the track."""
    duration: Fraction
    """What the edit list shows, in seconds."""
    sample_durations: list[Fraction]
    """Of each sample (frame or packet), in seconds, before the edit list."""
    sync_samples: list[int]
    """Numbers of the key frames, from 1; empty when all are."""
    chunk_offsets: list[int]
    """Where in the file each chunk begins."""
    has_composition_offsets: bool
    """Whether frames are shown in another order than they are stored."""


def tracks(data: bytes) -> dict[str, Track]:
    """The tracks of a file, by kind. Fails where there is no single plain edit in each."""
    movie = next(box for box in boxes(data) if box.kind == "moov")
    timescale = _timescale(movie.find("mvhd"))
    found = [_track(box, timescale) for box in movie.inside() if box.kind == "trak"]
    assert len({track.kind for track in found}) == len(found)
    return {track.kind: track for track in found}


def _timescale(header: Box) -> int:
    return header.numbers("QQI")[2] if header.version else header.numbers("III")[2]


def _track(trak: Box, movie_timescale: int) -> Track:
    timescale = _timescale(trak.find("mdia/mdhd"))
    table = trak.find("mdia/minf/stbl")
    kinds = {box.kind for box in table.inside()}
    edits = trak.find("edts/elst")
    count, length, media_time, rate = edits.numbers("IQqI" if edits.version else "IIiI")
    assert (count, rate) == (1, 0x10000)
    runs = table.find("stts").numbers("I")[0]
    entries = struct.iter_unpack(">II", table.find("stts").body[8 : 8 + 8 * runs])
    offsets = table.find("co64" if "co64" in kinds else "stco")
    syncs = table.find("stss").numbers("I")[0] if "stss" in kinds else 0
    sizes = table.find("stsz").numbers("II")[1]
    durations = [Fraction(ticks, timescale) for repeat, ticks in entries for _ in range(repeat)]
    assert len(durations) == sizes
    return Track(
        kind=trak.find("mdia/hdlr").body[8:12].decode("latin-1"),
        start=Fraction(media_time, timescale),
        duration=Fraction(length, movie_timescale),
        sample_durations=durations,
        sync_samples=list(table.find("stss").numbers(f"{syncs}I", 8)) if syncs else [],
        chunk_offsets=list(offsets.numbers(f"{offsets.numbers('I')[0]}{'Q' if 'co64' in kinds else 'I'}", 8)),
        has_composition_offsets="ctts" in kinds,
    )

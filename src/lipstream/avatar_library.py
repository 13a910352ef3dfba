"""Uploaded pictures and clips, stored on disk: a folder ``<directory>/<id>/`` with three files for each."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2

from lipstream.avatar import Avatar
from lipstream.errors import SessionError
from lipstream.face.occlusion import mouth_is_covered
from lipstream.media.video import Kind

THUMBNAIL_PIXELS = 256
"""Longer side of a thumbnail."""
TURNED_YAW, TURNED_PITCH = 25.0, 25.0
"""Heads that are turned further than this get a warning, degrees."""
SMALL_FACE = 32.0
"""Faces whose eyes are closer together than this get a warning, pixels."""
ABANDONED_SECONDS = 3600.0
"""Drafts older than this were left behind by a process that was killed."""

_PICTURE, _FACTS, _THUMBNAIL = "picture", "avatar.json", "thumbnail.jpg"
_ID = re.compile(r"[0-9a-f]{32}")
_ID_LENGTH = 32


@dataclass(frozen=True)
class Box:
    """A rectangle in the picture."""

    x: int
    """Left edge, pixels."""
    y: int
    """Top edge, pixels."""
    width: int
    """Pixels."""
    height: int
    """Pixels."""


@dataclass(frozen=True)
class Direction:
    """Where a head looks, as in :class:`lipstream.face.pose.Pose`."""

    yaw: float
    """Degrees; positive to the picture's right. See :attr:`lipstream.face.mesh.Face.yaw`."""
    pitch: float
    """Degrees; positive upwards."""
    roll: float
    """Degrees; positive clockwise."""


@dataclass(frozen=True)
class AvatarRecord:
    """What is known about an uploaded picture or clip."""

    id: str
    """Hash of the file, its kind and the choice of face: 32 hexadecimal digits."""
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    face: Box
    """Around the face's landmarks."""
    pose: Direction
    """Of the head."""
    warnings: tuple[str, ...]
    """Sentences that say what will look worse than it could."""
    face_index: int | None = None
    """Which face it was uploaded for, counted from 0 from left to right; None = the largest."""
    kind: Kind = "image"
    """Whether it is a picture or a clip."""
    seconds: float | None = None
    """Length of a clip."""

    def to_json(self) -> dict[str, Any]:
        """As the server sends it: without the index if none was given."""
        facts = {**asdict(self), "warnings": list(self.warnings)}
        return facts if self.face_index is not None else {k: v for k, v in facts.items() if k != "face_index"}


class AvatarLibrary:
    """Pictures and clips on disk, up to ``capacity`` bytes; the least recently used are deleted first.

    Blocking; thread-safe. Several processes may share a directory.
    """

    def __init__(self, directory: Path, capacity: int) -> None:
        self.directory = directory
        """Where they are stored. It is created when the first one is added."""
        self._capacity = capacity
        self._lock = threading.Lock()

    @property
    def writable(self) -> bool:
        """Whether the folder, or the closest folder above it that exists, is writable."""
        wanted = self.directory.absolute()
        there = next(path for path in (wanted, *wanted.parents) if path.exists())
        return there.is_dir() and os.access(there, os.W_OK | os.X_OK)

    def add(
        self, data: bytes, look: Callable[[bytes], Avatar], face_index: int | None = None, kind: Kind = "image"
    ) -> tuple[AvatarRecord, bool]:
        """Store the file of a picture or clip. Returns its record, and whether it is new.

        ``look`` decodes it as ``kind`` and finds the face with ``face_index``. It is only called for new files, and
        its errors are passed on. The same file with another index, or as the other kind (an animated GIF can be both),
        is another avatar.
        """
        name = _name(data, face_index, kind)
        if self._has(name):
            try:
                self._touch(name)
                return self._record(name), False
            except SessionError:  # deleted at this very moment, or damaged: then it counts as new
                self._delete(self.directory / name)
        avatar = look(data)
        record = _describe(name, avatar, face_index)
        with self._lock:
            self._write(record, data, _thumbnail(avatar))
            self._forget(keep=name)
            self._sweep()
        return record, True

    def get(self, name: str) -> AvatarRecord:
        """The record of an avatar. Raises :class:`SessionError` (``avatar_unknown``)."""
        self._require(name)
        return self._record(name)

    def records(self) -> list[AvatarRecord]:
        """All records, the most recently used first."""
        records = []
        for path in sorted(self._folders(), key=_used, reverse=True):
            with suppress(SessionError):  # deleted at this very moment, or damaged
                records.append(self._record(path.name))
        return records

    def picture(self, name: str) -> bytes:
        """The file as it was uploaded. Counts as a use. Raises :class:`SessionError` (``avatar_unknown``)."""
        self._require(name)
        self._touch(name)
        return self._read(name, _PICTURE)

    def thumbnail(self, name: str) -> bytes:
        """A JPEG. Raises :class:`SessionError` (``avatar_unknown``)."""
        self._require(name)
        return self._read(name, _THUMBNAIL)

    def remove(self, name: str) -> None:
        """Delete an avatar. Raises :class:`SessionError` (``avatar_unknown``)."""
        self._require(name)
        with self._lock:
            self._delete(self.directory / name)

    def _has(self, name: str) -> bool:
        return bool(_ID.fullmatch(name)) and (self.directory / name).is_dir()

    def _require(self, name: str) -> None:
        if not self._has(name):
            raise _unknown()

    def _read(self, name: str, part: str) -> bytes:
        try:
            return (self.directory / name / part).read_bytes()
        except FileNotFoundError:  # another process or thread has just deleted it
            raise _unknown() from None

    def _record(self, name: str) -> AvatarRecord:
        text = self._read(name, _FACTS)
        try:
            facts = json.loads(text)
            facts |= {"face": Box(**facts["face"]), "pose": Direction(**facts["pose"])}
            return AvatarRecord(**{**facts, "warnings": tuple(facts["warnings"])})
        except (ValueError, TypeError, KeyError):  # the machine crashed while writing it: the others are still fine
            raise _unknown() from None

    def _write(self, record: AvatarRecord, data: bytes, thumbnail: bytes) -> None:
        """Write all files, then give the folder its name, so that nobody sees an incomplete avatar."""
        self.directory.mkdir(parents=True, exist_ok=True)
        draft = self._draft(record.id)
        draft.mkdir()
        try:
            (draft / _PICTURE).write_bytes(data)
            (draft / _THUMBNAIL).write_bytes(thumbnail)
            (draft / _FACTS).write_text(json.dumps(record.to_json()))
            with suppress(OSError):  # somebody else stored the same picture at the same time
                draft.rename(self.directory / record.id)
        finally:  # the disk may be full
            shutil.rmtree(draft, ignore_errors=True)

    def _forget(self, keep: str) -> None:
        folders = sorted(self._folders(), key=_used)
        total = sum(map(_size, folders))
        for folder in folders:
            if total <= self._capacity:
                return
            if folder.name != keep:
                total -= _size(folder)
                self._delete(folder)

    def _sweep(self) -> None:
        for draft in self.directory.glob(f".*-{'[0-9a-f]' * 32}"):
            with suppress(FileNotFoundError):  # another process was faster
                if time.time() - draft.stat().st_mtime > ABANDONED_SECONDS:
                    shutil.rmtree(draft, ignore_errors=True)

    def _delete(self, folder: Path) -> None:
        """Take away the folder's name, then delete its files, so that nobody sees an incomplete avatar."""
        grave = self._draft(folder.name)
        with suppress(FileNotFoundError):  # another process was faster
            folder.rename(grave)
        shutil.rmtree(grave, ignore_errors=True)

    def _draft(self, name: str) -> Path:
        """A new path that does not count as an avatar's folder."""
        return self.directory / f".{name}-{uuid.uuid4().hex}"

    def _folders(self) -> list[Path]:
        if not self.directory.is_dir():
            return []
        return [path for path in self.directory.iterdir() if _ID.fullmatch(path.name)]

    def _touch(self, name: str) -> None:
        try:
            os.utime(self.directory / name / _FACTS)
        except FileNotFoundError:
            raise _unknown() from None


def _name(data: bytes, face_index: int | None, kind: Kind) -> str:
    choice = "" if face_index is None else f"face {face_index}"
    return hashlib.sha256(data + choice.encode() + (b"video" if kind == "video" else b"")).hexdigest()[:_ID_LENGTH]


def _describe(name: str, avatar: Avatar, face_index: int | None) -> AvatarRecord:
    warnings = tuple(picture_warnings(avatar))
    record = AvatarRecord(name, *avatar.size, _box(avatar), _direction(avatar), warnings, face_index)
    if avatar.footage:
        return replace(record, kind="video", seconds=round(avatar.footage.clip.seconds, 3))
    return record


def picture_warnings(avatar: Avatar) -> list[str]:
    """Sentences that say what will look worse than it could."""
    pose, yaw, warnings = avatar.face.pose, avatar.face.yaw, []
    if abs(yaw) > TURNED_YAW:
        warnings.append(f"The head is turned by {abs(yaw):.0f}°. A face seen from the front speaks more clearly.")
    if abs(pose.pitch) > TURNED_PITCH:
        way = "up" if pose.pitch > 0 else "down"
        warnings.append(f"The head looks {way} by {abs(pose.pitch):.0f}°, so the mouth is seen at an angle.")
    if avatar.face.scale < SMALL_FACE:
        warnings.append(
            f"The face is small ({avatar.face.scale:.0f} pixels between the eyes), so it has little detail."
        )
    if mouth_is_covered(avatar.picture, avatar.face):
        warnings.append("Something seems to be in front of the mouth. Lips that are hidden cannot be moved well.")
    return warnings


def _box(avatar: Avatar) -> Box:
    left, top, right, bottom = (round(side) for side in avatar.face.box)
    return Box(left, top, right - left, bottom - top)


def _direction(avatar: Avatar) -> Direction:
    pose = avatar.face.pose
    return Direction(round(avatar.face.yaw, 1), round(pose.pitch, 1), round(pose.roll, 1))


def _thumbnail(avatar: Avatar) -> bytes:
    factor = min(1.0, THUMBNAIL_PIXELS / max(avatar.size))
    small = cv2.resize(avatar.picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small)[1].tobytes()


def _used(folder: Path) -> float:
    try:
        return (folder / _FACTS).stat().st_mtime_ns
    except FileNotFoundError:
        return 0.0


def _size(folder: Path) -> int:
    try:
        return sum(entry.stat().st_size for entry in os.scandir(folder))
    except FileNotFoundError:
        return 0


def _unknown() -> SessionError:
    return SessionError("avatar_unknown", "There is no avatar with this id. Upload the picture to /v1/avatars (again).")

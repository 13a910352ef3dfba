"""A finished video as a viewer gets it, after H.264, and the mouth that the face mesh sees in it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.sounds import Sound
from lipstream.engines.base import SPEECH_RATE, Actor, Patch
from lipstream.face.mesh import Face, FaceMesh, region_of
from lipstream.media.audio import Recording
from lipstream.media.clock import frame_count
from lipstream.media.mux import TalkingVideo
from lipstream.models.assets import FACE_MESH
from lipstream.models.runtime import Network
from lipstream.models.store import ModelStore
from lipstream.session import Session
from training.prepare import FPS, INNER_LIP, POINTS, Array, opening_map

Pixels = NDArray[np.uint8]

BATCH = 16
"""Frames that an engine may compute together."""


@dataclass(frozen=True)
class Film:
    """A rendered video."""

    mp4: bytes
    """The file."""
    touched: NDArray[np.bool_]
    """(height, width) pixels that differed from the picture in any frame, before encoding."""
    patches: list[Patch]
    """What was drawn, one for each frame."""

    def frames(self) -> Iterator[Pixels]:
        """The pictures, (height, width, 3) BGR, decoded."""
        with av.open(io.BytesIO(self.mp4)) as container:
            for frame in container.decode(video=0):
                yield np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)


def film(actor: Actor, sound: Sound) -> Film:
    """The actor speaking, 25 pictures per second, encoded with the default settings."""
    picture = actor.avatar.picture
    session = Session(actor, sample_rate=SPEECH_RATE, fps=Fraction(FPS), batch=BATCH)
    patches = [frame.patch for frame in (*session.push(sound), *session.flush())]
    touched = np.zeros(picture.shape[:2], bool)
    for patch in patches:
        here = block(patch)
        touched[here] |= (patch.pixels != picture[here]).any(axis=2)
    return Film(encoded(picture, sound, list(patches)), touched, patches)


def encoded(picture: Pixels, sound: Sound, patches: list[Patch | None]) -> bytes:
    """An MP4 of a picture with these patches on it, frame by frame."""
    video = TalkingVideo(picture, Fraction(FPS), Recording(b"", SPEECH_RATE, 1, len(sound)))
    video.add_audio(sound[:, None])
    for patch in patches:
        video.add_frame(patch)
    return video.finish()


def still(actor: Actor, frames: int) -> Film:
    """The picture alone, encoded in the same way."""
    picture = actor.avatar.picture
    sound = np.zeros(frames * SPEECH_RATE // FPS, np.float32)
    return Film(encoded(picture, sound, [None] * frames), np.zeros(picture.shape[:2], bool), [])


def frames_of(sound: Sound) -> int:
    """How many pictures a sound has."""
    return frame_count(len(sound), SPEECH_RATE, Fraction(FPS))


def block(patch: Patch) -> tuple[slice, slice]:
    """Rows and columns that a patch covers."""
    height, width = patch.pixels.shape[:2]
    return slice(patch.y, patch.y + height), slice(patch.x, patch.x + width)


def shown(picture: Pixels, patch: Patch) -> Pixels:
    """The picture with a patch on it."""
    whole: Pixels = picture.copy()
    whole[block(patch)] = patch.pixels
    return whole


class MouthReader:
    """Measures the mouth in pictures of one face that stays where it is."""

    def __init__(self, mesh: FaceMesh, face: Face) -> None:
        self._mesh = mesh
        self._face = face
        self._region = region_of(face.landmarks)

    @classmethod
    def load(cls, store: ModelStore, face: Face) -> MouthReader:
        """Read the networks of the mesh."""
        return cls(FaceMesh(*(Network(store.network(FACE_MESH, part)) for part in FACE_MESH.parts)), face)

    def read(self, picture: Pixels) -> NDArray[np.float32]:
        """(468, 3) landmarks, the mean of the face as it is and in a mirror.

        Always looked for in the same place, so that what differs between two frames is what the mesh sees in them.
        """
        views = [self._mesh.locate(picture, self._region, mirrored=mirrored)[0] for mirrored in (False, True)]
        return np.asarray(np.mean(views, axis=0), np.float32)

    def displacements(self, landmarks: NDArray[np.float32], rest: NDArray[np.float32]) -> Array:
        """(n, 468, 3) landmarks and those at rest → (n, 183), IOD in the canonical frame."""
        moved = (landmarks - rest)[:, list(POINTS)].astype(np.float64)
        pose = self._face.pose
        return (moved @ pose.rotation / pose.scale).reshape(len(moved), -1)

    def gap(self, landmarks: NDArray[np.float32]) -> float:
        """Distance between the lips of (468, 3) landmarks, IOD."""
        shape = self._face.pose.to_canonical(landmarks)[list(POINTS)]
        return float(shape.reshape(-1).astype(np.float64) @ opening_map())

    def inner_lips(self, landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
        """(20, 2) outline of what is between the lips, picture pixels."""
        return landmarks[list(INNER_LIP), :2]

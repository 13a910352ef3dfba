"""From a video file to an avatar: decode it, track the face through it, choose the frame that shows it best."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lipstream.avatar import Avatar, Footage, picture_digest
from lipstream.errors import CancelledError, FaceError, VideoError
from lipstream.face.finder import SMALLEST_FACE, FaceFinder
from lipstream.face.mesh import Face
from lipstream.face.topology import INNER_LIPS
from lipstream.face.tracking import FaceTracker
from lipstream.media.clip import ClipReader, ClipWriter
from lipstream.media.size import SizeLimit, shrink
from lipstream.media.video import Video, VideoLimits

_TURN_COST = 1 / 60.0  # IOD per degree: one degree of turning is as bad as a mouth opened by this much
_TURN_FREE = 8.0  # degrees of turning that cost nothing


def load_footage(
    data: bytes,
    finder: FaceFinder,
    limits: VideoLimits,
    limit: SizeLimit | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Avatar:
    """A clip as an avatar; pictures above ``limit`` are made smaller. The clip's sound is not used.

    Takes about 10 ms for each frame of 512 × 512, and memory for one frame besides the result. ``cancelled`` is called
    before every frame. Raises :class:`lipstream.errors.VideoError`, :class:`CancelledError`, and :class:`FaceError`
    (``no_face``) when no frame shows one.
    """
    video = Video(data, limits)
    writer, tracker = ClipWriter(video.fps), FaceTracker(finder, video.fps)
    for picture in video.pictures():
        if cancelled():
            raise CancelledError
        picture = shrink(picture, limit) if limit else picture
        writer.add(picture)
        if writer.nbytes > limits.kept:
            raise VideoError(
                "video_too_large",
                f"The frames of this video take more than {limits.kept / 2**20:.0f} MiB of memory. "
                "Use a shorter or a smaller video.",
            )
        tracker.add(picture)
    clip, faces = writer.finish(), tracker.finish()
    best = best_frame(faces)
    if best is None:
        raise FaceError(
            "no_face",
            f"There is no face in this video, or it is less than {SMALLEST_FACE} pixels wide. "
            "Use a video that shows one face from the front.",
        )
    index, face = best
    picture = ClipReader(clip).picture(index)
    return Avatar(picture, finder.refine(picture, face), picture_digest(picture), Footage(clip, faces, face))


def best_frame(faces: Sequence[Face | None]) -> tuple[int, Face] | None:
    """The frame, with its face, whose mouth is closed most and whose head is turned least; None without any face."""
    seen = [(index, face) for index, face in enumerate(faces) if face]
    return min(seen, key=lambda frame: _cost(frame[1]), default=None)


def _cost(face: Face) -> float:
    lips = face.landmarks[INNER_LIPS, :2]
    below, above = lips[1:10], lips[:10:-1]  # from corner to corner, side by side
    gap = float(np.linalg.norm(below - above, axis=1).mean()) / face.scale
    turned = max(abs(face.yaw), abs(face.pose.pitch)) - _TURN_FREE
    return gap + _TURN_COST * max(0.0, turned)

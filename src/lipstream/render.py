"""One-shot rendering: a session is fed one whole recording, and its frames become an MP4."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lipstream.engines.base import Actor
from lipstream.errors import CancelledError
from lipstream.media.audio import Recording
from lipstream.media.clock import frame_count
from lipstream.media.mux import Encoding, TalkingVideo
from lipstream.session import Frame, Session

MEET_SECONDS = 10.0
"""How much of a recording the engine hears in advance, to know the voice."""

Progress = Callable[[int, int], None]
"""Called with (frames done, frames in all) after every frame, on the rendering thread."""


def render(
    actor: Actor,
    recording: Recording,
    fps: Fraction,
    *,
    batch: int = 1,
    encoding: Encoding | None = None,
    on_progress: Progress | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> bytes:
    """The actor speaking the recording, as an MP4: H.264 yuv420p and AAC, index in front, ceil(duration × fps) frames.

    Blocks until done. Memory does not grow with the length beyond the file itself: audio is decoded, spoken and encoded
    block by block. Up to ``batch`` frames may be computed together. ``cancelled`` is called before every frame.

    Raises :class:`lipstream.errors.CancelledError`.
    """
    total = frame_count(recording.samples, recording.sample_rate, fps)
    session = Session(actor, sample_rate=recording.sample_rate, fps=fps, batch=batch)
    if session.knows_voices:
        session.meet(_beginning(recording))
    with TalkingVideo(actor.avatar.picture, fps, recording, encoding) as video:

        def show(frames: Iterable[Frame]) -> None:
            for frame in frames:
                if cancelled():
                    raise CancelledError
                video.add_frame(frame.patch)
                if on_progress:
                    on_progress(frame.index + 1, total)

        for block in recording.blocks():
            video.add_audio(block)
            show(session.push(block))
        show(session.flush())
        return video.finish()


def _beginning(recording: Recording) -> NDArray[np.float32]:
    """(n, channels): the first :data:`MEET_SECONDS`, or all of a shorter recording."""
    samples = round(MEET_SECONDS * recording.sample_rate)
    blocks: list[NDArray[np.float32]] = []
    for block in recording.blocks():
        blocks.append(block)
        samples -= len(block)
        if samples <= 0:
            break
    return np.concatenate(blocks)

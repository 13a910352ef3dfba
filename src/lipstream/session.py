"""START HERE. A session turns speech into talking frames: audio in, pictures with exact times out, no I/O.

    session = Session(actor, sample_rate=44_100, fps=Fraction(25))
    for chunk in microphone:                    # chunks of any size
        for frame in session.push(chunk):
            show(frame)
    for frame in session.flush():               # the utterance is over
        show(frame)

One-shot rendering (:mod:`lipstream.render`) is this with one long utterance. However the same audio is cut into chunks,
the frames are the same bit for bit: the audio is first re-cut into blocks of a fixed length, so everything after that
makes the same calls with the same arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lipstream.engines.base import SPEECH_RATE, Actor, Liveliness, Patch, still
from lipstream.media.clock import frame_count, frame_time
from lipstream.media.resample import Resampler

BLOCK_SECONDS = Fraction(1, 50)
"""Length of the blocks that audio is cut into, seconds; also the most latency that this adds."""


@dataclass(frozen=True)
class Frame:
    """One picture of the person speaking."""

    index: int
    """Counts from 0 at the start of the utterance."""
    time: Fraction
    """When it appears, in seconds after the utterance's first sample. It stays for 1/fps."""
    patch: Patch
    """What differs from the avatar's picture."""


class Session:
    """One avatar speaking one utterance after another, without a jump between them. Not thread-safe; does no I/O.

    ``sample_rate`` is that of the audio pushed, in Hz, from 8000 to 192000 or whatever the recording has. ``life`` is
    called once per frame drawn; up to ``batch`` frames may be held back to be computed together (see
    :class:`lipstream.engines.base.Actor`).
    """

    def __init__(
        self,
        actor: Actor,
        *,
        sample_rate: int,
        fps: Fraction,
        life: Callable[[], Liveliness] = still,
        batch: int = 1,
    ) -> None:
        self.actor = actor
        self.sample_rate = sample_rate
        self.fps = fps
        self._block = max(1, int(sample_rate * BLOCK_SECONDS))
        self._performance = actor.perform(fps, life, batch=batch)
        self._begin()

    def _begin(self) -> None:
        self._resampler = Resampler(self.sample_rate, SPEECH_RATE)
        self._pending = np.zeros(0, np.float32)
        self._samples = 0
        self._frames = 0

    @property
    def knows_voices(self) -> bool:
        """Whether :meth:`meet` makes a difference to the engine."""
        return self._performance.knows_voices

    def meet(self, audio: NDArray[np.float32]) -> None:
        """Hear in advance how the speaker of the next utterance sounds.

        ``audio`` is any part of that utterance, in the form that :meth:`push` takes. To be called between utterances;
        gives no frames.
        """
        resampler = Resampler(self.sample_rate, SPEECH_RATE)
        self._performance.meet(np.concatenate([resampler.push(_mono(audio)), resampler.flush()]))

    def push(self, audio: NDArray[np.float32]) -> Iterator[Frame]:
        """Hear more of the utterance; give all frames that can be drawn by now.

        ``audio`` is (n,) mono or (n, channels), float32 in [-1, 1], any n.
        """
        mono = _mono(audio)
        self._samples += len(mono)
        self._pending = np.concatenate([self._pending, mono])
        whole = len(self._pending) - len(self._pending) % self._block
        blocks, self._pending = self._pending[:whole], self._pending[whole:]
        for block in blocks.reshape(-1, self._block):
            yield from self._number(self._performance.push(self._resampler.push(block)))

    def flush(self) -> Iterator[Frame]:
        """The utterance is over: give its remaining frames, ceil(duration × fps) in all, and be ready for the next."""
        total = frame_count(self._samples, self.sample_rate, self.fps)
        speech = np.concatenate([self._resampler.push(self._pending), self._resampler.flush()])
        yield from self._number(self._performance.push(speech), total)
        yield from self._number(self._performance.finish(total), total)
        self._begin()

    def clear(self) -> None:
        """Forget what was heard and not yet shown (barge-in); the next audio begins a new utterance."""
        self._performance.clear()
        self._begin()

    def idle(self) -> Patch:
        """A picture without speech, at any time: the mouth eases to rest. What was heard stays known."""
        return self._performance.idle()

    def _number(self, patches: Iterator[Patch], limit: int | None = None) -> Iterator[Frame]:
        for patch in patches:
            if limit is not None and self._frames >= limit:
                return
            index = self._frames
            self._frames += 1
            yield Frame(index, frame_time(index, self.fps), patch)


def _mono(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    return audio.mean(axis=1, dtype=np.float32) if audio.ndim == 2 else audio

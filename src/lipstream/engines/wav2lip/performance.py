"""From speech to patches: windows are collected into batches, drawn by the network and blended by the compositor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lipstream.engines.base import Patch
from lipstream.engines.wav2lip.mel import WindowStream
from lipstream.engines.wav2lip.network import GeneratorNetwork
from lipstream.engines.wav2lip.scenes import Scenes
from lipstream.engines.wav2lip.silence import SpeechGate, fade_step


@dataclass
class _Utterance:
    """What is known of one utterance so far."""

    windows: WindowStream
    """Its audio for the network."""
    gate: SpeechGate | None
    """Its audio for the cross-fade with silence; None = always the network's mouth."""
    waiting: list[tuple[NDArray[np.float32], float]] = field(default_factory=list)
    """Windows not drawn yet, with the weights of their frames."""
    frames: int = 0
    """Frames drawn or waiting."""


class Wav2LipPerformance:
    """See :class:`lipstream.engines.base.Performance`. Not thread-safe."""

    knows_voices = False

    def __init__(
        self,
        network: GeneratorNetwork,
        scenes: Scenes,
        fps: Fraction,
        *,
        gated: bool,
        batch: int,
    ) -> None:
        self._network = network
        self._scenes = scenes
        self._fps = fps
        self._gated = gated
        self._batch = batch
        self._drawn: NDArray[np.float32] | None = None  # the network's rows in the last frame
        self._weight = 0.0  # of those rows in the last frame
        self._utterance = self._begin()

    def _begin(self, weight: float = 0.0) -> _Utterance:
        return _Utterance(WindowStream(self._fps), SpeechGate(self._fps, weight) if self._gated else None)

    def meet(self, speech: NDArray[np.float32]) -> None:
        """Does nothing: Wav2Lip treats all voices alike."""

    def push(self, speech: NDArray[np.float32]) -> Iterator[Patch]:
        """See :class:`lipstream.engines.base.Performance`."""
        utterance = self._utterance
        if utterance.gate is not None:
            utterance.gate.push(speech)
        return self._draw(utterance, utterance.windows.push(speech))

    def finish(self, frames: int) -> Iterator[Patch]:
        """See :class:`lipstream.engines.base.Performance`. The last frame shows the photo's own mouth."""
        utterance, self._utterance = self._utterance, self._begin()
        return self._draw(utterance, utterance.windows.finish(frames), frames)

    def clear(self) -> None:
        """See :class:`lipstream.engines.base.Performance`."""
        self._utterance = self._begin(self._weight)

    def idle(self) -> Patch:
        """See :class:`lipstream.engines.base.Performance`."""
        self._weight = max(0.0, self._weight - fade_step(self._fps))
        if self._utterance.gate is not None:
            self._utterance.gate.weight = self._weight
        place = self._scenes.advance()
        scene = None if self._drawn is None or self._weight == 0.0 else self._scenes.at(place)
        if scene is None or self._drawn is None:
            return self._scenes.rest(place)
        return self._scenes.framed(scene.compositor.compose(self._drawn, self._weight), place)

    def _draw(
        self, utterance: _Utterance, windows: Iterator[NDArray[np.float32]], total: int | None = None
    ) -> Iterator[Patch]:
        """Frames for these windows, batch by batch; with ``total``, also those of an incomplete batch."""
        for window in windows:
            utterance.frames += 1
            weight = 1.0
            if utterance.gate is not None:
                weight = utterance.gate.next_weight(None if total is None else total - utterance.frames)
            utterance.waiting.append((window, weight))
            if len(utterance.waiting) == self._batch:
                yield from self._show(utterance)
        if total is not None:
            yield from self._show(utterance)

    def _show(self, utterance: _Utterance) -> Iterator[Patch]:
        waiting, utterance.waiting = utterance.waiting, []
        places = [self._scenes.advance() for _ in waiting]
        taken = zip(places, waiting, strict=True)
        scenes = [self._scenes.at(place) if weight > 0.0 else None for place, (_, weight) in taken]
        heard = [(window, scene.shares) for (window, _), scene in zip(waiting, scenes, strict=True) if scene]
        windows, shares = [window for window, _ in heard], [share for _, share in heard]
        pictures = iter(self._network.generate(np.stack(windows), shares, self._batch) if heard else ())
        for (_, self._weight), place, scene in zip(waiting, places, scenes, strict=True):
            if scene:
                self._drawn = next(pictures)
                yield self._scenes.framed(scene.compositor.compose(self._drawn, self._weight), place)
            else:
                yield self._scenes.rest(place)

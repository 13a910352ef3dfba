"""Where the time of one job goes: a real render with a stopwatch around each stage."""

from __future__ import annotations

import base64
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from unittest.mock import patch

from lipstream.config import Settings
from lipstream.engines.portrait import network, phones, renderer
from lipstream.media import decode, encode, mux, resample
from lipstream.media.audio import open_recording
from lipstream.media.image import decode_picture
from lipstream.studio import Job, Studio
from lipstream.threads import one_thread_per_library

STAGES = (
    "decode",
    "face",
    "prepare",
    "resample",
    "features",
    "network",
    "render",
    "colour",
    "encode",
    "mux",
    "base64",
    "other",
)


class Stopwatch:
    """Milliseconds by stage; a stage inside another is counted once, for the inner one."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self._stack: list[str] = []
        self._since = time.perf_counter()

    def _tick(self) -> None:
        now = time.perf_counter()
        self.spent[self._stack[-1] if self._stack else "other"] += now - self._since  # type: ignore[assignment]
        self._since = now

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what happens inside as ``name``."""
        self._tick()
        self._stack.append(name)
        try:
            yield
        finally:
            self._tick()
            self._stack.pop()

    def around(self, name: str, function: Callable[..., object]) -> Callable[..., object]:
        """``function``, counted as ``name``."""

        def timed(*arguments: object, **keywords: object) -> object:
            with self.stage(name):
                return function(*arguments, **keywords)

        return timed


def _watched(watch: Stopwatch) -> ExitStack:
    """The stages inside a render, wrapped where they are defined."""
    stack = ExitStack()
    for owner, attribute, stage in (
        (resample.Resampler, "push", "resample"),
        (phones.PhoneStream, "push", "features"),
        (network.Committee, "steps", "network"),
        (renderer.Renderer, "draw", "render"),
        (encode, "to_planes", "colour"),
        (encode.VideoEncoder, "encode", "encode"),
        (encode.VideoEncoder, "flush", "encode"),
        (encode.AudioEncoder, "encode", "encode"),
        (encode.AudioEncoder, "flush", "encode"),
        (decode.Piece, "to_float", "decode"),
        (mux.Mp4Writer, "write", "mux"),
        (mux.Mp4Writer, "finish", "mux"),
    ):
        stack.enter_context(patch.object(owner, attribute, watch.around(stage, getattr(owner, attribute))))
    return stack


def measure_stages(portrait: bytes, speech: bytes, settings: Settings) -> dict[str, float]:
    """Milliseconds one job spends in each stage, with warm models and a portrait never seen."""
    one_thread_per_library()
    studio = Studio.open(settings)
    studio.warm_up()
    watch = Stopwatch()
    with watch.stage("base64"):
        portrait, speech = (base64.b64decode(base64.b64encode(data)) for data in (portrait, speech))
    with watch.stage("decode"):
        open_recording(speech, max_seconds=settings.max_audio_seconds)
        decode_picture(portrait, max_pixels=settings.max_image_pixels)
    with watch.stage("face"):
        studio.avatar(portrait)
    with watch.stage("prepare"):
        studio.actor(portrait, "portrait")
    with _watched(watch), watch.stage("other"):
        mp4 = studio.render(Job(image=portrait, audio=speech, fps=Fraction(25), engine="portrait"))
    with watch.stage("base64"):
        base64.b64decode(base64.b64encode(mp4))
    # Preparing decodes the picture and finds the face once more.
    watch.spent["prepare"] -= watch.spent["face"]
    return {stage: round(watch.spent[stage] * 1000, 1) for stage in STAGES}

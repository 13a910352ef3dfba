"""Where the time of one job goes: a real render with a stopwatch around each stage."""

from __future__ import annotations

import base64
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from unittest.mock import patch

import numpy as np

from lipstream.config import Settings
from lipstream.engines.base import SPEECH_RATE
from lipstream.engines.portrait import network, phones, renderer
from lipstream.engines.portrait.engine import load_motion_model
from lipstream.media import decode, encode, mux, resample
from lipstream.media.audio import open_recording
from lipstream.media.clock import frame_count
from lipstream.media.image import decode_picture
from lipstream.models.store import ModelStore
from lipstream.studio import Job, Studio
from lipstream.threads import one_thread_per_library

FPS = Fraction(25)
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
        self.elapsed: Counter[str] = Counter()
        """Wall-clock time, which includes whatever else the machine does meanwhile."""
        self.computed: Counter[str] = Counter()
        """CPU time of the job's own thread, without waiting and without the threads of the encoder."""
        self._stack: list[str] = []
        self._since = time.perf_counter(), time.thread_time()

    def _tick(self) -> None:
        now = time.perf_counter(), time.thread_time()
        stage = self._stack[-1] if self._stack else "other"
        self.elapsed[stage] += (now[0] - self._since[0]) * 1000  # type: ignore[assignment]
        self.computed[stage] += (now[1] - self._since[1]) * 1000  # type: ignore[assignment]
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
        (network.Network, "steps", "network"),
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


def measure_stages(portrait: bytes, speech: bytes, settings: Settings) -> tuple[dict[str, float], dict[str, float]]:
    """Milliseconds that one job spends in each stage, with warm models and a portrait never seen: elapsed, and computed
    by its own thread. The medians of three jobs."""
    one_thread_per_library()
    jobs = [_time_job(portrait, speech, settings) for _ in range(3)]
    elapsed, computed = (
        {stage: round(statistics.median(spent[stage] for spent in runs), 1) for stage in STAGES}
        for runs in zip(*((watch.elapsed, watch.computed) for watch in jobs), strict=True)
    )
    return elapsed, computed


def _time_job(portrait: bytes, speech: bytes, settings: Settings) -> Stopwatch:
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
        mp4 = studio.render(Job(image=portrait, audio=speech, fps=FPS, engine="portrait"))
    with watch.stage("base64"):
        base64.b64decode(base64.b64encode(mp4))
    # Preparing decodes the picture and finds the face once more.
    for spent in (watch.elapsed, watch.computed):
        spent["prepare"] -= spent["face"]
    return watch


def hearing_alone_ms(speech: bytes, settings: Settings) -> float:
    """Milliseconds of one core per video frame from sound to motion, in pieces of 20 ms, with nothing between them: the
    models stay in the caches. The median of five runs."""
    one_thread_per_library()
    model = load_motion_model(ModelStore(settings.cache_dir, settings.checkpoints_dir))
    recording = open_recording(speech, max_seconds=settings.max_audio_seconds)
    resampler = resample.Resampler(recording.sample_rate, SPEECH_RATE)
    sound = np.concatenate([resampler.push(block.mean(axis=1)) for block in recording.blocks()])
    pieces = np.split(sound, range(SPEECH_RATE // 50, len(sound), SPEECH_RATE // 50))
    frames = frame_count(len(sound), SPEECH_RATE, FPS)

    def run() -> float:
        stream = model.listen(FPS)
        started = time.thread_time()
        for piece in pieces:
            stream.push(piece)
        stream.finish(frames)
        return time.thread_time() - started

    return round(statistics.median(run() for _ in range(5)) * 1000 / frames, 2)

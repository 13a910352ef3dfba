"""CPU milliseconds per frame by stage, on one thread of this process."""

from __future__ import annotations

import io
import statistics
import time

import cv2
import numpy as np
from PIL import Image

from benchmarks.live.ground import FPS, speech
from lipstream.config import Settings
from lipstream.idle import IdleMotion
from lipstream.live import AudioFormat, LiveStream
from lipstream.media.fragments import FragmentWriter, JpegWriter, MediaWriter
from lipstream.media.size import SizeLimit
from lipstream.studio import EngineName, Studio
from lipstream.threads import one_thread_per_library


def stages(picture: bytes) -> dict[str, dict[str, float]]:
    """Median CPU milliseconds per frame, by size."""
    one_thread_per_library()
    studio = Studio.open(Settings())
    return {
        "512x512": stage_times(studio, picture, SizeLimit(10**9, 512)),
        "1920x1080": stage_times(studio, full_hd(picture), SizeLimit(10**9)),
    }


def stage_times(studio: Studio, picture: bytes, limit: SizeLimit) -> dict[str, float]:
    """One portrait that speaks for six seconds, then idles for four."""
    engine: EngineName = "portrait"
    pcm, rate = speech()
    actor = studio.live_actor(picture, engine, limit)
    audio = AudioFormat(rate, 1)
    stream = LiveStream(
        actor, audio, FPS, lookahead=studio.engine(engine).lookahead, idle=IdleMotion(0, FPS), buffer_seconds=60
    )
    avatar = actor.avatar.picture
    writers: dict[str, MediaWriter] = {
        "fmp4": FragmentWriter(avatar, FPS, sample_rate=rate, channels=1),
        "mjpeg": JpegWriter(avatar, sample_rate=rate),
    }
    times: dict[str, list[float]] = {"speak": [], "idle": [], **{name: [] for name in writers}}
    stream.feed(pcm)
    stream.end()
    for _ in range(250):
        begin = time.thread_time()
        moment = stream.advance()
        times["speak" if moment.speaking else "idle"].append(time.thread_time() - begin)
        for name, writer in writers.items():
            begin = time.thread_time()
            writer.write(moment.patch, moment.audio)
            times[name].append(time.thread_time() - begin)
    return {name: round(statistics.median(values) * 1000, 2) for name, values in times.items()}


def full_hd(picture: bytes) -> bytes:
    """The same as high as a full-HD picture, its edges continued to the sides."""
    image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    large = cv2.resize(image, (1080, 1080), interpolation=cv2.INTER_CUBIC)
    wide = cv2.copyMakeBorder(large, 0, 0, 420, 420, cv2.BORDER_REFLECT)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(wide[:, :, ::-1])).save(file, "PNG")
    return file.getvalue()

"""What clips cost: ``python -m benchmarks.clips [--json] [--checkpoint wav2lip.pth]``.

The sample portrait is moved about for two seconds in pictures of several sizes. All times are CPU milliseconds per
frame on one thread: ``load`` (decoding, keeping, following the face), ``open`` (a kept frame), then the frames of a
sentence before the encoder, ``first`` time round, when frames are prepared, and ``later``. ``kB`` is what a frame takes
in memory, ``planes_kB`` what it would as planes. With a checkpoint, wav2lip's frames too: CPU time of all threads.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.wav2lip import FPS, sample_speech
from lipstream.engines.base import Actor
from lipstream.engines.portrait.engine import PortraitEngine
from lipstream.engines.wav2lip.engine import CPU_BATCH, Wav2LipEngine
from lipstream.face.finder import FaceFinder
from lipstream.footage import load_footage
from lipstream.media.clip import ClipReader
from lipstream.media.video import VideoLimits
from lipstream.models.assets import SAMPLE_PORTRAIT
from lipstream.models.store import ModelStore
from lipstream.session import Session
from lipstream.threads import one_thread_per_library
from tests.clips import moving, video_bytes

SIZES = ((512, 512), (1280, 720), (1920, 1080))
SECONDS = 2


def in_picture(portrait: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """The sample as high as a picture of this size, which it continues to both sides."""
    square = cv2.resize(portrait, (height, height), interpolation=cv2.INTER_CUBIC)
    side = (width - height) // 2
    return np.asarray(cv2.copyMakeBorder(square, 0, 0, side, side, cv2.BORDER_REFLECT), np.uint8)


def speak(actor: Actor, speech: NDArray[np.float32], clock: Callable[[], float], batch: int) -> float:
    """Milliseconds per frame of an utterance."""
    session = Session(actor, sample_rate=16_000, fps=FPS, batch=batch)
    started = clock()
    frames = sum(1 for _ in (*session.push(speech), *session.flush()))
    return (clock() - started) / frames * 1000


def measure(
    size: tuple[int, int], finder: FaceFinder, portrait: NDArray[np.uint8], wav2lip: Wav2LipEngine | None
) -> dict[str, float]:
    """All figures for one size."""
    data = video_bytes(moving(in_picture(portrait, *size), SECONDS * 25).pictures)
    started = time.thread_time()
    avatar = load_footage(data, finder, VideoLimits(4_000_000, 60.0))
    loaded = time.thread_time() - started
    assert avatar.footage
    clip, reader = avatar.footage.clip, ClipReader(avatar.footage.clip)
    started = time.thread_time()
    for index in range(len(clip)):
        reader.planes(index)
    opened = time.thread_time() - started
    speech = sample_speech()[: 16_000 * SECONDS]
    actor = PortraitEngine.load(ModelStore()).prepare(avatar)
    result = {
        "load": loaded / len(clip) * 1000,
        "open": opened / len(clip) * 1000,
        "kB": clip.nbytes / len(clip) / 1000,
        "planes_kB": size[0] * size[1] * 1.5 / 1000,
        "portrait_first": speak(actor, speech, time.thread_time, 1),
        "portrait_later": speak(actor, speech, time.thread_time, 1),
    }
    if wav2lip:
        speaker = wav2lip.prepare(avatar)
        result["wav2lip_first"] = speak(speaker, speech, time.process_time, CPU_BATCH)
        result["wav2lip_later"] = speak(speaker, speech, time.process_time, CPU_BATCH)
    return result


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one line of JSON at the end")
    parser.add_argument("--checkpoint", type=Path, help="a Wav2Lip checkpoint")
    options = parser.parse_args()
    one_thread_per_library()
    store = ModelStore()
    finder = FaceFinder.load(store)
    portrait = np.asarray(cv2.imread(str(store.path(SAMPLE_PORTRAIT)), cv2.IMREAD_COLOR), np.uint8)
    with tempfile.TemporaryDirectory() as cache:
        wav2lip = Wav2LipEngine.load(options.checkpoint, Path(cache)) if options.checkpoint else None
        results = {f"{width}x{height}": measure((width, height), finder, portrait, wav2lip) for width, height in SIZES}
    for size, figures in results.items():
        print(f"{size:10}", "  ".join(f"{name} {value:.1f}" for name, value in figures.items()))
    if options.json:
        print(json.dumps({size: {k: round(v, 2) for k, v in figures.items()} for size, figures in results.items()}))


if __name__ == "__main__":
    main()

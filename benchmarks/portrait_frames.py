"""What the built-in engine's pictures cost: ``python -m benchmarks.portrait_frames``.

The sample portrait is enlarged to faces of several sizes. Preparing and drawing are timed on one thread, without audio
analysis, colour conversion and encoding; the last column is the memory that a prepared portrait keeps. A second table
is about heads that live: sway, breath and blinks besides the speaking mouth, in pictures of two usual sizes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.avatar import Avatar, picture_digest
from lipstream.cache import held_bytes
from lipstream.engines.base import STILL, Liveliness
from lipstream.engines.portrait.engine import PortraitActor, PortraitEngine
from lipstream.engines.portrait.living import LivingRenderer
from lipstream.engines.portrait.renderer import Renderer
from lipstream.engines.portrait.style import MouthPose
from lipstream.face.finder import FaceFinder
from lipstream.models.assets import SAMPLE_PORTRAIT
from lipstream.models.store import ModelStore
from lipstream.threads import one_thread_per_library

IOD_PIXELS = (40, 118, 221, 400, 1000)
"""Faces to try: the sample as it is, a 512×512 and a 1920×1080 picture with a usual face, a close-up, a huge one."""
FRAMES = 60
PICTURES = ((512, 512, 118), (1920, 1080, 221))
"""Width, height and distance between the eyes of the pictures for living heads, pixels."""
LIVELY = Liveliness(yaw=0.7, pitch=-0.5, roll=0.4, x=0.004, y=-0.003, scale=1.004, breath=0.5)


def main() -> None:
    """Print the table."""
    one_thread_per_library()
    store = ModelStore()
    engine, finder = PortraitEngine.load(store), FaceFinder.load(store)
    sample = cv2.imread(str(store.path(SAMPLE_PORTRAIT)))
    assert sample is not None
    picture = np.asarray(sample, np.uint8)
    scale = finder.largest(picture).scale
    print(f"{'eyes px':>8} {'region':>11} {'prepare ms':>11} {'frame ms':>9} {'p95 ms':>7} {'MB':>6}")
    for pixels in IOD_PIXELS:
        avatar = enlarged(picture[:300, 60:420], pixels / scale, finder)
        start = time.perf_counter()
        actor = engine.prepare(avatar)
        prepare = time.perf_counter() - start
        times = frame_times(actor)
        region, megabytes = actor.rig.region, held_bytes(actor.rig) / 1e6
        print(
            f"{pixels:>8} {f'{region.width}×{region.height}':>11} {prepare * 1e3:>11.0f} "
            f"{statistics.median(times) * 1e3:>9.2f} {np.percentile(times, 95) * 1e3:>7.2f} {megabytes:>6.1f}"
        )
    living(engine, finder, picture, scale)


def living(engine: PortraitEngine, finder: FaceFinder, picture: NDArray[np.uint8], scale: float) -> None:
    """Print the table of living heads."""
    print(
        f"\n{'picture':>11} {'region':>11} {'prepare ms':>11} "
        f"{'mouth ms':>9} {'+ head ms':>10} {'+ blink ms':>11} {'p95 ms':>7} {'MB':>6}"
    )
    for width, height, pixels in PICTURES:
        actor = engine.prepare(placed(picture, width, height, pixels / scale, finder))
        start = time.perf_counter()
        life = actor.life
        prepare = time.perf_counter() - start
        still, head, blink = (frame_times(actor, each) for each in (STILL, LIVELY, replace(LIVELY, blink=0.5)))
        region = life.head.region
        medians = [statistics.median(times) * 1e3 for times in (still, head, blink)]
        print(
            f"{f'{width}×{height}':>11} {f'{region.width}×{region.height}':>11} {prepare * 1e3:>11.0f} "
            f"{medians[0]:>9.2f} {medians[1]:>10.2f} {medians[2]:>11.2f} {np.percentile(blink, 95) * 1e3:>7.2f} "
            f"{held_bytes(life) / 1e6:>6.1f}"
        )


def placed(picture: NDArray[np.uint8], width: int, height: int, factor: float, finder: FaceFinder) -> Avatar:
    """The picture enlarged, its face in the middle of a canvas of the given size."""
    x, y = finder.largest(picture).landmarks[1, :2]
    there = np.array([[factor, 0, width / 2 - factor * x], [0, factor, height * 0.53 - factor * y]])
    mode = cv2.INTER_CUBIC
    canvas = cv2.warpAffine(picture, there, (width, height), flags=mode, borderMode=cv2.BORDER_REFLECT_101)
    pixels = np.asarray(canvas, np.uint8)
    return Avatar(pixels, finder.largest(pixels), picture_digest(pixels))


def enlarged(picture: NDArray[np.uint8], factor: float, finder: FaceFinder) -> Avatar:
    """The picture at another size, even sides."""
    height, width = (int(side * factor) & ~1 for side in picture.shape[:2])
    resized = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    return Avatar(resized, finder.largest(resized), picture_digest(resized))


def frame_times(actor: PortraitActor, life: Liveliness | None = None) -> list[float]:
    """Seconds per frame for a mouth that opens and closes three times, on a head that lives or not.

    Of this thread's own time: what else the machine does counts little.
    """
    times = []
    draw: Callable[[MouthPose], object] = Renderer(actor.rig).draw
    if life is not None:
        draw = partial(LivingRenderer(actor.rig, actor.life).draw, liveliness=life)
    wide = np.zeros(len(actor.model.basis.vectors), np.float32)
    wide[0] = 0.8
    for frame in range(FRAMES):
        opening = np.float32(np.sin(3 * np.pi * frame / FRAMES) ** 2)
        pose = actor.style.pose(opening * wide, 0.0, 0.0, 0.0, float(opening))
        start = time.thread_time()
        draw(pose)
        times.append(time.thread_time() - start)
    return times[3:]


if __name__ == "__main__":
    main()

"""What the built-in engine's pictures cost: ``python -m benchmarks.portrait_frames``.

The sample portrait is enlarged to faces of several sizes. Preparing and drawing are timed on one thread, without audio
analysis, colour conversion and encoding; the last column is the memory that a prepared portrait keeps.
"""

from __future__ import annotations

import statistics
import time

import cv2
import numpy as np
from numpy.typing import NDArray

from lipstream.avatar import Avatar, picture_digest
from lipstream.engines.portrait.engine import PortraitActor, PortraitEngine
from lipstream.engines.portrait.renderer import Renderer
from lipstream.face.finder import FaceFinder
from lipstream.models.assets import SAMPLE_PORTRAIT
from lipstream.models.store import ModelStore
from lipstream.threads import one_thread_per_library

IOD_PIXELS = (40, 118, 221, 400, 1000)
"""Faces to try: the sample as it is, a 512×512 and a 1920×1080 picture with a usual face, a close-up, a huge one."""
FRAMES = 60


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
        region = actor.rig.region
        print(
            f"{pixels:>8} {f'{region.width}×{region.height}':>11} {prepare * 1e3:>11.0f} "
            f"{statistics.median(times) * 1e3:>9.2f} {np.percentile(times, 95) * 1e3:>7.2f} {megabytes(actor):>6.1f}"
        )


def enlarged(picture: NDArray[np.uint8], factor: float, finder: FaceFinder) -> Avatar:
    """The picture at another size, even sides."""
    height, width = (int(side * factor) & ~1 for side in picture.shape[:2])
    resized = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    return Avatar(resized, finder.largest(resized), picture_digest(resized))


def frame_times(actor: PortraitActor) -> list[float]:
    """Seconds per frame for a mouth that opens and closes three times."""
    renderer, times = Renderer(actor.rig), []
    wide = np.zeros(actor.rig.columns - 1, np.float32)
    wide[0] = 0.8
    for frame in range(FRAMES):
        opening = np.float32(np.sin(3 * np.pi * frame / FRAMES) ** 2)
        pose = actor.style.pose(opening * wide, 0.0, 0.0, float(opening), 1.0)
        start = time.perf_counter()
        renderer.draw(pose)
        times.append(time.perf_counter() - start)
    return times[3:]


def megabytes(actor: PortraitActor) -> float:
    """Size of the arrays that a prepared portrait keeps, without the picture itself."""
    rig = actor.rig
    arrays = [rig.lower, rig.upper, rig.edges, rig.layers.lower, rig.layers.upper, *vars(rig.interior).values()]
    return sum(array.nbytes for array in arrays if isinstance(array, np.ndarray)) / 1e6


if __name__ == "__main__":
    main()

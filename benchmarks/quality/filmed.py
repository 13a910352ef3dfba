"""How much filmed mouths flicker, by the measures of :mod:`.pictures`: ``python -m benchmarks.quality.filmed GRID_S1``.

``GRID_S1`` is in the format of training/README.md and has besides ``mouth/CLIP.mp4``: the lower face of some clips, cut
out of the film so that eyes and nose stand still, 120 pixels between the eyes, frame by frame as in ``landmarks.npz``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.pictures import between_lips, held_changes, undone_changes
from training.prepare import INNER_LIP, Clip, index_of, load_clips

SCALE = 120.0
"""Pixels per IOD of the cut-out films."""
ORIGIN = np.array([95.0, -94.0])
"""Where in them the origin of the canonical face is, pixels: found by laying the mesh's lips over open mouths."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, metavar="GRID_S1")
    folder = parser.parse_args().folder
    canonical = np.load(folder / "canonical.npy").astype(np.float64)
    held: list[float] = []
    undone: list[float] = []
    for clip in load_clips(folder, canonical, own_shape=False):
        path = folder / "mouth" / f"{clip.name}.mp4"
        if path.is_file():
            frames = grey_frames(path)[: len(clip.raw)]
            insides = [between_lips(lips, frames[0].shape, SCALE) for lips in inner_lips(clip)[: len(frames)]]
            moved = clip.raw[: len(frames)].reshape(len(frames), -1)
            held += held_changes(frames, insides, moved)
            undone += undone_changes(frames, insides, moved)
    if not held:
        parser.error(f"there are no films in {folder / 'mouth'}")
    for name, changes in (("interior_flicker", held), ("interior_undone", undone)):
        print(f"{name}: mean {np.mean(changes):.2f}, worst {max(changes):.1f} of {len(changes)}")


def grey_frames(path: Path) -> list[NDArray[np.float32]]:
    """(height, width) 0…255 each."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="gray").astype(np.float32) for frame in container.decode(video=0)]


def inner_lips(clip: Clip) -> NDArray[np.float32]:
    """(frames, 20, 2) outline of what is between the lips, pixels of the cut-out film."""
    shape = (clip.neutral + clip.raw)[:, [index_of(point) for point in INNER_LIP], :2]
    return np.asarray(shape * SCALE + ORIGIN, np.float32)


if __name__ == "__main__":
    main()

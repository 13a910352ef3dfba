"""Clips whose mouths were filmed, and how near a shown mouth comes to them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.quality.sounds import NOISE_DB, add_noise
from lipstream.face.pose import canonical_face
from training.prepare import Array, Clip, load_clips
from training.split import split

LEARNED = "grid_s1"
"""The folder whose clips the built-in weights were learned from: only those held out are measured on."""
NAMES = {LEARNED: "s1", "grid_others": "others"}
"""What folders are called in the results; others keep their names."""


def load_corpora(folder: Path) -> dict[str, list[Clip]]:
    """The clips of every folder in ``folder`` that is in the format of training/README.md, by name, s1 first.

    Speakers without a ``canonical.npy`` of their own are aligned to their own rigid points in the frame of
    :data:`LEARNED`'s, or of the mesh's canonical face if that folder is not there. Raises ``FileNotFoundError`` when
    there is none.
    """
    folders = sorted(
        (path.parent for path in folder.glob("*/landmarks.npz")), key=lambda path: (path.name != LEARNED, path)
    )
    if not folders:
        raise FileNotFoundError(f"No folder in {folder} has a landmarks.npz; training/README.md tells the format.")
    shared = _canonical(folder / LEARNED)
    corpora = {}
    for path in folders:
        own = _canonical(path)
        face = own if own is not None else shared if shared is not None else canonical_face().astype(np.float64)
        clips = load_clips(path, face, own_shape=own is None)
        corpora[NAMES.get(path.name, path.name)] = split(clips).test if path.name == LEARNED else clips
    return corpora


def _canonical(folder: Path) -> Array | None:
    path = folder / "canonical.npy"
    return np.load(path).astype(np.float64) if path.is_file() else None


def noisy(clips: list[Clip]) -> list[Clip]:
    """The same clips heard in noise."""
    return [replace(clip, audio=add_noise(clip.audio, NOISE_DB, seed)) for seed, clip in enumerate(clips)]

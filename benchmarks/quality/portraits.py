"""The faces that are looked at: the sample from the model store, and whatever pictures a folder has."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from benchmarks.portrait_frames import PICTURES, placed
from benchmarks.quality.video import Pixels
from lipstream.avatar import Avatar
from lipstream.errors import LipstreamError
from lipstream.face.finder import FaceFinder
from lipstream.models.assets import SAMPLE_PORTRAIT
from lipstream.models.store import ModelStore
from lipstream.studio import Studio

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def sample_picture(store: ModelStore) -> Pixels:
    """The bundled portrait, (512, 512, 3) BGR."""
    picture = cv2.imread(str(store.path(SAMPLE_PORTRAIT)))
    assert picture is not None
    return np.asarray(picture, np.uint8)


def close_up(picture: Pixels, finder: FaceFinder) -> Avatar:
    """The face enlarged to a usual size in a picture of 512 × 512."""
    width, height, pixels = PICTURES[0]
    return placed(picture, width, height, pixels / finder.largest(picture).scale, finder)


def load_portraits(studio: Studio, folder: Path) -> tuple[dict[str, Avatar], dict[str, str]]:
    """The pictures of a folder by their names, and for those that cannot be used the error's code."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    found = {path.stem: _load(studio, path) for path in paths}
    avatars = {name: avatar for name, avatar in found.items() if isinstance(avatar, Avatar)}
    return avatars, {name: code for name, code in found.items() if isinstance(code, str)}


def _load(studio: Studio, path: Path) -> Avatar | str:
    try:
        return studio.avatar(path.read_bytes())
    except LipstreamError as error:
        return error.code
